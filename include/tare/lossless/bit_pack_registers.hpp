#pragma once
// SPDX-License-Identifier: MIT
// Bit packing of 64 codes of at most 8 bits inside registers, for AVX-512 with VBMI. Codes lie in
// bytes, eight in a 64-bit lane. Packing halves the gaps three times: neighbours in 16, 32 and 64
// bits move together,
//
//   v = low bits of v | upper half of v moved down,
//
// and one byte permutation joins the lanes. Unpacking is one permutation and one multishift, which
// takes eight bits from any place of a lane. Seven and three operations on 64 codes, where PEXT and
// PDEP with their shifts take about forty. The layout is that of <tare/lossless/bit_pack.hpp>.

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tare/core/bits.hpp>
#include <tare/core/simd.hpp>

namespace tare::detail {

#if defined(TARE_SIMD_512) && defined(__AVX512VBMI__)

// GCC 12 warns falsely about undefined registers inside its own intrinsics.
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#pragma GCC diagnostic ignored "-Wuninitialized"

/// 64 bytes as a constant.
struct byte_table {
    alignas(64) std::uint8_t byte[64];
    [[nodiscard]] __m512i load() const { return _mm512_load_si512(byte); }
};

/// Byte i of a lane is byte i of that lane's Width bytes of the stream, where i is below Width.
template <int Width>
inline constexpr byte_table parted_lanes = [] {
    byte_table t{};
    for (int i = 0; i < 64; ++i)
        t.byte[i] = static_cast<std::uint8_t>(i % 8 < Width ? i / 8 * Width + i % 8 : 0);
    return t;
}();
/// Where the eight codes of a lane begin.
template <int Width>
inline constexpr byte_table code_places = [] {
    byte_table t{};
    for (int i = 0; i < 64; ++i)
        t.byte[i] = static_cast<std::uint8_t>(i % 8 * Width);
    return t;
}();

/// The 64 codes as bytes, larger ones as 255; `most` collects the bits that are set in any.
template <class Code>
[[nodiscard, gnu::always_inline]] inline __m512i codes_as_bytes(const Code* codes, __m512i& most) {
    if constexpr (sizeof(Code) == 1) {
        return most = _mm512_loadu_si512(codes);
    } else if constexpr (sizeof(Code) == 2) {
        const __m512i a = _mm512_loadu_si512(codes);
        const __m512i b = _mm512_loadu_si512(codes + 32);
        most = _mm512_or_si512(a, b);
        // Packing works in quarters of a register: theirs are put in order behind it.
        return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                        _mm512_packus_epi16(a, b));
    } else {
        const __m512i a = _mm512_loadu_si512(codes);
        const __m512i b = _mm512_loadu_si512(codes + 16);
        const __m512i c = _mm512_loadu_si512(codes + 32);
        const __m512i d = _mm512_loadu_si512(codes + 48);
        most = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d));
        const __m512i quarters =
            _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        return _mm512_permutexvar_epi32(
            quarters, _mm512_packus_epi16(_mm512_packus_epi32(a, b), _mm512_packus_epi32(c, d)));
    }
}

/// What packing a width takes, in memory for one that is known at run time only.
struct packing_row {
    alignas(64) std::uint16_t down_16[32];
    alignas(64) std::uint8_t joined[64];  // byte j of the stream: byte j % width of lane j / width
    std::uint64_t stays[3];               // in 16, 32 and 64 bits
    std::uint64_t down_64;
    std::uint32_t down_32;
};

/// Rows for 1 to 8 bits.
inline constexpr auto packing_rows = [] {
    std::array<packing_row, 9> rows{};
    for (int width = 1; width <= 8; ++width) {
        packing_row& row = rows[static_cast<std::size_t>(width)];
        for (std::uint16_t& down : row.down_16)
            down = static_cast<std::uint16_t>(8 - width);
        row.down_32 = static_cast<std::uint32_t>(2 * (8 - width));
        row.down_64 = static_cast<std::uint64_t>(4 * (8 - width));
        row.stays[0] = low_mask(width) * 0x0001000100010001;
        row.stays[1] = low_mask(2 * width) * 0x0000000100000001;
        row.stays[2] = low_mask(4 * width);
        for (int j = 0; j < 8 * width; ++j)
            row.joined[j] = static_cast<std::uint8_t>(8 * (j / width) + j % width);
    }
    return rows;
}();

