// Training steps of convolutional blocks as operators of PyTorch: float32 maps on the CPU in
// channels-last memory. A 1×1 convolution is then one matrix product over all pixels.
//
// The batch is worked off in chunks of images that fit the cache, by all threads of PyTorch: a
// product, the normalisation of its result and the next product follow each other on a chunk.
// Of a block nothing is kept for the backward pass but the outputs of its convolutions;
// normalised and activated maps are made again where they are read. Every sum has a fixed order
// for a given number of threads: the same call gives the same bits.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "depthwise.h"
#include "lanes.h"
#include "norm.h"

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// PyTorch's own BLAS, whichever that is.
extern "C" void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
                       const float*, const int*, const float*, const int*, const float*, float*,
                       const int*);

namespace {

// Row-major: c (m, n) = beta · c + op(a) · op(b), a transposed being (k, m), b transposed (n, k).
void product(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k, const float* a,
             const float* b, float* c, float beta = 0.0f) {
  const int rows = int(m), columns = int(n), inner = int(k);
  const int a_step = a_transposed ? rows : inner, b_step = b_transposed ? inner : columns;
  const float one = 1.0f;
  // Column-major BLAS sees all three transposed.
  sgemm_(b_transposed ? "T" : "N", a_transposed ? "T" : "N", &columns, &rows, &inner, &one, b,
         &b_step, a, &a_step, &beta, c, &columns);
}

Tensor channels_last(const Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

Tensor new_map(int64_t images, int64_t channels, int64_t height, int64_t width) {
  return at::empty({images, channels, height, width}, at::kFloat, c10::nullopt, c10::nullopt,
                   c10::nullopt, at::MemoryFormat::ChannelsLast);
}

float* data(const Tensor& x) { return x.defined() ? x.data_ptr<float>() : nullptr; }

// Sums of each thread that together are a gradient, as (threads, floats).
struct Gradients {
  Gradients(int64_t threads, int64_t floats) : floats(floats), values(threads * floats, 0.0f) {}
  float* of(int64_t thread) { return values.data() + thread * floats; }
  void sum(float* to) const {
    std::copy_n(values.data(), floats, to);
    for (int64_t start = floats; start < int64_t(values.size()); start += floats)
      for (int64_t place = 0; place < floats; place++) to[place] += values[start + place];
  }

  int64_t floats;
  std::vector<float> values;
};

// Of a map in a chunk: a few of them fit the second cache together.
constexpr int64_t CHUNK_BYTES = 384 * 1024;
// Products of fewer rows are slow.
constexpr int64_t CHUNK_ROWS = 192;
// Floats of a map below which waking the other threads takes longer than the work.
constexpr int64_t SERIAL = 16384;

// How a batch is divided: threads, and images of a chunk.
struct Plan {
  Plan(int64_t images, int64_t area, int64_t channels) : images(images) {
    threads = images * area * channels < SERIAL ? 1 : at::get_num_threads();
    const int64_t fit = CHUNK_BYTES / (area * channels * int64_t(sizeof(float)));
    const int64_t enough = (CHUNK_ROWS + area - 1) / area;
    chunk = std::clamp<int64_t>(std::max(fit, enough), 1, (images + threads - 1) / threads);
  }

  // Calls f(thread, first image, number of images) for every chunk of every thread's share.
  template <class F>
  void run(F&& f) const {
    auto work = [&](int64_t begin, int64_t end) {
      const int64_t thread = threads == 1 ? 0 : at::get_thread_num();
      for (int64_t first = begin; first < end; first += chunk)
        f(thread, first, std::min(chunk, end - first));
    };
    if (threads == 1)
      work(0, images);
    else
      at::parallel_for(0, images, 1, work);
  }

  int64_t images, threads, chunk;
};

// A pass over a map whose layer has no activation.
template <class Pass>
struct Linear {
  Pass pass;

  template <int L>
  void run(int64_t c) {
    pass.template run<LINEAR, L>(c);
  }
};

NormLayer layer_of(const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                   const Tensor& variance, double eps, double momentum) {
  return {data(gamma), data(beta), data(mean), data(variance), eps, momentum};
}

Stats stats_of(const Tensor& values) { return {data(values), values.size(1)}; }
Sums sums_of(const Tensor& values) { return {data(values), values.size(1)}; }

Tensor four_rows(int64_t channels) { return at::empty({4, channels}, at::kFloat); }

// ------------------------------------------------------------------------- squeeze-excite

enum Gate { SIGMOID = 0, HARD_SIGMOID = 1 };

template <int A>
struct Elementwise {
  const float *x, *dy;  // dy null: y = act(x); else y = dy · act'(x)
  float* y;

  template <int L>
  void run(int64_t c) {
    const Vec<L> value = load<L>(x + c);
    if (dy)
      store<L>(y + c, load<L>(dy + c) * derivative<A, L>(value));
    else
      store<L>(y + c, activate<A, L>(value));
  }
};

void elementwise(int64_t act, const float* x, const float* dy, float* y, int64_t floats) {
  switch (act) {
    case SILU: return over_channels(floats, Elementwise<SILU>{x, dy, y});
    case RELU: return over_channels(floats, Elementwise<RELU>{x, dy, y});
    case RELU6: return over_channels(floats, Elementwise<RELU6>{x, dy, y});
    case HARD_SWISH: return over_channels(floats, Elementwise<HARD_SWISH>{x, dy, y});
    default: return over_channels(floats, Elementwise<LINEAR>{x, dy, y});
  }
}

struct GateForward {
  float* x;
  int64_t gate;

  template <int L>
  void run(int64_t c) {
    const Vec<L> value = load<L>(x + c);
    store<L>(x + c, gate == SIGMOID
                        ? sigmoid<L>(value)
                        : smaller<L>(all<L>(6.0f), larger<L>(Vec<L>{}, value + 3.0f)) *
                              (1.0f / 6.0f));
  }
};

struct GateBackward {
  const float* factor;
  float* dy;
  int64_t gate;

  template <int L>
  void run(int64_t c) {
    const Vec<L> f = load<L>(factor + c), g = load<L>(dy + c);
    const Vec<L> zero = Vec<L>{};
    store<L>(dy + c, gate == SIGMOID
                         ? g * f * (1.0f - f)
                         : (f > zero ? (f < all<L>(1.0f) ? g * (1.0f / 6.0f) : zero) : zero));
  }
};

void add_bias(float* x, const float* bias, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t column = 0; column < columns; column++) x[row * columns + column] += bias[column];
}

void sum_rows(const float* x, float* sums, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t column = 0; column < columns; column++) sums[column] += x[row * columns + column];
}

