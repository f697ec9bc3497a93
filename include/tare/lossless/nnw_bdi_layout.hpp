#pragma once
// SPDX-License-Identifier: MIT
// The decodable NNW-BDI stream: what stands where. Fields follow each other bit by bit
// (bit_stream.hpp).
//
//   header     count 64, chunk 16, signed 1, zeros 1, unused 6, the three shifts 8 each,
//              immediates 8, configurations 8, each immediate 32, each configuration 3 x 8 bits
//   directory  bytes of each group, 32 bits each; a group is about 16384 elements
//   groups     chunks back to back, the last byte of a group filled with zero bits
//   chunk      configuration index (the number of configurations means raw)
//              zero mask, one bit per element, if zeros are compressed
//              unless raw: which immediates are used, 1 bit each; the number of bases used; the
//              bases selectors of the elements in the mask: ceil(log2(sources)) planes of one bit
//              each,
//                 sources being the used immediates in order and then the bases
//              deltas of the elements in the mask, delta_bits each
//
// A raw chunk holds the values themselves (after the first shift) as deltas; it needs no
// configuration that fits, so every input can be encoded.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include <tare/core/error.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/nnw_bdi_options.hpp>

namespace tare::detail {

struct nnw_bdi_layout {
    std::uint64_t count = 0;
    bool is_signed = false;
    nnw_bdi_options options;  // sizes of 0 bits are already 32; seed and switches are not stored

    template <bdi_value Value>
    [[nodiscard]] static nnw_bdi_layout of(std::size_t count, const nnw_bdi_options& options) {
        nnw_bdi_layout out{count, std::is_signed_v<Value>, options};
        for (nnw_bdi_config& c : out.options.configs) {
            if (c.base_bits == 0) c.base_bits = 32;
            if (c.delta_bits == 0) c.delta_bits = 32;
        }
        return out;
    }

    [[nodiscard]] int config_bits() const noexcept {
        return static_cast<int>(std::bit_width(options.configs.size()));
    }
    [[nodiscard]] std::size_t raw_config() const noexcept { return options.configs.size(); }
    [[nodiscard]] int raw_bits() const noexcept { return 32 - options.init_shift; }
    [[nodiscard]] static int used_bits(const nnw_bdi_config& c) noexcept {
        return static_cast<int>(std::bit_width(static_cast<unsigned>(c.bases)));
    }
    [[nodiscard]] static int selector_bits(std::size_t sources) noexcept {
        return sources <= 1 ? 0 : static_cast<int>(std::bit_width(sources - 1));
    }

    [[nodiscard]] std::size_t chunks_per_group() const noexcept {
        return std::max<std::size_t>(1, 16384 / options.chunk);
    }
    [[nodiscard]] std::size_t group_elements() const noexcept {
        return chunks_per_group() * options.chunk;
    }
    [[nodiscard]] std::size_t groups() const noexcept {
        return static_cast<std::size_t>(count / group_elements() + (count % group_elements() != 0));
    }
    // No group is longer than its chunks as raw ones.
    [[nodiscard]] std::size_t most_group_bytes() const noexcept {
        return (chunks_per_group() * (8 + options.chunk * 33)) / 8 + 1;
    }
    [[nodiscard]] std::size_t header_bytes() const noexcept {
        return 16 + 4 * options.immediates.size() + 3 * options.configs.size();
    }

    void write(bit_writer& out) const noexcept {
        out.put_64(count);
        out.put(options.chunk, 16);
        out.put(std::uint64_t{is_signed} | std::uint64_t{options.zero_compression} << 1, 8);
        for (const int shift : {options.init_shift, options.base_shift, options.delta_shift})
            out.put(static_cast<std::uint64_t>(shift), 8);
        out.put(options.immediates.size(), 8);
        out.put(options.configs.size(), 8);
        for (const std::int64_t i : options.immediates)
            out.put(static_cast<std::uint64_t>(i) & low_mask(32), 32);
        for (const nnw_bdi_config& c : options.configs)
            for (const int field : {c.bases, c.base_bits, c.delta_bits})
                out.put(static_cast<std::uint64_t>(field), 8);
    }

    // Throws unless the header is whole, holds options that an encoder accepts, is of this value
    // type and counts no more elements than the stream has bits (each element takes at least one).
    template <bdi_value Value>
    [[nodiscard]] static nnw_bdi_layout read(std::span<const std::byte> stream,
                                             std::string_view function) {
        bit_reader in(stream, function, 0);
        nnw_bdi_layout out;
        nnw_bdi_options& o = out.options;
        out.count = in.take(64);
        o.chunk = static_cast<std::size_t>(in.take(16));
        const std::uint64_t flags = in.take(8);
        if (flags > 3) in.corrupt("unknown flags ", flags, " before this byte");
        out.is_signed = (flags & 1) != 0;
        o.zero_compression = (flags & 2) != 0;
        for (int* shift : {&o.init_shift, &o.base_shift, &o.delta_shift})
            *shift = static_cast<int>(in.take(8));
        o.immediates.resize(static_cast<std::size_t>(in.take(8)));
        o.configs.resize(static_cast<std::size_t>(in.take(8)));
        for (std::int64_t& i : o.immediates)
            i = static_cast<Value>(in.take(32));
        for (nnw_bdi_config& c : o.configs) {
            for (int* field : {&c.bases, &c.base_bits, &c.delta_bits})
                *field = static_cast<int>(in.take(8));
            if (c.base_bits == 0 || c.delta_bits == 0)
                in.corrupt("a configuration before this byte has a size of 0 bits");
        }
        check_options<Value>(o, message(function, ": bytes 0 to ", in.byte(), ", the header"));
        if (out.is_signed != std::is_signed_v<Value>)
            fail(function, ": byte 10: the stream holds ", out.is_signed ? "signed" : "unsigned",
                 " values; decode it into a span of that type");
        if (out.count / 8 > stream.size())
            fail(function, ": byte 0: ", out.count, " elements cannot be in ", stream.size(),
                 " bytes");
        return out;
    }
};

}  // namespace tare::detail
