#pragma once
// SPDX-License-Identifier: MIT
// The parameter source of the cost reading: what a compressed model stores, entered into a ledger.

#include <algorithm>
#include <string_view>

#include <tare/core/short_text.hpp>
#include <tare/micronet/compression.hpp>
#include <tare/micronet/ledger.hpp>
#include <tare/nn/activation_point.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/readings/cost.hpp>

namespace tare::micronet {

/// Hands out cost parameters and enters each into the ledger with the bits it occupies:
///   values   non-zeros times width
///   mask     one bit for each element where any element is zero
///   scales   quantized matrices 32 - bits for each row (the inverse scale, cut so that products
///            with the codes are exact in float32), quantized vectors 32
class compressed_parameters {
  public:
    constexpr compressed_parameters(ledger& book, const compression& how)
        : book_(&book), how_(&how) {
        require(how.bits >= 2 && how.bits <= 32, "compression: ", how.bits,
                " bits; from 2 to 32 are possible");
    }

    [[nodiscard]] constexpr cost parameter(std::string_view label, const shape& extents,
                                           const initial&) {
        const int bits = how_->bits_of(label);
        operand what = operand::dense(extents, bits);
        if (const remaining* left = how_->find(label)) {
            require(left->nonzeros >= 0 && left->nonzeros <= extents.size(), "compression: ", label,
                    " of shape ", extents, " cannot have ", left->nonzeros, " non-zeros");
            what.nonzeros = left->nonzeros;
            what.filled_rows = left->filled_rows >= 0 ? left->filled_rows
                                                      : std::min(what.filled_rows, what.nonzeros);
        }
        storage_cost stored;
        stored.value_bits = what.nonzeros * bits;
        stored.mask_bits = what.nonzeros < extents.size() ? extents.size() : 0;
        if (bits < 32) stored.scale_bits = extents.rank() == 2 ? extents[0] * (32 - bits) : 32;
        book_->store({short_text(label), what, stored, {}});
        return cost(*book_, what);
    }

    /// Every quantization point stores its range (32 bits) and its cut inverse scale.
    [[nodiscard]] constexpr activation_point<cost> point(std::string_view label) {
        if (how_->bits == 32) return {};
        storage_cost stored;
        stored.scale_bits = 32 + 32 - how_->bits;
        book_->store({join(label, ".range"), operand::dense(shape{2}), stored, {}});
        return activation_point<cost>(how_->bits);
    }

  private:
    ledger* book_;
    const compression* how_;
};

}  // namespace tare::micronet
