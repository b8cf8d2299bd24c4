// Training-mode batch normalisation with its activation, on some rows (pixels) at a time.
//
// Maps are rows of channels. A whole batch is worked off in parts that stay in the cache, so what
// follows each other on a part costs no trip to memory; only the statistics need all of it first.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "lanes.h"

// Rows that are looked at together: few enough to stay in the first cache.
constexpr int64_t PART = 32;

// Two numbers of each channel, of each thread: summed in the order of the threads.
struct Partial {
  Partial(int64_t threads, int64_t channels)
      : channels(channels), values(2 * threads * channels, 0.0f), counts(threads, 0) {}
  float* first(int64_t thread) { return values.data() + 2 * thread * channels; }
  float* second(int64_t thread) { return first(thread) + channels; }
  int64_t threads() const { return int64_t(counts.size()); }

  int64_t channels;
  std::vector<float> values;
  std::vector<int64_t> counts;  // rows of each thread so far
};

// Mean and sum of squared deviations of the rows that a thread has seen so far.
struct Moments {
  float *mean, *square;
  int64_t count;

  // Merges a part's own moments (Chan et al. 1983, eq. 2.1); its rows are `pitch` apart.
  template <int L>
  void add(int64_t c, const float* from, int64_t rows, int64_t pitch) const {
    Vec<L> sum = Vec<L>{}, other = Vec<L>{};
    int64_t i = 0;
    for (; i + 2 <= rows; i += 2) {
      sum += load<L>(from + i * pitch);
      other += load<L>(from + (i + 1) * pitch);
    }
    if (i < rows) sum += load<L>(from + i * pitch);
    const Vec<L> own = (sum + other) / float(rows);
    Vec<L> square_sum = Vec<L>{}, second = Vec<L>{};
    for (i = 0; i + 2 <= rows; i += 2) {
      const Vec<L> a = load<L>(from + i * pitch) - own;
      const Vec<L> b = load<L>(from + (i + 1) * pitch) - own;
      square_sum += a * a;
      second += b * b;
    }
    if (i < rows) {
      const Vec<L> a = load<L>(from + i * pitch) - own;
      square_sum += a * a;
    }
    const float before = float(count), here = float(rows);
    const Vec<L> so_far = load<L>(mean + c);
    const Vec<L> apart = own - so_far;
    store<L>(mean + c, so_far + apart * (here / (before + here)));
    store<L>(square + c, load<L>(square + c) + square_sum + second +
                             apart * apart * (before * here / (before + here)));
  }
};

struct RowMoments {
  const float* x;
  int64_t rows, channels;
  Moments moments;

  template <int L>
  void run(int64_t c) {
    Moments here = moments;
    for (int64_t start = 0; start < rows; start += PART) {
      const int64_t part = std::min(PART, rows - start);
      here.add<L>(c, x + start * channels + c, part, channels);
      here.count += part;
    }
  }
};

// Adds some rows to the moments of a thread.
static inline void add_moments(Partial& moments, int64_t thread, const float* x, int64_t rows) {
  const int64_t channels = moments.channels;
  over_channels(channels, RowMoments{x, rows, channels,
                                     {moments.first(thread), moments.second(thread),
                                      moments.counts[thread]}});
  moments.counts[thread] += rows;
}

// A layer of batch normalisation, in PyTorch's conventions.
struct NormLayer {
  const float *gamma, *beta;
  float *running_mean, *running_variance;
  double eps, momentum;
};

// What is known of a normalised map; `values` (4, channels).
struct Stats {
  float* values;
  int64_t channels;

  float* scale() const { return values; }                 // gamma · rstd
  float* shift() const { return values + channels; }      // beta − mean · scale
  float* mean() const { return values + 2 * channels; }
  float* rstd() const { return values + 3 * channels; }
};

