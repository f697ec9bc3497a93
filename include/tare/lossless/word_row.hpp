#pragma once
// SPDX-License-Identifier: MIT
// Eight 64-bit words side by side: one AVX-512 register, or plain words in a loop. Eight chunks of
// a tensor go through a decision together, one in each lane; only the places of what is written for
// them follow from each other across lanes. Conditions are 8 bits, bit l for lane l.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tare/core/simd.hpp>

#if defined(TARE_SIMD_512) && defined(__AVX512CD__) && defined(__AVX512VBMI2__) &&                 \
    defined(__AVX512VPOPCNTDQ__)
#define TARE_WORD_ROW_AVX512 1
// GCC 12 warns falsely about undefined registers inside its own intrinsics.
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace tare {

inline constexpr std::size_t row_lanes = 8;

/// A row in memory.
struct alignas(64) stored_row {
    std::uint64_t at[row_lanes] = {};
};

#if TARE_WORD_ROW_AVX512

/// A row in a register. All arithmetic is modulo 2^64.
class word_row {
  public:
    word_row(const stored_row& from) noexcept : v_(_mm512_load_si512(from.at)) {}
    /// Eight times the same word.
    explicit word_row(std::uint64_t word) noexcept
        : v_(_mm512_set1_epi64(static_cast<long long>(word))) {}
    void store(stored_row& to) const noexcept { _mm512_store_si512(to.at, v_); }
    /// Only the lanes of the condition.
    void store_where(std::uint8_t condition, stored_row& to) const noexcept {
        _mm512_mask_store_epi64(to.at, condition, v_);
    }

    friend word_row operator&(word_row a, word_row b) noexcept {
        return _mm512_and_si512(a.v_, b.v_);
    }
    friend word_row operator|(word_row a, word_row b) noexcept {
        return _mm512_or_si512(a.v_, b.v_);
    }
    friend word_row operator+(word_row a, word_row b) noexcept {
        return _mm512_add_epi64(a.v_, b.v_);
    }
    friend word_row operator-(word_row a, word_row b) noexcept {
        return _mm512_sub_epi64(a.v_, b.v_);
    }
    /// Each lane by its own count; 0 where that is 64 or more.
    friend word_row operator<<(word_row a, word_row by) noexcept {
        return _mm512_sllv_epi64(a.v_, by.v_);
    }
    friend word_row operator>>(word_row a, word_row by) noexcept {
        return _mm512_srlv_epi64(a.v_, by.v_);
    }
    /// The upper half of (high : low) << by, for by below 64.
    friend word_row joined(word_row high, word_row low, word_row by) noexcept {
        return _mm512_shldv_epi64(high.v_, low.v_, by.v_);
    }
    /// a without the bits of b.
    friend word_row without(word_row a, word_row b) noexcept {
        return _mm512_andnot_si512(b.v_, a.v_);
    }
    friend word_row min(word_row a, word_row b) noexcept { return _mm512_min_epu64(a.v_, b.v_); }
    /// Product of the low halves.
    friend word_row product(word_row a, word_row b) noexcept {
        return _mm512_mul_epu32(a.v_, b.v_);
    }
    friend word_row popcount(word_row a) noexcept { return _mm512_popcnt_epi64(a.v_); }
    /// The place of the lowest bit set; 2^64 - 1 if there is none.
    friend word_row lowest_place(word_row a) noexcept {
        const __m512i lowest =
            _mm512_and_si512(a.v_, _mm512_sub_epi64(_mm512_setzero_si512(), a.v_));
        return _mm512_sub_epi64(_mm512_set1_epi64(63), _mm512_lzcnt_epi64(lowest));
    }
    /// Entry `index` modulo 8 of the table.
    friend word_row looked_up(word_row table, word_row index) noexcept {
        return _mm512_permutexvar_epi64(index.v_, table.v_);
    }
    /// The byte at from[offset] of each lane; up to 7 bytes behind it are read too.
    static word_row bytes_at(const std::uint8_t* from, word_row offset) noexcept {
        return words_at(from, offset) & word_row(255);
    }
    /// The eight bytes from from[offset] on of each lane.
    static word_row words_at(const std::uint8_t* from, word_row offset) noexcept {
        return _mm512_i64gather_epi64(offset.v_, from, 1);
    }
    /// Lane l is the word of lane l - 1; lane 0 is `first`.
    friend word_row moved_up(word_row a, std::uint64_t first) noexcept {
        return _mm512_alignr_epi64(a.v_, word_row(first).v_, 7);
    }
    /// Lane l is the sum of lanes 0 to l.
    friend word_row running_sums(word_row a) noexcept {
        const __m512i zero = _mm512_setzero_si512();
        __m512i sum = _mm512_add_epi64(a.v_, _mm512_alignr_epi64(a.v_, zero, 7));
        sum = _mm512_add_epi64(sum, _mm512_alignr_epi64(sum, zero, 6));
        return _mm512_add_epi64(sum, _mm512_alignr_epi64(sum, zero, 4));
    }
    /// Stores lane l of four rows from to[4 l] on.
    static void store_columns(const word_row (&rows)[4],
                              std::uint64_t (&to)[4 * row_lanes]) noexcept {
        const __m512i even = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);   // 0 and 2, or 1 and 3
        const __m512i odd = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);  // 4 and 6, or 5 and 7
        const __m512i lower[2] = {_mm512_unpacklo_epi64(rows[0].v_, rows[1].v_),
                                  _mm512_unpackhi_epi64(rows[0].v_, rows[1].v_)};
        const __m512i upper[2] = {_mm512_unpacklo_epi64(rows[2].v_, rows[3].v_),
                                  _mm512_unpackhi_epi64(rows[2].v_, rows[3].v_)};
        const auto store_two = [&](std::size_t lane, __m512i two) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 4 * lane),
                                _mm512_castsi512_si256(two));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 4 * (lane + 2)),
                                _mm512_extracti64x4_epi64(two, 1));
        };
        for (std::size_t l = 0; l < 2; ++l) {
            store_two(l, _mm512_permutex2var_epi64(lower[l], even, upper[l]));
            store_two(l + 4, _mm512_permutex2var_epi64(lower[l], odd, upper[l]));
        }
    }
    friend std::uint8_t nonzero(word_row a) noexcept { return _mm512_test_epi64_mask(a.v_, a.v_); }
    friend std::uint8_t less(word_row a, word_row b) noexcept {
        return _mm512_cmplt_epu64_mask(a.v_, b.v_);
    }
    friend word_row select(std::uint8_t condition, word_row yes, word_row no) noexcept {
        return _mm512_mask_mov_epi64(no.v_, condition, yes.v_);
    }

  private:
    word_row(__m512i v) noexcept : v_(v) {}
    __m512i v_;
};

