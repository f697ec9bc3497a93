#pragma once
// SPDX-License-Identifier: MIT
// The search of k_means_assign.hpp on 16-bit codes, which finds the very centroid that fp32 scores
// choose. A dot product of two codes costs what one fused multiply-add costs, so scores of codes
// are found in half the time; they differ from fp32 scores by at most `slack`, so the fp32 winner
// is among the groups of sixteen whose best score comes within 2 slack of the best of all. That is
// one group for nearly every block, and fp32 scores decide there.
//     x = s_x (q_x + e_x), c = s_c (q_c + e_c), codes |q| <= 8191, |e| <= 1/2
//     score / (s_x s_c) = sum q_x q_c - |c|^2 / (2 s_x s_c) + error,
//     |error| <= sum (|q_x| + |q_c|) / 2 + D / 4 + roundings
// Scores are kept positive below 2^31 - 2^23: their bits then order as floats do.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <tare/core/aligned.hpp>
#include <tare/core/simd_int.hpp>
#include <tare/kernels/k_means_search.hpp>

namespace tare::kernels::detail {

/// Largest code, and the largest |c|^2 / (2 s_x s_c): with D = 8 a score is within 2^29 + 2^28.
inline constexpr float screen_code = 8191.0F;
inline constexpr float screen_square = 0x1p28F;
/// What is added to scores: 2^30.
inline constexpr float screen_offset = 0x1p30F;

/// x * scale to the nearest integer, |x * scale| < 2^15, in the low half of each lane.
[[gnu::always_inline]] inline auto codes_of(const simd::pack& x, float scale) {
    return as_ints(fma(x, simd::pack_of(scale), simd::pack_of(0x1.8p23F)));
}
/// Two codes as one word, the first low.
[[gnu::always_inline]] inline simd::pack pair_codes(const simd::pack& a, const simd::pack& b,
                                                    float scale) {
    return as_floats((codes_of(a, scale) & simd::ints_of(0xFFFF)) |
                     shift_left(codes_of(b, scale), 16));
}

/// The bits of sixteen words as floats.
template <std::size_t Registers>
[[gnu::always_inline]] inline simd::pack bits_as_floats(const simd::words (&w)[Registers]) {
    simd::pack out;
#pragma GCC unroll 2
    for (std::size_t r = 0; r < Registers; ++r)
#pragma GCC unroll 16
        for (int part = 0; part < simd::word_parts; ++part)
            out.part[static_cast<int>(r) * simd::word_parts + part] =
                simd::part_as_floats(w[r], part);
    return out;
}

/// Centroids as pairs of codes.
template <int Width>
struct screen_table {
    static constexpr extent pairs = Width / 2;
    extent groups;
    float scale = 0;        ///< 1 / s_c
    float largest_sum = 0;  ///< of |q_c| over the values of a centroid
    float largest_square = 0;
    aligned_vector<float>
        words;  ///< [centroid][pair], the bits of two codes; zeros behind the last

    explicit screen_table(const centroid_table& c)
        : groups((c.count + 15) / 16), words(static_cast<std::size_t>(groups * 16 * pairs)) {
        float largest = 0;
        float all = 0;  // an infinity or a NaN shows in the sum
        for (extent k = 0; k < c.count; ++k) {
            float row = 0;
            for (const float v : c.rows.row(k)) {
                row += std::fabs(v);
                largest = std::max(largest, std::fabs(v));
            }
            all += row;
            largest_sum = std::max(largest_sum, row);
            largest_square =
                std::max(largest_square, -c.negative_half_squares[static_cast<std::size_t>(k)]);
        }
        // Values that squares would lose have no codes.
        if (!(largest >= 0x1p-40F && all <= 0x1p40F)) return;
        scale = screen_code / largest;
        largest_sum *= scale;
        for (extent g = 0; g < groups; ++g) {
            for (extent p = 0; p < pairs; ++p) {
                const float* const turned = c.turned.data() + (g * Width + 2 * p) * 16;
                alignas(64) float pair[16];
                store(pair,
                      pair_codes(simd::load_pack(turned), simd::load_pack(turned + 16), scale));
                for (extent k = 0; k < 16; ++k)
                    words[static_cast<std::size_t>((g * 16 + k) * pairs + p)] = pair[k];
            }
        }
    }
    [[nodiscard]] bool usable() const { return scale > 0; }
};

/// 32 blocks on their way through the search; bits of integer scores stand in floats.
template <int Width>
class screened_blocks {
  public:
    screened_blocks(const centroid_table& c, const screen_table<Width>& table)
        : c_(c),
          table_(table),
          constants_(static_cast<std::size_t>(16 * table.groups)),
          maxima_(static_cast<std::size_t>(32 * table.groups)) {}

