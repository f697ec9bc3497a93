#pragma once
// SPDX-License-Identifier: MIT
// What a quantizer says to grouped_quantizer (quantize/grouped.hpp), and how that finds out what of
// the optional part it said:
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
//   [optional] using element_type = F                codes are those of a numeric_format, and
//       void scale_values(values, n, group, y) const, y may be values, stands for decode_values
//   [optional] void finish_groups(Group*, count) const   completes groups in place, many at once
//   [optional] void pack_groups(const Group*, count, std::byte*) const   as put_group, many at once
//       from the beginning of a byte on, zeros behind the last bit
//   [optional] auto coder(tensor) const              what has encode_values and so on, if not
//       the quantizer itself
//   [optional] float gradient(x, group) const        straight-through factor, 1 by default
//   [optional] static constexpr extent block         the group size where it is always the same
//   [optional] static constexpr bool fetches_next    encode_values asks for what it reads next
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

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <tare/core/parallel.hpp>
#include <tare/core/shape.hpp>
#include <tare/quantize/group_layout.hpp>
#include <tare/quantize/packed.hpp>

namespace tare::detail {

/// What codes elements: a copy, which no store through a pointer can change.
template <class Derived, class Tensor>
[[nodiscard]] auto coder_of(const Derived& q, const Tensor& t) {
    if constexpr (requires { q.coder(t); }) {
        return q.coder(t);
    } else {
        return Derived(q);
    }
}

/// The type of codes as they come out of the stream.
template <class Derived, class Code>
struct stored_code_of {
    using type = Code;
};
template <class Derived, class Code>
    requires requires {
        typename Derived::element_type;
    }
struct stored_code_of<Derived, Code> {
    using type = typename Derived::element_type::code_type;
};

/// The optional part, with what stands in for it. Derived must be complete.
template <class Derived, class Group, class Tensor>
struct group_hooks {
    static constexpr extent block = [] {
        if constexpr (requires { Derived::block; }) return Derived::block;
        return extent{0};
    }();
    static constexpr bool fetches_next = requires { requires Derived::fetches_next; };
    static constexpr bool has_elements = requires { typename Derived::element_type; };
    static constexpr bool maps_long_groups =
        block == 0 && requires(const Derived& q, const float* x, float* y, const Group& g) {
        q.fake_values(x, y, extent{0}, extent{0}, true, g);
    };
    /// Whether a group's parameters follow from its own elements alone, and are few.
    static constexpr bool stand_alone =
        std::is_empty_v<Tensor> && sizeof(Group) <= 64 &&
        !requires(const Derived& q, typename Derived::params_type& p) {
        q.finish(p);
    };
    using coder = decltype(coder_of(std::declval<const Derived&>(), std::declval<const Tensor&>()));
    static constexpr bool wide_codes =
        requires(const coder& q, const float* x, const Group& g, std::uint32_t* codes) {
        q.encode_values(x, extent{0}, g, codes);
    };
    /// Codes of a block on their way to packing, and out of the stream.
    using code = std::conditional_t<wide_codes, std::uint32_t, std::uint16_t>;
    using stored_code = typename stored_code_of<Derived, code>::type;

    /// y[i] = what survives of x[i], n of them with one group.
    template <class Count>
    [[gnu::always_inline]] static void fake(const coder& q, const float* x, float* y, Count n,
                                            const Group& group) {
        if constexpr (requires { q.fake_block(x, y, n, group); }) {
            q.fake_block(x, y, n, group);
        } else {
            code codes[group_piece];
            q.encode_values(x, n, group, codes);
            q.decode_values(codes, n, group, y);
        }
    }

    template <class Groups>
    static void put_groups(const Derived& q, code_writer& writer, const Groups& groups) {
        const extent count = static_cast<extent>(groups.size());
        const int width = q.group_bits();
        if constexpr (requires(std::byte * to) { q.pack_groups(groups.data(), count, to); }) {
            if (writer.at_byte()) {
                std::byte* const to = writer.reserve(count, width).data();
                constexpr extent whole = 64;  // groups, which are whole bytes at any width
                return parallel_for(count, whole, 16, [&](extent begin, extent end) {
                    q.pack_groups(groups.data() + begin, end - begin, to + begin * width / 8);
                });
            }
        }
        for (const Group& group : groups)
            q.put_group(writer, group);
    }
};

}  // namespace tare::detail
