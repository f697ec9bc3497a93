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
//   void encode_values(x, n, group, codes) const     std::uint16_t codes
//   void decode_values(codes, n, group, y) const
//   void put_group(code_writer&, group) const; Group get_group(code_reader&) const
//   [optional] void fake_values(x, y, begin, end, stream, group) const   both steps at once
//   [optional] float gradient(x, group) const        straight-through factor, 1 by default
//
// Formats with parameters of the whole tensor name their type as third argument, take it as last
// argument of fit_group and get_group (there before the group's index), and add
//   Tensor fit_tensor(span) const; [optional] void finish(params&) const, after all groups
//   void put_tensor(code_writer&, tensor) const; Tensor get_tensor(code_reader&, groups) const
//   std::int64_t tensor_bits(groups) const
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
    std::vector<Group> groups;
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
        const layout at(self(), static_cast<extent>(x.size()));
        params_type out;
        if constexpr (has_tensor) out.tensor = self().fit_tensor(x);
        out.groups.resize(static_cast<std::size_t>(at.groups));
        const auto some = [&](extent begin, extent end) {
            for (extent g = begin; g < end; ++g) {
                const std::span<const float> values = x.subspan(
                    static_cast<std::size_t>(at.begin(g)), static_cast<std::size_t>(at.length(g)));
                Group& group = out.groups[static_cast<std::size_t>(g)];
                if constexpr (has_tensor) {
                    group = self().fit_group(values, out.tensor);
                } else {
                    group = self().fit_group(values);
                }
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
        const layout at(self(), n);
        require_groups(p, at);
        const bool stream = n >= stream_min_elements;
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            pieces(at, p, begin, end, [&](const Group& group, extent from, extent to) {
                if constexpr (requires {
                                  self().fake_values(x.data(), y.data(), from, to, stream, group);
                              }) {
                    self().fake_values(x.data(), y.data(), from, to, stream, group);
                } else {
                    std::uint16_t codes[piece];
                    self().encode_values(x.data() + from, to - from, group, codes);
                    self().decode_values(codes, to - from, group, y.data() + from);
                }
            });
            if (stream) simd::stream_fence();
        });
    }

    /// The packed tensor: codes of all elements, then the parameters of all groups.
    [[nodiscard]] packed_tensor encode(std::span<const float> x, const params_type& p) const {
        const extent n = static_cast<extent>(x.size());
        const layout at(self(), n);
        require_groups(p, at);
        packed_tensor out;
        // At once: parameters that follow large codes would otherwise move them.
        out.bytes.reserve(static_cast<std::size_t>((storage(n, n).total_bits() + 7) / 8));
        code_writer writer(out);
        const int width = self().code_bits();
        const std::span<std::byte> bytes = writer.reserve(n, width);
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            std::uint16_t codes[piece];
            for (extent from = begin; from < end; from += piece) {  // whole pieces are whole bytes
                const extent to = std::min(from + piece, end);
                pieces(at, p, from, to, [&](const Group& group, extent b, extent e) {
                    self().encode_values(x.data() + b, e - b, group, codes + (b - from));
                });
                pack_bits(
                    std::span<const std::uint16_t>(codes, static_cast<std::size_t>(to - from)),
                    width, part(bytes, from, to, width));
            }
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
        const layout at(self(), n);
        params_type p;
        if constexpr (has_tensor)
            if (n > 0) p.tensor = self().get_tensor(reader, at.groups);
        p.groups.reserve(static_cast<std::size_t>(at.groups));
        for (extent g = 0; g < at.groups; ++g) {
            if constexpr (has_tensor) {
                p.groups.push_back(self().get_group(reader, g, p.tensor));
            } else {
                p.groups.push_back(self().get_group(reader));
            }
        }
        reader.expect_end();
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            std::uint16_t codes[piece];
            for (extent from = begin; from < end; from += piece) {
                const extent to = std::min(from + piece, end);
                detail::unpack_codes(part(bytes, from, to, width), width,
                                     std::span(codes, static_cast<std::size_t>(to - from)));
                pieces(at, p, from, to, [&](const Group& group, extent b, extent e) {
                    self().decode_values(codes + (b - from), e - b, group, y.data() + b);
                });
            }
        });
    }

    /// Straight-through gradient: dx = dy, or 0 where the quantizer clamps.
    void backward(std::span<const float> x, const params_type& p, std::span<const float> dy,
                  std::span<float> dx) const {
        detail::require_same_size(Derived::name, x.size(), dy.size());
        detail::require_same_size(Derived::name, x.size(), dx.size());
        const layout at(self(), static_cast<extent>(x.size()));
        require_groups(p, at);
        if constexpr (requires(const Group& g) { self().gradient(0.0F, g); }) {
            const extent n = static_cast<extent>(x.size());
            parallel_for(n, piece, 8, [&](extent begin, extent end) {
                pieces(at, p, begin, end, [&](const Group& group, extent from, extent to) {
                    for (extent i = from; i < to; ++i) {
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
        const layout at(self(), elements);
        std::int64_t tensor_bits = 0;
        if constexpr (has_tensor) tensor_bits = elements > 0 ? self().tensor_bits(at.groups) : 0;
        return {.value_bits = nonzeros * self().code_bits(),
                .mask_bits = nonzeros < elements ? elements : 0,
                .scale_bits = at.groups * self().group_bits() + tensor_bits};
    }

  protected:
    constexpr grouped_quantizer() = default;

  private:
    static constexpr extent piece = detail::map_chunk;

    [[nodiscard]] constexpr const Derived& self() const noexcept {
        return static_cast<const Derived&>(*this);
    }

    // Where the groups of a tensor of n elements lie.
    struct layout {
        constexpr layout(const Derived& q, extent n_)
            : n(n_), size(q.group_size(n_)), row(n_ > 0 ? n_ : 1) {
            if constexpr (requires { q.row_length(n_); }) row = q.row_length(n_);
            per_row = (row + size - 1) / size;
            groups = n / row * per_row;
        }
        [[nodiscard]] constexpr extent begin(extent g) const {
            return g / per_row * row + g % per_row * size;
        }
        [[nodiscard]] constexpr extent length(extent g) const {
            return std::min(size, row - g % per_row * size);
        }
        [[nodiscard]] constexpr extent group_of(extent i) const {
            return i / row * per_row + i % row / size;
        }
        extent n, size, row, per_row = 0, groups = 0;
    };
    static void require_groups(const params_type& p, const layout& at) {
        require(static_cast<extent>(p.groups.size()) == at.groups, Derived::name, ": ", at.n,
                " elements are ", at.groups, " groups, the parameters have ", p.groups.size(),
                "; fit them to this tensor");
    }
    // Calls `one(group, from, to)` on pieces of [begin, end) that lie in one group and in one
    // piece, from the last to the first (see core/elementwise.hpp for why).
    template <class One>
    static void pieces(const layout& at, const params_type& p, extent begin, extent end,
                       One&& one) {
        for (extent stop = end; stop > begin;) {
            const extent g = at.group_of(stop - 1);
            const extent start = std::max({begin, at.begin(g), (stop - 1) / piece * piece});
            one(p.groups[static_cast<std::size_t>(g)], start, stop);
            stop = start;
        }
    }
    template <class Bytes>
    static Bytes part(Bytes bytes, extent from, extent to, int width) {
        return bytes.subspan(static_cast<std::size_t>(from * width / 8),
                             packed_bytes(static_cast<std::size_t>(to - from), width));
    }
};

}  // namespace tare
