#pragma once
// SPDX-License-Identifier: MIT
// 64 values of a byte each, held together, against one 64-bit mask word: which lie in a range, a
// base for each, their differences, the marked ones moved together. With
// AVX-512 they are one register and a mask word is one of its masks; AVX2 compares them in two. All
// forms give the same bits. Values of 32 bits: <tare/lossless/lanes.hpp>.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <tare/core/bits.hpp>
#include <tare/core/simd.hpp>
#include <tare/lossless/bit_pack_registers.hpp>
#include <tare/lossless/lane_moves.hpp>
#include <tare/lossless/lanes.hpp>

#if defined(TARE_SIMD_512) && defined(__AVX512VBMI__) && defined(__AVX512VBMI2__)
#define TARE_BYTES_AVX512 1
#elif !defined(TARE_NO_SIMD) && defined(__AVX2__)
#define TARE_BYTES_AVX2 1
#endif

namespace tare {

/// The byte in all four places of a word: from a word a register is filled while it is loaded, from
/// a byte by a shuffle behind the load.
[[nodiscard]] constexpr std::uint32_t four_of(std::uint8_t byte) noexcept {
    return byte * std::uint32_t{0x01010101};
}

#if TARE_BYTES_AVX512

/// 64 bytes; masks are about them, bit i for byte i.
class byte_block {
  public:
    /// Whether the 64 bytes are one register.
    static constexpr bool one_register = true;

    /// The bytes from `bytes` on.
    explicit byte_block(const std::uint8_t* bytes) noexcept : lane_(_mm512_loadu_si512(bytes)) {}
    /// 64 times the same byte, as four_of().
    explicit byte_block(std::uint32_t byte) noexcept
        : lane_(_mm512_set1_epi32(static_cast<int>(byte))) {}
    /// The low bytes of (values[i] >> shift) - origin, modulo 2^32, of 64 values; `hold`: whether
    /// all of those differences are less than 256, so that the bytes hold them.
    template <class Value>
    [[nodiscard, gnu::always_inline]] static byte_block
    narrowed(const Value* values, int shift, std::uint32_t origin, bool& hold) noexcept {
        // In lanes: a shift by one number takes twice as long.
        const __m512i count = _mm512_set1_epi32(shift);
        __m512i d[4];
        for (int part = 0; part < 4; ++part) {
            const __m512i v = _mm512_loadu_si512(values + 16 * part);
            const __m512i whole =
                std::is_signed_v<Value> ? _mm512_srav_epi32(v, count) : _mm512_srlv_epi32(v, count);
            d[part] = _mm512_sub_epi32(whole, _mm512_set1_epi32(static_cast<int>(origin)));
        }
        const __m512i seen =
            _mm512_or_si512(_mm512_or_si512(d[0], d[1]), _mm512_or_si512(d[2], d[3]));
        hold = _mm512_test_epi32_mask(seen, _mm512_set1_epi32(~255)) == 0;
        if (!hold)  // the packs would saturate
            for (__m512i& part : d)
                part = _mm512_and_si512(part, _mm512_set1_epi32(255));
        // Packing leaves fours of each source in turns.
        const __m512i fours =
            _mm512_packus_epi16(_mm512_packus_epi32(d[0], d[1]), _mm512_packus_epi32(d[2], d[3]));
        const __m512i order =
            _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        return byte_block(_mm512_permutexvar_epi32(order, fours));
    }
    void store(std::uint8_t* out) const noexcept { _mm512_storeu_si512(out, lane_); }

    /// Marks the bytes b with b - first <= span modulo 256; both as four_of().
    [[nodiscard]] std::uint64_t within(std::uint32_t first, std::uint32_t span) const noexcept {
        return _mm512_cmple_epu8_mask(
            _mm512_sub_epi8(lane_, _mm512_set1_epi32(static_cast<int>(first))),
            _mm512_set1_epi32(static_cast<int>(span)));
    }
    /// Puts a byte, as four_of(), where the mask is 1.
    void blend(std::uint64_t mask, std::uint32_t byte) noexcept {
        lane_ = _mm512_mask_mov_epi8(lane_, mask, _mm512_set1_epi32(static_cast<int>(byte)));
    }
    /// this - other modulo 256, of which only the bits in `low`, as four_of(), are kept.
    [[nodiscard]] byte_block minus(const byte_block& other, std::uint32_t low) const noexcept {
        byte_block out = *this;
        out.lane_ = _mm512_and_si512(_mm512_sub_epi8(lane_, other.lane_),
                                     _mm512_set1_epi32(static_cast<int>(low)));
        return out;
    }
    /// Writes 64 bytes to `out`: the marked ones in order, zeros behind them.
    void compress(std::uint64_t mask, std::uint8_t* out) const noexcept {
        _mm512_storeu_si512(out, _mm512_maskz_compress_epi8(mask, lane_));
    }
    /// Writes 64 bytes to `out`: of the marked ones the lowest `bits` (1 to 8) bits, the only ones
    /// set, one behind another. What lies behind them is undefined.
    void pack(std::uint64_t mask, int bits, std::uint8_t* out) const noexcept {
        const __m512i dense = _mm512_maskz_compress_epi8(mask, lane_);
        _mm512_storeu_si512(out, detail::packed_64(dense, bits));
    }

