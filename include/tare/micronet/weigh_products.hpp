#pragma once
// SPDX-License-Identifier: MIT
// Weighing a translation model whose weights are stored as codes of codebooks: what the file holds
// is what is charged, and products are charged as they are executed: by codes where that takes
// fewer multiplications (ops/codebook_linear.hpp), else as those of the decoded matrix.

#include <concepts>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include <tare/micronet/ledger.hpp>
#include <tare/micronet/weigh_translation.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/codebook_linear.hpp>
#include <tare/quantize/storage.hpp>
#include <tare/readings/cost.hpp>

namespace tare::micronet {

/// A product-quantized weight: how it is cut, and what it takes in the file.
struct stored_product {
    kernels::codebook_layout layout;
    storage_cost cost;
};
/// By name; weights that are not here are floats of 32 bits.
using stored_products = std::map<std::string, stored_product, std::less<>>;

/// A weight of the cost reading, the twin of product_weight.
class product_cost {
  public:
    product_cost() = default;
    product_cost(const cost& weight, const kernels::codebook_layout& layout, bool tables)
        : weight_(weight), layout_(layout), tables_(tables && layout.tables_pay()) {}

    [[nodiscard]] tare::shape shape() const { return weight_.shape(); }
    [[nodiscard]] const cost& whole() const noexcept { return weight_; }

    /// Charges x W^T, with a bias if one is given.
    template <class... Bias>
    [[nodiscard]] cost multiply(const cost& x, const Bias&... bias) const {
        // The same question as product_weight's, answered by the layout alone.
        if (tables_) return apply(op::codebook_linear{layout_}, x, weight_, bias...);
        return apply(op::linear{}, x, weight_, bias...);
    }

  private:
    cost weight_;
    kernels::codebook_layout layout_;
    bool tables_ = false;
};

[[nodiscard]] inline cost_scope scope(const product_cost& weight, std::string_view label) {
    return cost_scope(weight.whole().book(), label);
}
[[nodiscard]] inline cost linear(const cost& x, const product_cost& weight) {
    return weight.multiply(x);
}
[[nodiscard]] inline cost linear(const cost& x, const product_cost& weight, const cost& bias) {
    return weight.multiply(x, bias);
}
[[nodiscard]] inline cost gather(const product_cost& table, std::span<const token> index) {
    return tare::gather(table.whole(), index);
}

/// The parameter source of such a model in the cost reading.
class product_parameters {
  public:
    /// Width of codebooks' values, and so of decoded weights: fp16.
    static constexpr int entry_bits = 16;

    product_parameters(ledger& book, const stored_products& products, bool tables)
        : book_(&book), products_(&products), tables_(tables) {}

    [[nodiscard]] product_cost weight(std::string_view label, const shape& extents,
                                      const initial& start) {
        const auto found = products_->find(label);
        // Left as floats by every stage.
        if (found == products_->end()) return {parameter(label, extents, start), {}, false};
        // A decoded weight is as wide as the entry it is: fp16, whatever the code.
        const operand what = operand::dense(extents, entry_bits);
        book_->store({short_text(label), what, found->second.cost, {}});
        return {cost(*book_, what), found->second.layout, tables_};
    }
    [[nodiscard]] cost parameter(std::string_view label, const shape& extents, const initial&) {
        const operand what = operand::dense(extents, 32);
        book_->store({short_text(label), what, {.value_bits = 32 * extents.size()}, {}});
        return cost(*book_, what);
    }

  private:
    ledger* book_;
    const stored_products* products_;
    bool tables_;
};

/// One sentence, as weigh() of micronet/weigh_translation.hpp. `tables`: products by codes where
/// they pay, for any number of rows, as a model of product_weights that are told always_tables
/// executes them; false: all of decoded matrices.
/// **Throws** tare::error on impossible sizes and lengths below 1.
template <std::same_as<cost> T = cost>
[[nodiscard]] ledger weigh_products(const translation_transformer_config& config,
                                    const stored_products& products, bool tables,
                                    extent source_length, extent target_length) {
    ledger book;
    product_parameters source(book, products, tables);
    translate_sentence<T, product_cost>(book, source, config, source_length, target_length);
    return book;
}

}  // namespace tare::micronet
