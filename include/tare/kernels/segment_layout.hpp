#pragma once
// SPDX-License-Identifier: MIT
// Sizes and operands of attention with memory and trained relative positions, the kind of a
// Transformer-XL layer whose position table is learned per distance.
//
// Position t of a chunk attends to itself and to exactly the S positions before it. Window entry
// j = 0..S of position t is position t - S + j; positions below 0 lie in the memory:
//     score[t,r,j] = (q_t . k_{t-S+j} + q_t . P[:,j]) * scale,   p = softmax_j,   o = sum_j p_j v
// The table P is shared by the heads; column S is distance 0.
// Source: Dai et al. 2019, "Transformer-XL", section 3, with the position terms reduced to q . P.

#include <algorithm>
#include <cmath>

#include <tare/core/error.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>

namespace tare::kernels {

/// The sizes of one call. All are at least 1; `tokens` need not be a multiple of `window`.
struct segment_layout {
    extent tokens = 0;       ///< T, positions in the chunk
    extent batch = 1;        ///< B, independent streams
    extent heads = 0;        ///< H
    extent key_width = 0;    ///< nk, per head
    extent value_width = 0;  ///< nv, per head
    extent window = 0;       ///< S, positions before the own one
    double scale = 0.0;      ///< factor of the scores; 0 stands for key_width^(-1/2)
    /// Without memory: false masks the entries before the chunk; true attends to zero keys (score
    /// q . P alone) and zero values there, as the quantized model class of one published entry
    /// does.
    bool attend_to_empty = false;

