#pragma once
// SPDX-License-Identifier: MIT
// The common part of quantizers that cut a tensor into groups, keep a few numbers per group and
// code every element with the same width: integer grids, block formats, code books. A quantizer
// derives from `grouped_quantizer<itself, its group>` and says only what is its own, as listed in
// quantize/group_hooks.hpp.
//
// Elements carry no memory of their neighbours, so any piece of a group can be coded alone.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/pool.hpp>
#include <tare/quantize/block_elements.hpp>
#include <tare/quantize/group_hooks.hpp>
#include <tare/quantize/group_layout.hpp>
#include <tare/quantize/group_passes.hpp>
#include <tare/quantize/packed.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// For quantizers without parameters of the whole tensor.
struct no_tensor_params {
    friend bool operator==(const no_tensor_params&, const no_tensor_params&) = default;
};

/// Parameters of all groups, in order, and of the tensor as a whole.
template <class Group, class Tensor = no_tensor_params>
struct grouped_params {
    std::vector<Group, unset_allocator<Group>> groups;
    Tensor tensor{};
    friend bool operator==(const grouped_params&, const grouped_params&) = default;
};

namespace detail {

/// Throws unless output and input of an elementwise function have one size.
inline void require_same_size(std::string_view who, std::size_t x, std::size_t y) {
    require(x == y, who, ": x has ", x, " elements, y has ", y, "; they must have the same size");
}

}  // namespace detail

template <class Derived, class Group, class Tensor = no_tensor_params>
class grouped_quantizer {
    static constexpr bool has_tensor = !std::is_same_v<Tensor, no_tensor_params>;
    // Looked into by the functions below alone: Derived is not complete here.
    using hooks = detail::group_hooks<Derived, Group, Tensor>;

  public:
    using group_type = Group;
    using params_type = grouped_params<Group, Tensor>;

    /// Parameters of every group of `x`.
    /// Threads: groups; within a group the statistics are blocked, so results do not depend on
    /// their number.
    [[nodiscard]] params_type fit(std::span<const float> x) const {
        const detail::group_layout at = layout(static_cast<extent>(x.size()));
        params_type out;
        out.groups.resize(static_cast<std::size_t>(at.groups));
        const auto some = [&](extent first, extent last) {
            const Derived q = self();
            for (extent g = first; g < last; g += detail::group_batch)
                detail::fit_groups<hooks, true>(q, at, x.data(), g,
                                                std::min(g + detail::group_batch, last),
                                                out.groups.data() + g);
        };
        if (at.groups < threads()) {  // few long groups: the threads share each one
            some(0, at.groups);
        } else {
            parallel_for(at.groups, 1, at.size * 2, some);
        }
        if constexpr (requires { self().finish(out); }) self().finish(out);
        return out;
    }

