// Vectors whose lanes are channels, and the activations on them.
#pragma once

#if defined(__AVX__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>
#include <memory>

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

template <int L>
struct Lanes {
  typedef float type __attribute__((vector_size(L * sizeof(float))));
  typedef int32_t whole __attribute__((vector_size(L * sizeof(float))));
};
template <>
struct Lanes<1> {
  typedef float type;
  typedef int32_t whole;
};
template <int L>
using Vec = typename Lanes<L>::type;

template <int L>
static inline Vec<L> load(const float* from) {
  Vec<L> value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <int L>
static inline void store(float* to, Vec<L> value) {
  std::memcpy(to, &value, sizeof value);
}

template <int L>
static inline Vec<L> all(float value) {
  return Vec<L>{} + value;
}

// Floats of one thread, on a line of the cache: a load that crosses one takes twice as long.
struct Scratch {
  explicit Scratch(int64_t floats)
      : memory(new float[floats + 16]),
        start(memory.get() + (-(reinterpret_cast<uintptr_t>(memory.get()) / sizeof(float)) & 15)) {}
  float* data() { return start; }

  std::unique_ptr<float[]> memory;
  float* start;
};

// Calls f.run<L>(first channel) for blocks of lanes that cover all channels.
template <class F>
static inline void over_channels(int64_t channels, F&& f) {
  int64_t c = 0;
  for (; c + LANES <= channels; c += LANES) f.template run<LANES>(c);
  if (LANES > 8)
    for (; c + 8 <= channels; c += 8) f.template run<8>(c);
  for (; c < channels; c++) f.template run<1>(c);
}

// ---------------------------------------------------------------------------- activations

enum Act { LINEAR = 0, SILU = 1, RELU = 2, RELU6 = 3, HARD_SWISH = 4 };

// Of NaN and a number both give the second.
template <int L>
static inline Vec<L> smaller(Vec<L> a, Vec<L> b) {
  return a < b ? a : b;
}
template <int L>
static inline Vec<L> larger(Vec<L> a, Vec<L> b) {
  return a > b ? a : b;
}
template <int L>
static inline Vec<L> reciprocal(Vec<L> x) {
  return 1.0f / x;
}

// The compiler makes comparisons and slow divisions of these; a step of Newton's from the
// processor's estimate of 14 bits is as exact as a division up to the last bit.
#if defined(__AVX512F__)
template <>
inline Vec<16> smaller<16>(Vec<16> a, Vec<16> b) {
  return (Vec<16>)_mm512_min_ps((__m512)a, (__m512)b);
}
template <>
inline Vec<16> larger<16>(Vec<16> a, Vec<16> b) {
  return (Vec<16>)_mm512_max_ps((__m512)a, (__m512)b);
}
template <>
inline Vec<16> reciprocal<16>(Vec<16> x) {
  const Vec<16> r = (Vec<16>)_mm512_rcp14_ps((__m512)x);
  return r * (2.0f - x * r);
}
#endif
#if defined(__AVX__)
template <>
inline Vec<8> smaller<8>(Vec<8> a, Vec<8> b) {
  return (Vec<8>)_mm256_min_ps((__m256)a, (__m256)b);
}
template <>
inline Vec<8> larger<8>(Vec<8> a, Vec<8> b) {
  return (Vec<8>)_mm256_max_ps((__m256)a, (__m256)b);
}
template <>
inline Vec<8> reciprocal<8>(Vec<8> x) {
  const Vec<8> r = (Vec<8>)_mm256_rcp_ps((__m256)x);
  const Vec<8> once = r * (2.0f - x * r);
#if defined(__AVX512F__)
  return once;  // of some last channels only
#else
  // From 12 bits, one step is 1.3 · 10⁻⁷ too small at worst, of which a gate that is nearly open
  // loses a digit of its gradient.
  return once + once * (1.0f - x * once);
#endif
}
#endif

// 1 / (1 + 2^t), t = −x · log2 e = n + f with |f| ≤ ½: 2^f by a polynomial of least relative
// error (8·10⁻⁸), 2^n by the exponent's bits. Of ±87 and more it is that of ±87; NaN stays NaN.
template <int L>
static inline Vec<L> sigmoid(Vec<L> x) {
  using Whole = typename Lanes<L>::whole;
  const Vec<L> bounded = larger<L>(all<L>(-87.0f), smaller<L>(all<L>(87.0f), x));
  // Adding 1.5 · 2^23 rounds to a whole number, which then lies in the low bits.
  const float magic = 12582912.0f, log2e = -1.44269504088896341f;
  const Vec<L> shifted = bounded * log2e + magic;
  const Vec<L> f = bounded * log2e - (shifted - magic);
  Vec<L> p = f * 1.327647199e-3f + 9.675541334e-3f;
  p = p * f + 5.550713274e-2f;
  p = p * f + 2.402211972e-1f;
  p = p * f + 6.931469671e-1f;
  p = p * f + 1.000000072f;
  Whole bits, power;
  std::memcpy(&bits, &shifted, sizeof bits);
  std::memcpy(&power, &p, sizeof power);
  power += bits << 23;  // the magic number's own bits are shifted out
  std::memcpy(&p, &power, sizeof p);
  return reciprocal<L>(1.0f + p);
}

template <int A, int L>
static inline Vec<L> activate(Vec<L> x) {
  const Vec<L> zero = Vec<L>{};
  if (A == SILU) return x * sigmoid<L>(x);
  if (A == RELU) return larger<L>(zero, x);
  if (A == RELU6) return smaller<L>(all<L>(6.0f), larger<L>(zero, x));
  if (A == HARD_SWISH)
    return x * smaller<L>(all<L>(6.0f), larger<L>(zero, x + 3.0f)) * (1.0f / 6.0f);
  return x;
}

// The activation and its derivative, which share what is expensive.
template <int L>
struct Curve {
  Vec<L> value, slope;
};
template <int A, int L>
static inline Vec<L> derivative(Vec<L> x) {
  const Vec<L> zero = Vec<L>{}, one = all<L>(1.0f);
  if (A == SILU) {
    const Vec<L> s = sigmoid<L>(x);
    return s + x * s * (1.0f - s);
  }
  if (A == RELU) return x > zero ? one : zero;
  if (A == RELU6) return x > zero ? (x < all<L>(6.0f) ? one : zero) : zero;
  if (A == HARD_SWISH)
    return x > all<L>(-3.0f) ? (x < all<L>(3.0f) ? x * (1.0f / 3.0f) + 0.5f : one) : zero;
  return one;
}

template <int A, int L>
static inline Curve<L> curve(Vec<L> x) {
  if (A == SILU) {
    const Vec<L> s = sigmoid<L>(x), value = x * s;
    return {value, s + value * (1.0f - s)};
  }
  return {activate<A, L>(x), derivative<A, L>(x)};
}

// Calls f.run<A, L>(first channel) with the activation as a constant.
template <class F>
static inline void over_channels(int64_t channels, int64_t act, F&& f) {
  switch (act) {
#define CASE(A)                                                                \
  case A: {                                                                    \
    int64_t c = 0;                                                             \
    for (; c + LANES <= channels; c += LANES) f.template run<A, LANES>(c);     \
    if (LANES > 8)                                                             \
      for (; c + 8 <= channels; c += 8) f.template run<A, 8>(c);               \
    for (; c < channels; c++) f.template run<A, 1>(c);                         \
    break;                                                                     \
  }
    CASE(SILU)
    CASE(RELU)
    CASE(RELU6)
    CASE(HARD_SWISH)
    CASE(LINEAR)
#undef CASE
  }
}
