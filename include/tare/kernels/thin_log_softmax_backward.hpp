#pragma once
// SPDX-License-Identifier: MIT
// Gradients of linear_log_softmax (kernels/linear_log_softmax.hpp) where the depth is small: a tail
// of rare words, K of a few and C of hundreds of thousands. The (N, C) matrices of logits and of
// their gradients are never made: logits cost K fused multiply-adds each and are computed again.
//     z = x W^T + b,   dz_rc = g_r ([c = t_r] - e^(z_rc - m_r) / s_r)
//     dW = dz^T x,   db = column sums of dz,   dx = dz W
// Columns are cut into stretches whose weights and gradients stay in the first cache, stretches
// into slices that threads share; each slice leaves its part of dx, joined in order. All cuts
// depend on the sizes alone: any number of threads gives the same bits. The plain version is
// pick_log_softmax_backward between products.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include <tare/core/aligned.hpp>
#include <tare/kernels/pick_log_softmax.hpp>
#include <tare/kernels/prepared_matrix.hpp>
#include <tare/kernels/thin_row.hpp>
#include <tare/kernels/vector_math.hpp>

namespace tare::kernels {

/// Where thin_log_softmax_backward writes. Shapes dx (N, K), dw (C, K), db (C).
struct thin_gradients {
    matrix_view<float> dx;
    matrix_view<float> dw;
    std::span<float> db;
};

namespace detail {

/// What one call shares.
struct thin_losses {
    using strip = simd::packs<static_cast<std::size_t>(strip_vectors)>;
    static constexpr auto width = static_cast<std::size_t>(strip_columns);
    /// Strips of a stretch: at K = 4 and 32 columns, 8 KiB of weights and as much of gradients.
    static constexpr extent stretch_strips = 16;
    static constexpr extent most_slices = 32;

    matrix_view<const float> x;
    const float* strips;  ///< packed weights
    std::span<const float> bias;
    std::span<const std::int32_t> targets;
    softmax_statistics<const float> statistics;
    std::span<const float> d_out;

    /// Adds the gradients of row r through `count` strips from strip `first` on: to `dw`
    /// ([strip][K][width]), to `db` and to the K sums `dx`. Depth is K, or 0 for any.
    template <int Depth>
    void add_row(extent r, extent first, extent count, float* dw, float* db, float* dx) const {
        const auto at = static_cast<std::size_t>(r);
        const auto depth = static_cast<std::size_t>(Depth > 0 ? Depth : x.columns);
        constexpr std::size_t most = Depth > 0 ? Depth : static_cast<std::size_t>(thin_depth);
        const std::span<const float> row = x.row(r);
        const float top = statistics.maximum[at];
        const float share = d_out[at] / statistics.sum[at];
        const strip zero = like(strip(), 0.0F);
        strip sums[most];
        for (std::size_t k = 0; k < depth; ++k)
            sums[k] = zero;
        for (extent s = 0; s < count; ++s) {
            const std::size_t column = static_cast<std::size_t>(first + s) * width;
            const float* const w = strips + column * depth;
            float* const to = dw + static_cast<std::size_t>(s) * width * depth;
            float* const to_bias = db + static_cast<std::size_t>(s) * width;
            strip z = zero;
#pragma GCC unroll 4
            for (std::size_t k = 0; k < depth; ++k)
                z = fma(like(z, row[k]), simd::load_pack<strip>(w + k * width), z);
            // Minus infinity behind the last column: its exponential is zero.
            const std::size_t left = std::min(width, bias.size() - column);
            z = z + (left == width
                         ? simd::load_pack<strip>(bias.data() + column)
                         : simd::load_pack<strip>(bias.data() + column, left,
                                                  -std::numeric_limits<float>::infinity()));
            const strip d =
                fnma(vector_math::exp_nonpositive(z - like(z, top)), like(z, share), zero);
#pragma GCC unroll 4
            for (std::size_t k = 0; k < depth; ++k) {
                store(to + k * width,
                      fma(like(z, row[k]), d, simd::load_pack<strip>(to + k * width)));
                sums[k] = fma(simd::load_pack<strip>(w + k * width), d, sums[k]);
            }
            store(to_bias, d + simd::load_pack<strip>(to_bias));
        }
        for (std::size_t k = 0; k < depth; ++k)
            dx[k] += sum_of(sums[k]);
        const extent target = targets[at] - first * strip_columns;
        if (target >= 0 && target < count * strip_columns)
            add_target(row, static_cast<std::size_t>(target), d_out[at],
                       strips + static_cast<std::size_t>(first) * width * depth, dw, db, dx);
    }

    /// The target's own term g, at column `target` of the stretch.
    static void add_target(std::span<const float> row, std::size_t target, float g, const float* w,
                           float* dw, float* db, float* dx) {
        const std::size_t begin = target / width * width * row.size() + target % width;
        for (std::size_t k = 0; k < row.size(); ++k) {
            dw[begin + k * width] += row[k] * g;
            dx[k] += w[begin + k * width] * g;
        }
        db[target] += g;
    }
    static float sum_of(const strip& v) {
        alignas(64) float lane[width];
        store(lane, v);
        simd::pack total = simd::load_pack(lane);
        for (std::size_t i = simd::pack_lanes; i < width; i += simd::pack_lanes)
            total = total + simd::load_pack(lane + i);
        return reduce_add(total);
    }

