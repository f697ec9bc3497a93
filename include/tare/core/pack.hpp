#pragma once
// SPDX-License-Identifier: MIT
// Sixteen floats as one value, in as many registers as the machine needs (one for AVX-512, two for
// AVX2, sixteen scalars for the plain build). A kernel written on packs sums in the same sixteen
// lanes and folds them in the same order everywhere, so its bits depend on neither the register
// width nor the number of threads. Only fma() differs where the machine cannot fuse. The type and
// its ways to and from memory are in core/pack_group.hpp.

#include <cstddef>
#include <cstdint>
#include <limits>

#include <tare/core/pack_group.hpp>
#include <tare/core/simd.hpp>
#include <tare/core/simd_fold.hpp>
#include <tare/core/simd_masks.hpp>
#include <tare/core/simd_power.hpp>

namespace tare::simd {

/// v, read from memory once, see held(floats).
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> held(const packs<N>& v) {
    return detail::each([](floats x) { return held(x); }, v);
}

template <std::size_t N>
[[gnu::always_inline]] inline packs<N> operator+(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) -> floats { return x + y; }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> operator-(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) -> floats { return x - y; }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> operator*(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) -> floats { return x * y; }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> operator/(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) -> floats { return x / y; }, a, b);
}
/// a * b + c.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> fma(const packs<N>& a, const packs<N>& b,
                                           const packs<N>& c) {
    return detail::each([](floats x, floats y, floats z) { return fma(x, y, z); }, a, b, c);
}
/// c - a * b.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> fnma(const packs<N>& a, const packs<N>& b,
                                            const packs<N>& c) {
    return detail::each([](floats x, floats y, floats z) { return fnma(x, y, z); }, a, b, c);
}
/// The larger lane; b where either is NaN.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> max(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) { return max(x, y); }, a, b);
}
/// The smaller lane; b where either is NaN.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> min(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) { return min(x, y); }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> abs(const packs<N>& a) {
    return detail::each([](floats x) { return abs(x); }, a);
}
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> sqrt(const packs<N>& a) {
    return detail::each([](floats x) { return sqrt(x); }, a);
}
/// v * 2^n, see multiply_power(floats, floats).
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> multiply_power(const packs<N>& v, const packs<N>& n) {
    return detail::each([](floats x, floats y) { return multiply_power(x, y); }, v, n);
}

/// v * 2^n where m, zero elsewhere, see multiply_near_power(masks, floats, floats).
template <std::size_t N>
[[gnu::always_inline]] inline packs<N>
multiply_near_power(const mask_packs<N>& m, const packs<N>& v, const packs<N>& shifted) {
    return detail::each([](masks k, floats x, floats y) { return multiply_near_power(k, x, y); }, m,
                        v, shifted);
}
/// min(a, |b|) for a >= 0; anything where b is NaN.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> min_magnitude(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) { return min_magnitude(x, y); }, a, b);
}
/// v * 2^n, see multiply_near_power(floats, floats).
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> multiply_near_power(const packs<N>& v,
                                                           const packs<N>& shifted) {
    return detail::each([](floats x, floats y) { return multiply_near_power(x, y); }, v, shifted);
}

template <std::size_t N>
[[gnu::always_inline]] inline mask_packs<N> operator<(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) -> masks { return x < y; }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline mask_packs<N> operator<=(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) -> masks { return x <= y; }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline mask_packs<N> operator==(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) -> masks { return x == y; }, a, b);
}
/// Lanes where a < b does not hold: also those with a NaN.
template <std::size_t N>
[[gnu::always_inline]] inline mask_packs<N> not_less(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) { return not_less(x, y); }, a, b);
}
/// Lanes where a or b is NaN.
template <std::size_t N>
[[gnu::always_inline]] inline mask_packs<N> unordered(const packs<N>& a, const packs<N>& b) {
    return detail::each([](floats x, floats y) { return unordered(x, y); }, a, b);
}
/// m without the lanes where a or b is NaN.
template <std::size_t N>
[[gnu::always_inline]] inline mask_packs<N> keep_ordered(const mask_packs<N>& m, const packs<N>& a,
                                                         const packs<N>& b) {
    return detail::each([](masks k, floats x, floats y) { return keep_ordered(k, x, y); }, m, a, b);
}
/// m without the lanes where a <= b does not hold.
template <std::size_t N>
[[gnu::always_inline]] inline mask_packs<N> keep_at_most(const mask_packs<N>& m, const packs<N>& a,
                                                         const packs<N>& b) {
    return detail::each([](masks k, floats x, floats y) { return keep_at_most(k, x, y); }, m, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline mask_packs<N> operator|(const mask_packs<N>& a,
                                                      const mask_packs<N>& b) {
    return detail::each([](masks x, masks y) -> masks { return x | y; }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline mask_packs<N> operator&(const mask_packs<N>& a,
                                                      const mask_packs<N>& b) {
    return detail::each([](masks x, masks y) -> masks { return x & y; }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> select(const mask_packs<N>& m, const packs<N>& a,
                                              const packs<N>& b) {
    return detail::each([](masks k, floats x, floats y) { return select(k, x, y); }, m, a, b);
}
/// v where m, zero elsewhere.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> keep(const mask_packs<N>& m, const packs<N>& v) {
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

template <std::size_t N>
[[gnu::always_inline]] inline int_packs<N> as_ints(const packs<N>& v) {
    return detail::each([](floats x) { return as_ints(x); }, v);
}
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> as_floats(const int_packs<N>& v) {
    return detail::each([](ints x) { return as_floats(x); }, v);
}
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> to_floats(const int_packs<N>& v) {
    return detail::each([](ints x) { return to_floats(x); }, v);
}
template <std::size_t N>
[[gnu::always_inline]] inline int_packs<N> operator+(const int_packs<N>& a, const int_packs<N>& b) {
    return detail::each([](ints x, ints y) { return add(x, y); }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline int_packs<N> operator&(const int_packs<N>& a, const int_packs<N>& b) {
    return detail::each([](ints x, ints y) -> ints { return x & y; }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline int_packs<N> operator|(const int_packs<N>& a, const int_packs<N>& b) {
    return detail::each([](ints x, ints y) -> ints { return x | y; }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline int_packs<N> operator^(const int_packs<N>& a, const int_packs<N>& b) {
    return detail::each([](ints x, ints y) -> ints { return x ^ y; }, a, b);
}
/// The larger integers, lane by lane.
template <std::size_t N>
[[gnu::always_inline]] inline int_packs<N> max(const int_packs<N>& a, const int_packs<N>& b) {
    return detail::each([](ints x, ints y) { return max(x, y); }, a, b);
}
template <std::size_t N>
[[gnu::always_inline]] inline int_packs<N> shift_left(const int_packs<N>& v, int bits) {
    return detail::each([bits](ints x) { return shift_left(x, bits); }, v);
}
template <std::size_t N>
[[gnu::always_inline]] inline int_packs<N> shift_right(const int_packs<N>& v, int bits) {
    return detail::each([bits](ints x) { return shift_right(x, bits); }, v);
}

/// |a| with the sign of s.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> copy_sign(const packs<N>& a, const packs<N>& s) {
    const int_packs<N> bits = as_ints(s);
    return as_floats(as_ints(abs(a)) |
                     (bits & like(bits, std::numeric_limits<std::int32_t>::min())));
}

}  // namespace tare::simd
