#pragma once
// SPDX-License-Identifier: MIT
// NVFP4: blocks of 16 E2M1 elements with an E4M3 scale, and one float32 scale for the tensor.
//
//   t = amax / (448 * 6)                          tensor
//   b = E4M3(clamp((amax_block / 6) / t, 2^-6, 448))   block
//   code = E2M1(clamp(x ((1/t)/b), -6, 6)), value = code (b t), ties to even
//
// A tensor without a nonzero, or so small that t or 1/t is no normal number, becomes zeros (t = 0).
// NaN becomes 0; infinities saturate and do not touch the scales.
// Source: "Pretraining large language models with NVFP4", arXiv 2509.25149; the lower clamp 2^-6 as
// in pytorch/ao.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <tare/formats/fp6.hpp>
#include <tare/formats/fp8.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Scale of the tensor.
struct nvfp4_tensor {
    float scale = 0.0F;
    friend bool operator==(const nvfp4_tensor&, const nvfp4_tensor&) = default;
};

/// Scale of a block: its E4M3 code; the factors follow from it and from the tensor's scale.
struct nvfp4_group {
    std::uint8_t code = 0;
    float scale = 0.0F;   ///< value of the code
    float inward = 0.0F;  ///< (1/t)/b
    float tensor = 0.0F;  ///< t
    friend bool operator==(const nvfp4_group&, const nvfp4_group&) = default;
};

/// The quantizer. Gradient: identity.
/// Storage: 4 bits per element, 8 per block, 32 per tensor; low nibble first.
class nvfp4 : public grouped_quantizer<nvfp4, nvfp4_group, nvfp4_tensor> {
  public:
    static constexpr std::string_view name = "nvfp4";
    static constexpr float least_scale = 0x1p-6F;

    nvfp4() = default;
    /// `columns`: length of a row, 0 for one long row; blocks start anew at every row.
    explicit nvfp4(extent columns) : rows_{columns} {}

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return 16; }
    [[nodiscard]] constexpr extent row_length(extent n) const { return rows_.row_length(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return 4; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 8; }
    [[nodiscard]] constexpr std::int64_t tensor_bits(extent) const noexcept { return 32; }

    [[nodiscard]] nvfp4_tensor fit_tensor(std::span<const float> x) const {
        const float scale = largest_magnitude(x) / (fp8_e4m3::max_value() * fp4_e2m1::max_value());
        return {scale >= std::numeric_limits<float>::min() ? scale : 0.0F};
    }
    [[nodiscard]] nvfp4_group fit_group(std::span<const float> x, const nvfp4_tensor& t) const {
        if (t.scale == 0.0F) return {};
        const float wanted = largest_magnitude(x) / fp4_e2m1::max_value() / t.scale;
        return group_of(fp8_e4m3::encode(std::clamp(wanted, least_scale, fp8_e4m3::max_value())),
                        t);
    }
    void encode_values(const float* x, extent n, const nvfp4_group& group,
                       std::uint16_t* codes) const {
        for (extent i = 0; i < n; ++i) {
            const float v = x[i] * group.inward;  // the format saturates
            codes[i] = v == v ? fp4_e2m1::encode(v) : std::uint8_t{0};
        }
    }
    void decode_values(const std::uint16_t* codes, extent n, const nvfp4_group& group,
                       float* y) const {
        constexpr float most = std::numeric_limits<float>::max();
        for (extent i = 0; i < n; ++i) {
            const float v = fp4_e2m1::decode(static_cast<std::uint8_t>(codes[i])) *
                            (group.scale * group.tensor);
            y[i] = v > most ? most : (v < -most ? -most : v);
        }
    }
    void put_tensor(code_writer& out, const nvfp4_tensor& t) const { out.put_float(t.scale); }
    [[nodiscard]] nvfp4_tensor get_tensor(code_reader& in, extent) const {
        const float scale = in.get_float();
        require(is_finite(scale) && scale >= 0.0F, name, ": a tensor scale of ", scale,
                " in the stream; it must be finite and not negative");
        return {scale};
    }
    void put_group(code_writer& out, const nvfp4_group& group) const { out.put(group.code, 8); }
    [[nodiscard]] nvfp4_group get_group(code_reader& in, extent, const nvfp4_tensor& t) const {
        const auto code = static_cast<std::uint8_t>(in.get(8));
        require(code < 0x7F, name, ": the block scale code ", static_cast<int>(code),
                " is negative or NaN; the stream is damaged");
        return t.scale == 0.0F ? nvfp4_group{} : group_of(code, t);
    }

  private:
    static nvfp4_group group_of(std::uint8_t code, const nvfp4_tensor& t) noexcept {
        const float scale = fp8_e4m3::decode(code);
        return {code, scale, 1.0F / t.scale / scale, t.scale};
    }

    row_blocks rows_;
};

static_assert(packing_quantizer<nvfp4>);

}  // namespace tare