// factor = gate(act(pooled · w1ᵀ + b1) · w2ᵀ + b2) of some images.
struct Squeeze {
  const float *w1, *b1, *w2, *b2;
  int64_t channels, squeezed, act, gate;

  void forward(int64_t images, const float* pooled, float* before, float* factor) const {
    Scratch hidden(images * squeezed);
    product(false, true, images, squeezed, channels, pooled, w1, before);
    add_bias(before, b1, images, squeezed);
    elementwise(act, before, nullptr, hidden.data(), images * squeezed);
    product(false, true, images, channels, squeezed, hidden.data(), w2, factor);
    add_bias(factor, b2, images, channels);
    over_channels(images * channels, GateForward{factor, gate});
  }

  // Gradients of w1, b1, w2, b2 lie after each other.
  int64_t parameters() const { return 2 * channels * squeezed + channels + squeezed; }

  // `dfactor` is used up; `dpooled` may be it.
  void backward(int64_t images, const float* pooled, const float* before, const float* factor,
                float* dfactor, float* dpooled, float* gradients) const {
    float *dw1 = gradients, *db1 = dw1 + channels * squeezed, *dw2 = db1 + squeezed,
          *db2 = dw2 + channels * squeezed;
    Scratch hidden(images * squeezed), dhidden(images * squeezed);
    elementwise(act, before, nullptr, hidden.data(), images * squeezed);
    over_channels(images * channels, GateBackward{factor, dfactor, gate});
    product(true, false, channels, squeezed, images, dfactor, hidden.data(), dw2, 1.0f);
    sum_rows(dfactor, db2, images, channels);
    product(false, false, images, squeezed, channels, dfactor, w2, dhidden.data());
    elementwise(act, before, dhidden.data(), dhidden.data(), images * squeezed);
    product(true, false, squeezed, channels, images, dhidden.data(), pooled, dw1, 1.0f);
    sum_rows(dhidden.data(), db1, images, squeezed);
    product(false, false, images, channels, squeezed, dhidden.data(), w1, dpooled);
  }
};

