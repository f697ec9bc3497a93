#pragma once
// SPDX-License-Identifier: MIT
// Sixteen floats as one value, in as many registers as the machine needs (one for AVX-512, two for
// AVX2, sixteen scalars for the plain build). A kernel written on packs sums in the same sixteen
// lanes and folds them in the same order everywhere, so its bits depend on neither the register
// width nor the number of threads. Only fma() differs where the machine cannot fuse.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <tare/core/simd.hpp>

namespace tare::simd {

inline constexpr std::size_t pack_lanes = 16;

inline constexpr std::size_t pack_registers = pack_lanes / lanes;
static_assert(pack_lanes % lanes == 0);

/// The registers of one pack; Register is floats, ints or masks.
template <class Register>
struct group {
    Register part[pack_registers];
};

namespace detail {

/// Applies f register by register.
template <class F, class First, class... Rest>
[[gnu::always_inline]] inline auto each(F f, const First& first, const Rest&... rest) {
    group<decltype(f(first.part[0], rest.part[0]...))> out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r)
        out.part[r] = f(first.part[r], rest.part[r]...);
    return out;
}

}  // namespace detail

using pack = group<floats>;
using int_pack = group<ints>;
using mask_pack = group<masks>;

[[gnu::always_inline]] inline pack load_pack(const float* p) {
    pack out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r)
        out.part[r] = load(p + r * lanes);
    return out;
}
[[gnu::always_inline]] inline void store(float* p, const pack& v) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r)
        store(p + r * lanes, v.part[r]);
}
/// The first `count` <= 16 floats at p, zeros behind them.
[[gnu::always_inline]] inline pack load_pack(const float* p, std::size_t count) {
    if constexpr (pack_registers == 1) {
        return {{load_partial(p, count)}};
    } else {
        alignas(64) float block[pack_lanes] = {};
        std::memcpy(block, p, count * sizeof(float));
        return load_pack(block);
    }
}
/// Writes the first `count` <= 16 floats of v to p.
[[gnu::always_inline]] inline void store(float* p, const pack& v, std::size_t count) {
    if constexpr (pack_registers == 1) {
        store_partial(p, v.part[0], count);
    } else {
        alignas(64) float block[pack_lanes];
        store(block, v);
        std::memcpy(p, block, count * sizeof(float));
    }
}
/// Writes past the caches; p must be a multiple of 64 bytes. Call stream_fence() afterwards.
[[gnu::always_inline]] inline void stream(float* p, const pack& v) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r)
        stream(p + r * lanes, v.part[r]);
}

/// The same value in every lane.
[[gnu::always_inline]] inline pack pack_of(float v) {
    pack out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r)
        out.part[r] = broadcast(v);
    return out;
}

[[gnu::always_inline]] inline pack operator+(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) -> floats { return x + y; }, a, b);
}
[[gnu::always_inline]] inline pack operator-(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) -> floats { return x - y; }, a, b);
}
[[gnu::always_inline]] inline pack operator*(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) -> floats { return x * y; }, a, b);
}
[[gnu::always_inline]] inline pack operator/(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) -> floats { return x / y; }, a, b);
}
/// a * b + c.
[[gnu::always_inline]] inline pack fma(const pack& a, const pack& b, const pack& c) {
    return detail::each([](floats x, floats y, floats z) { return fma(x, y, z); }, a, b, c);
}
/// c - a * b.
[[gnu::always_inline]] inline pack fnma(const pack& a, const pack& b, const pack& c) {
    return detail::each([](floats x, floats y, floats z) { return fnma(x, y, z); }, a, b, c);
}
/// The larger lane; b where either is NaN.
[[gnu::always_inline]] inline pack max(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) { return max(x, y); }, a, b);
}
/// The smaller lane; b where either is NaN.
[[gnu::always_inline]] inline pack min(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) { return min(x, y); }, a, b);
}
[[gnu::always_inline]] inline pack abs(const pack& a) {
    return detail::each([](floats x) { return abs(x); }, a);
}
[[gnu::always_inline]] inline pack sqrt(const pack& a) {
    return detail::each([](floats x) { return sqrt(x); }, a);
}
/// 1 / a, see reciprocal(floats).
[[gnu::always_inline]] inline pack reciprocal(const pack& a) {
    return detail::each([](floats x) { return reciprocal(x); }, a);
}
/// v * 2^n, see multiply_power(floats, floats).
[[gnu::always_inline]] inline pack multiply_power(const pack& v, const pack& n) {
    return detail::each([](floats x, floats y) { return multiply_power(x, y); }, v, n);
}

/// v * 2^n, see multiply_near_power(floats, floats).
[[gnu::always_inline]] inline pack multiply_near_power(const pack& v, const pack& shifted) {
    return detail::each([](floats x, floats y) { return multiply_near_power(x, y); }, v, shifted);
}

