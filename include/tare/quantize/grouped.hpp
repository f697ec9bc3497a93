#pragma once
// SPDX-License-Identifier: MIT
// The common part of quantizers that cut a tensor into groups, keep a few numbers per group and
// code every element with the same width: integer grids, block formats, code books. A quantizer
// derives from `grouped_quantizer<itself, its group>` and says only what is its own:
//
//   extent group_size(n) const            length of a group in a tensor of n elements
//   int code_bits() const                 1 to 16
//   int group_bits() const                stored bits of one group's parameters
//   Group fit_group(span) const           parameters of one group; elements may be NaN or infinite
//   void encode_values(x, n, group, codes) const     std::uint16_t codes
//   void decode_values(codes, n, group, y) const
//   void put_group(bit_writer&, group) const; Group get_group(bit_reader&) const
//   [optional] void fake_values(x, y, begin, end, stream, group) const   both steps at once
//   [optional] float gradient(x, group) const        straight-through factor, 1 by default
//
// Elements carry no memory of their neighbours, so any piece of a group can be coded alone.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/quantize/packed.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// Parameters of all groups, in order.
template <class Group>
struct grouped_params {
    std::vector<Group> groups;
    friend bool operator==(const grouped_params&, const grouped_params&) = default;
};

namespace detail {

/// Throws unless output and input of an elementwise function have one size.
inline void require_same_size(std::string_view who, std::size_t x, std::size_t y) {
    require(x == y, who, ": x has ", x, " elements, y has ", y, "; they must have the same size");
}

}  // namespace detail

template <class Derived, class Group>
class grouped_quantizer {
  public:
    using group_type = Group;
    using params_type = grouped_params<Group>;

    /// Parameters of every group of `x`.
    /// Threads: groups; within a group the statistics are blocked, so results do not depend on
    /// their number.
    [[nodiscard]] params_type fit(std::span<const float> x) const {
        const extent n = static_cast<extent>(x.size());
        const extent size = self().group_size(n);
        params_type out;
        out.groups.resize(static_cast<std::size_t>((n + size - 1) / size));
        const auto one = [&](extent g) {
            const extent begin = g * size;
            const extent count = std::min(size, n - begin);
            out.groups[static_cast<std::size_t>(g)] = self().fit_group(
                x.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)));
        };
        const extent groups = static_cast<extent>(out.groups.size());
        if (groups < threads()) {  // few long groups: the threads share each one
            for (extent g = 0; g < groups; ++g)
                one(g);
        } else {
            parallel_for(groups, 1, size * 2, [&](extent begin, extent end) {
                for (extent g = begin; g < end; ++g)
                    one(g);
            });
        }
        return out;
    }

    /// y = decode(encode(x)) without the stream. `y` may be `x`.
    /// Throws if the sizes differ or `p` belongs to a tensor of another size.
    void fake_quantize(std::span<const float> x, const params_type& p, std::span<float> y) const {
        detail::require_same_size(Derived::name, x.size(), y.size());
        const extent n = static_cast<extent>(x.size());
        require_groups(p, n);
        const bool stream = n >= stream_min_elements;
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            pieces(n, p, begin, end, [&](const Group& group, extent from, extent to) {
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
        });
    }

    /// The packed tensor: codes of all elements, then the parameters of all groups.
    [[nodiscard]] packed_tensor encode(std::span<const float> x, const params_type& p) const {
        const extent n = static_cast<extent>(x.size());
        require_groups(p, n);
        packed_tensor out;
        bit_writer writer(out);
        const int width = self().code_bits();
        const std::span<std::byte> bytes = writer.reserve(n, width);
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            std::uint16_t codes[piece];
            for (extent from = begin; from < end; from += piece) {  // whole pieces are whole bytes
                const extent to = std::min(from + piece, end);
                pieces(n, p, from, to, [&](const Group& group, extent b, extent e) {
                    self().encode_values(x.data() + b, e - b, group, codes + (b - from));
                });
                pack_bits(
                    std::span<const std::uint16_t>(codes, static_cast<std::size_t>(to - from)),
                    width, part(bytes, from, to, width));
            }
        });
        for (const Group& group : p.groups)
            self().put_group(writer, group);
        return out;
    }

    /// Values of a packed tensor of y.size() elements.
    /// Throws tare::error with the byte offset on a stream of another size or with damaged fields.
    void decode(const packed_tensor& packed, std::span<float> y) const {
        const extent n = static_cast<extent>(y.size());
        const int width = self().code_bits();
        bit_reader reader(packed, Derived::name);
        const std::span<const std::byte> bytes = reader.take(n, width);
        params_type p;
        const extent size = self().group_size(n);
        const extent groups = (n + size - 1) / size;
        p.groups.reserve(static_cast<std::size_t>(groups));
        for (extent g = 0; g < groups; ++g)
            p.groups.push_back(self().get_group(reader));
        reader.expect_end();
        parallel_for(n, piece, 8, [&](extent begin, extent end) {
            std::uint16_t codes[piece];
            for (extent from = begin; from < end; from += piece) {
                const extent to = std::min(from + piece, end);
                detail::unpack_codes(part(bytes, from, to, width), width,
                                     std::span(codes, static_cast<std::size_t>(to - from)));
                pieces(n, p, from, to, [&](const Group& group, extent b, extent e) {
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
        require_groups(p, static_cast<extent>(x.size()));
        if constexpr (requires(const Group& g) { self().gradient(0.0F, g); }) {
            const extent n = static_cast<extent>(x.size());
            parallel_for(n, piece, 8, [&](extent begin, extent end) {
                pieces(n, p, begin, end, [&](const Group& group, extent from, extent to) {
                    for (extent i = from; i < to; ++i) {
                        const auto at = static_cast<std::size_t>(i);
                        dx[at] = dy[at] * self().gradient(x[at], group);
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
        const extent size = self().group_size(elements);
        return {.value_bits = nonzeros * self().code_bits(),
                .mask_bits = nonzeros < elements ? elements : 0,
                .scale_bits = (elements + size - 1) / size * self().group_bits()};
    }

  private:
    static constexpr extent piece = detail::map_chunk;

    friend Derived;
    constexpr grouped_quantizer() = default;

    [[nodiscard]] constexpr const Derived& self() const noexcept {
        return static_cast<const Derived&>(*this);
    }
    void require_groups(const params_type& p, extent n) const {
        const extent size = self().group_size(n);
        const extent groups = (n + size - 1) / size;
        require(static_cast<extent>(p.groups.size()) == groups, Derived::name, ": ", n,
                " elements are ", groups, " groups, the parameters have ", p.groups.size(),
                "; fit them to this tensor");
    }
    // Calls `one(group, from, to)` on pieces of [begin, end) that lie in one group and in one
    // piece, from the last to the first (see core/elementwise.hpp for why).
    template <class One>
    void pieces(extent n, const params_type& p, extent begin, extent end, One&& one) const {
        const extent size = self().group_size(n);
        for (extent stop = end; stop > begin;) {
            const extent g = (stop - 1) / size;
            const extent start = std::max({begin, g * size, (stop - 1) / piece * piece});
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
