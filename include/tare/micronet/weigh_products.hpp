#pragma once
// SPDX-License-Identifier: MIT
// Weighing a translation model whose weights are stored as codes of codebooks: what the file holds
// is what is charged, and products are those of the decoded matrices.

#include <concepts>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <tare/micronet/ledger.hpp>
#include <tare/micronet/weigh_translation.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/quantize/storage.hpp>
#include <tare/readings/cost.hpp>

namespace tare::micronet {

/// What product-quantized weights take, by name; others are floats of 32 bits.
using product_storages = std::map<std::string, storage_cost, std::less<>>;

/// The parameter source of such a model in the cost reading.
class product_parameters {
  public:
    /// Width of codebooks' values, and so of decoded weights: fp16.
    static constexpr int entry_bits = 16;

    product_parameters(ledger& book, const product_storages& products)
        : book_(&book), products_(&products) {}

    [[nodiscard]] cost parameter(std::string_view label, const shape& extents, const initial&) {
        const auto found = products_->find(label);
        const bool product = found != products_->end();
        const operand what = operand::dense(extents, product ? entry_bits : 32);
        const storage_cost stored =
            product ? found->second : storage_cost{.value_bits = 32 * extents.size()};
        book_->store({short_text(label), what, stored, {}});
        return cost(*book_, what);
    }

  private:
    ledger* book_;
    const product_storages* products_;
};

/// One sentence, as weigh() of micronet/weigh_translation.hpp.
/// **Throws** tare::error on impossible sizes and lengths below 1.
template <std::same_as<cost> T = cost>
[[nodiscard]] ledger weigh_products(const translation_transformer_config& config,
                                    const product_storages& products, extent source_length,
                                    extent target_length) {
    ledger book;
    product_parameters source(book, products);
    translate_sentence<T>(book, source, config, source_length, target_length);
    return book;
}

}  // namespace tare::micronet
