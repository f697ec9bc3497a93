#pragma once
// SPDX-License-Identifier: MIT
// Small numbers, one for each lane of a wide_pack, and tables of 128 floats to look up by them.
//
// With VBMI they are the bytes of one register, and one permutation looks up a byte for all 64: a
// table of floats is four planes of bytes, woven together behind the look-up. 12 operations for
// four registers, where simd::table128 takes 36. Elsewhere they are integers in lanes.

#include <cstddef>
#include <cstdint>

#include <tare/core/pack_group.hpp>
#include <tare/core/simd.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/core/simd_tables.hpp>

namespace tare::simd {

#if defined(TARE_SIMD_512) && defined(__AVX512VBMI__)

/// In each quarter of the register four bytes of every register of a wide_pack, in their order:
/// what packing leaves there and what weaving takes apart again.
struct small_pack {
    __m512i bytes;
};

namespace detail {
/// The lanes as bytes, what is outside [-2^15, 2^15) as a bound of it, narrowed by `narrow`.
template <class Narrow>
[[gnu::always_inline]] inline __m512i packed_bytes(const int_packs<4>& v, Narrow narrow) {
    return narrow(_mm512_packs_epi32(v.part[0], v.part[1]),
                  _mm512_packs_epi32(v.part[2], v.part[3]));
}
/// From the order of a small_pack to that of the lanes, and back: a transposition.
[[gnu::always_inline]] inline __m512i swap_quarters(__m512i v) {
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
}
}  // namespace detail

/// v without its fraction, within [0, most]; most < 128, |v| < 2^31, no NaN.
[[gnu::always_inline]] inline small_pack truncate_to_small(const packs<4>& v, std::int8_t most) {
    const auto whole = detail::each([](floats f) -> ints { return _mm512_cvttps_epi32(f); }, v);
    const __m512i at =
        detail::packed_bytes(whole, [](__m512i a, __m512i b) { return _mm512_packus_epi16(a, b); });
    return {_mm512_min_epu8(at, _mm512_set1_epi8(most))};
}
/// v + 1 where a >= b, of which neither is negative; a NaN is more than any number.
[[gnu::always_inline]] inline small_pack increment_where_not_less(const packs<4>& a,
                                                                  const packs<4>& b, small_pack v) {
    const auto above = detail::each(
        [](floats x, floats y) -> ints {
            return _mm512_sub_epi32(_mm512_castps_si512(x), _mm512_castps_si512(y));
        },
        a, b);
    const __m512i signs =
        detail::packed_bytes(above, [](__m512i x, __m512i y) { return _mm512_packs_epi16(x, y); });
    const __mmask64 more = ~_mm512_movepi8_mask(signs);
    return {_mm512_mask_sub_epi8(v.bytes, more, v.bytes, _mm512_set1_epi8(-1))};
}
/// The numbers as bytes, one for each lane in order, to and from memory.
[[gnu::always_inline]] inline void store_bytes(std::uint8_t* p, small_pack v) {
    _mm512_storeu_si512(p, detail::swap_quarters(v.bytes));
}
[[gnu::always_inline]] inline small_pack load_small(const std::uint8_t* p) {
    return {detail::swap_quarters(_mm512_loadu_si512(p))};
}

/// 128 floats to look up by small numbers.
class wide_table128 {
  public:
    explicit wide_table128(const float* values) {
        std::uint8_t bytes[4][128];
        for (int i = 0; i < 128; i += 16)
            for (int p = 0; p < 4; ++p)
                store_bytes(bytes[p] + i, shift_right(as_ints(load(values + i)), 8 * p));
        for (int p = 0; p < 4; ++p) {
            low_[p] = _mm512_loadu_si512(bytes[p]);
            high_[p] = _mm512_loadu_si512(bytes[p] + 64);
        }
    }
    [[nodiscard, gnu::always_inline]] packs<4> operator[](small_pack at) const {
        const auto plane = [&](int p) {
            return _mm512_permutex2var_epi8(low_[p], at.bytes, high_[p]);
        };
        const __m512i a = plane(0), b = plane(1), c = plane(2), d = plane(3);
        const __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
        const __m512i ab2 = _mm512_unpackhi_epi8(a, b), cd2 = _mm512_unpackhi_epi8(c, d);
        const auto numbers = [](__m512i v) { return floats(_mm512_castsi512_ps(v)); };
        return {{numbers(_mm512_unpacklo_epi16(ab, cd)), numbers(_mm512_unpackhi_epi16(ab, cd)),
                 numbers(_mm512_unpacklo_epi16(ab2, cd2)),
                 numbers(_mm512_unpackhi_epi16(ab2, cd2))}};
    }

  private:
    __m512i low_[4], high_[4];
};

#else

using small_pack = int_packs<sizeof(wide_pack) / sizeof(floats)>;

[[gnu::always_inline]] inline small_pack truncate_to_small(const wide_pack& v, std::int8_t most) {
    return detail::each(
        [most](floats f) {
            return truncate_to_int(clamp(f, broadcast(0.0F), broadcast(static_cast<float>(most))));
        },
        v);
}
[[gnu::always_inline]] inline small_pack
increment_where_not_less(const wide_pack& a, const wide_pack& b, const small_pack& v) {
    return detail::each([](floats x, floats y, ints n) { return increment_where(x >= y, n); }, a, b,
                        v);
}
[[gnu::always_inline]] inline void store_bytes(std::uint8_t* p, const small_pack& v) {
    for (const ints part : v.part) {
        store_bytes(p, part);
        p += lanes;
    }
}
[[gnu::always_inline]] inline small_pack load_small(const std::uint8_t* p) {
    small_pack v;
    for (ints& part : v.part) {
        part = load_codes(p);
        p += lanes;
    }
    return v;
}
class wide_table128 {
  public:
    explicit wide_table128(const float* values) : table_(values) {}
    [[nodiscard, gnu::always_inline]] wide_pack operator[](const small_pack& index) const {
        return detail::each([this](ints at) { return table_[at]; }, index);
    }

  private:
    table128 table_;
};

#endif

}  // namespace tare::simd