/// `lanes` where the mask has ones, `moved` elsewhere: the lowest field of each lane stays, the
/// other comes down beside it.
[[nodiscard, gnu::always_inline]] inline __m512i with_moved(__m512i lanes, std::uint64_t stays,
                                                            __m512i moved) {
    const __m512i mask = _mm512_set1_epi64(static_cast<long long>(stays));
    return _mm512_ternarylogic_epi64(mask, lanes, moved, 0xCA);
}

/// 64 codes of `bits` (1 to 8) bits, without others set, packed into the low 8 `bits` bytes; what
/// lies above them is undefined.
[[nodiscard]] inline __m512i packed_64(__m512i codes, int bits) noexcept {
    const packing_row& row = packing_rows[static_cast<std::size_t>(bits)];
    __m512i v = codes;
    v = with_moved(v, row.stays[0], _mm512_srlv_epi16(v, _mm512_load_si512(row.down_16)));
    v = with_moved(v, row.stays[1],
                   _mm512_srlv_epi32(v, _mm512_set1_epi32(static_cast<int>(row.down_32))));
    v = with_moved(v, row.stays[2],
                   _mm512_srlv_epi64(v, _mm512_set1_epi64(static_cast<long long>(row.down_64))));
    return _mm512_permutexvar_epi8(_mm512_load_si512(row.joined), v);
}

/// Packs 64 codes into 8 Width bytes; false if one has a bit beyond Width.
template <int Width, class Code>
[[nodiscard]] inline bool pack_registers_64(const Code* codes, std::byte* out) noexcept {
    __m512i most;
    __m512i v = codes_as_bytes(codes, most);
    if constexpr (Width < 8) {
        v = with_moved(v, low_mask(Width) * 0x0001000100010001, _mm512_srli_epi16(v, 8 - Width));
        v = with_moved(v, low_mask(2 * Width) * 0x0000000100000001,
                       _mm512_srli_epi32(v, 2 * (8 - Width)));
        v = with_moved(v, low_mask(4 * Width), _mm512_srli_epi64(v, 4 * (8 - Width)));
        v = _mm512_permutexvar_epi8(_mm512_load_si512(packing_rows[Width].joined), v);
    }
    _mm512_mask_storeu_epi8(out, low_mask(8 * Width), v);
    constexpr std::uint64_t ones = sizeof(Code) == 1   ? 0x0101010101010101
                                   : sizeof(Code) == 2 ? 0x0001000100010001
                                                       : 0x0000000100000001;
    constexpr auto beyond = static_cast<long long>(~(low_mask(Width) * ones));
    return _mm512_test_epi64_mask(most, _mm512_set1_epi64(beyond)) == 0;
}

/// Unpacks 8 Width bytes into 64 codes.
template <int Width, class Code>
inline void unpack_registers_64(const std::byte* in, Code* codes) noexcept {
    __m512i v = _mm512_maskz_loadu_epi8(low_mask(8 * Width), in);
    if constexpr (Width < 8) {
        v = _mm512_permutexvar_epi8(parted_lanes<Width>.load(), v);
        v = _mm512_multishift_epi64_epi8(code_places<Width>.load(), v);
        v = _mm512_and_si512(v, _mm512_set1_epi8(static_cast<char>(low_mask(Width))));
    }
    if constexpr (sizeof(Code) == 1) {
        _mm512_storeu_si512(codes, v);
    } else if constexpr (sizeof(Code) == 2) {
        _mm512_storeu_si512(codes, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(v)));
        _mm512_storeu_si512(codes + 32, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(v, 1)));
    } else {
        _mm512_storeu_si512(codes, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(v)));
        _mm512_storeu_si512(codes + 16, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(v, 1)));
        _mm512_storeu_si512(codes + 32, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(v, 2)));
        _mm512_storeu_si512(codes + 48, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(v, 3)));
    }
}

#pragma GCC diagnostic pop

#endif

}  // namespace tare::detail
