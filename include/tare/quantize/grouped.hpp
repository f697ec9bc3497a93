#pragma once
// SPDX-License-Identifier: MIT
// The common part of quantizers that cut a tensor into groups, keep a few numbers per group and
// code every element with the same width: integer grids, block formats, code books. A quantizer
// derives from `grouped_quantizer<itself, its group>` and says only what is its own:
//
//   extent group_size(n) const            length of a group in a tensor of n elements
//   [optional] extent row_length(n) const groups start anew at every row; the tensor is one row
//   int code_bits() const                 1 to 16
//   int group_bits() const                stored bits of one group's parameters
//   Group fit_group(span) const           parameters of one group; elements may be NaN or infinite
//   void encode_values(x, n, group, codes) const     std::uint32_t or std::uint16_t codes
//   void decode_values(codes, n, group, y) const
//   void put_group(code_writer&, group) const; Group get_group(code_reader&) const
//   [optional] void fake_block(x, y, n, group) const     both steps at once, y may be x
//   [optional] void fake_values(x, y, begin, end, stream, group) const   the same for long groups
//   [optional] using element_type = F                    codes are those of a numeric_format:
//   instead of
//       decode_values, void scale_values(values, n, group, y) const gets their values
//   [optional] void finish_groups(Group*, count) const   completes groups in place, many at once
//   [optional] auto coder(tensor) const                  what has encode_values and so on, if not
//       the quantizer itself
//   [optional] float gradient(x, group) const        straight-through factor, 1 by default
//   [optional] static constexpr extent block         the group size where it is always the same
//
// Block formats are fast because the element functions are loops over `n` without a call in them,
// always_inline: a whole block comes with `n` a constant, so that the compiler vectorises the loop
// of whatever element format without a rest, and constants stay in registers between blocks. Their
// codes are as wide as floats: with bytes among them GCC takes 64 elements for one step.
//
// Formats with parameters of the whole tensor name their type as third argument and add
//   void finish(params&) const            sets them, after all groups were fitted
//   void put_tensor(code_writer&, tensor) const; Tensor get_tensor(code_reader&, groups) const
//   std::int64_t tensor_bits(groups) const
// and their get_group takes the group's index and the tensor's parameters.
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
#include <tare/quantize/group_layout.hpp>
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
            Group* const groups = out.groups.data();
            for (extent g = first; g < last; g += group_batch) {
                const extent stop = std::min(g + group_batch, last);
                at.walk<block<Derived>()>(
                    at.begin(g), at.begin(stop), [&](extent one, extent from, auto count) {
                        groups[one] = q.fit_group(std::span<const float>(
                            x.data() + from, static_cast<std::size_t>(count)));
                    });
                if constexpr (requires { q.finish_groups(groups, g); })
                    q.finish_groups(groups + g, stop - g);
            }
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
            const auto q = coder_for(p);
            const Group* const groups = p.groups.data();
            detail::for_pieces_downward(begin, end, [&](extent from, extent to) {
                if constexpr (maps_long_groups<Derived>()) {
                    at.template walk<0>(from, to, [&](extent g, extent b, extent count) {
                        q.fake_values(x.data(), y.data(), b, b + count, stream, groups[g]);
                    });
                } else {
                    alignas(64) float values[piece];
                    float* const out = stream ? values : y.data() + from;
                    at.template walk<block<Derived>()>(
                        from, to, [&](extent g, extent b, auto count) {
                            detail::fetch_piece_below(x.data() + b, count);
                            fake_run(q, x.data() + b, out + (b - from), count, groups[g]);
                        });
                    if (stream) stream_out(values, y.data() + from, to - from);
                }
            });
            if (stream) simd::stream_fence();
        });
    }

    /// The packed tensor: codes of all elements, then the parameters of all groups.
    [[nodiscard]] packed_tensor encode(std::span<const float> x, const params_type& p) const {
        using code = code_of<Derived>;
        const extent n = static_cast<extent>(x.size());
        const detail::group_layout at = layout(n);
        require_groups(p, at);
        packed_tensor out;
        // At once: parameters that follow large codes would otherwise move them.
        out.bytes.reserve(static_cast<std::size_t>((storage(n, n).total_bits() + 7) / 8));
        code_writer writer(out);
        const int width = self().code_bits();
        const std::span<std::byte> bytes = writer.reserve(n, width);
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            const auto q = coder_for(p);
            const Group* const groups = p.groups.data();
            alignas(64) code codes[piece];
            detail::for_pieces_downward(begin, end, [&](extent from, extent to) {
                at.template walk<block<Derived>()>(from, to, [&](extent g, extent b, auto count) {
                    detail::fetch_piece_below(x.data() + b, count);
                    q.encode_values(x.data() + b, count, groups[g], codes + (b - from));
                });
                pack_bits(std::span<const code>(codes, static_cast<std::size_t>(to - from)), width,
                          part(bytes, from, to, width));
            });
        });
        if constexpr (has_tensor)
            if (n > 0) self().put_tensor(writer, p.tensor);
        for (const Group& group : p.groups)
            self().put_group(writer, group);
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
            const auto q = coder_for(p);
            const Group* const groups = p.groups.data();
            alignas(64) stored_code<Derived> codes[piece];
            alignas(64) float values[piece];
            for (extent from = begin; from < end; from += piece) {  // whole pieces are whole bytes
                const extent to = std::min(from + piece, end);
                const auto count = static_cast<std::size_t>(to - from);
                detail::unpack_codes(part(bytes, from, to, width), width, std::span(codes, count));
                float* const out = stream ? values : y.data() + from;
                if constexpr (requires { typename Derived::element_type; })
                    detail::decode_elements<typename Derived::element_type>(codes, to - from, out);
                at.template walk<block<Derived>()>(from, to, [&](extent g, extent b, auto some) {
                    const extent i = b - from;
                    if constexpr (requires { typename Derived::element_type; }) {
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
    static constexpr extent group_batch = 256;

    [[nodiscard]] constexpr const Derived& self() const noexcept {
        return static_cast<const Derived&>(*this);
    }

    // What Derived declares; templates, because it is not complete where this class is made.
    template <class D>
    static consteval extent block() {
        if constexpr (requires { D::block; }) return D::block;
        return 0;
    }
    template <class D>
    static constexpr bool takes_wide_codes = requires(const D& q, const float* x, const Group& g,
                                                      std::uint32_t* codes) {
        q.encode_values(x, extent{0}, g, codes);
    };
    template <class D>
    using code_of = std::conditional_t<takes_wide_codes<D>, std::uint32_t, std::uint16_t>;
    template <class D>
    static auto stored_code_model() {
        if constexpr (requires { typename D::element_type; })
            return typename D::element_type::code_type{};
        else
            return code_of<D>{};
    }
    template <class D>
    using stored_code = decltype(stored_code_model<D>());
    // A copy, which no store through a pointer can change.
    [[nodiscard]] auto coder_for(const params_type& p) const {
        if constexpr (requires { self().coder(p.tensor); })
            return self().coder(p.tensor);
        else
            return Derived(self());
    }
    template <class D>
    static consteval bool maps_long_groups() {
        return block<D>() == 0 && requires(const D& q, const float* x, float* y, const Group& g) {
            q.fake_values(x, y, extent{0}, extent{0}, true, g);
        };
    }

    // y[i] = what survives of x[i], n of them with one group.
    template <class Coder, class Count>
    [[gnu::always_inline]] static void fake_run(const Coder& q, const float* x, float* y, Count n,
                                                const Group& group) {
        if constexpr (requires { q.fake_block(x, y, n, group); }) {
            q.fake_block(x, y, n, group);
        } else {
            code_of<Derived> codes[piece];
            q.encode_values(x, n, group, codes);
            q.decode_values(codes, n, group, y);
        }
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