    /// Takes the blocks at `turned` ([half][d][16]) and finds all scores. False, and nothing done,
    /// where their values have no codes.
    bool search(const float* turned) {
        if (!take(turned)) return false;
        find_scores();
        return true;
    }
    /// Codes of `count` blocks from `first` on, which are those taken.
    template <class Code>
    void nearest(matrix_view<const float> blocks, extent first, extent count, Code* codes) {
        find_in_groups(blocks, first, count);
        for (extent j = 0; j < count; ++j)
            codes[j] = static_cast<Code>(winner_[lane_of_block(j)]);
        for (extent h = 0; h < 2; ++h) {
            const simd::pack least =
                as_floats(as_ints(simd::load_pack(best_ + 16 * h)) + simd::ints_of(-2 * slack_));
            auto unsure = ~mask_bits(simd::load_pack(second_ + 16 * h) < least) & 0xFFFFU;
            for (; unsure != 0; unsure &= unsure - 1) {
                const extent j = 2 * std::countr_zero(unsure) + h;
                if (j < count)
                    codes[j] = static_cast<Code>(
                        search_groups(blocks.data + (first + j) * blocks.stride,
                                      static_cast<std::size_t>(lane_of_block(j))));
            }
        }
    }

  private:
    static constexpr extent pairs = Width / 2;
    /// The best centroid of each block's leading group. Scores come with centroids in the lanes;
    /// sixteen rows of them are turned, so that comparing takes no horizontal step.
    void find_in_groups(matrix_view<const float> blocks, extent first, extent count) {
        constexpr auto step = static_cast<std::ptrdiff_t>(simd::lanes);
        for (extent h = 0; h < 2; ++h) {
            for (extent i = 0; 2 * i + h < count; ++i) {
                const float* const block = blocks.data + (first + 2 * i + h) * blocks.stride;
                store(scores_ + 16 * i,
                      scores_of_group<Width>(block, c_, static_cast<extent>(group_[16 * h + i])));
            }
            for (std::ptrdiff_t r = 0; r < 16; r += step)
                for (std::ptrdiff_t c = 0; c < 16; c += step)
                    simd::transpose_block(scores_ + 16 * r + c, 16, turned_ + 16 * c + r, 16);
            simd::pack best = simd::load_pack(turned_);
            simd::pack place = simd::pack_of(0.0F);
#pragma GCC unroll 16
            for (int k = 1; k < 16; ++k) {
                const simd::pack score = simd::load_pack(turned_ + 16 * k);
                // Strictly above: the lowest of equal centroids stays.
                place = select(best < score, simd::pack_of(static_cast<float>(k)), place);
                best = max(score, best);
            }
            const simd::pack group = simd::load_pack(group_ + 16 * h);
            store(winner_ + 16 * h, fma(group, simd::pack_of(16.0F), place));
        }
    }

    /// The nearest centroid of `block`, lane `at`, in all groups that come close to the best.
    [[nodiscard]] extent search_groups(const float* block, std::size_t at) const {
        const std::int32_t least = std::bit_cast<std::int32_t>(best_[at]) - 2 * slack_;
        float best = -std::numeric_limits<float>::infinity();
        extent centroid = 0;
        for (extent g = 0; g < table_.groups; ++g) {
            const float most = maxima_[static_cast<std::size_t>(g) * 32 + at];
            if (std::bit_cast<std::int32_t>(most) < least) continue;
            const simd::pack scores = scores_of_group<Width>(block, c_, g);
            const float top = reduce_max(scores);
            if (!(best < top)) continue;
            best = top;
            centroid = g * 16 + std::countr_zero(mask_bits(scores == simd::pack_of(top)));
        }
        return centroid;
    }

