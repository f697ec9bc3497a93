#pragma once
// SPDX-License-Identifier: MIT
// Passes of grouped_quantizer (quantize/grouped.hpp) over the groups of a tensor: the fit alone,
// fit and values together, and the end of packing. Together the elements are read from memory once:
// what one piece of groups was fitted to is still in the first cache when the same piece is
// quantized, and no list of groups is written. That needs parameters that follow from the group's
// own elements.

#include <algorithm>
#include <cstddef>
#include <span>

#include <tare/core/elementwise.hpp>
#include <tare/core/parallel.hpp>
#include <tare/lossless/bit_pack.hpp>
#include <tare/quantize/group_hooks.hpp>
#include <tare/quantize/group_layout.hpp>

namespace tare::detail {

/// Groups that are completed together.
inline constexpr extent group_batch = 256;

/// The longest groups that are fitted and quantized piece by piece: 64 KiB of float32, of which a
/// second cache holds several.
inline constexpr extent longest_fused_group = 16384;

/// out[0 .. last - first) = the parameters of groups first to last of x, at most group_batch of
/// them. Ahead: asks for the elements behind those that it reads.
template <class Hooks, bool Ahead, class Quantizer, class Group>
[[gnu::always_inline]] inline void fit_groups(const Quantizer& q, const group_layout& at,
                                              const float* x, extent first, extent last,
                                              Group* out) {
    at.walk<Hooks::block>(at.begin(first), at.begin(last), [&](extent g, extent from, auto count) {
        if constexpr (Ahead && Hooks::block > 0) fetch_ahead(x + from, count);
        out[g - first] =
            q.fit_group(std::span<const float>(x + from, static_cast<std::size_t>(count)));
    });
    if constexpr (requires { q.finish_groups(out, first); }) q.finish_groups(out, last - first);
}

/// Packs the codes of one piece into `out`. Of a large tensor (`stream`) whole pieces go past the
/// cache: a plain store would first read the line that it overwrites.
template <class Code>
void pack_piece(std::span<const Code> codes, int width, bool stream, std::span<std::byte> out) {
    constexpr auto whole = static_cast<std::size_t>(group_piece);
    if (!stream || codes.size() != whole) return pack_bits(codes, width, out);
    alignas(64) std::byte packed[2 * whole];  // codes have at most 16 bits
    pack_bits(codes, width, std::span(packed, out.size()));
    stream_out(reinterpret_cast<const float*>(packed), reinterpret_cast<float*>(out.data()),
               static_cast<extent>(out.size() / sizeof(float)));
}

/// y = fake_quantize(x, fit(x)) for groups that stand alone, none of them long.
/// Threads: pieces of whole groups. `y` may be `x`.
template <class Hooks, class Quantizer, class Tensor>
void fit_and_fake_groups(const Quantizer& shared, const group_layout& at, const float* x,
                         float* y) {
    const bool stream = at.n >= stream_min_elements;
    // As many whole groups as a piece holds, at least one.
    const extent together = std::clamp(group_piece / at.size, extent{1}, group_batch);
    parallel_for(at.groups, together, at.size * 10, [&](extent begin, extent end) {
        const Quantizer fitter = shared;  // its own, which no store can change
        const auto q = coder_of(shared, Tensor{});
        typename Quantizer::group_type groups[group_batch];
        for (extent first = begin; first < end; first += together) {
            const extent last = std::min(first + together, end);
            fit_groups<Hooks, false>(fitter, at, x, first, last, groups);
            const extent stop = at.begin(last);
            for (extent from = at.begin(first); from < stop; from += group_piece) {
                const extent to = std::min(from + group_piece, stop);
                if constexpr (Hooks::maps_long_groups) {
                    at.walk<0>(from, to, [&](extent g, extent b, extent count) {
                        q.fake_values(x, y, b, b + count, stream, groups[g - first]);
                    });
                } else {
                    alignas(64) float values[group_piece];
                    float* const out = stream ? values : y + from;
                    at.walk<Hooks::block>(from, to, [&](extent g, extent b, auto count) {
                        fetch_next_piece(x + b, count);
                        Hooks::fake(q, x + b, out + (b - from), count, groups[g - first]);
                    });
                    if (stream) stream_out(values, y + from, to - from);
                }
            }
        }
        if (stream) simd::stream_fence();
    });
}

}  // namespace tare::detail
