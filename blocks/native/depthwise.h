// Depthwise convolutions of channels-last maps, forward and backward, an image at a time.
//
// A block of lanes of an image is copied into a small padded map, activated on the way where it is
// given before its normalisation, and worked on there: no border is a special case, and what is
// read is in the first cache. Kernels 3, 5 and 7, strides 1 and 2.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "lanes.h"
#include "norm.h"

template <int K, int S>
struct Constants {
  static constexpr int kernel = K, stride = S;
};

struct Map {
  int64_t height, width, channels, out_height, out_width;
};

// One block of lanes of one image, zeros before and after each row; `slope` (pixels, L), where it
// is asked for, is the activation's derivative.
struct Gather {
  const float* x;
  const Stats* stats;  // null: x itself; else act(x · scale + shift)
  float *to, *slope;
  int64_t height, width, channels, before, pitch;

  template <class Value, int L>
  void rows(Value&& value) const {
    for (int64_t y = 0; y < height; y++) {
      float* row = to + y * pitch * L;
      std::memset(row, 0, before * L * sizeof(float));
      for (int64_t i = 0; i < width; i++)
        store<L>(row + (before + i) * L, value(y * width + i));
      std::memset(row + (before + width) * L, 0, (pitch - before - width) * L * sizeof(float));
    }
  }

  template <int L>
  void plain(int64_t c) const {
    auto value = [&](int64_t pixel) { return load<L>(x + pixel * channels + c); };
    rows<decltype(value)&, L>(value);
  }

  template <int A, int L>
  void activated(int64_t c) const {
    const Vec<L> a = load<L>(stats->scale() + c), b = load<L>(stats->shift() + c);
    auto value = [&](int64_t pixel) {
      const Vec<L> u = load<L>(x + pixel * channels + c) * a + b;
      if (!slope) return activate<A, L>(u);
      const Curve<L> both = curve<A, L>(u);
      store<L>(slope + pixel * L, both.slope);
      return both.value;
    };
    rows<decltype(value)&, L>(value);
  }

  template <int L>
  void any(int64_t c, int64_t act) const {
    if (!stats) return plain<L>(c);
    switch (act) {
      case SILU: return activated<SILU, L>(c);
      case RELU: return activated<RELU, L>(c);
      case RELU6: return activated<RELU6, L>(c);
      case HARD_SWISH: return activated<HARD_SWISH, L>(c);
      default: return activated<LINEAR, L>(c);
    }
  }

  // The second pass of the normalisation that reads z, of its first pass's g.
  template <int L>
  void through(int64_t c, const float* z, const float* g, const Stats& z_stats,
               const Sums& z_sums) const {
    const Through<L> own(z_stats, z_sums, c);
    auto value = [&](int64_t pixel) {
      const int64_t place = pixel * channels + c;
      return own.at(load<L>(z + place), load<L>(g + place));
    };
    rows<decltype(value)&, L>(value);
  }
};

// Correlation of padded rows with K×K taps at stride S, T columns at once.
// `taps` (K, K, L); `in` rows of `pitch`; out (out_height, out_width) at `channels` apart.
template <int K, int S, int T, int L>
static void correlate(const float* in, int64_t pitch, int64_t in_height, const float* taps,
                      float* out, int64_t out_height, int64_t out_width, int64_t channels) {
  constexpr int PAD = K / 2, SPAN = (T - 1) * S + K;
  for (int64_t oy = 0; oy < out_height; oy++) {
    const int64_t top = oy * S - PAD;
    const int64_t low = std::max<int64_t>(0, -top);
    const int64_t high = std::min<int64_t>(K, in_height - top);
    for (int64_t ox = 0; ox < out_width; ox += T) {
      Vec<L> sum[T] = {};
      for (int64_t ky = low; ky < high; ky++) {
        const float* row = in + ((top + ky) * pitch + ox * S) * L;
        const float* tap = taps + ky * K * L;
        Vec<L> value[SPAN];
#pragma GCC unroll 32
        for (int i = 0; i < SPAN; i++) value[i] = load<L>(row + i * L);
#pragma GCC unroll 8
        for (int kx = 0; kx < K; kx++) {
          const Vec<L> w = load<L>(tap + kx * L);
#pragma GCC unroll 8
          for (int t = 0; t < T; t++) sum[t] += value[t * S + kx] * w;
        }
      }
      float* to = out + (oy * out_width + ox) * channels;
      const int64_t columns = std::min<int64_t>(T, out_width - ox);
      for (int64_t t = 0; t < columns; t++) store<L>(to + t * channels, sum[t]);
    }
  }
}

