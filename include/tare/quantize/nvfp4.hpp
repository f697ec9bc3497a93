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
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <tare/core/parallel.hpp>
#include <tare/formats/fp6.hpp>
#include <tare/formats/fp8.hpp>
#include <tare/quantize/block_elements.hpp>
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
    float inward = 0.0F;   ///< (1/t)/b
    float outward = 0.0F;  ///< b t
    /// b, the value of the code.
    [[nodiscard]] constexpr float scale() const noexcept { return fp8_e4m3::decode(code); }
    friend bool operator==(const nvfp4_group&, const nvfp4_group&) = default;
};

/// The quantizer. Gradient: identity.
/// Storage: 4 bits per element, 8 per block, 32 per tensor; low nibble first.
class nvfp4 : public grouped_quantizer<nvfp4, nvfp4_group, nvfp4_tensor> {
  public:
    static constexpr std::string_view name = "nvfp4";
    static constexpr float least_scale = 0x1p-6F;
    static constexpr extent block = 16;

    nvfp4() = default;
    /// `columns`: length of a row, 0 for one long row; blocks start anew at every row.
    explicit nvfp4(extent columns) : rows_{columns} {}

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return block; }
    [[nodiscard]] constexpr extent row_length(extent n) const { return rows_.row_length(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return 4; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 8; }
    [[nodiscard]] constexpr std::int64_t tensor_bits(extent) const noexcept { return 32; }

    /// The largest magnitude of the block, in `outward` until finish() knows the tensor's.
    [[nodiscard, gnu::always_inline]] nvfp4_group fit_group(std::span<const float> x) const {
        return {0, 0.0F, largest_magnitude(x)};
    }
    /// The scales of the tensor and of its blocks, from the blocks' largest magnitudes.
    void finish(params_type& p) const {
        const extent groups = static_cast<extent>(p.groups.size());
        float most = 0.0F;
        for (const nvfp4_group& group : p.groups)
            most = std::max(most, group.outward);
        const float scale = most / (fp8_e4m3::max_value() * fp4_e2m1::max_value());
        p.tensor.scale = scale >= std::numeric_limits<float>::min() ? scale : 0.0F;
        const group_table table = groups_of(p.tensor);
        parallel_for(groups, 1, 16, [&](extent begin, extent end) {
            nvfp4_group* const group = p.groups.data();
            const float t = p.tensor.scale;
            constexpr extent some = 256;
            for (extent from = begin; from < end; from += some) {
                const extent count = std::min(some, end - from);
                std::uint8_t codes[some];
#pragma omp simd
                for (extent g = 0; g < count; ++g) {
                    const float wanted = group[from + g].outward / fp4_e2m1::max_value() / t;
                    const float above = wanted > least_scale ? wanted : least_scale;
                    constexpr float largest = fp8_e4m3::max_value();
                    codes[g] = fp8_e4m3::encode(above < largest ? above : largest);
                }
                for (extent g = 0; g < count; ++g)
                    group[from + g] = table[codes[g]];
            }
        });
    }
    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n, const nvfp4_group& group,
                                              Code* codes) const {
        elements::encode(x, n, group.inward, codes);
    }
    template <class Code>
    [[gnu::always_inline]] void decode_values(const Code* codes, extent n, const nvfp4_group& group,
                                              float* y) const {
        elements::decode(codes, n, group.outward, y);
    }
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const nvfp4_group& group) const {
        elements::round(x, y, n, group.inward, group.outward);
    }
    void put_tensor(code_writer& out, const nvfp4_tensor& t) const {
        out.put_float(t.scale);
    }
    [[nodiscard]] nvfp4_tensor get_tensor(code_reader& in, extent) const {
        const float scale = in.get_float();
        require(is_finite(scale) && scale >= 0.0F, name, ": a tensor scale of ", scale,
                " in the stream; it must be finite and not negative");
        return {scale};
    }
    void put_group(code_writer& out, const nvfp4_group& group) const {
        out.put(group.code, 8);
    }
    [[nodiscard]] nvfp4_group get_group(code_reader& in, extent, const nvfp4_tensor& t) const {
        const auto code = static_cast<std::uint8_t>(in.get(8));
        require(code < 0x7F, name, ": the block scale code ", static_cast<int>(code),
                " is negative or NaN; the stream is damaged");
        return group_of(code, t);
    }

  private:
    using elements = detail::block_elements<fp4_e2m1, true>;
    using group_table = std::array<nvfp4_group, 127>;

    static nvfp4_group group_of(std::uint8_t code, const nvfp4_tensor& t) noexcept {
        if (t.scale == 0.0F) return {};
        const float scale = fp8_e4m3::decode(code);
        return {code, 1.0F / t.scale / scale, scale * t.scale};
    }
    /// The groups of all codes that a block may have.
    static group_table groups_of(const nvfp4_tensor& t) noexcept {
        group_table table;
        for (std::size_t code = 0; code < table.size(); ++code)
            table[code] = group_of(static_cast<std::uint8_t>(code), t);
        return table;
    }

    row_blocks rows_;
};

static_assert(packing_quantizer<nvfp4>);

}  // namespace tare
