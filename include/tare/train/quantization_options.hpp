#pragma once
// SPDX-License-Identifier: MIT
// Choices of quantization-aware training, and the widths that it knows.

#include <string_view>

#include <tare/core/error.hpp>
#include <tare/micronet/compression.hpp>

namespace tare::train {

struct quantization_options {
    double clip = 0.5;  ///< global gradient norm; 0 for no clipping
    /// True: positions before the start of a stream are zeros that may be attended to, as in the
    /// published quantized model. False: they are masked.
    bool zeros_before_start = false;
    /// True: a sample finds the cache as the sample or evaluation before left it, as in the
    /// published code. False: samples are unrelated, each starts with an empty cache.
    bool keep_cache = false;
    /// True: only matrices stay pruned, and pruned biases are learned again, as in the published
    /// code. False: every zero of a quantized parameter stays.
    bool biases_come_back = false;
};

/// **Throws** tare::error naming what has a width other than 2 to 16 and 32 bits.
inline void check_widths(const micronet::compression& how) {
    const auto check = [](std::string_view what, int bits) {
        require((bits >= 2 && bits <= 16) || bits == 32, "quantization_aware: ", bits, " bits for ",
                what, "; choose 2 to 16, or 32 for no quantization");
    };
    check("activations", how.bits);
    for (const micronet::tensor_width& own : how.widths)
        check(own.label.view(), own.bits);
}

}  // namespace tare::train