// ----------------------------------------------------------------------------- MBConv

// Places in the list of parameters: weight, gamma, beta of the expansion (if there is one), the
// depthwise and the projection; weight and bias of both layers of squeeze-excite (if there is).
struct Layout {
  bool expands, squeezes;
  int64_t depthwise() const { return expands ? 3 : 0; }
  int64_t project() const { return depthwise() + 3; }
  int64_t squeeze() const { return project() + 3; }
};

struct BlockSizes {
  int64_t images, in_channels, height, width, area, channels, kernel, out_channels;
  Map map;
  int64_t out_area;
};

BlockSizes sizes_of(const Tensor& x, const Tensor& taps, const Tensor& last_weight,
                    int64_t stride) {
  const int64_t height = x.size(2), width = x.size(3), channels = taps.size(0);
  const Map map{height, width, channels, (height - 1) / stride + 1, (width - 1) / stride + 1};
  return {x.size(0), x.size(1), height, width, height * width, channels, taps.size(2),
          last_weight.size(0), map, map.out_height * map.out_width};
}

struct MBConv : torch::autograd::Function<MBConv> {
  // buffers: running mean and variance of the normalisations, in their order; settings: stride,
  // act, residual, expands, squeezes, act and gate of squeeze-excite; norms: eps and momentum of
  // each normalisation.
  static Tensor forward(AutogradContext* context, const Tensor& input, at::TensorList parameters,
                        at::TensorList buffers, at::IntArrayRef settings,
                        at::ArrayRef<double> norms) {
    const Tensor x = channels_last(input);
    const int64_t stride = settings[0], act = settings[1];
    const Layout at{settings[3] != 0, settings[4] != 0};
    const Tensor& taps = parameters[at.depthwise()];
    const Tensor& last_weight = parameters[at.project()];
    const auto [images, in_channels, height, width, area, channels, kernel, out_channels, map,
                out_area] = sizes_of(x, taps, last_weight, stride);
    TORCH_CHECK(compiled(kernel, stride), "depthwise kernel ", kernel, ", stride ", stride);
    auto norm = [&](int64_t place, int64_t number) {
      return layer_of(parameters[place + 1], parameters[place + 2], buffers[2 * number],
                      buffers[2 * number + 1], norms[2 * number], norms[2 * number + 1]);
    };

    Tensor hidden = x, hidden_stats;
    Stats hidden_of{};
    int64_t number = 0;
    if (at.expands) {
      hidden = new_map(images, channels, height, width);
      hidden_stats = four_rows(channels);
      hidden_of = stats_of(hidden_stats);
      const Plan plan(images, area, channels);
      Partial moments(plan.threads, channels);
      plan.run([&](int64_t thread, int64_t first, int64_t count) {
        float* to = data(hidden) + first * area * channels;
        product(false, true, count * area, channels, in_channels,
                data(x) + first * area * in_channels, data(parameters[0]), to);
        add_moments(moments, thread, to, count * area);
      });
      finish(moments, norm(0, number++), hidden_of);
    }

    const Tensor z = new_map(images, channels, map.out_height, map.out_width);
    const Tensor z_stats = four_rows(channels);
    const Stats z_of = stats_of(z_stats);
    {
      const Depthwise conv{data(hidden), data(taps), at.expands ? &hidden_of : nullptr, act, images,
                           kernel, stride, map};
      const Plan plan(images, area, channels);
      Partial moments(plan.threads, channels);
      with_shape(kernel, stride, [&](auto shape) {
        plan.run([&](int64_t thread, int64_t first, int64_t count) {
          ::forward<shape.kernel, shape.stride>(conv, data(z), &moments, thread, first,
                                                first + count);
        });
      });
      finish(moments, norm(at.depthwise(), number++), z_of);
    }

    const Tensor last = new_map(images, out_channels, map.out_height, map.out_width);
    const Tensor last_stats = four_rows(out_channels);
    Tensor pooled, before, factor;
    if (at.squeezes) {
      pooled = at::empty({images, channels}, at::kFloat);
      before = at::empty({images, parameters[at.squeeze()].size(0)}, at::kFloat);
      factor = at::empty_like(pooled);
    }
    const Plan plan(images, out_area, channels);
    {
      Partial moments(plan.threads, out_channels);
      const Squeeze squeeze = squeeze_of(at, parameters, settings);
      plan.run([&](int64_t thread, int64_t first, int64_t count) {
        Scratch scaled(count * out_area * channels);
        const float* from = data(z) + first * out_area * channels;
        float* to = data(last) + first * out_area * out_channels;
        if (at.squeezes) {
          float *p = data(pooled) + first * channels, *f = data(factor) + first * channels;
          over_channels(channels, act, ApplyPool{from, z_of, scaled.data(), p, count, out_area});
          squeeze.forward(count, p, data(before) + first * squeeze.squeezed, f);
          over_channels(channels, Multiply{scaled.data(), f, scaled.data(), count, out_area,
                                           channels});
        } else {
          over_channels(channels, act,
                        Apply{from, z_of, nullptr, scaled.data(), count * out_area});
        }
        product(false, true, count * out_area, out_channels, channels, scaled.data(),
                data(last_weight), to);
        add_moments(moments, thread, to, count * out_area);
      });
      finish(moments, norm(at.project(), number++), stats_of(last_stats));
    }

    const Tensor y = new_map(images, out_channels, map.out_height, map.out_width);
    plan.run([&](int64_t, int64_t first, int64_t count) {
      const int64_t place = first * out_area * out_channels;
      const float* add = settings[2] ? data(x) + place : nullptr;
      over_channels(out_channels, Linear<Apply>{{data(last) + place, stats_of(last_stats), add,
                                                 data(y) + place, count * out_area}});
    });

    variable_list saved{x, hidden, hidden_stats, z, z_stats, last, last_stats, pooled, before, factor};
    for (const Tensor& parameter : parameters) saved.push_back(parameter);
    context->save_for_backward(saved);
    context->saved_data["settings"] = settings.vec();
    context->saved_data["buffers"] = int64_t(buffers.size());
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor dy = channels_last(gradients[0]);
    const variable_list saved = context->get_saved_variables();
    const std::vector<int64_t> settings = context->saved_data["settings"].toIntVector();
    const Tensor &x = saved[0], &hidden = saved[1], &hidden_stats = saved[2], &z = saved[3],
                 &z_stats = saved[4], &last = saved[5], &last_stats = saved[6],
                 &pooled = saved[7], &before = saved[8], &factor = saved[9];
    const at::TensorList parameters = at::TensorList(saved).slice(10);
    const int64_t stride = settings[0], act = settings[1];
    const bool residual = settings[2] != 0;
    const Layout at{settings[3] != 0, settings[4] != 0};
    const Tensor& taps = parameters[at.depthwise()];
    const Tensor& last_weight = parameters[at.project()];
    const auto [images, in_channels, height, width, area, channels, kernel, out_channels, map,
                out_area] = sizes_of(x, taps, last_weight, stride);
    const Stats z_of = stats_of(z_stats), last_of = stats_of(last_stats);
    const Plan plan(images, out_area, channels);

    const Tensor last_sums = four_rows(out_channels);
    {
      Partial partial(plan.threads, out_channels);
      plan.run([&](int64_t thread, int64_t first, int64_t count) {
        const int64_t place = first * out_area * out_channels;
        over_channels(out_channels,
                      Linear<Reduce>{{data(last) + place, last_of, data(dy) + place, nullptr,
                                      partial.first(thread), partial.second(thread),
                                      count * out_area}});
      });
      finish(partial, images * out_area, last_of, sums_of(last_sums));
    }

    const Tensor g = new_map(images, channels, map.out_height, map.out_width);
    const Tensor z_sums = four_rows(channels), dlast_weight = at::empty_like(last_weight);
    const Squeeze squeeze = squeeze_of(at, parameters, settings);
    Gradients squeeze_gradients(plan.threads, at.squeezes ? squeeze.parameters() : 0);
    {
      Partial partial(plan.threads, channels);
      Gradients weights(plan.threads, out_channels * channels);
      plan.run([&](int64_t thread, int64_t first, int64_t count) {
        const int64_t rows = count * out_area;
        const int64_t place = first * out_area * channels;
        const int64_t last_place = first * out_area * out_channels;
        Scratch dlast(rows * out_channels), active(rows * channels), slope(rows * channels);
        const float* from = data(z) + place;
        float* to = data(g) + place;
        over_channels(out_channels, Spread{data(last) + last_place, data(dy) + last_place, last_of,
                                           sums_of(last_sums), dlast.data(), rows});
        over_channels(channels, act,
                      ApplySlope{from, z_of, active.data(), slope.data(), rows});
        product(false, false, rows, channels, out_channels, dlast.data(), data(last_weight), to);
        const float* f = nullptr;
        Scratch dpooled(at.squeezes ? count * channels : 0);
        if (at.squeezes) {
          f = data(factor) + first * channels;
          over_channels(channels,
                        Dot{to, active.data(), dpooled.data(), count, out_area, channels});
          over_channels(channels,
                        Multiply{active.data(), f, active.data(), count, out_area, channels});
          squeeze.backward(count, data(pooled) + first * channels,
                           data(before) + first * squeeze.squeezed, f, dpooled.data(),
                           dpooled.data(), squeeze_gradients.of(thread));
          for (int64_t place = 0; place < count * channels; place++)
            dpooled.data()[place] /= float(out_area);
        }
        product(true, false, out_channels, channels, rows, dlast.data(), active.data(),
                weights.of(thread), 1.0f);
        over_channels(channels, ReduceSlope{from, z_of, to, slope.data(), f,
                                            at.squeezes ? dpooled.data() : nullptr,
                                            partial.first(thread), partial.second(thread), count,
                                            out_area});
      });
      finish(partial, images * out_area, z_of, sums_of(z_sums));
      weights.sum(data(dlast_weight));
    }

    Tensor dhidden = new_map(images, channels, height, width);
    const Tensor dtaps = at::empty_like(taps);
    Tensor hidden_sums;
    Stats hidden_of{};
    if (at.expands) {
      hidden_of = stats_of(hidden_stats);
      hidden_sums = four_rows(channels);
    }
    const Plan wide(images, area, channels);
    {
      const Depthwise conv{data(hidden), data(taps), at.expands ? &hidden_of : nullptr, act, images,
                           kernel, stride, map};
      const Sums sums = sums_of(z_sums);
      const Gradient gradient{data(z), data(g), &z_of, &sums};
      Partial partial(wide.threads, channels);
      Gradients weights(wide.threads, conv.taps());
      with_shape(kernel, stride, [&](auto shape) {
        wide.run([&](int64_t thread, int64_t first, int64_t count) {
          ::backward<shape.kernel, shape.stride>(conv, gradient, data(dhidden), weights.of(thread),
                                                 at.expands ? &partial : nullptr, thread, first,
                                                 first + count);
        });
        over_channels(channels, SumTaps<shape.kernel>{weights.of(0), data(dtaps), wide.threads,
                                                      conv.taps()});
      });
      if (at.expands) finish(partial, images * area, hidden_of, sums_of(hidden_sums));
    }

    variable_list result;
    Tensor dx = dhidden;
    if (at.expands) {
      const Tensor& weight = parameters[0];
      const Tensor dweight = at::empty_like(weight);
      dx = new_map(images, in_channels, height, width);
      Gradients weights(wide.threads, channels * in_channels);
      wide.run([&](int64_t thread, int64_t first, int64_t count) {
        const int64_t rows = count * area, place = first * area * in_channels;
        float* own = data(dhidden) + first * area * channels;
        over_channels(channels, Spread{data(hidden) + first * area * channels, own, hidden_of,
                                       sums_of(hidden_sums), own, rows});
        product(true, false, channels, in_channels, rows, own, data(x) + place, weights.of(thread),
                1.0f);
        if (residual)
          std::copy_n(data(dy) + place, rows * in_channels, data(dx) + place);
        product(false, false, rows, in_channels, channels, own, data(weight), data(dx) + place,
                residual ? 1.0f : 0.0f);
      });
      weights.sum(data(dweight));
      result = {dweight, hidden_sums[0], hidden_sums[1]};
    } else if (residual) {
      dx.add_(dy);
    }
    result.insert(result.end(), {dtaps, z_sums[0], z_sums[1], dlast_weight, last_sums[0],
                                 last_sums[1]});
    if (at.squeezes) {
      Tensor all = at::empty({squeeze.parameters()}, at::kFloat);
      squeeze_gradients.sum(data(all));
      int64_t start = 0;
      for (int64_t number = at.squeeze(); number < at.squeeze() + 4; number++) {
        const Tensor& parameter = parameters[number];
        result.push_back(all.narrow(0, start, parameter.numel()).view_as(parameter));
        start += parameter.numel();
      }
    }
    result.insert(result.begin(), dx);
    // None for the buffers, the settings and the norms.
    result.resize(result.size() + context->saved_data["buffers"].toInt() + 2);
    return result;
  }