    /// Strips [begin, end): dW and db of their columns, and their part of dx.
    template <int Depth>
    void run(extent begin, extent end, const thin_gradients& out, float* dx) const {
        const auto depth = static_cast<std::size_t>(x.columns);
        constexpr auto most = static_cast<std::size_t>(stretch_strips) * width;
        aligned_vector<float> dw(most * depth);
        alignas(64) float db[most];
        for (extent s = begin; s < end; s += stretch_strips) {
            const extent count = std::min(stretch_strips, end - s);
            std::fill(dw.begin(), dw.end(), 0.0F);
            std::fill(db, db + most, 0.0F);
            for (extent r = 0; r < x.rows; ++r)
                add_row<Depth>(r, s, count, dw.data(), db,
                               dx + static_cast<std::size_t>(r) * depth);
            const std::size_t first = static_cast<std::size_t>(s) * width;
            const std::size_t columns =
                std::min(static_cast<std::size_t>(count) * width, bias.size() - first);
            std::copy_n(db, columns, out.db.data() + first);
            for (std::size_t c = 0; c < columns; ++c) {
                float* const to = out.dw.row(static_cast<extent>(first + c)).data();
                const float* const from = dw.data() + c / width * width * depth + c % width;
                for (std::size_t k = 0; k < depth; ++k)
                    to[k] = from[k * width];
            }
        }
    }
};

}  // namespace detail

/// Writes (does not add) the gradients of sum_r d_out_r out_r, out = linear_log_softmax(x, w, bias)
/// without further columns.
/// **Shapes** x (N, K), K <= thin_depth; w the W, K to C, in strips; bias (C); targets, statistics,
/// d_out (N). **NaN** goes through. **Accuracy** dz as pick_log_softmax_backward; each sum as long
/// as its number of terms. **Throws** tare::error on shapes that do not fit, a target outside, and
/// where an output overlaps anything else.
inline void thin_log_softmax_backward(matrix_view<const float> x, const prepared_matrix& w,
                                      std::span<const float> bias,
                                      std::span<const std::int32_t> targets,
                                      softmax_statistics<const float> statistics,
                                      std::span<const float> d_out, const thin_gradients& out) {
    constexpr auto name = "thin_log_softmax_backward";
    detail::require_view(name, "x", x);
    require(x.columns == w.depth() && w.depth() <= thin_depth, name, ": x is (", x.rows, ',',
            x.columns, "), w takes ", w.depth(), " to ", w.columns(),
            " columns; the depth must be x's and at most ", thin_depth);
    detail::require_size(name, "bias", bias, w.columns(), "one for each column of logits");
    detail::require_size(name, "targets", targets, x.rows, "one for each row of x");
    detail::require_size(name, "statistics.maximum", statistics.maximum, x.rows, "one per row");
    detail::require_size(name, "statistics.sum", statistics.sum, x.rows, "one per row");
    detail::require_size(name, "d_out", d_out, x.rows, "one for each row of x");
    detail::require_view(name, "dx", out.dx);
    detail::require_view(name, "dw", out.dw);
    detail::require_same_shape(name, "x", x, "dx", out.dx);
    require(out.dw.rows == w.columns() && out.dw.columns == w.depth(), name, ": dw is (",
            out.dw.rows, ',', out.dw.columns, "); it needs a row of ", w.depth(),
            " for each of the ", w.columns(), " columns of logits");
    detail::require_size(name, "db", out.db, w.columns(), "one for each column of logits");
    detail::require_all_apart(name, {{"dx", out.dx}, {"dw", out.dw}, {"db", out.db}},
                              {{"x", x},
                               {"w", w.strips()},
                               {"bias", bias},
                               {"targets", targets},
                               {"statistics.maximum", statistics.maximum},
                               {"statistics.sum", statistics.sum},
                               {"d_out", d_out}});
    for (const std::int32_t t : targets)
        require(t >= 0 && t < w.columns(), name, ": target ", t, " of ", w.columns(), " columns");

    const detail::thin_losses call{x, w.strips().data(), bias, targets, statistics, d_out};
    const extent strips = detail::strips_of(w.columns());
    const extent stretches =
        (strips + detail::thin_losses::stretch_strips - 1) / detail::thin_losses::stretch_strips;
    const extent slices = std::min(stretches, detail::thin_losses::most_slices);
    const auto values = static_cast<std::size_t>(x.rows * x.columns);
    aligned_vector<float> parts(static_cast<std::size_t>(slices) * values, 0.0F);
    const extent work = stretches / std::max<extent>(slices, 1) * x.rows * (10 + w.depth()) *
                        detail::thin_losses::stretch_strips * detail::strip_columns / 16;
    parallel_for(slices, 1, work, [&](extent begin, extent end) {
        for (extent slice = begin; slice < end; ++slice) {
            const auto edge = [&](extent i) {
                return std::min(strips, stretches * i / slices * call.stretch_strips);
            };
            float* const dx = parts.data() + static_cast<std::size_t>(slice) * values;
            if (w.depth() == 4)
                call.run<4>(edge(slice), edge(slice + 1), out, dx);
            else
                call.run<0>(edge(slice), edge(slice + 1), out, dx);
        }
    });
    for (extent r = 0; r < x.rows; ++r)
        for (extent k = 0; k < x.columns; ++k) {
            float sum = 0.0F;
            for (extent slice = 0; slice < slices; ++slice)
                sum += parts[static_cast<std::size_t>(slice) * values +
                             static_cast<std::size_t>(r * x.columns + k)];
            out.dx(r, k) = sum;
        }
}

}  // namespace tare::kernels
