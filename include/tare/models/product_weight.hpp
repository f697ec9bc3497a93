#pragma once
// SPDX-License-Identifier: MIT
// A weight that stays product-quantized while a model runs: the second type argument of a
// translation Transformer. Few rows of x are multiplied by codes (kernels/codebook_product.hpp)
// where that takes fewer multiplications than the matrix has; many rows, and matrices with few
// outputs, decode it for the time of one product. Floats are held as they are.
//
// **Accuracy** that of codebook_product against the decoded matrix; where that is decoded, its
// product's bits.

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <tare/core/parallel.hpp>
#include <tare/core/tensor.hpp>
#include <tare/kernels/codebook_product.hpp>
#include <tare/kernels/layer_epilogue.hpp>
#include <tare/kernels/matmul.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/gather.hpp>
#include <tare/quantize/product.hpp>
#include <tare/readings/value.hpp>

namespace tare {

/// A weight (out, in). Copies share their memory.
class product_weight {
  public:
    /// Rows of x from which on a matrix is decoded before it is multiplied, unless told otherwise:
    /// with blocks of 8 decoding is then still half as fast, with blocks of 4 as fast.
    static constexpr extent many_rows = 16;

    product_weight() = default;
    /// **Throws** tare::error unless it is a matrix.
    explicit product_weight(const tensor& floats) {
        require(floats.shape().rank() == 2, "product_weight: the weight has shape ", floats.shape(),
                ", expected (out, in)");
        content_ = std::make_shared<const content>(content{floats.shape(), floats, {}, {}, false});
    }
    /// `always_tables`: many rows are multiplied by codes, too, so that every product executes what
    /// the cost reading charges for it.
    /// **Throws** tare::error on codes that do not belong to the grid.
    explicit product_weight(const product_matrix& coded, bool always_tables = false) {
        const bucket_grid& g = coded.grid;
        const kernels::codebook_layout layout{g.rows, g.columns, g.block,
                                              g.down, g.across,  coded.entries};
        content made{{g.rows, g.columns}, {}, {}, {}, always_tables};
        if (coded.entries <= 256)
            made.codes = kernels::codebook_weights(layout, coded.row_codes(), coded.codebooks);
        else
            made.wide = coded;
        content_ = std::make_shared<const content>(std::move(made));
    }

    [[nodiscard]] bool exists() const noexcept { return content_ != nullptr; }
    [[nodiscard]] const tare::shape& shape() const { return content_->extents; }
    /// Same memory: what makes two parameters one stored matrix.
    [[nodiscard]] const void* identity() const noexcept { return content_.get(); }

    /// Rows by index, (index.size(), in). **Rounding** none. **Throws** tare::error on an index
    /// outside the table.
    [[nodiscard]] tensor rows(std::span<const token> index) const {
        // Floats, and wide codes, which have no row by row decoder: decoded once for all.
        if (!coded_in_bytes()) return tare::gather(decoded(), index);
        const content& c = *content_;
        tensor out(tare::shape{static_cast<extent>(index.size()), c.extents[1]});
        const matrix_view<float> to = out.mutable_view().matrix();
        for (std::size_t r = 0; r < index.size(); ++r) {
            require(index[r] >= 0 && index[r] < c.extents[0], "product_weight: row ", index[r],
                    " of ", c.extents);
            c.codes.copy_row(index[r], to.row(static_cast<extent>(r)));
        }
        return out;
    }
    /// The whole matrix as floats.
    [[nodiscard]] tensor decoded() const {
        const content& c = *content_;
        if (c.dense.exists()) return c.dense;
        tensor w(c.extents);
        const matrix_view<float> to = w.mutable_view().matrix();
        if (!coded_in_bytes()) {
            decode_product(c.wide, to);
            return w;
        }
        parallel_for(to.rows, 1, to.columns, [&](extent begin, extent end) {
            for (extent r = begin; r < end; ++r)
                c.codes.copy_row(r, to.row(r));
        });
        return w;
    }
    /// Whether `rows` rows are multiplied by codes.
    [[nodiscard]] bool by_tables(extent rows) const {
        const content& c = *content_;
        return coded_in_bytes() && c.codes.layout().tables_pay() &&
               (rows < many_rows || c.always_tables);
    }
    /// y = finish(x W^T). **Shapes** x (M, in), y (M, out).
    void multiply(matrix_view<const float> x, matrix_view<float> y,
                  const kernels::layer_epilogue& finish = {}) const {
        if (by_tables(x.rows)) return kernels::codebook_product(x, content_->codes, y, finish);
        kernels::matmul(x, decoded().view().matrix(), y, {.transpose_b = true}, finish);
    }