    /// Codes of the blocks and the constant term of each centroid in their units.
    bool take(const float* turned) {
        using simd::pack;
        pack most = simd::pack_of(0.0F);
        pack sums = most;
        pack both = most;
        for (extent h = 0; h < 2; ++h) {
            pack sum = simd::pack_of(0.0F);
            for (extent d = 0; d < Width; ++d) {
                const pack size = abs(simd::load_pack(turned + (h * Width + d) * 16));
                sum = sum + size;
                most = max(size, most);
            }
            sums = max(sum, sums);
            both = both + sum;
        }
        // A sum shows an infinity or a NaN.
        if (!(reduce_add(both) <= 0x1p40F)) return false;
        const float units = std::min(screen_code / std::max(reduce_max(most), 0x1p-40F),
                                     screen_square / (table_.scale * table_.largest_square));
        if (!(units >= 0x1p-40F)) return false;
        for (extent h = 0; h < 2; ++h)
            for (extent p = 0; p < pairs; ++p) {
                const float* const from = turned + (h * Width + 2 * p) * 16;
                store(words_ + (h * pairs + p) * 16,
                      pair_codes(simd::load_pack(from), simd::load_pack(from + 16), units));
            }
        const float factor = units * table_.scale;
        const float* const squares = c_.negative_half_squares.data();
        std::int32_t* const constants = constants_.data();
        for (extent k = 0; k < 16 * table_.groups; ++k)  // minus infinity behind the last
            constants[k] = static_cast<std::int32_t>(std::max(squares[k] * factor, -screen_square) +
                                                     screen_offset);
        // The codes' part, and rounding: of the constants, whose step below 2^30 is 64, of the
        // scales and of fp32 scores, D + 8 times what a score is made of.
        const float sum = reduce_max(sums) * units;
        const float parts = screen_code * sum + table_.largest_square * factor;
        constexpr auto width = static_cast<float>(Width);
        slack_ = static_cast<std::int32_t>(0.51F * (sum + table_.largest_sum) + 0.3F * width +
                                           (width + 8) * 0x1p-23F * parts + 65.0F);
        return true;
    }

    void find_scores() {
        using simd::pack;
        constexpr auto word_lanes = static_cast<extent>(simd::word_lane_count);
        constexpr extent registers = 16 / word_lanes;
        simd::words x[2][pairs][registers];
        for (extent h = 0; h < 2; ++h)
            for (extent p = 0; p < pairs; ++p)
                for (extent r = 0; r < registers; ++r)
                    x[h][p][r] = simd::load_words(words_ + (h * pairs + p) * 16 + r * word_lanes);
        const pack zero = simd::pack_of(0.0F);  // below every score
        pack best[2] = {zero, zero};
        pack second[2] = {zero, zero};
        pack group[2] = {zero, zero};
        for (extent g = 0; g < table_.groups; ++g) {
            pack most[2] = {zero, zero};
            // Four centroids side by side: eight chains, as many as a dot product takes steps.
            constexpr extent side = 4;
            for (extent first = g * 16; first < g * 16 + 16; first += side) {
                simd::words score[side][2][registers];
#pragma GCC unroll 4
                for (extent j = 0; j < side; ++j)
#pragma GCC unroll 4
                    for (extent h = 0; h < 2 * registers; ++h)
                        score[j][h / registers][h % registers] =
                            simd::broadcast_word(constants_.data() + first + j);
#pragma GCC unroll 4
                for (extent p = 0; p < pairs; ++p)
#pragma GCC unroll 4
                    for (extent j = 0; j < side; ++j) {
                        const simd::words pair =
                            simd::broadcast_word(table_.words.data() + (first + j) * pairs + p);
#pragma GCC unroll 4
                        for (extent h = 0; h < 2 * registers; ++h) {
                            simd::words& sum = score[j][h / registers][h % registers];
                            sum = simd::dot_s16(sum, x[h / registers][p][h % registers], pair);
                        }
                    }
#pragma GCC unroll 2
                for (extent h = 0; h < 2; ++h) {
                    const pack low = max(bits_as_floats(score[0][h]), bits_as_floats(score[1][h]));
                    const pack high = max(bits_as_floats(score[2][h]), bits_as_floats(score[3][h]));
                    most[h] = max(max(low, high), most[h]);
                }
            }
            const pack here = simd::pack_of(static_cast<float>(g));
            for (extent h = 0; h < 2; ++h) {
                store(maxima_.data() + g * 32 + h * 16, most[h]);
                second[h] = max(second[h], min(most[h], best[h]));
                group[h] = select(best[h] < most[h], here, group[h]);
                best[h] = max(most[h], best[h]);
            }
        }
        for (extent h = 0; h < 2; ++h) {
            store(best_ + 16 * h, best[h]);
            store(second_ + 16 * h, second[h]);
            store(group_ + 16 * h, group[h]);
        }
    }

    const centroid_table& c_;
    const screen_table<Width>& table_;
    aligned_vector<std::int32_t> constants_;
    aligned_vector<float> maxima_;                  ///< [group][32]
    alignas(64) float words_[2 * pairs * 16] = {};  ///< [half][pair][16]
    alignas(64) float best_[32] = {};
    alignas(64) float second_[32] = {};  ///< best score outside that group
    alignas(64) float group_[32] = {};
    alignas(64) float winner_[32] = {};       ///< best centroid of that group
    alignas(64) float scores_[16 * 16] = {};  ///< [block][centroid of its group]
    alignas(64) float turned_[16 * 16] = {};
    std::int32_t slack_ = 0;
};

}  // namespace tare::kernels::detail