    [[nodiscard]] constexpr extent head_width() const { return 2 * key_width + value_width; }
    [[nodiscard]] constexpr extent memory_width() const { return key_width + value_width; }
    [[nodiscard]] constexpr extent entries() const { return window + 1; }
    [[nodiscard]] constexpr extent rows() const { return batch * heads; }
    [[nodiscard]] double factor() const {
        return scale != 0.0 ? scale : 1.0 / std::sqrt(static_cast<double>(key_width));
    }
};

/// What attention reads.
/// **Shapes** qkv (T*B, H*(2nk+nv)), row t*B+b, inside a head q, k, v; memory (M*B, H*(nk+nv)), M
/// <= S, row m*B+b, keys then values, oldest first, or no data for none; positions (nk, S+1).
template <class Scalar>
struct segment_inputs {
    matrix_view<const Scalar> qkv;
    matrix_view<const Scalar> memory;
    matrix_view<const Scalar> positions;
};

/// Where the gradients go; each is overwritten. `memory` may have no data: it is usually detached.
/// **Shapes** as in segment_inputs.
template <class Scalar>
struct segment_gradients {
    matrix_view<Scalar> qkv;
    matrix_view<Scalar> positions;
    matrix_view<Scalar> memory;
};

namespace detail {

/// Positions that a memory holds: M <= S.
template <class Scalar>
constexpr extent remembered(const segment_layout& layout, matrix_view<Scalar> memory) {
    return memory.data == nullptr ? 0 : memory.rows / layout.batch;
}

/// First window entry that position t may use when `known` positions precede the chunk.
constexpr extent first_entry(const segment_layout& layout, extent known, extent t) {
    if (layout.attend_to_empty) return 0;
    return std::max<extent>(0, layout.window - known - t);
}

template <class Scalar>
void require_matrix(const char* function, const char* name, matrix_view<Scalar> m, extent rows,
                    extent columns) {
    require(m.data != nullptr, function, ": ", name, " has no data; expected (", rows, ',', columns,
            ")");
    require(m.rows == rows && m.columns == columns, function, ": ", name, " is (", m.rows, ',',
            m.columns, "), expected (", rows, ',', columns, ")");
    require(m.stride >= columns, function, ": ", name, " has a row stride of ", m.stride,
            " for rows of ", columns, " elements; rows must not overlap");
    require_view(function, name, m);
}

/// Throws unless sizes and inputs fit together.
template <class Scalar>
void require_segment(const char* function, const segment_layout& layout,
                     const segment_inputs<Scalar>& in) {
    // The bound keeps every product of two sizes below 2^63, also of heads by three widths.
    constexpr extent limit = extent{1} << 30;
    const auto positive = [&](const char* name, extent value) {
        require(value >= 1 && value < limit, function, ": ", name, " is ", value,
                "; it must be at least 1 and below 2^30");
    };
    positive("tokens", layout.tokens);
    positive("batch", layout.batch);
    positive("heads", layout.heads);
    positive("key_width", layout.key_width);
    positive("value_width", layout.value_width);
    positive("window", layout.window);
    require(std::isfinite(layout.scale), function, ": scale is ", layout.scale,
            "; it must be finite");
    require_matrix(function, "qkv", in.qkv, layout.tokens * layout.batch,
                   layout.heads * layout.head_width());
    require_matrix(function, "positions", in.positions, layout.key_width, layout.entries());
    if (in.memory.data != nullptr) {
        const extent known = remembered(layout, in.memory);
        require(known <= layout.window, function, ": memory holds ", known,
                " positions, the window ", layout.window, "; pass the last ones only");
        require_matrix(function, "memory", in.memory, known * layout.batch,
                       layout.heads * layout.memory_width());
    }
}

/// Throws unless the results of a forward call have their shapes and memory of their own.
template <class Scalar>
void require_segment_results(const char* function, const segment_layout& layout,
                             const segment_inputs<Scalar>& in, matrix_view<Scalar> out,
                             matrix_view<Scalar> probabilities) {
    const extent rows = layout.tokens * layout.batch;
    require(out.data != nullptr || probabilities.data != nullptr, function,
            ": neither out nor probabilities has data; there is nothing to compute");
    if (out.data != nullptr)
        require_matrix(function, "out", out, rows, layout.heads * layout.value_width);
    if (probabilities.data != nullptr)
        require_matrix(function, "probabilities", probabilities, rows * layout.heads,
                       layout.entries());
    require_all_apart(function, {{"out", out}, {"probabilities", probabilities}},
                      {{"qkv", in.qkv}, {"memory", in.memory}, {"positions", in.positions}});
}

/// Throws unless what a backward call reads and writes has its shapes and memory of its own.
template <class Scalar>
void require_segment_gradients(const char* function, const segment_layout& layout,
                               const segment_inputs<Scalar>& in,
                               matrix_view<const Scalar> probabilities,
                               matrix_view<const Scalar> d_out,
                               const segment_gradients<Scalar>& gradients) {
    const extent rows = layout.tokens * layout.batch;
    require_matrix(function, "probabilities", probabilities, rows * layout.heads, layout.entries());
    require_matrix(function, "d_out", d_out, rows, layout.heads * layout.value_width);
    require_matrix(function, "gradients.qkv", gradients.qkv, rows,
                   layout.heads * layout.head_width());
    require_matrix(function, "gradients.positions", gradients.positions, layout.key_width,
                   layout.entries());
    if (gradients.memory.data != nullptr)
        require_matrix(function, "gradients.memory", gradients.memory,
                       in.memory.data != nullptr ? in.memory.rows : layout.window * layout.batch,
                       layout.heads * layout.memory_width());
    require_all_apart(function,
                      {{"gradients.qkv", gradients.qkv},
                       {"gradients.positions", gradients.positions},
                       {"gradients.memory", gradients.memory}},
                      {{"qkv", in.qkv},
                       {"memory", in.memory},
                       {"positions", in.positions},
                       {"probabilities", probabilities},
                       {"d_out", d_out}});
}

}  // namespace detail

/// The memory that the next chunk starts from: keys and values of the last S positions.
///
/// **Shapes** next (N*B, H*(nk+nv)), N = min(S, M + T): with T < S the older rows come from
/// `in.memory`, as far as it reaches.
/// **Throws** tare::error on shapes that do not fit and on overlap.
template <class Scalar>
void segment_memory(const segment_layout& layout, const segment_inputs<Scalar>& in,
                    matrix_view<Scalar> next) {
    constexpr auto name = "segment_memory";
    detail::require_segment(name, layout, in);
    const extent known = detail::remembered(layout, in.memory);
    const extent kept = std::min(layout.window, known + layout.tokens);
    detail::require_matrix(name, "next", next, kept * layout.batch,
                           layout.heads * layout.memory_width());
    detail::require_all_apart(name, {{"next", next}}, {{"memory", in.memory}, {"qkv", in.qkv}});
    for (extent s = 0; s < kept; ++s) {
        const extent t = layout.tokens - kept + s;
        for (extent b = 0; b < layout.batch; ++b) {
            Scalar* to = &next(s * layout.batch + b, 0);
            for (extent h = 0; h < layout.heads; ++h, to += layout.memory_width()) {
                const Scalar* from =
                    t >= 0
                        ? &in.qkv(t * layout.batch + b, h * layout.head_width() + layout.key_width)
                        : &in.memory((t + known) * layout.batch + b, h * layout.memory_width());
                std::copy_n(from, layout.memory_width(), to);
            }
        }
    }
}

}  // namespace tare::kernels
