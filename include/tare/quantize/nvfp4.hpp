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
#include <bit>
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

/// Scale of a block: the value of an E4M3 code. The factors follow from it and from the tensor's.
struct nvfp4_group {
    float scale = 0.0F;
    friend bool operator==(const nvfp4_group&, const nvfp4_group&) = default;
};

/// The elements under a tensor's scale; without one all values are 0.
class nvfp4_coder {
  public:
    explicit nvfp4_coder(const nvfp4_tensor& t) noexcept
        : outward_(t.scale), inward_(t.scale == 0.0F ? 0.0F : 1.0F / t.scale) {}

    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n, const nvfp4_group& group,
                                              Code* codes) const {
        elements::encode(x, n, inward_ / group.scale, codes);
    }
    [[gnu::always_inline]] void scale_values(const float* values, extent n,
                                             const nvfp4_group& group, float* y) const {
        elements::scale(values, n, group.scale * outward_, y);
    }
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const nvfp4_group& group) const {
        elements::round(x, y, n, inward_ / group.scale, group.scale * outward_);
    }

  private:
    using elements = detail::block_elements<fp4_e2m1, true>;
    float outward_;
    float inward_;
};

/// The quantizer. Gradient: identity.
/// Storage: 4 bits per element, 8 per block, 32 per tensor; low nibble first.
class nvfp4 : public grouped_quantizer<nvfp4, nvfp4_group, nvfp4_tensor> {
  public:
    static constexpr std::string_view name = "nvfp4";
    static constexpr float least_scale = 0x1p-6F;
    static constexpr extent block = 16;
    using element_type = fp4_e2m1;

    nvfp4() = default;
    /// `columns`: length of a row, 0 for one long row; blocks start anew at every row.
    explicit nvfp4(extent columns) : rows_{columns} {}

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return block; }
    [[nodiscard]] constexpr extent row_length(extent n) const { return rows_.row_length(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return 4; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 8; }
    [[nodiscard]] constexpr std::int64_t tensor_bits(extent) const noexcept { return 32; }

    /// The largest magnitude of the block in the place of its scale, until finish() knows the
    /// tensor's.
    [[nodiscard, gnu::always_inline]] nvfp4_group fit_group(std::span<const float> x) const {
        return {largest_magnitude(x)};
    }
    void finish(params_type& p) const {
        std::int32_t most = 0;  // as a bit pattern: an integer maximum is vectorised
        for (const nvfp4_group& group : p.groups)
            most = std::max(most, std::bit_cast<std::int32_t>(group.scale));
        const float scale =
            std::bit_cast<float>(most) / (fp8_e4m3::max_value() * fp4_e2m1::max_value());
        const float t = scale >= std::numeric_limits<float>::min() ? scale : 0.0F;
        p.tensor.scale = t;
        parallel_for(static_cast<extent>(p.groups.size()), 256, 16, [&](extent begin, extent end) {
            nvfp4_group* const groups = p.groups.data();
            const float by = t;  // its own, which no store can change
            if (by == 0.0F) {
                std::fill(groups + begin, groups + end, nvfp4_group{});
                return;
            }
#pragma omp simd
            for (extent g = begin; g < end; ++g)
                groups[g].scale = block_scale(groups[g].scale, by);
        });
    }
    [[nodiscard]] nvfp4_coder coder(const nvfp4_tensor& t) const noexcept {
        return nvfp4_coder(t);
    }
    void put_tensor(code_writer& out, const nvfp4_tensor& t) const {
        out.put_float(t.scale);
    }
    [[nodiscard]] nvfp4_tensor get_tensor(code_reader& in, extent) const {
        const float scale = in.get_float();
        in.check(is_finite(scale) && scale >= 0.0F, "a tensor scale of ", scale,
                 " in the stream; it must be finite and not negative");
        return {scale};
    }
    void pack_groups(const nvfp4_group* groups, extent count, std::byte* to) const {
#pragma omp simd
        for (extent g = 0; g < count; ++g)
            to[g] = static_cast<std::byte>(fp8_e4m3::encode(groups[g].scale));
    }
    void put_group(code_writer& out, const nvfp4_group& group) const {
        out.put(fp8_e4m3::encode(group.scale), 8);
    }
    [[nodiscard]] nvfp4_group get_group(code_reader& in, extent, const nvfp4_tensor& t) const {
        const auto code = static_cast<std::uint8_t>(in.get(8));
        in.check(code < 0x7F, "the block scale code ", static_cast<int>(code),
                 " is negative or NaN; the stream is damaged");
        return {t.scale == 0.0F ? 0.0F : fp8_e4m3::decode(code)};
    }

  private:
    static_assert(sizeof(nvfp4_group) == sizeof(float));

    // E4M3(clamp((m / 6) / t, 2^-6, 448)). The larger of two patterns: a choice between floats
    // would keep the loop around it from being vectorised.
    static float block_scale(float m, float t) noexcept {
        const auto wanted = std::bit_cast<std::uint32_t>(m / fp4_e2m1::max_value() / t);
        const auto least = std::bit_cast<std::uint32_t>(least_scale);
        return fp8_e4m3::round(std::bit_cast<float>(std::max(wanted, least)));  // it saturates
    }

    row_blocks rows_;
};

static_assert(packing_quantizer<nvfp4>);

}  // namespace tare
