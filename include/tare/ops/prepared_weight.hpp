#pragma once
// SPDX-License-Identifier: MIT
// A weight matrix held only in the order in which products read it: packed once, when it is loaded.
// A model whose `Weight` is prepared_weight evaluates without a second copy of its weights:
//
//     transformer_xl<tensor, prepared_weight> model(source, config);
//
// Any source of tensors serves: the weight packs what the source hands out and lets it go. Another
// way of holding weights is another type with the same four functions: linear with and without
// bias, gather and scope.

#include <memory>
#include <string_view>

#include <tare/core/prefetch.hpp>
#include <tare/kernels/layer_epilogue.hpp>
#include <tare/kernels/linear_log_softmax.hpp>
#include <tare/kernels/prepared_matrix.hpp>
#include <tare/kernels/thin_row.hpp>
#include <tare/ops/gather.hpp>
#include <tare/readings/value.hpp>

namespace tare {

/// The matrix W of a linear layer or a table of rows, (out, in), packed. Copies share the memory,
/// as tied weights should.
class prepared_weight {
  public:
    prepared_weight() = default;
    /// Packs `rows` (out, in). **Throws** tare::error unless it has two axes.
    prepared_weight(const tensor& rows)
        : extents_(matrix_shape(rows)),
          packed_(std::make_shared<const kernels::prepared_matrix>(rows.view().matrix(), true)) {}

    [[nodiscard]] const tare::shape& shape() const noexcept { return extents_; }
    [[nodiscard]] bool exists() const noexcept { return packed_ != nullptr; }
    [[nodiscard]] const kernels::prepared_matrix& packed() const noexcept { return *packed_; }
    /// Same memory: what makes two parameters one stored tensor.
    [[nodiscard]] const void* identity() const noexcept { return packed_.get(); }
    /// The matrix in its ordinary order, for files.
    [[nodiscard]] tensor unpacked() const {
        tensor out(extents_);
        for (extent r = 0; r < extents_[0]; ++r)
            packed_->copy_column(r, out.mutable_view().matrix().row(r));
        return out;
    }

  private:
    static const tare::shape& matrix_shape(const tensor& rows) {
        require(rows.shape().rank() == 2, "prepared_weight: the tensor is ", rows.shape(),
                "; a weight has two axes, (out, in)");
        return rows.shape();
    }

    tare::shape extents_;
    std::shared_ptr<const kernels::prepared_matrix> packed_;
};

namespace detail {
/// x W^T, whatever is done to each output before it is written.
template <kernels::epilogue Finish>
[[nodiscard]] tensor prepared_product(const tensor& x, const prepared_weight& weight,
                                      const Finish& finish) {
    require(x.shape().rank() >= 1 && x.shape().columns() == weight.shape()[1], "linear: x is ",
            x.shape(), ", W is ", weight.shape(),
            "; the last extent of x must be the last of W. W is stored (out, in)");
    tensor out(x.shape().with_columns(weight.shape()[0]));
    kernels::matmul(x.view().matrix(), weight.packed(), out.mutable_view().matrix(), {}, finish);
    return out;
}
}  // namespace detail

/// y = finish(x W^T + b); a b that does not exist is none. Shapes, cost and errors as linear() of
/// tensors.
[[nodiscard]] inline tensor linear(const tensor& x, const prepared_weight& weight,
                                   const tensor& bias, kernels::layer_epilogue finish) {
    if (bias.exists()) finish.bias = bias.values();
    return detail::prepared_product(x, weight, finish);
}
/// y = x W^T + b.
[[nodiscard]] inline tensor linear(const tensor& x, const prepared_weight& weight,
                                   const tensor& bias) {
    return detail::prepared_product(x, weight, kernels::add_bias(bias.values()));
}
/// y = x W^T.
[[nodiscard]] inline tensor linear(const tensor& x, const prepared_weight& weight) {
    return detail::prepared_product(x, weight, kernels::no_epilogue{});
}

/// Logarithm of softmax([x W^T + b, more]) at one column per row; no matrix of logits is made.
/// **Shapes** x (N, K), W (C, K), b (C), more (N, E) or a tensor that does not exist, targets N
/// columns below C + E; result (N), in nats. **Throws** tare::error on what does not fit.
[[nodiscard]] inline tensor linear_log_softmax(const tensor& x, const prepared_weight& weight,
                                               const tensor& bias, const tensor& more,
                                               std::span<const token> targets) {
    tensor out(tare::shape{x.shape().rows()});
    kernels::linear_log_softmax(x.view().matrix(), weight.packed(), bias.values(),
                                more.exists() ? more.view().matrix() : matrix_view<const float>{},
                                targets, out.mutable_values());
    return out;
}
/// The same; W is packed for the call, which costs one pass over it.
[[nodiscard]] inline tensor linear_log_softmax(const tensor& x, const tensor& weight,
                                               const tensor& bias, const tensor& more,
                                               std::span<const token> targets) {
    return linear_log_softmax(x, prepared_weight(weight), bias, more, targets);
}

/// The outputs x W^T + b of one row of x, made a stretch of columns at a time: what a softmax over
/// a vocabulary reads, without a second pass over it. x, W and b must outlive the object.
class prepared_logits {
  public:
    prepared_logits(const tensor& x, const prepared_weight& weight, const tensor& bias)
        : x_(x.view().matrix()), weight_(&weight), bias_(bias.values()) {}