  static Squeeze squeeze_of(const Layout& at, at::TensorList parameters,
                            at::IntArrayRef settings) {
    if (!at.squeezes) return {};
    const Tensor& first = parameters[at.squeeze()];
    return {data(first), data(parameters[at.squeeze() + 1]), data(parameters[at.squeeze() + 2]),
            data(parameters[at.squeeze() + 3]), first.size(1), first.size(0), settings[5],
            settings[6]};
  }
};

// ------------------------------------------------- convolution, normalisation, activation

bool is_product(const Tensor& weight, at::IntArrayRef stride, int64_t groups) {
  return weight.size(2) == 1 && weight.size(3) == 1 && stride[0] == 1 && groups == 1;
}

struct ConvNormAct : torch::autograd::Function<ConvNormAct> {
  static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& weight,
                        const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                        const Tensor& variance, at::IntArrayRef stride, at::IntArrayRef padding,
                        int64_t groups, int64_t act, double eps, double momentum) {
    const Tensor x = channels_last(input);
    const int64_t images = x.size(0), channels = weight.size(0);
    Tensor z;
    if (is_product(weight, stride, groups)) {
      z = new_map(images, channels, x.size(2), x.size(3));
    } else {
      at::AutoDispatchBelowAutograd below;
      z = channels_last(at::conv2d(x, weight, {}, stride, padding, 1, groups));
    }
    const int64_t area = z.size(2) * z.size(3), inner = x.size(1);
    const Tensor values = four_rows(channels);
    const Stats stats = stats_of(values);
    const Plan plan(images, area, std::max(channels, inner));
    Partial moments(plan.threads, channels);
    plan.run([&](int64_t thread, int64_t first, int64_t count) {
      float* to = data(z) + first * area * channels;
      if (is_product(weight, stride, groups))
        product(false, true, count * area, channels, inner, data(x) + first * area * inner,
                data(weight), to);
      add_moments(moments, thread, to, count * area);
    });
    finish(moments, layer_of(gamma, beta, mean, variance, eps, momentum), stats);
    const Tensor y = new_map(images, channels, z.size(2), z.size(3));
    plan.run([&](int64_t, int64_t first, int64_t count) {
      const int64_t place = first * area * channels;
      over_channels(channels, act,
                    Apply{data(z) + place, stats, nullptr, data(y) + place, count * area});
    });
    context->save_for_backward({x, weight, z, values});
    context->saved_data["stride"] = stride.vec();
    context->saved_data["padding"] = padding.vec();
    context->saved_data["groups"] = groups;
    context->saved_data["act"] = act;
    context->saved_data["input"] = input.requires_grad();
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor dy = channels_last(gradients[0]);
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &z = saved[2], &values = saved[3];
    const std::vector<int64_t> stride = context->saved_data["stride"].toIntVector(),
                               padding = context->saved_data["padding"].toIntVector();
    const int64_t groups = context->saved_data["groups"].toInt();
    const int64_t act = context->saved_data["act"].toInt();
    const bool wanted = context->saved_data["input"].toBool();
    const int64_t images = x.size(0), channels = weight.size(0), inner = x.size(1),
                  area = z.size(2) * z.size(3);
    const Stats stats = stats_of(values);
    const Plan plan(images, area, std::max(channels, inner));
    const Tensor g = at::empty_like(z), sum_values = four_rows(channels);
    const Sums sums = sums_of(sum_values);
    Partial partial(plan.threads, channels);
    plan.run([&](int64_t thread, int64_t first, int64_t count) {
      const int64_t place = first * area * channels;
      over_channels(channels, act,
                    Reduce{data(z) + place, stats, data(dy) + place, data(g) + place,
                           partial.first(thread), partial.second(thread), count * area});
    });
    finish(partial, images * area, stats, sums);
    const bool is_matrix = is_product(weight, stride, groups);
    Tensor dx, dweight = at::empty_like(weight);
    if (is_matrix && wanted) dx = new_map(images, inner, x.size(2), x.size(3));
    Gradients weights(plan.threads, is_matrix ? channels * inner : 0);
    plan.run([&](int64_t thread, int64_t first, int64_t count) {
      const int64_t rows = count * area;
      float* own = data(g) + first * area * channels;
      over_channels(channels,
                    Spread{data(z) + first * area * channels, own, stats, sums, own, rows});
      if (!is_matrix) return;
      product(true, false, channels, inner, rows, own, data(x) + first * area * inner,
              weights.of(thread), 1.0f);
      if (wanted)
        product(false, false, rows, inner, channels, own, data(weight),
                data(dx) + first * area * inner);
    });
    if (is_matrix) {
      weights.sum(data(dweight));
    } else {
      std::tie(dx, dweight, std::ignore) = at::convolution_backward(
          g, x, weight, c10::nullopt, stride, padding, {1, 1}, false, {0, 0}, groups,
          {wanted, true, false});
    }
    variable_list result{dx, dweight, sum_values[0], sum_values[1]};
    result.resize(12);  // none for the buffers and the settings
    return result;
  }
};