  private:
    struct content {
        tare::shape extents;
        tensor dense;
        kernels::codebook_weights codes;
        product_matrix wide;  ///< codes that need more than a byte
        bool always_tables = false;
    };
    [[nodiscard]] bool coded_in_bytes() const noexcept {
        return content_->codes.layout().entries > 0;
    }

    std::shared_ptr<const content> content_;
};

/// Only the cost reading accounts by module.
[[nodiscard]] inline no_scope scope(const product_weight&, std::string_view) {
    return {};
}

/// y = finish(x W^T + b); a b that does not exist is none. **Shapes** x (..., in), b (out), result
/// (..., out). **Throws** tare::error on shapes that do not fit.
template <std::same_as<product_weight> Weight>
[[nodiscard]] tensor linear(const tensor& x, const Weight& weight, const tensor& bias,
                            kernels::layer_epilogue finish = {}) {
    require(x.shape().rank() >= 1 && x.shape().columns() == weight.shape()[1], "linear: x is ",
            x.shape(), ", the coded W is ", weight.shape(),
            "; the last extent of x must be the last of W. W is stored (out, in)");
    if (bias.exists()) finish.bias = bias.values();
    tensor out(x.shape().with_columns(weight.shape()[0]));
    weight.multiply(x.view().matrix(), out.mutable_view().matrix(), finish);
    return out;
}
/// y = x W^T.
template <std::same_as<product_weight> Weight>
[[nodiscard]] tensor linear(const tensor& x, const Weight& weight) {
    return linear(x, weight, tensor{});
}

/// Rows of a coded table by index. **Throws** tare::error on an index outside the table.
[[nodiscard]] inline tensor gather(const product_weight& table, std::span<const token> index) {
    return table.rows(index);
}

/// A parameter source of coded matrices and floats by name, as a file holds them
/// (io/product_file.hpp). What it is made of must outlive the calls.
class product_source {
  public:
    using products_type = std::map<std::string, product_matrix, std::less<>>;
    using floats_type = std::map<std::string, tensor, std::less<>>;

    /// `always_tables` as in product_weight.
    product_source(const products_type& products, const floats_type& floats,
                   bool always_tables = false)
        : products_(&products), floats_(&floats), always_tables_(always_tables) {}

    /// **Throws** tare::error naming a weight that is not there or has another shape.
    [[nodiscard]] product_weight weight(std::string_view label, const shape& extents,
                                        const initial& start) const {
        const auto found = products_->find(label);
        if (found == products_->end()) return product_weight(parameter(label, extents, start));
        const product_weight out(found->second, always_tables_);
        require(out.shape() == extents, "product_source: ", label, " is ", out.shape(),
                ", the model asks for ", extents);
        return out;
    }
    /// The same of what is held as floats.
    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial&) const {
        const auto found = floats_->find(label);
        require(found != floats_->end(), "product_source: no parameter ", label);
        require(found->second.shape() == extents, "product_source: ", label, " is ",
                found->second.shape(), ", the model asks for ", extents);
        return found->second;
    }

  private:
    const products_type* products_;
    const floats_type* floats_;
    bool always_tables_;
};

}  // namespace tare
