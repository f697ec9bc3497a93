#pragma once
// SPDX-License-Identifier: MIT
// How k_means_assign.hpp searches in fp32: 32 blocks in the lanes meet one centroid at a time, and
// only the group of sixteen centroids that holds the best score is remembered; then centroids stand
// in the lanes, and the scores of that one group, computed again, tell which it was.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/simd_transpose.hpp>
#include <tare/core/view.hpp>

namespace tare::kernels::detail {

/// Centroids as the search reads them: one by one, and sixteen at a time with one a lane.
struct centroid_table {
    extent count;
    extent width;
    matrix_view<const float> rows;
    aligned_vector<float> negative_half_squares;  ///< -|c|^2 / 2, minus infinity behind the last
    aligned_vector<float> turned;                 ///< [group][d][16], zeros behind the last

    explicit centroid_table(matrix_view<const float> centroids)
        : count(centroids.rows),
          width(centroids.columns),
          rows(centroids),
          negative_half_squares(static_cast<std::size_t>((count + 15) / 16 * 16),
                                -std::numeric_limits<float>::infinity()),
          turned(negative_half_squares.size() * static_cast<std::size_t>(width), 0.0F) {
        for (extent k = 0; k < count; ++k) {
            float square = 0.0F;
            for (extent d = 0; d < width; ++d) {
                const float v = centroids(k, d);
                square += v * v;
                turned[static_cast<std::size_t>((k / 16 * width + d) * 16 + k % 16)] = v;
            }
            negative_half_squares[static_cast<std::size_t>(k)] = square * -0.5F;
        }
    }
};

/// The best score of each of 32 blocks and the group of sixteen centroids that has it. `turned`
/// holds the blocks as [half][d][16]. Width is D, or 0 where D is known at run time only.
///
/// Which centroid of a group won is not tracked here: that would cost a comparison and a selection
/// for each score, next to D fused multiply-adds.
template <int Width>
void best_group_of_32(const float* turned, const centroid_table& c, float* best_scores,
                      float* groups) {
    using simd::pack;
    const extent n = Width > 0 ? Width : c.width;
    pack x[Width > 0 ? 2 * Width : 1];
    if constexpr (Width > 0) {
        for (extent d = 0; d < 2 * Width; ++d)
            x[d] = simd::load_pack(turned + 16 * d);
    }
    const pack lowest = simd::pack_of(-std::numeric_limits<float>::infinity());
    pack best[2] = {lowest, lowest};
    pack group[2] = {simd::pack_of(0.0F), simd::pack_of(0.0F)};
    for (extent first = 0; first < c.count; first += 16) {
        pack most[2] = {lowest, lowest};
        const extent last = std::min<extent>(first + 16, c.count);
#pragma GCC unroll 2
        for (extent k = first; k < last; ++k) {
            const float* centroid = c.rows.data + k * c.rows.stride;
            pack score[2];
            score[0] = score[1] = simd::pack_of(c.negative_half_squares.data()[k]);
#pragma GCC unroll 8
            for (extent d = 0; d < n; ++d) {
                const pack w = simd::pack_of(centroid[d]);
                if constexpr (Width > 0) {
                    score[0] = simd::fma(x[d], w, score[0]);
                    score[1] = simd::fma(x[Width + d], w, score[1]);
                } else {
                    score[0] = simd::fma(simd::load_pack(turned + 16 * d), w, score[0]);
                    score[1] = simd::fma(simd::load_pack(turned + 16 * (n + d)), w, score[1]);
                }
            }
            // In this order a NaN score leaves the best as it is.
            most[0] = max(score[0], most[0]);
            most[1] = max(score[1], most[1]);
        }
        const pack number = simd::pack_of(static_cast<float>(first / 16));
        for (int h = 0; h < 2; ++h) {
            group[h] = select(best[h] < most[h], number, group[h]);
            best[h] = max(most[h], best[h]);
        }
    }
    for (int h = 0; h < 2; ++h) {
        store(best_scores + 16 * h, best[h]);
        store(groups + 16 * h, group[h]);
    }
}

/// Scores of the sixteen centroids of a group: equal to the bit to those of best_group_of_32, for
/// the chain of fma is the same.
template <int Width>
simd::pack scores_of_group(const float* block, const centroid_table& c, extent group) {
    using simd::pack;
    const extent n = Width > 0 ? Width : c.width;
    const float* turned = c.turned.data() + group * n * 16;
    pack score = simd::load_pack(c.negative_half_squares.data() + group * 16);
#pragma GCC unroll 8
    for (extent d = 0; d < n; ++d)
        score = simd::fma(simd::load_pack(turned + 16 * d), simd::pack_of(block[d]), score);
    return score;
}
/// The first centroid of a group whose score is `best`; 0 where no score was larger than minus
/// infinity.
template <int Width>
extent first_of_group(const float* block, const centroid_table& c, extent group, float best) {
    const simd::pack score = scores_of_group<Width>(block, c, group);
    const std::uint32_t equal = simd::mask_bits(score == simd::pack_of(best));
    if (best == -std::numeric_limits<float>::infinity()) return 0;
    return group * 16 + std::countr_zero(equal);
}

/// Where block j of 32 stands: in lane j / 2 of half j % 2.
[[nodiscard]] constexpr extent lane_of_block(extent j) {
    return j % 2 * 16 + j / 2;
}
/// Turns `count` <= 32 blocks into [half][d][16]: block 2 i + h goes to lane i of half h, so that
/// two blocks of eight values are one row of a 16 x 16 transpose.
inline void turn_blocks(matrix_view<const float> blocks, extent first, extent count, float* to) {
    const extent width = blocks.columns;
    if (width == 8 && blocks.stride == 8 && count == 32) {
        constexpr auto step = static_cast<std::ptrdiff_t>(simd::lanes);
        const float* from = blocks.data + first * 8;
        for (std::ptrdiff_t r = 0; r < 16; r += step)
            for (std::ptrdiff_t c = 0; c < 16; c += step)
                simd::transpose_block(from + 16 * r + c, 16, to + 16 * c + r, 16);
        return;
    }
    for (extent j = 0; j < count; ++j)
        for (extent d = 0; d < width; ++d)
            to[(j % 2 * width + d) * 16 + j / 2] = blocks(first + j, d);
}

}  // namespace tare::kernels::detail