  private:
    explicit byte_block(__m512i lane) noexcept : lane_(lane) {}

    __m512i lane_;
};

#else

// The same without registers of 64 bytes.
class byte_block {
  public:
    static constexpr bool one_register = false;

    explicit byte_block(const std::uint8_t* bytes) noexcept {
        std::memcpy(lane_, bytes, sizeof lane_);
    }
    explicit byte_block(std::uint32_t byte) noexcept {
        std::memset(lane_, static_cast<std::uint8_t>(byte), sizeof lane_);
    }
    template <class Value>
    [[nodiscard]] static byte_block narrowed(const Value* values, int shift, std::uint32_t origin,
                                             bool& hold) noexcept {
        byte_block out;
        std::uint32_t seen = 0;
        for (std::size_t i = 0; i < mask_block; ++i) {
            const std::uint32_t difference =
                static_cast<std::uint32_t>(values[i] >> shift) - origin;
            seen |= difference;
            out.lane_[i] = static_cast<std::uint8_t>(difference);
        }
        hold = seen < 256;
        return out;
    }
    void store(std::uint8_t* out) const noexcept { std::memcpy(out, lane_, sizeof lane_); }

    [[nodiscard]] std::uint64_t within(std::uint32_t first, std::uint32_t span) const noexcept {
        const auto low = static_cast<std::uint8_t>(first);
        const auto most = static_cast<std::uint8_t>(span);
#if TARE_BYTES_AVX2
        const __m256i lows = _mm256_set1_epi8(static_cast<char>(low));
        const __m256i mosts = _mm256_set1_epi8(static_cast<char>(most));
        std::uint64_t mask = 0;
        for (int part = 0; part < 2; ++part) {
            const auto* const at = reinterpret_cast<const __m256i*>(lane_ + 32 * part);
            const __m256i d = _mm256_sub_epi8(_mm256_loadu_si256(at), lows);
            // There is no unsigned comparison: d <= most exactly when min(d, most) is d.
            const __m256i hit = _mm256_cmpeq_epi8(_mm256_min_epu8(d, mosts), d);
            const auto bits = static_cast<std::uint32_t>(_mm256_movemask_epi8(hit));
            mask |= std::uint64_t{bits} << (32 * part);
        }
        return mask;
#else
        std::uint8_t flags[mask_block];
        for (std::size_t i = 0; i < mask_block; ++i)
            flags[i] = static_cast<std::uint8_t>(lane_[i] - low) <= most;
        return mask_of_flags(flags);
#endif
    }
    void blend(std::uint64_t mask, std::uint32_t byte) noexcept {
        blend_64(lane_, mask, static_cast<std::uint8_t>(byte));
    }
    [[nodiscard]] byte_block minus(const byte_block& other, std::uint32_t low) const noexcept {
        byte_block out = *this;
        for (std::size_t i = 0; i < mask_block; ++i)
            out.lane_[i] = static_cast<std::uint8_t>((lane_[i] - other.lane_[i]) & low);
        return out;
    }
    void compress(std::uint64_t mask, std::uint8_t* out) const noexcept {
        std::uint8_t dense[mask_block];
        const std::size_t count = compress_64(lane_, mask, dense);
        std::memset(out, 0, mask_block);
        std::memcpy(out, dense, count);
    }
    void pack(std::uint64_t mask, int bits, std::uint8_t* out) const noexcept {
        std::uint8_t dense[mask_block];
        compress(mask, dense);
        // Eight codes take `bits` whole bytes; the next eight are stored over what is too much.
        std::uint8_t packed[mask_block + 8] = {};
        const int width = ((bits - 1) & 7) + 1;  // a bound that GCC sees
        for (int eight = 0; eight < 8; ++eight) {
            std::uint64_t word;
            std::memcpy(&word, dense + 8 * eight, sizeof word);
            word = squeeze_bytes(word, width);
            std::memcpy(packed + eight * width, &word, sizeof word);
        }
        std::memcpy(out, packed, mask_block);
    }

  private:
    byte_block() noexcept = default;

    std::uint8_t lane_[mask_block];
};

#endif

}  // namespace tare

#undef TARE_BYTES_AVX512
#undef TARE_BYTES_AVX2
