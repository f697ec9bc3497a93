#pragma once
// SPDX-License-Identifier: MIT
// NF4: blocks of 64 elements of the flattened tensor, scale = largest magnitude, code = nearest of
// sixteen levels (quantiles of a normal distribution) to clamp(x / scale), the lower on ties.
// Nested scales: the blocks' scales minus their mean, in blocks of 256, are coded with 8 bits of a
// dynamic map times their largest magnitude.
//
// A block of zeros keeps scale 0 and becomes zeros. NaN becomes 0; infinities get the outermost
// level and do not touch the scale. Source: Dettmers, Pagnoni, Holtzman, Zettlemoyer 2023, "QLoRA",
// sections 3 and appendix E.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/formats/nf4.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// The sixteen levels, ascending: those of the format.
inline constexpr const std::array<float, 16>& nf4_levels = nf4::levels;

/// Index of the level nearest to v in [-1, 1] by distances in float32, the lower one on ties. The
/// plain reference of nearest_nf4.
[[nodiscard]] constexpr std::uint8_t nearest_nf4_plain(float v) noexcept {
    const auto distance = [v](float level) { return v > level ? v - level : level - v; };
    std::uint8_t best = 0;
    float least = distance(nf4_levels[0]);
    for (std::uint8_t k = 1; k < 16; ++k) {
        const float d = distance(nf4_levels[k]);
        best = d < least ? k : best;
        least = d < least ? d : least;
    }
    return best;
}

namespace detail {

/// nf4_borders[k]: the largest float32 whose nearest level is k or a lower one. A float32 near the
/// middle of two levels, moved until it is; distances are rounded, so that it may lie beyond it.
inline constexpr std::array<float, 15> nf4_borders = [] {
    std::array<float, 15> out{};
    for (std::uint8_t k = 0; k < 15; ++k) {
        const auto step = [](float v, std::int32_t by) {  // away from zero
            return std::bit_cast<float>(std::bit_cast<std::int32_t>(v) + by);
        };
        float v = (nf4_levels[k] + nf4_levels[k + 1]) / 2;
        const std::int32_t up = v > 0.0F ? 1 : -1;
        while (nearest_nf4_plain(v) > k)
            v = step(v, -up);
        while (nearest_nf4_plain(step(v, up)) <= k)
            v = step(v, up);
        out[k] = v;
    }
    return out;
}();

}  // namespace detail

/// Index of the level nearest to v by distances in float32, the lower one on ties; NaN has that of
/// zero.
[[nodiscard]] constexpr std::uint32_t nearest_nf4(float v) noexcept {
    const std::uint32_t code = detail::sixteen_steps(v, detail::patterns_of(detail::nf4_borders));
    return detail::select(v == v, code, nf4::zero_code);
}

/// The signed dynamic map: 256 values in [-0.99, 1], ascending, whose spacing grows tenfold per
/// decade of magnitude. Source: Dettmers, Lewis, Shleifer, Zettlemoyer 2022, "8-bit optimizers via
/// block-wise quantization", section 2.
[[nodiscard]] inline const std::array<float, 256>& dynamic_map() {
    static const std::array<float, 256> map = [] {
        constexpr int decades = 7;
        std::array<float, 256> out{};
        std::size_t size = 0;
        for (int i = 0; i < decades; ++i) {
            const int steps = 1 << i;  // of equal length in [0.1, 1], each gives its middle
            for (int k = 0; k < steps; ++k) {
                const double middle = 0.1 + 0.9 * (k + 0.5) / steps;
                const auto v = static_cast<float>(middle * std::pow(10.0, i - (decades - 1)));
                out[size++] = v;
                out[size++] = -v;
            }
        }
        out[size++] = 0.0F;
        out[size++] = 1.0F;
        std::ranges::sort(out);
        return out;
    }();
    return map;
}

/// Scale of a block; `code` is its entry in the dynamic map when scales are nested.
struct nf4_group {
    float scale = 0.0F;
    std::uint8_t code = 0;
    friend bool operator==(const nf4_group&, const nf4_group&) = default;
};

/// NF4 with one float32 scale per block: 4.5 bits per element. Gradient: identity.
class nf4_blocks : public grouped_quantizer<nf4_blocks, nf4_group> {
  public:
    static constexpr std::string_view name = "nf4_blocks";
    static constexpr extent block = 64;

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return block; }
    [[nodiscard]] constexpr int code_bits() const noexcept { return 4; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 32; }
    [[nodiscard, gnu::always_inline]] nf4_group fit_group(std::span<const float> x) const {
        return {largest_magnitude(x), 0};
    }
    template <class Code>
    [[gnu::always_inline]] static void encode_values(const float* x, extent n,
                                                     const nf4_group& group, Code* codes) {
        const float divisor = divisor_of(group);
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            codes[i] = static_cast<Code>(nearest_nf4(x[i] / divisor));
    }
    template <class Code>
    [[gnu::always_inline]] static void decode_values(const Code* codes, extent n,
                                                     const nf4_group& group, float* y) {
        const float scale = group.scale;
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = value_of(codes[i]) * scale;
    }
    [[gnu::always_inline]] static void fake_block(const float* x, float* y, extent n,
                                                  const nf4_group& group) {
        const float divisor = divisor_of(group);
        const float scale = group.scale;
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = value_of(nearest_nf4(x[i] / divisor)) * scale;
    }
    void put_group(code_writer& out, const nf4_group& group) const {
        out.put_float(group.scale);
    }
    [[nodiscard]] nf4_group get_group(code_reader& in) const {
        const float scale = in.get_float();
        require(is_finite(scale) && scale >= 0.0F, name, ": a block scale of ", scale,
                " in the stream; it must be finite and not negative");
        return {scale, 0};
    }

  private:
    // As nf4::decode, without a byte on the way: it would make the vectors of the loop shorter.
    static float value_of(std::uint32_t code) noexcept {
        return detail::one_of_sixteen(code, detail::patterns_of(nf4_levels));
    }
    // Without a scale every quotient is 0 or a NaN, which is taken for 0.
    static float divisor_of(const nf4_group& group) noexcept {
        return group.scale == 0.0F ? std::numeric_limits<float>::infinity() : group.scale;
    }
};