    /// Columns from `first` on, a multiple of the strips' width.
    void operator()(extent first, std::span<float> to) const {
        const kernels::prepared_matrix& w = weight_->packed();
        const matrix_view<float> out(to.data(), 1, static_cast<extent>(to.size()));
        const float* const strips = w.strips_of_columns(first, out.columns);
        const auto bias = bias_.subspan(static_cast<std::size_t>(first), to.size());
        if (w.depth() <= kernels::thin_depth) {
            kernels::thin_row(x_.row(0), strips, bias, to);
            return;
        }
        kernels::detail::multiply_cell(
            {0, 1, 0, kernels::detail::strips_of(out.columns)}, w.depth(), {x_, false},
            kernels::detail::packed_right{strips, w.depth()}, out, false, kernels::add_bias(bias));
    }
    /// Asks for a part of what the columns from `first` on are made of: what memory brings while
    /// the exponentials of a wide pack are taken, after those of `done` columns.
    [[gnu::always_inline]] void ahead(extent first, extent done) const {
        simd::prefetch<floats_ahead * simd::wide_lanes>(
            weight_->packed().strips_of_columns(first, 0),
            static_cast<std::ptrdiff_t>(static_cast<std::size_t>(done) * floats_ahead));
    }
    /// Cost of one logit, in units of parallel_for.
    [[nodiscard]] extent work() const { return weight_->packed().depth() / 8; }

  private:
    /// Floats asked for with each column: the exponential of one takes as long as reading 16 bytes.
    static constexpr std::size_t floats_ahead = 4;

    matrix_view<const float> x_;
    const prepared_weight* weight_;
    std::span<const float> bias_;
};
/// **Shapes** x (1, K), W (C, K), b (C). **Throws** tare::error on shapes that do not fit.
[[nodiscard]] inline prepared_logits
logits_by_columns(const tensor& x, const prepared_weight& weight, const tensor& bias) {
    require(x.shape().rows() == 1 && x.shape().columns() == weight.shape()[1] &&
                weight.shape()[1] > 0 && bias.size() == weight.shape()[0],
            "logits_by_columns: x is ", x.shape(), ", W is ", weight.shape(), ", b is ",
            bias.shape(), "; one row of x and one bias for each row of W are expected");
    return {x, weight, bias};
}

/// A temporary, such as a tensor becomes, would not outlive the object.
prepared_logits logits_by_columns(const tensor&, const prepared_weight&&, const tensor&) = delete;

/// Rows of the matrix by index. **Shapes** result (index.size(), in).
/// **Throws** tare::error on an index outside the table.
[[nodiscard]] inline tensor gather(const prepared_weight& table, std::span<const token> index) {
    tensor out(op::gather{{index.begin(), index.end()}}.result_shape(std::array{table.shape()}));
    const matrix_view<float> rows = out.mutable_view().matrix();
    parallel_for(rows.rows, 1, 4 * rows.columns, [&](extent begin, extent end) {
        for (extent r = begin; r < end; ++r)
            table.packed().copy_column(index[static_cast<std::size_t>(r)], rows.row(r));
    });
    return out;
}

/// Only the cost reading accounts by module.
[[nodiscard]] inline no_scope scope(const prepared_weight&, std::string_view) {
    return {};
}

}  // namespace tare