#else

// The same in a loop.
class word_row {
  public:
    word_row(const stored_row& from) noexcept : v_(from) {}
    explicit word_row(std::uint64_t word) noexcept { std::ranges::fill(v_.at, word); }
    void store(stored_row& to) const noexcept { to = v_; }
    void store_where(std::uint8_t condition, stored_row& to) const noexcept {
        for (std::size_t l = 0; l < row_lanes; ++l)
            if ((condition >> l & 1) != 0) to.at[l] = v_.at[l];
    }

    friend word_row operator&(const word_row& a, const word_row& b) noexcept {
        return each([&](std::size_t l) { return a.v_.at[l] & b.v_.at[l]; });
    }
    friend word_row operator|(const word_row& a, const word_row& b) noexcept {
        return each([&](std::size_t l) { return a.v_.at[l] | b.v_.at[l]; });
    }
    friend word_row operator+(const word_row& a, const word_row& b) noexcept {
        return each([&](std::size_t l) { return a.v_.at[l] + b.v_.at[l]; });
    }
    friend word_row operator-(const word_row& a, const word_row& b) noexcept {
        return each([&](std::size_t l) { return a.v_.at[l] - b.v_.at[l]; });
    }
    friend word_row operator<<(const word_row& a, const word_row& by) noexcept {
        return each(
            [&](std::size_t l) { return by.v_.at[l] < 64 ? a.v_.at[l] << by.v_.at[l] : 0; });
    }
    friend word_row operator>>(const word_row& a, const word_row& by) noexcept {
        return each(
            [&](std::size_t l) { return by.v_.at[l] < 64 ? a.v_.at[l] >> by.v_.at[l] : 0; });
    }
    friend word_row joined(const word_row& high, const word_row& low, const word_row& by) noexcept {
        return each([&](std::size_t l) {  // two shifts: by 64 there is none
            return high.v_.at[l] << by.v_.at[l] | low.v_.at[l] >> 1 >> (63 - by.v_.at[l]);
        });
    }
    friend word_row without(const word_row& a, const word_row& b) noexcept {
        return each([&](std::size_t l) { return a.v_.at[l] & ~b.v_.at[l]; });
    }
    friend word_row min(const word_row& a, const word_row& b) noexcept {
        return each([&](std::size_t l) { return std::min(a.v_.at[l], b.v_.at[l]); });
    }
    friend word_row product(const word_row& a, const word_row& b) noexcept {
        constexpr std::uint64_t low = 0xFFFFFFFF;
        return each([&](std::size_t l) { return (a.v_.at[l] & low) * (b.v_.at[l] & low); });
    }
    friend word_row popcount(const word_row& a) noexcept {
        return each([&](std::size_t l) { return std::uint64_t(std::popcount(a.v_.at[l])); });
    }
    friend word_row lowest_place(const word_row& a) noexcept {
        return each([&](std::size_t l) {
            return a.v_.at[l] == 0 ? ~std::uint64_t{0}
                                   : std::uint64_t(std::countr_zero(a.v_.at[l]));
        });
    }
    friend word_row looked_up(const word_row& table, const word_row& index) noexcept {
        return each([&](std::size_t l) { return table.v_.at[index.v_.at[l] % row_lanes]; });
    }
    static word_row bytes_at(const std::uint8_t* from, const word_row& offset) noexcept {
        return each([&](std::size_t l) { return std::uint64_t{from[offset.v_.at[l]]}; });
    }
    static word_row words_at(const std::uint8_t* from, const word_row& offset) noexcept {
        return each([&](std::size_t l) {
            std::uint64_t word;
            std::memcpy(&word, from + offset.v_.at[l], sizeof word);
            return word;
        });
    }
    friend word_row moved_up(const word_row& a, std::uint64_t first) noexcept {
        return each([&](std::size_t l) { return l == 0 ? first : a.v_.at[l - 1]; });
    }
    friend word_row running_sums(const word_row& a) noexcept {
        std::uint64_t so_far = 0;
        return each([&](std::size_t l) { return so_far += a.v_.at[l]; });
    }
    static void store_columns(const word_row (&rows)[4],
                              std::uint64_t (&to)[4 * row_lanes]) noexcept {
        for (std::size_t l = 0; l < row_lanes; ++l)
            for (std::size_t w = 0; w < 4; ++w)
                to[4 * l + w] = rows[w].v_.at[l];
    }
    friend std::uint8_t nonzero(const word_row& a) noexcept {
        return bits([&](std::size_t l) { return a.v_.at[l] != 0; });
    }
    friend std::uint8_t less(const word_row& a, const word_row& b) noexcept {
        return bits([&](std::size_t l) { return a.v_.at[l] < b.v_.at[l]; });
    }
    friend word_row select(std::uint8_t condition, const word_row& yes,
                           const word_row& no) noexcept {
        return each(
            [&](std::size_t l) { return (condition >> l & 1) != 0 ? yes.v_.at[l] : no.v_.at[l]; });
    }