/// Parameters of the nested scales: their mean and the largest distances from it.
struct nf4_nested_tensor {
    float offset = 0.0F;
    std::vector<float> absmax;
    friend bool operator==(const nf4_nested_tensor&, const nf4_nested_tensor&) = default;
};

/// NF4 with nested scales: 4.127 bits per element of a large tensor. A nested scale is never
/// negative: where its code would say so, it is 0. Gradient: identity.
class nf4_nested : public grouped_quantizer<nf4_nested, nf4_group, nf4_nested_tensor> {
  public:
    static constexpr std::string_view name = "nf4_nested";
    static constexpr extent block = 64;
    static constexpr extent scales_per_block = 256;

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return block; }
    [[nodiscard]] constexpr int code_bits() const noexcept { return 4; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 8; }
    [[nodiscard]] constexpr std::int64_t tensor_bits(extent groups) const noexcept {
        return 32 + 32 * blocks_of_scales(groups);
    }
    [[nodiscard, gnu::always_inline]] nf4_group fit_group(std::span<const float> x) const {
        return {largest_magnitude(x), 0};
    }
    void finish(params_type& p) const {
        const extent groups = static_cast<extent>(p.groups.size());
        std::vector<float> scales;
        for (const nf4_group& group : p.groups)
            scales.push_back(group.scale);
        p.tensor.offset = static_cast<float>(moments_of(scales).mean);
        for (float& s : scales)
            s -= p.tensor.offset;
        p.tensor.absmax.clear();
        for (extent b = 0; b < blocks_of_scales(groups); ++b) {
            const extent begin = b * scales_per_block;
            const extent count = std::min(scales_per_block, groups - begin);
            p.tensor.absmax.push_back(largest_magnitude(std::span(scales).subspan(
                static_cast<std::size_t>(begin), static_cast<std::size_t>(count))));
        }
        for (extent g = 0; g < groups; ++g) {
            const auto at = static_cast<std::size_t>(g);
            const float most = p.tensor.absmax[static_cast<std::size_t>(g / scales_per_block)];
            const float v = most == 0.0F ? 0.0F : scales[at] / most;
            const auto& map = dynamic_map();
            const auto above = std::ranges::lower_bound(map, v);
            auto k = static_cast<std::size_t>(above - map.begin());
            if (k == map.size() || (k > 0 && v - map[k - 1] <= map[k] - v)) --k;
            p.groups[at] = group_of(static_cast<std::uint8_t>(k), g, p.tensor);
        }
    }
    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n, const nf4_group& group,
                                              Code* codes) const {
        nf4_blocks::encode_values(x, n, group, codes);
    }
    template <class Code>
    [[gnu::always_inline]] void decode_values(const Code* codes, extent n, const nf4_group& group,
                                              float* y) const {
        nf4_blocks::decode_values(codes, n, group, y);
    }
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const nf4_group& group) const {
        nf4_blocks::fake_block(x, y, n, group);
    }
    void put_tensor(code_writer& out, const nf4_nested_tensor& t) const {
        out.put_float(t.offset);
        for (const float most : t.absmax)
            out.put_float(most);
    }
    [[nodiscard]] nf4_nested_tensor get_tensor(code_reader& in, extent groups) const {
        nf4_nested_tensor t;
        t.offset = in.get_float();
        for (extent b = 0; b < blocks_of_scales(groups); ++b)
            t.absmax.push_back(in.get_float());
        require(is_finite(t.offset) && std::ranges::all_of(t.absmax, is_finite), name,
                ": a nested scale in the stream is not finite; the stream is damaged");
        return t;
    }
    void put_group(code_writer& out, const nf4_group& group) const { out.put(group.code, 8); }
    [[nodiscard]] nf4_group get_group(code_reader& in, extent g, const nf4_nested_tensor& t) const {
        return group_of(static_cast<std::uint8_t>(in.get(8)), g, t);
    }

  private:
    static constexpr std::int64_t blocks_of_scales(extent groups) noexcept {
        return (groups + scales_per_block - 1) / scales_per_block;
    }
    static nf4_group group_of(std::uint8_t code, extent g, const nf4_nested_tensor& t) {
        constexpr float most = std::numeric_limits<float>::max();
        const float scale =
            dynamic_map()[code] * t.absmax[static_cast<std::size_t>(g / scales_per_block)] +
            t.offset;
        return {std::clamp(scale, 0.0F, most), code};
    }
};

static_assert(packing_quantizer<nf4_blocks> && packing_quantizer<nf4_nested>);

}  // namespace tare