[[gnu::always_inline]] inline mask_pack operator<(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) -> masks { return x < y; }, a, b);
}
[[gnu::always_inline]] inline mask_pack operator<=(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) -> masks { return x <= y; }, a, b);
}
[[gnu::always_inline]] inline mask_pack operator==(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) -> masks { return x == y; }, a, b);
}
/// Lanes where a < b does not hold: also those with a NaN.
[[gnu::always_inline]] inline mask_pack not_less(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) { return not_less(x, y); }, a, b);
}
/// Lanes where a or b is NaN.
[[gnu::always_inline]] inline mask_pack unordered(const pack& a, const pack& b) {
    return detail::each([](floats x, floats y) { return unordered(x, y); }, a, b);
}
[[gnu::always_inline]] inline mask_pack operator|(const mask_pack& a, const mask_pack& b) {
    return detail::each([](masks x, masks y) -> masks { return x | y; }, a, b);
}
[[gnu::always_inline]] inline mask_pack operator&(const mask_pack& a, const mask_pack& b) {
    return detail::each([](masks x, masks y) -> masks { return x & y; }, a, b);
}
[[gnu::always_inline]] inline pack select(const mask_pack& m, const pack& a, const pack& b) {
    return detail::each([](masks k, floats x, floats y) { return select(k, x, y); }, m, a, b);
}
/// v where m, zero elsewhere.
[[gnu::always_inline]] inline pack keep(const mask_pack& m, const pack& v) {
    return detail::each([](masks k, floats x) { return keep(k, x); }, m, v);
}
/// One bit a lane, lane 0 lowest.
[[gnu::always_inline]] inline std::uint32_t mask_bits(const mask_pack& m) {
    std::uint32_t bits = 0;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r)
        bits |= mask_bits(m.part[r]) << (r * lanes);
    return bits;
}

[[gnu::always_inline]] inline int_pack as_ints(const pack& v) {
    return detail::each([](floats x) { return as_ints(x); }, v);
}
[[gnu::always_inline]] inline pack as_floats(const int_pack& v) {
    return detail::each([](ints x) { return as_floats(x); }, v);
}
[[gnu::always_inline]] inline pack to_floats(const int_pack& v) {
    return detail::each([](ints x) { return to_floats(x); }, v);
}
[[gnu::always_inline]] inline int_pack ints_of(std::int32_t v) {
    int_pack out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r)
        out.part[r] = ints(v);
    return out;
}
[[gnu::always_inline]] inline int_pack operator+(const int_pack& a, const int_pack& b) {
    return detail::each([](ints x, ints y) { return add(x, y); }, a, b);
}
[[gnu::always_inline]] inline int_pack operator&(const int_pack& a, const int_pack& b) {
    return detail::each([](ints x, ints y) -> ints { return x & y; }, a, b);
}
[[gnu::always_inline]] inline int_pack operator|(const int_pack& a, const int_pack& b) {
    return detail::each([](ints x, ints y) -> ints { return x | y; }, a, b);
}
[[gnu::always_inline]] inline int_pack operator^(const int_pack& a, const int_pack& b) {
    return detail::each([](ints x, ints y) -> ints { return x ^ y; }, a, b);
}
[[gnu::always_inline]] inline int_pack shift_left(const int_pack& v, int bits) {
    return detail::each([bits](ints x) { return shift_left(x, bits); }, v);
}
[[gnu::always_inline]] inline int_pack shift_right(const int_pack& v, int bits) {
    return detail::each([bits](ints x) { return shift_right(x, bits); }, v);
}

/// |a| with the sign of s.
[[gnu::always_inline]] inline pack copy_sign(const pack& a, const pack& s) {
    const int_pack sign = ints_of(std::numeric_limits<std::int32_t>::min());
    return as_floats(as_ints(abs(a)) | (as_ints(s) & sign));
}

/// Folds the lanes by halves: lane i joins lane i + 8, then + 4, + 2, + 1. `join` must serve
/// registers of every width.
template <class Join>
[[gnu::always_inline]] inline float fold(pack v, Join join) {
#pragma GCC unroll 4
    for (std::size_t half = pack_registers / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
        for (std::size_t r = 0; r < half; ++r)
            v.part[r] = join(v.part[r], v.part[r + half]);
    }
    return fold(v.part[0], join);
}
/// Sum of the lanes in the order of fold().
[[gnu::always_inline]] inline float reduce_add(const pack& v) {
    return fold(v, [](auto a, auto b) -> decltype(a) { return a + b; });
}
/// Largest lane; no promise where a lane is NaN.
[[gnu::always_inline]] inline float reduce_max(const pack& v) {
    return fold(v, [](auto a, auto b) -> decltype(a) { return max(a, b); });
}
/// Smallest lane; no promise where a lane is NaN.
[[gnu::always_inline]] inline float reduce_min(const pack& v) {
    return fold(v, [](auto a, auto b) -> decltype(a) { return min(a, b); });
}

}  // namespace tare::simd
