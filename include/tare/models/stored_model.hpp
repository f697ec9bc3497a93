#pragma once
// SPDX-License-Identifier: MIT
// A quantized language model in the form in which it is stored and evaluated: integer codes, one
// step for each row of a matrix, one scale for each vector, two numbers for each quantization
// point.
//     matrix   value = code * cut(1/scale)     cut: the lower `bits` bits zeroed, so that every
//                                              value is exact in float32
//     vector   value = code / scale
//     point    y = round_half_even(clamp(x) / cut(1/scale)) * cut(1/scale)
// scale = (1/m) n of a row's (vector's, range's) largest magnitude m. A tied table is stored once,
// quantized by row, and serves as embedding too. Source: the MIT-HAN-Lab entry's stored model.

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/core/tensor.hpp>
#include <tare/micronet/compression.hpp>
#include <tare/models/transformer_xl_config.hpp>
#include <tare/quantize/linear_levels.hpp>

namespace tare {

/// One parameter as it is stored.
struct stored_tensor {
    shape extents;
    int bits = 32;                    ///< of a code; 32: `values` instead of codes
    std::vector<std::int16_t> codes;  ///< row-major, from -n to n
    std::vector<float> factors;       ///< matrix: step of each row; otherwise: one scale
    std::vector<float> values;

    [[nodiscard]] bool quantized() const noexcept { return bits < 32; }
    [[nodiscard]] bool by_row() const noexcept { return extents.rank() == 2; }
    /// Elements whose stored form is not zero.
    [[nodiscard]] extent nonzeros() const {
        extent count = 0;
        if (quantized()) {
            for (const std::int16_t code : codes)
                count += code != 0 ? 1 : 0;
        } else {
            for (const float value : values)
                count += value == 0.0F ? 0 : 1;
        }
        return count;
    }
    [[nodiscard]] float value(extent i) const {
        const auto at = static_cast<std::size_t>(i);
        if (!quantized()) return values[at];
        const auto code = static_cast<float>(codes[at]);
        return by_row() ? code * factors[static_cast<std::size_t>(i / extents.columns())]
                        : code / factors[0];
    }
    /// All values. **Rounding** exact for matrices, one division for vectors.
    [[nodiscard]] tensor decode() const {
        tensor out(extents);
        const std::span<float> to = out.mutable_values();
        parallel_for(extents.size(), 1024, 8, [&](extent begin, extent end) {
            for (extent i = begin; i < end; ++i)
                to[static_cast<std::size_t>(i)] = value(i);
        });
        return out;
    }
};

/// Quantizes a parameter for storage. **Units** 2 <= bits <= 16, or 32 to keep it as it is.
/// **Rounding** half to even; NaN becomes zero. `by_row` false gives a matrix one step for all
/// rows.
/// **Throws** tare::error on other widths.
[[nodiscard]] inline stored_tensor store_tensor(const tensor& parameter, int bits,
                                                bool by_row = true) {
    stored_tensor out;
    out.extents = parameter.shape();
    out.bits = bits;
    const std::span<const float> w = parameter.values();
    if (bits == 32) {
        out.values.assign(w.begin(), w.end());
        return out;
    }
    require(bits >= 2 && bits <= 16, "store_tensor: ", bits, " bits; choose 2 to 16, or 32");
    const extent rows = out.by_row() ? out.extents[0] : 1;
    const auto width = static_cast<std::size_t>(rows == 0 ? 0 : out.extents.size() / rows);
    out.codes.resize(w.size());
    out.factors.resize(static_cast<std::size_t>(rows));
    const linear_group whole = symmetric_levels::fit(w, bits);
    parallel_for(rows, 1, static_cast<extent>(width) * 16, [&](extent begin, extent end) {
        for (auto r = static_cast<std::size_t>(begin); r < static_cast<std::size_t>(end); ++r) {
            const std::span<const float> row = w.subspan(r * width, width);
            const linear_group group = by_row ? symmetric_levels::fit(row, bits) : whole;
            for (std::size_t i = 0; i < width; ++i)
                out.codes[r * width + i] =
                    static_cast<std::int16_t>(integer_of<symmetric_levels>(row[i], group, bits));
            out.factors[r] = out.by_row() ? cut(1.0F / group.scale, bits) : group.scale;
        }
    });
    return out;
}

/// What a quantization point stores: its range and the cut step.
struct stored_point {
    float max_abs = 0.0F;
    float inverse_scale = 1.0F;
    friend bool operator==(const stored_point&, const stored_point&) = default;
};

/// The point of a tracked range whose largest magnitude is `max_abs`.
[[nodiscard]] inline stored_point store_point(float max_abs, int bits) {
    return {max_abs, cut(symmetric_levels::from_magnitude(max_abs, bits).step, bits)};
}

/// A whole model.
struct stored_model {
    transformer_xl_config config;
    micronet::compression how;  ///< widths; what is left of each tensor follows from its codes
    std::map<std::string, stored_tensor, std::less<>> tensors;
    std::map<std::string, stored_point, std::less<>> points;

    /// Throws on a name that the model does not have.
    [[nodiscard]] const stored_tensor& at(std::string_view label) const {
        const auto found = tensors.find(label);
        require(found != tensors.end(), "stored_model: no tensor is named ", label);
        return found->second;
    }
};

}  // namespace tare