Tensor mbconv(const Tensor& x, at::TensorList parameters, at::TensorList buffers,
              at::IntArrayRef settings, at::ArrayRef<double> norms) {
  return MBConv::apply(x, parameters, buffers, settings, norms);
}

// Without AVX-512, the gradient of such a convolution's weights in channels-last memory overwrites
// other memory, or does not end, where there are fewer than 8 channels (oneDNN 3.12, issue 6035).
bool skips_pixels(const Tensor& weight, at::IntArrayRef stride, at::IntArrayRef padding,
                  int64_t groups) {
#if defined(__AVX512F__)
  return false;
#else
  return is_product(weight, {1, 1}, groups) && stride[0] > 1 && padding[0] == 0 && padding[1] == 0;
#endif
}

Tensor conv_norm_act(const Tensor& x, const Tensor& weight, const Tensor& gamma,
                     const Tensor& beta, const Tensor& mean, const Tensor& variance,
                     at::IntArrayRef stride, at::IntArrayRef padding, int64_t groups, int64_t act,
                     double eps, double momentum) {
  if (skips_pixels(weight, stride, padding, groups)) {
    const Tensor read = x.slice(2, 0, x.size(2), stride[0]).slice(3, 0, x.size(3), stride[1]);
    return ConvNormAct::apply(read, weight, gamma, beta, mean, variance, at::IntArrayRef{1, 1},
                              padding, groups, act, eps, momentum);
  }
  return ConvNormAct::apply(x, weight, gamma, beta, mean, variance, stride, padding, groups, act,
                            eps, momentum);
}

}  // namespace

TORCH_LIBRARY(compound_nas, library) {
  library.def(
      "mbconv(Tensor x, Tensor[] parameters, Tensor[] buffers, int[] settings, float[] norms) "
      "-> Tensor",
      &mbconv);
  library.def(
      "conv_norm_act(Tensor x, Tensor weight, Tensor gamma, Tensor beta, Tensor mean, "
      "Tensor variance, int[] stride, int[] padding, int groups, int act, float eps, "
      "float momentum) -> Tensor",
      &conv_norm_act);
}