template <int K, int S, int L>
static void correlate_any(const float* in, int64_t pitch, int64_t in_height, const float* taps,
                          float* out, int64_t out_height, int64_t out_width, int64_t channels) {
  if (out_width % 7 == 0)
    correlate<K, S, 7, L>(in, pitch, in_height, taps, out, out_height, out_width, channels);
  else
    correlate<K, S, 4, L>(in, pitch, in_height, taps, out, out_height, out_width, channels);
}

// Gradient of the input at stride 2: the taps of each parity of row and column alone.
template <int K, int T, int L>
static void spread_two(const float* in, int64_t pitch, int64_t before, int64_t in_height,
                       const float* taps, float* out, int64_t out_height, int64_t out_width,
                       int64_t channels) {
  constexpr int PAD = K / 2;
  for (int64_t y = 0; y < out_height; y++) {
    for (int parity = 0; parity < 2; parity++) {
      const int64_t columns = (out_width - parity + 1) / 2;
      for (int64_t j = 0; j < columns; j += T) {
        Vec<L> sum[T] = {};
        for (int ky = int((y + PAD) % 2); ky < K; ky += 2) {
          const int64_t from = (y + PAD - ky) / 2;
          if (y + PAD - ky < 0 || from >= in_height) continue;
          for (int kx = (parity + PAD) % 2; kx < K; kx += 2) {
            const int64_t shift = (parity + PAD - kx) / 2;  // the difference is even
            const float* row = in + (from * pitch + before + j + shift) * L;
            const Vec<L> w = load<L>(taps + (ky * K + kx) * L);
#pragma GCC unroll 8
            for (int t = 0; t < T; t++) sum[t] += load<L>(row + t * L) * w;
          }
        }
        const int64_t here = std::min<int64_t>(T, columns - j);
        for (int64_t t = 0; t < here; t++)
          store<L>(out + (y * out_width + 2 * (j + t) + parity) * channels, sum[t]);
      }
    }
  }
}

// Gradient of the taps of one image: dw (K, K, L) += Σ x · dz.
template <int K, int S, int L>
static void correlate_taps(const float* in, int64_t pitch, int64_t in_height, const float* dz,
                           int64_t dz_pitch, int64_t dz_before, int64_t out_height,
                           int64_t out_width, float* dw) {
  constexpr int PAD = K / 2;
  for (int ky = 0; ky < K; ky++) {
    Vec<L> even[K], odd[K];
    for (int kx = 0; kx < K; kx++) {
      even[kx] = load<L>(dw + (ky * K + kx) * L);
      odd[kx] = Vec<L>{};
    }
    for (int64_t oy = 0; oy < out_height; oy++) {
      const int64_t y = oy * S - PAD + ky;
      if (y < 0 || y >= in_height) continue;
      const float* row = in + y * pitch * L;
      const float* gradient = dz + (oy * dz_pitch + dz_before) * L;
      int64_t ox = 0;
      for (; ox + 2 <= out_width; ox += 2) {
        const Vec<L> a = load<L>(gradient + ox * L), b = load<L>(gradient + (ox + 1) * L);
#pragma GCC unroll 8
        for (int kx = 0; kx < K; kx++) {
          even[kx] += load<L>(row + (ox * S + kx) * L) * a;
          odd[kx] += load<L>(row + ((ox + 1) * S + kx) * L) * b;
        }
      }
      if (ox < out_width) {
        const Vec<L> a = load<L>(gradient + ox * L);
#pragma GCC unroll 8
        for (int kx = 0; kx < K; kx++) even[kx] += load<L>(row + (ox * S + kx) * L) * a;
      }
    }
    for (int kx = 0; kx < K; kx++) store<L>(dw + (ky * K + kx) * L, even[kx] + odd[kx]);
  }
}