static inline void finish(Partial& moments, const NormLayer& layer, const Stats& stats) {
  for (int64_t c = 0; c < moments.channels; c++) {
    double count = 0, mean = 0, square = 0;
    for (int64_t thread = 0; thread < moments.threads(); thread++) {
      const double here = double(moments.counts[thread]);
      if (here == 0) continue;
      const double apart = moments.first(thread)[c] - mean;
      mean += apart * here / (count + here);
      square += moments.second(thread)[c] + apart * apart * count * here / (count + here);
      count += here;
    }
    const double variance = square / count;
    const double rstd = 1.0 / std::sqrt(variance + layer.eps);
    const float scale = float(layer.gamma[c] * rstd);
    stats.scale()[c] = scale;
    stats.shift()[c] = float(layer.beta[c] - mean * scale);
    stats.mean()[c] = float(mean);
    stats.rstd()[c] = float(rstd);
    const double unbiased = count > 1 ? square / (count - 1) : variance;
    layer.running_mean[c] += float(layer.momentum * (mean - layer.running_mean[c]));
    layer.running_variance[c] += float(layer.momentum * (unbiased - layer.running_variance[c]));
  }
}

// y = act(x · scale + shift) + add; add, a map, may be null.
struct Apply {
  const float* x;
  Stats stats;
  const float* add;
  float* y;
  int64_t rows;

  template <int A, int L>
  void run(int64_t c) {
    const Vec<L> a = load<L>(stats.scale() + c), b = load<L>(stats.shift() + c);
    for (int64_t row = 0; row < rows; row++) {
      const int64_t place = row * stats.channels + c;
      Vec<L> value = activate<A, L>(load<L>(x + place) * a + b);
      if (add) value += load<L>(add + place);
      store<L>(y + place, value);
    }
  }
};

// y = act(x · scale + shift), slope = act'(x · scale + shift).
struct ApplySlope {
  const float* x;
  Stats stats;
  float *y, *slope;
  int64_t rows;

  template <int A, int L>
  void run(int64_t c) {
    const Vec<L> a = load<L>(stats.scale() + c), b = load<L>(stats.shift() + c);
    for (int64_t row = 0; row < rows; row++) {
      const int64_t place = row * stats.channels + c;
      const Curve<L> both = curve<A, L>(load<L>(x + place) * a + b);
      store<L>(y + place, both.value);
      store<L>(slope + place, both.slope);
    }
  }
};

// y = act(x · scale + shift), and its mean over each image's map.
struct ApplyPool {
  const float* x;
  Stats stats;
  float *y, *pooled;
  int64_t images, area;

  template <int A, int L>
  void run(int64_t c) {
    const int64_t channels = stats.channels;
    const Vec<L> a = load<L>(stats.scale() + c), b = load<L>(stats.shift() + c);
    for (int64_t image = 0; image < images; image++) {
      Vec<L> sum = Vec<L>{};
      for (int64_t row = image * area; row < (image + 1) * area; row++) {
        const int64_t place = row * channels + c;
        const Vec<L> value = activate<A, L>(load<L>(x + place) * a + b);
        store<L>(y + place, value);
        sum += value;
      }
      store<L>(pooled + image * channels + c, sum / float(area));
    }
  }
};

// y = x · factor, factor (images, channels).
struct Multiply {
  const float *x, *factor;
  float* y;
  int64_t images, area, channels;

  template <int L>
  void run(int64_t c) {
    for (int64_t image = 0; image < images; image++) {
      const Vec<L> f = load<L>(factor + image * channels + c);
      for (int64_t row = image * area; row < (image + 1) * area; row++)
        store<L>(y + row * channels + c, load<L>(x + row * channels + c) * f);
    }
  }
};

// out (images, channels) = Σ over each image's map of x · y.
struct Dot {
  const float *x, *y;
  float* out;
  int64_t images, area, channels;

  template <int L>
  void run(int64_t c) {
    for (int64_t image = 0; image < images; image++) {
      Vec<L> sum = Vec<L>{};
      for (int64_t row = image * area; row < (image + 1) * area; row++)
        sum += load<L>(x + row * channels + c) * load<L>(y + row * channels + c);
      store<L>(out + image * channels + c, sum);
    }
  }
};

// First pass of the backward: g = dy · act'(x · scale + shift), and the sums over the batch of g
// and of g · (x − mean). g may be null, where it would be dy itself.
struct Reduce {
  const float* x;
  Stats stats;
  const float* dy;
  float *g, *sum, *product;
  int64_t rows;

