#pragma once
// SPDX-License-Identifier: MIT
// What compressing does to the parameters of a model, as the accounting needs it: how many values
// are left of each tensor and how wide they are.

#include <string_view>
#include <vector>

#include <tare/core/shape.hpp>
#include <tare/core/short_text.hpp>
#include <tare/nn/parameter_names.hpp>

namespace tare::micronet {

/// What is left of one tensor. A tensor without an entry is dense.
struct remaining {
    short_text label;
    extent nonzeros = 0;
    extent filled_rows = -1;  ///< rows with a non-zero; -1: unknown, as many as there can be
};

/// Parameters that the entry's quantizer leaves at 32 bits: position tables, layer normalisation,
/// the scalars of the cache.
[[nodiscard]] constexpr bool stays_at_32_bits(std::string_view label) {
    return is_position_table(label) || is_normalization(label) || is_cache_scalar(label);
}

/// A tensor whose width is its own.
struct tensor_width {
    short_text label;
    int bits = 32;
};

/// Symmetric linear quantization and pruning in the manner of the published entry.
struct compression {
    int bits = 32;  ///< of weights, biases and activations; 32 for none
    std::vector<remaining> sparse{};
    std::vector<tensor_width> widths{};  ///< tensors that are not `bits` wide

    /// Width of a tensor's stored values.
    [[nodiscard]] constexpr int bits_of(std::string_view label) const {
        if (stays_at_32_bits(label)) return 32;
        for (const tensor_width& own : widths)
            if (own.label.view() == label) return own.bits;
        return bits;
    }
    [[nodiscard]] constexpr const remaining* find(std::string_view label) const {
        for (const remaining& r : sparse)
            if (r.label.view() == label) return &r;
        return nullptr;
    }
};

}  // namespace tare::micronet