// A block's taps: weights are (channels, K, K), as PyTorch has them.
template <int K, int L>
static void gather_taps(const float* weight, float* taps, bool flip) {
  for (int i = 0; i < K * K; i++)
    for (int lane = 0; lane < L; lane++)
      taps[(flip ? K * K - 1 - i : i) * L + lane] = weight[lane * K * K + i];
}

// Columns of a padded row: what the last tile of outputs reads.
template <int K, int S>
static int64_t pitch_of(int64_t width, int64_t out_width) {
  return std::max(width + K - 1, (out_width + 7) * S + K);
}

// One image: y = depthwise(act(x · scale + shift)), and its moments where they are asked for.
template <int K, int S>
struct Forward {
  Gather source;
  int64_t act;
  const float* weight;
  float *y, *scratch;
  Map map;
  const Moments* moments;

  template <int L>
  void run(int64_t c) {
    alignas(64) float taps[K * K * L];
    gather_taps<K, L>(weight + c * K * K, taps, false);
    source.any<L>(c, act);
    const int64_t pixels = map.out_height * map.out_width;
    correlate_any<K, S, L>(source.to, source.pitch, map.height, taps, scratch, map.out_height,
                           map.out_width, L);
    if (moments) moments->add<L>(c, scratch, pixels, L);
    for (int64_t i = 0; i < pixels; i++)
      store<L>(y + i * map.channels + c, load<L>(scratch + i * L));
  }
};

// One image backward: through the normalisation behind the convolution (where z is given), the
// convolution, and the activation and first pass of the normalisation before it (where its
// statistics are given; dx is then that pass's g).
template <int K, int S>
struct Backward {
  Gather input, gradient;
  int64_t act;
  const float *z, *g;
  const Stats* z_stats;
  const Sums* z_sums;
  const float* weight;
  float *dx, *dw, *scratch;  // dx may be null; dw of this thread
  float *sum, *product;      // of the normalisation before
  Map map;

  template <int L>
  void run(int64_t c) {
    alignas(64) float taps[K * K * L];
    input.any<L>(c, act);
    if (z)
      gradient.through<L>(c, z, g, *z_stats, *z_sums);
    else
      gradient.plain<L>(c);
    correlate_taps<K, S, L>(input.to, input.pitch, map.height, gradient.to, gradient.pitch,
                            gradient.before, map.out_height, map.out_width, dw + c * K * K);
    if (!dx) return;
    gather_taps<K, L>(weight + c * K * K, taps, S == 1);
    if (S == 1)
      correlate_any<K, 1, L>(gradient.to, gradient.pitch, map.out_height, taps, scratch,
                             map.height, map.width, L);
    else
      spread_two<K, 4, L>(gradient.to, gradient.pitch, gradient.before, map.out_height, taps,
                          scratch, map.height, map.width, L);
    const int64_t pixels = map.height * map.width;
    if (!input.stats) {
      for (int64_t i = 0; i < pixels; i++)
        store<L>(dx + i * map.channels + c, load<L>(scratch + i * L));
      return;
    }
    const Vec<L> m = load<L>(input.stats->mean() + c);
    Vec<L> total = load<L>(sum + c), moment = load<L>(product + c);
    for (int64_t i = 0; i < pixels; i++) {
      const int64_t place = i * map.channels + c;
      const Vec<L> out = load<L>(scratch + i * L) * load<L>(input.slope + i * L);
      store<L>(dx + place, out);
      total += out;
      moment += out * (load<L>(input.x + place) - m);
    }
    store<L>(sum + c, total);
    store<L>(product + c, moment);
  }
};

// Taps of all threads, from blocks of lanes to PyTorch's (channels, K, K).
template <int K>
struct SumTaps {
  const float* sums;
  float* dw;
  int64_t threads, taps;

  template <int L>
  void run(int64_t c) {
    for (int i = 0; i < K * K; i++)
      for (int lane = 0; lane < L; lane++) {
        float sum = 0;
        for (int64_t thread = 0; thread < threads; thread++)
          sum += sums[thread * taps + c * K * K + i * L + lane];
        dw[(c + lane) * K * K + i] = sum;
      }
  }
};