    /// y = decode(encode(x)) without the stream. `y` may be `x`.
    /// Throws if the sizes differ or `p` belongs to a tensor of another size.
    void fake_quantize(std::span<const float> x, const params_type& p, std::span<float> y) const {
        detail::require_same_size(Derived::name, x.size(), y.size());
        const extent n = static_cast<extent>(x.size());
        const detail::group_layout at = layout(n);
        require_groups(p, at);
        const bool stream = n >= stream_min_elements;
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            const auto q = detail::coder_of(self(), p.tensor);
            const Group* const groups = p.groups.data();
            if constexpr (hooks::maps_long_groups)  // constants are set up once
                if (at.groups == 1) {
                    q.fake_values(x.data(), y.data(), begin, end, stream, groups[0]);
                    return simd::stream_fence();
                }
            detail::for_chunks(begin, end, [&](extent from, extent to) {
                if constexpr (hooks::maps_long_groups) {
                    at.template walk<0>(from, to, [&](extent g, extent b, extent count) {
                        q.fake_values(x.data(), y.data(), b, b + count, stream, groups[g]);
                    });
                } else {
                    alignas(64) float values[piece];
                    float* const out = stream ? values : y.data() + from;
                    at.template walk<hooks::block>(from, to, [&](extent g, extent b, auto count) {
                        detail::fetch_next_piece(x.data() + b, count);
                        hooks::fake(q, x.data() + b, out + (b - from), count, groups[g]);
                    });
                    if (stream) stream_out(values, y.data() + from, to - from);
                }
            });
            if (stream) simd::stream_fence();
        });
    }

    /// fake_quantize(x, fit(x), y), the same bits. Where groups are short and stand alone, in one
    /// pass: x is read from memory once. `y` may be `x`. Throws as the two do.
    void fit_and_quantize(std::span<const float> x, std::span<float> y) const {
        detail::require_same_size(Derived::name, x.size(), y.size());
        if constexpr (hooks::stand_alone) {
            const detail::group_layout at = layout(static_cast<extent>(x.size()));
            if (at.size <= detail::longest_fused_group)
                return detail::fit_and_fake_groups<hooks, Derived, Tensor>(self(), at, x.data(),
                                                                           y.data());
        }
        fake_quantize(x, fit(x), y);
    }

    /// The packed tensor: codes of all elements, then the parameters of all groups.
    [[nodiscard]] packed_tensor encode(std::span<const float> x, const params_type& p) const {
        using code = typename hooks::code;
        const extent n = static_cast<extent>(x.size());
        const detail::group_layout at = layout(n);
        require_groups(p, at);
        packed_tensor out;
        // At once: parameters that follow large codes would otherwise move them.
        out.bytes.reserve(static_cast<std::size_t>((storage(n, n).total_bits() + 7) / 8));
        code_writer writer(out);
        const int width = self().code_bits();
        const std::span<std::byte> bytes = writer.reserve(n, width);
        const bool stream = n >= stream_min_elements;
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            const auto q = detail::coder_of(self(), p.tensor);
            const Group* const groups = p.groups.data();
            alignas(64) code codes[piece];
            detail::for_chunks(begin, end, [&](extent from, extent to) {
                at.template walk<hooks::block>(from, to, [&](extent g, extent b, auto count) {
                    const auto encode_part = [&](extent i, auto some) {
                        q.encode_values(x.data() + b + i, some, groups[g], codes + (b + i - from));
                    };
                    if constexpr (hooks::fetches_next) {
                        encode_part(0, count);
                    } else {
                        detail::for_fetched_parts(x.data() + b, count, encode_part);
                    }
                });
                detail::pack_piece(
                    std::span<const code>(codes, static_cast<std::size_t>(to - from)), width,
                    stream, part(bytes, from, to, width));
            });
            if (stream) simd::stream_fence();
        });
        if constexpr (has_tensor)
            if (n > 0) self().put_tensor(writer, p.tensor);
        hooks::put_groups(self(), writer, p.groups);
        return out;
    }

    /// Values of a packed tensor of y.size() elements.
    /// Throws tare::error with the byte offset on a stream of another size or with damaged fields.
    void decode(const packed_tensor& packed, std::span<float> y) const {
        const extent n = static_cast<extent>(y.size());
        const int width = self().code_bits();
        code_reader reader(packed, Derived::name);
        const std::span<const std::byte> bytes = reader.take(n, width);
        const detail::group_layout at = layout(n);
        params_type p;
        if constexpr (has_tensor)
            if (n > 0) p.tensor = self().get_tensor(reader, at.groups);
        // Before any memory for the groups: what a short stream declares is not believed.
        reader.expect(at.groups * self().group_bits());
        p.groups.resize(static_cast<std::size_t>(at.groups));
        for (extent g = 0; g < at.groups; ++g) {
            Group& group = p.groups[static_cast<std::size_t>(g)];
            if constexpr (has_tensor) {
                group = self().get_group(reader, g, p.tensor);
            } else {
                group = self().get_group(reader);
            }
        }
        reader.expect_end();
        const bool stream = n >= stream_min_elements;
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            const auto q = detail::coder_of(self(), p.tensor);
            const Group* const groups = p.groups.data();
            alignas(64) typename hooks::stored_code codes[piece];
            alignas(64) float values[piece];
            for (extent from = begin; from < end; from += piece) {  // whole pieces are whole bytes
                const extent to = std::min(from + piece, end);
                const auto count = static_cast<std::size_t>(to - from);
                detail::unpack_codes(part(bytes, from, to, width), width, std::span(codes, count));
                float* const out = stream ? values : y.data() + from;
                if constexpr (hooks::has_elements)
                    detail::decode_elements<typename Derived::element_type>(codes, to - from, out);
                at.template walk<hooks::block>(from, to, [&](extent g, extent b, auto some) {
                    const extent i = b - from;
                    if constexpr (hooks::has_elements) {
                        q.scale_values(out + i, some, groups[g], out + i);
                    } else {
                        q.decode_values(codes + i, some, groups[g], out + i);
                    }
                });
                if (stream) stream_out(values, y.data() + from, to - from);
            }
            if (stream) simd::stream_fence();
        });
    }

    /// Straight-through gradient: dx = dy, or 0 where the quantizer clamps.
    void backward(std::span<const float> x, const params_type& p, std::span<const float> dy,
                  std::span<float> dx) const {
        detail::require_same_size(Derived::name, x.size(), dy.size());
        detail::require_same_size(Derived::name, x.size(), dx.size());
        const extent n = static_cast<extent>(x.size());
        const detail::group_layout at = layout(n);
        require_groups(p, at);
        if constexpr (requires(const Group& g) { self().gradient(0.0F, g); }) {
            parallel_for(n, piece, 8, [&](extent begin, extent end) {
                at.template walk<0>(begin, end, [&](extent g, extent from, extent count) {
                    const Group& group = p.groups[static_cast<std::size_t>(g)];
                    for (extent i = from; i < from + count; ++i) {
                        const auto k = static_cast<std::size_t>(i);
                        dx[k] = self().gradient(x[k], group) == 0.0F ? 0.0F : dy[k];
                    }
                });
            });
        } else {
            std::ranges::copy(dy, dx.begin());
        }
    }

    /// Bits of a tensor: codes of its nonzeros, a mask of one bit per element if some are zero,
    /// and the parameters of all groups.
    [[nodiscard]] constexpr storage_cost storage(std::int64_t elements,
                                                 std::int64_t nonzeros) const {
        const detail::group_layout at = layout(elements);
        std::int64_t tensor_bits = 0;
        if constexpr (has_tensor) tensor_bits = elements > 0 ? self().tensor_bits(at.groups) : 0;
        return {.value_bits = nonzeros * self().code_bits(),
                .mask_bits = nonzeros < elements ? elements : 0,
                .scale_bits = at.groups * self().group_bits() + tensor_bits};
    }

  protected:
    constexpr grouped_quantizer() = default;

  private:
    static constexpr extent piece = detail::group_piece;

    [[nodiscard]] constexpr const Derived& self() const noexcept {
        return static_cast<const Derived&>(*this);
    }

    [[nodiscard]] constexpr detail::group_layout layout(extent n) const {
        extent row = n > 0 ? n : 1;
        if constexpr (requires { self().row_length(n); }) row = self().row_length(n);
        return {n, self().group_size(n), row};
    }
    static void require_groups(const params_type& p, const detail::group_layout& at) {
        require(static_cast<extent>(p.groups.size()) == at.groups, Derived::name, ": ", at.n,
                " elements are ", at.groups, " groups, the parameters have ", p.groups.size(),
                "; fit them to this tensor");
    }
    template <class Bytes>
    static Bytes part(Bytes bytes, extent from, extent to, int width) {
        return bytes.subspan(static_cast<std::size_t>(from * width / 8),
                             packed_bytes(static_cast<std::size_t>(to - from), width));
    }
};

}  // namespace tare