  private:
    template <class Lane>
    static word_row each(Lane lane) noexcept {
        stored_row out;
        for (std::size_t l = 0; l < row_lanes; ++l)
            out.at[l] = lane(l);
        return out;
    }
    template <class Lane>
    static std::uint8_t bits(Lane lane) noexcept {
        unsigned out = 0;
        for (std::size_t l = 0; l < row_lanes; ++l)
            out |= unsigned{lane(l)} << l;
        return static_cast<std::uint8_t>(out);
    }

    stored_row v_;
};

#endif

/// Word `word` of a string of bits in which `what` begins at bit `at`.
[[nodiscard]] inline word_row string_word(word_row what, word_row at, std::uint64_t word) noexcept {
    // Of the two shifts one or both are by 64 or more (below 0, modulo 2^64) and give 0, but for at
    // = 64 word, where both are by 0.
    const word_row start(64 * word);
    return (what << (at - start)) | (what >> (start - at));
}

/// The lowest byte of each lane in the four lowest places, as four_of().
[[nodiscard]] inline word_row fours_of(word_row bytes) noexcept {
    return product(bytes & word_row(std::uint64_t{255}), word_row(std::uint64_t{0x01010101}));
}

/// The sum of all lanes.
[[nodiscard]] inline std::uint64_t sum(const word_row& a) noexcept {
    stored_row sums;
    running_sums(a).store(sums);
    return sums.at[row_lanes - 1];
}

}  // namespace tare

#if TARE_WORD_ROW_AVX512
#pragma GCC diagnostic pop
#undef TARE_WORD_ROW_AVX512
#endif