// A depthwise convolution of a batch, as the two directions take it. `stats`, of the
// normalisation before it, is null where x is read as it is.
struct Depthwise {
  const float *x, *weight;
  const Stats* stats;
  int64_t act, images, kernel, stride;
  Map map;

  int64_t pixels() const { return map.height * map.width; }
  int64_t out_pixels() const { return map.out_height * map.out_width; }
  int64_t taps() const { return map.channels * kernel * kernel; }
};

// Images `begin` to `end` forward; `moments` of y, where they are wanted.
template <int K, int S>
static void forward(const Depthwise& conv, float* y, Partial* moments, int64_t thread,
                    int64_t begin, int64_t end) {
  const Map& map = conv.map;
  const int64_t pitch = pitch_of<K, S>(map.width, map.out_width);
  Scratch rows(map.height * pitch * LANES), scratch(conv.out_pixels() * LANES);
  for (int64_t n = begin; n < end; n++) {
    Moments here{};
    if (moments) here = {moments->first(thread), moments->second(thread), moments->counts[thread]};
    const Gather source{conv.x + n * conv.pixels() * map.channels, conv.stats, rows.data(), nullptr,
                        map.height, map.width, map.channels, K / 2, pitch};
    over_channels(map.channels,
                  Forward<K, S>{source, conv.act, conv.weight,
                                y + n * conv.out_pixels() * map.channels, scratch.data(), map,
                                moments ? &here : nullptr});
    if (moments) moments->counts[thread] += conv.out_pixels();
  }
}

// What the gradient of a depthwise convolution's output is made of: g itself (z null), or what
// the second pass of the normalisation that reads z makes of it.
struct Gradient {
  const float *z, *g;
  const Stats* stats;
  const Sums* sums;
};

// Images `begin` to `end` backward. `taps` of this thread are added to; `sums` are those of the
// normalisation before, null where there is none.
template <int K, int S>
static void backward(const Depthwise& conv, const Gradient& gradient, float* dx, float* taps,
                     Partial* sums, int64_t thread, int64_t begin, int64_t end) {
  const Map& map = conv.map;
  const int64_t pitch = pitch_of<K, S>(map.width, map.out_width);
  const int64_t before = S == 1 ? K / 2 : K;
  const int64_t wide =
      S == 1 ? pitch_of<K, 1>(map.out_width, map.width) : map.out_width + 2 * K + 8;
  Scratch rows(map.height * pitch * LANES), slope(conv.pixels() * LANES),
      padded(map.out_height * wide * LANES), scratch(conv.pixels() * LANES);
  for (int64_t n = begin; n < end; n++) {
    const int64_t in = n * conv.pixels() * map.channels;
    const int64_t out = n * conv.out_pixels() * map.channels;
    const float* g = gradient.g + out;
    over_channels(
        map.channels,
        Backward<K, S>{{conv.x + in, conv.stats, rows.data(), slope.data(), map.height, map.width,
                        map.channels, K / 2, pitch},
                       {g, nullptr, padded.data(), nullptr, map.out_height, map.out_width,
                        map.channels, before, wide},
                       conv.act, gradient.z ? gradient.z + out : nullptr, g, gradient.stats,
                       gradient.sums, conv.weight, dx ? dx + in : nullptr, taps, scratch.data(),
                       sums ? sums->first(thread) : nullptr, sums ? sums->second(thread) : nullptr,
                       map});
  }
}

static bool compiled(int64_t kernel, int64_t stride) {
  return (kernel == 3 || kernel == 5 || kernel == 7) && (stride == 1 || stride == 2);
}

// Calls f with the kernel and the stride as constants.
template <class F>
static void with_shape(int64_t kernel, int64_t stride, F&& f) {
  if (stride == 1) {
    if (kernel == 3) f(Constants<3, 1>{});
    if (kernel == 5) f(Constants<5, 1>{});
    if (kernel == 7) f(Constants<7, 1>{});
  } else {
    if (kernel == 3) f(Constants<3, 2>{});
    if (kernel == 5) f(Constants<5, 2>{});
    if (kernel == 7) f(Constants<7, 2>{});
  }
}