  template <int A, int L>
  void run(int64_t c) {
    const Vec<L> a = load<L>(stats.scale() + c), b = load<L>(stats.shift() + c);
    const Vec<L> m = load<L>(stats.mean() + c);
    Vec<L> total = Vec<L>{}, moment = Vec<L>{};
    for (int64_t row = 0; row < rows; row++) {
      const int64_t place = row * stats.channels + c;
      const Vec<L> value = load<L>(x + place);
      Vec<L> gradient = load<L>(dy + place);
      if (A != LINEAR) gradient *= derivative<A, L>(value * a + b);
      if (g) store<L>(g + place, gradient);
      total += gradient;
      moment += gradient * (value - m);
    }
    store<L>(sum + c, load<L>(sum + c) + total);
    store<L>(product + c, load<L>(product + c) + moment);
  }
};

// The same with a slope that is known, through squeeze-excite: g = (dy · factor + add) · slope,
// in place of dy; factor and add (images, channels) may be null.
struct ReduceSlope {
  const float* x;
  Stats stats;
  float* dy;
  const float *slope, *factor, *add;
  float *sum, *product;
  int64_t images, area;

  template <int L>
  void run(int64_t c) {
    const int64_t channels = stats.channels;
    const Vec<L> m = load<L>(stats.mean() + c);
    Vec<L> total = Vec<L>{}, moment = Vec<L>{};
    for (int64_t image = 0; image < images; image++) {
      const int64_t own = image * channels + c;
      const Vec<L> f = factor ? load<L>(factor + own) : all<L>(1.0f);
      const Vec<L> plus = add ? load<L>(add + own) : Vec<L>{};
      for (int64_t row = image * area; row < (image + 1) * area; row++) {
        const int64_t place = row * channels + c;
        const Vec<L> gradient = (load<L>(dy + place) * f + plus) * load<L>(slope + place);
        store<L>(dy + place, gradient);
        total += gradient;
        moment += gradient * (load<L>(x + place) - m);
      }
    }
    store<L>(sum + c, load<L>(sum + c) + total);
    store<L>(product + c, load<L>(product + c) + moment);
  }
};

// What the second pass needs of the sums; `values` (4, channels).
struct Sums {
  float* values;
  int64_t channels;

  float* gamma() const { return values; }
  float* beta() const { return values + channels; }
  float* first() const { return values + 2 * channels; }  // Σ g / rows
  float* slope() const { return values + 3 * channels; }  // rstd² · Σ g·(x − mean) / rows
};

static inline void finish(Partial& partial, int64_t rows, const Stats& stats, const Sums& sums) {
  for (int64_t c = 0; c < partial.channels; c++) {
    double sum = 0, product = 0;
    for (int64_t thread = 0; thread < partial.threads(); thread++) {
      sum += partial.first(thread)[c];
      product += partial.second(thread)[c];
    }
    const double rstd = stats.rstd()[c];
    sums.gamma()[c] = float(product * rstd);
    sums.beta()[c] = float(sum);
    sums.first()[c] = float(sum / double(rows));
    sums.slope()[c] = float(product * rstd * rstd / double(rows));
  }
}

// The second pass at one block of lanes: dx = (g − Σg/rows − (x − mean)·slope) · scale.
template <int L>
struct Through {
  Through(const Stats& stats, const Sums& sums, int64_t c)
      : scale(load<L>(stats.scale() + c)),
        mean(load<L>(stats.mean() + c)),
        first(load<L>(sums.first() + c)),
        slope(load<L>(sums.slope() + c)) {}
  Vec<L> at(Vec<L> x, Vec<L> g) const { return (g - first - (x - mean) * slope) * scale; }

  Vec<L> scale, mean, first, slope;
};

struct Spread {
  const float *x, *g;
  Stats stats;
  Sums sums;
  float* dx;
  int64_t rows;

  template <int L>
  void run(int64_t c) {
    const Through<L> through(stats, sums, c);
    for (int64_t row = 0; row < rows; row++) {
      const int64_t place = row * stats.channels + c;
      store<L>(dx + place, through.at(load<L>(x + place), load<L>(g + place)));
    }
  }
};
