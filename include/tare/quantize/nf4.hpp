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
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/dynamic_map.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/nf4_elements.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// NF4 with one float32 scale per block: 4.5 bits per element. Gradient: identity.
class nf4_blocks : public grouped_quantizer<nf4_blocks, nf4_group> {
  public:
    static constexpr std::string_view name = "nf4_blocks";
    static constexpr extent block = 64;
    using element_type = nf4;

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return block; }
    [[nodiscard]] constexpr int code_bits() const noexcept { return 4; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 32; }
    [[nodiscard, gnu::always_inline]] nf4_group fit_group(std::span<const float> x) const {
        return {largest_magnitude(x), 0};
    }
    [[nodiscard]] detail::nf4_elements coder(const no_tensor_params&) const { return {}; }
    void pack_groups(const nf4_group* groups, extent count, std::byte* to) const {
        static_assert(std::endian::native == std::endian::little);
        for (extent g = 0; g < count; ++g)
            std::memcpy(to + 4 * g, &groups[g].scale, 4);
    }
    void put_group(code_writer& out, const nf4_group& group) const { out.put_float(group.scale); }
    [[nodiscard]] nf4_group get_group(code_reader& in) const {
        const float scale = in.get_float();
        in.check(is_finite(scale) && scale >= 0.0F, "a block scale of ", scale,
                 " in the stream; it must be finite and not negative");
        return {scale, 0};
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
    using element_type = nf4;
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
        std::vector<float> scales(p.groups.size());
        for (std::size_t g = 0; g < scales.size(); ++g)
            scales[g] = p.groups[g].scale;
        const float offset = static_cast<float>(moments_of(scales).mean);
        const extent blocks = blocks_of_scales(groups);
        p.tensor = {offset, std::vector<float>(static_cast<std::size_t>(blocks))};
        const dynamic_codes& code_of = dynamic_codes::instance();
        parallel_for(blocks, 1, 16 * scales_per_block, [&](extent begin, extent end) {
            for (extent b = begin; b < end; ++b) {
                const extent first = b * scales_per_block;
                const auto part = std::span(scales).subspan(
                    static_cast<std::size_t>(first),
                    static_cast<std::size_t>(std::min(scales_per_block, groups - first)));
                for (float& s : part)
                    s -= offset;
                const float most = largest_magnitude(part);
                p.tensor.absmax[static_cast<std::size_t>(b)] = most;
                for (std::size_t k = 0; k < part.size(); ++k) {
                    const extent g = first + static_cast<extent>(k);
                    p.groups[static_cast<std::size_t>(g)] =
                        group_of(code_of(most == 0.0F ? 0.0F : part[k] / most), g, p.tensor);
                }
            }
        });
    }
    [[nodiscard]] detail::nf4_elements coder(const nf4_nested_tensor&) const { return {}; }
    void put_tensor(code_writer& out, const nf4_nested_tensor& t) const {
        out.put_float(t.offset);
        for (const float most : t.absmax)
            out.put_float(most);
    }
    [[nodiscard]] nf4_nested_tensor get_tensor(code_reader& in, extent groups) const {
        nf4_nested_tensor t;
        const auto next = [&] {
            const float v = in.get_float();
            in.check(is_finite(v), "a nested scale of ", v,
                     " in the stream; it must be finite, the stream is damaged");
            return v;
        };
        t.offset = next();
        for (extent b = 0; b < blocks_of_scales(groups); ++b)
            t.absmax.push_back(next());
        return t;
    }
    void pack_groups(const nf4_group* groups, extent count, std::byte* to) const {
        for (extent g = 0; g < count; ++g)
            to[g] = static_cast<std::byte>(groups[g].code);
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
