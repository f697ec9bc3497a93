#pragma once
// SPDX-License-Identifier: MIT
// What layers do with packed weights (packed_weight.hpp): linear layers, the softmax over a
// vocabulary, rows of a table. All are templates of the weight's one type, so that a file that
// includes this and multiplies nothing compiles none of the kernels.

#include <algorithm>
#include <concepts>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <tare/kernels/layer_epilogue.hpp>
#include <tare/models/packed_vector.hpp>
#include <tare/models/packed_weight.hpp>
#include <tare/ops/pick_log_softmax.hpp>
#include <tare/ops/prepared_weight.hpp>

namespace tare {

/// Only the cost reading accounts by module.
[[nodiscard]] inline no_scope scope(const packed_weight&, std::string_view) {
    return {};
}

/// y = finish(x W^T + b) with a packed W; a b that does not exist is none. **Shapes** x (..., in),
/// b (out), result (..., out). **Throws** tare::error on shapes that do not fit.
template <std::same_as<packed_weight> Weight>
[[nodiscard]] tensor linear(const tensor& x, const Weight& weight, const packed_vector& bias,
                            kernels::layer_epilogue finish) {
    require(x.shape().rank() >= 1 && x.shape().columns() == weight.shape()[1], "linear: x is ",
            x.shape(), ", the packed W is ", weight.shape(),
            "; the last extent of x must be the last of W. W is stored (out, in)");
    require(!bias.exists() || bias.size() == weight.shape()[0], "linear: b is ", bias.shape(),
            ", the packed W is ", weight.shape(), "; b needs one value for each row of W");
    const tensor values = bias.decoded();
    if (values.exists()) finish.bias = values.values();
    tensor out(x.shape().with_columns(weight.shape()[0]));
    weight.multiply(x.view().matrix(), out.mutable_view().matrix(), finish);
    return out;
}
/// y = x W^T.
template <std::same_as<packed_weight> Weight>
[[nodiscard]] tensor linear(const tensor& x, const Weight& weight) {
    return linear(x, weight, packed_vector{}, {});
}
/// y = x W^T + b.
template <std::same_as<packed_weight> Weight>
[[nodiscard]] tensor linear(const tensor& x, const Weight& weight, const packed_vector& bias) {
    return linear(x, weight, bias, {});
}

/// Logarithm of softmax([x W^T + b, more]) at one column per row, in nats. **Shapes** x (N, K),
/// W (C, K), b (C), more (N, E) or a tensor that does not exist, targets N columns below C + E;
/// result (N). Logits exist for few rows only.
template <std::same_as<tensor> T, std::same_as<packed_weight> Weight>
[[nodiscard]] T linear_log_softmax(const T& x, const Weight& weight, const packed_vector& bias,
                                   const T& more, std::span<const token> targets) {
    const extent rows = x.shape().rows();
    if (rows < packed_weight::many_rows && !weight.exact()) {
        std::vector<T> blocks{linear(x, weight, bias)};
        if (more.exists()) blocks.push_back(more);
        return pick_log_softmax(std::span<const T>(blocks),
                                std::vector(targets.begin(), targets.end()));
    }
    T out(shape{rows});
    weight.log_softmax_at(x.view().matrix(), bias.decoded().values(),
                          more.exists() ? more.view().matrix() : matrix_view<const float>{},
                          targets, out.mutable_values());
    return out;
}

/// The outputs x W^T + b of one row of x, made a stretch of columns at a time (see
/// prepared_logits). W and b must outlive the object.
template <std::same_as<packed_weight> Weight>
class packed_logits {
  public:
    packed_logits(const tensor& x, const Weight& weight, const packed_vector& bias)
        : weight_(&weight), bias_(&bias) {
        if (weight.digits_first())
            digits_.emplace(weight.digits(x.view().matrix()));
        else
            whole_ = linear(x, weight, bias);
    }
    /// Columns from `first` on, a multiple of 64.
    void operator()(extent first, std::span<float> to) const {
        if (digits_)
            weight_->multiply_columns(*digits_, *bias_, first, to);
        else
            std::copy_n(whole_.values().begin() + first, to.size(), to.begin());
    }
    /// Cost of one logit, in units of parallel_for.
    [[nodiscard]] extent work() const { return digits_ ? weight_->shape()[1] / 8 : 1; }

  private:
    const Weight* weight_;
    const packed_vector* bias_;
    std::optional<kernels::signed_digits> digits_;
    tensor whole_;
};
/// **Shapes** x (1, K), W (C, K), b (C). **Throws** tare::error on shapes that do not fit.
template <std::same_as<packed_weight> Weight>
[[nodiscard]] packed_logits<Weight> logits_by_columns(const tensor& x, const Weight& weight,
                                                      const packed_vector& bias) {
    require(x.shape().rows() == 1 && x.shape().columns() == weight.shape()[1] &&
                bias.size() == weight.shape()[0],
            "logits_by_columns: x is ", x.shape(), ", the packed W is ", weight.shape(), ", b is ",
            bias.shape(), "; one row of x and one bias for each row of W are expected");
    return {x, weight, bias};
}

/// A temporary would not outlive the object.
template <std::same_as<packed_weight> Weight>
packed_logits<Weight> logits_by_columns(const tensor&, const Weight&,
                                        const packed_vector&&) = delete;

/// Rows of a packed table by index. **Throws** tare::error on an index outside the table.
[[nodiscard]] inline tensor gather(const packed_weight& table, std::span<const token> index) {
    const extent width = table.shape()[1];
    tensor out(shape{static_cast<extent>(index.size()), width});
    for (std::size_t r = 0; r < index.size(); ++r) {
        require(index[r] >= 0 && index[r] < table.shape()[0], "gather: index ", index[r],
                " is outside the packed table ", table.shape());
        table.row(index[r], out.mutable_values().subspan(r * static_cast<std::size_t>(width),
                                                         static_cast<std::size_t>(width)));
    }
    return out;
}

}  // namespace tare
