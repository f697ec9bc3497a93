#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI as a stream that can be decoded: base selectors, headers and the group directory are part
// of it and are counted, bit for bit. Lossless when the three shifts are 0, and the floor to a
// multiple of 2^(init_shift), then of 2^(delta_shift) from the base, otherwise.
// The published accounting, which cannot be decoded, is in <tare/lossless/nnw_bdi_reference.hpp>.
// Source: SmaQ and NNW-BDI, the BDI repository of its authors (2020); the stream is ours.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <mutex>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/lossless/nnw_bdi_decoder.hpp>
#include <tare/lossless/nnw_bdi_encoder.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>
#include <tare/lossless/nnw_bdi_options.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// An encoded tensor. cost.total_bits() is 8 bytes.size(): values are the deltas, masks the zero
/// masks, selectors and chunk headers, scales the bases, code books the stream's header, directory
/// and padding.
struct nnw_bdi_stream {
    std::vector<std::byte> bytes;
    storage_cost cost;
};

/// Configurations that suit codes of `bits` bits (1 to 32): deltas of a quarter, half and three
/// quarters of the width, each with 0, 1 and 2 bases, and the whole width.
[[nodiscard]] inline std::vector<nnw_bdi_config> nnw_bdi_configs(int bits) {
    require(bits >= 1 && bits <= 32, "nnw_bdi_configs: ", bits, " bits; it must be 1 to 32");
    std::vector<nnw_bdi_config> configs;
    for (int quarter = 1; quarter <= 3; ++quarter) {
        const int delta = bits * quarter / 4;
        if (delta == 0 || (!configs.empty() && configs.back().delta_bits == delta)) continue;
        for (int bases = 0; bases <= 2; ++bases)
            configs.push_back({bases, bits, delta});
    }
    configs.push_back({0, bits, bits});
    return configs;
}

namespace detail {

// Keeps the exception of the first group that failed, so that the message is the same for any
// number of threads.
class first_failure {
  public:
    void record(std::size_t group) noexcept {
        const std::scoped_lock lock(mutex_);
        if (caught_ && group_ <= group) return;
        caught_ = std::current_exception();
        group_ = group;
    }
    void rethrow() const {
        if (caught_) std::rethrow_exception(caught_);
    }

  private:
    std::mutex mutex_;
    std::exception_ptr caught_;
    std::size_t group_ = 0;
};

// Writes one group to `out` and returns its bytes.
template <bdi_value Value>
std::size_t encode_group(nnw_bdi_encoder<Value>& encoder, const nnw_bdi_layout& layout,
                         std::span<const Value> values, std::size_t group, std::byte* out,
                         storage_cost& cost) {
    const std::size_t first = group * layout.group_elements();
    const std::size_t last = std::min(values.size(), first + layout.group_elements());
    bit_writer writer(out);
    encoder.encode(values.subspan(first, last - first), first, writer, cost);
    return writer.finish();
}

// A group as bytes of its own.
struct nnw_bdi_part {
    std::vector<std::byte> bytes;
    storage_cost cost;
};

// All groups, several threads at once.
template <bdi_value Value>
std::vector<nnw_bdi_part> encode_groups(const nnw_bdi_layout& layout,
                                        std::span<const Value> values) {
    std::vector<nnw_bdi_part> parts(layout.groups());
    first_failure failure;
    const auto elements = static_cast<extent>(layout.group_elements());
    parallel_for(static_cast<extent>(parts.size()), 1, 4 * elements, [&](extent b, extent e) {
        auto g = static_cast<std::size_t>(b);
        try {
            nnw_bdi_encoder<Value> encoder(layout);
            std::vector<std::byte> scratch(layout.most_group_bytes() + bit_writer::room);
            for (; g < static_cast<std::size_t>(e); ++g) {
                const std::size_t length =
                    encode_group(encoder, layout, values, g, scratch.data(), parts[g].cost);
                parts[g].bytes.assign(scratch.data(), scratch.data() + length);
            }
        } catch (...) {  // no memory
            failure.record(g);
        }
    });
    failure.rethrow();
    return parts;
}

}  // namespace detail

/// Encodes `values` into `out`, whose memory is reused: in a loop this saves the page faults.
/// Each chunk takes the configuration with the fewest bits, the first on ties, or stays raw.
/// Rounding: down; up with the probability of what was cut off if options.stochastic_rounding,
/// where the draw of an element depends on the seed and its index only.
/// Throws if an option is out of range; every input can be encoded.
/// Threads: groups of about 16384 elements; the bytes do not depend on their number.
template <bdi_value Value>
void nnw_bdi_encode(std::span<const Value> values, const nnw_bdi_options& options,
                    nnw_bdi_stream& out) {
    check_options<Value>(options, "nnw_bdi_encode");
    const auto layout = detail::nnw_bdi_layout::of<Value>(values.size(), options);
    const std::size_t groups = layout.groups();
    const std::size_t directory = layout.header_bytes();
    std::size_t end = directory + 4 * groups;
    // Old bytes stay until they are overwritten: a vector clears new ones first.
    const auto make_room = [&](std::size_t bytes) {
        const std::size_t size = end + bytes + bit_writer::room;
        if (out.bytes.size() < size) out.bytes.resize(size);
    };
    const auto finish_group = [&](std::size_t group, std::size_t bytes) {
        const auto length = static_cast<std::uint32_t>(bytes);
        std::memcpy(out.bytes.data() + directory + 4 * group, &length, sizeof length);
        end += bytes;
    };
    out.cost = {};
    make_room(0);
    bit_writer header(out.bytes.data());
    layout.write(header);
    (void)header.finish();
    if (threads() == 1) {
        detail::nnw_bdi_encoder<Value> encoder(layout);
        for (std::size_t g = 0; g < groups; ++g) {
            make_room(layout.most_group_bytes());
            std::byte* const at = out.bytes.data() + end;
            finish_group(g, detail::encode_group(encoder, layout, values, g, at, out.cost));
        }
    } else {
        const auto parts = detail::encode_groups(layout, values);
        for (std::size_t g = 0; g < groups; ++g) {
            make_room(parts[g].bytes.size());
            std::ranges::copy(parts[g].bytes, out.bytes.data() + end);
            finish_group(g, parts[g].bytes.size());
            out.cost.value_bits += parts[g].cost.value_bits;
            out.cost.mask_bits += parts[g].cost.mask_bits;
            out.cost.scale_bits += parts[g].cost.scale_bits;
        }
    }
    out.bytes.resize(end);
    out.cost.codebook_bits =
        8 * static_cast<std::int64_t>(out.bytes.size()) - out.cost.total_bits();
}

/// As above, into a new stream.
template <bdi_value Value>
[[nodiscard]] nnw_bdi_stream nnw_bdi_encode(std::span<const Value> values,
                                            const nnw_bdi_options& options) {
    nnw_bdi_stream out;
    nnw_bdi_encode(values, options, out);
    return out;
}

/// The number of elements of a stream. Throws, with the byte, if its header is not one of this
/// value type; the count is never larger than the stream's bits, so it is safe to allocate.
template <bdi_value Value>
[[nodiscard]] std::size_t nnw_bdi_count(std::span<const std::byte> stream) {
    return static_cast<std::size_t>(
        detail::nnw_bdi_layout::read<Value>(stream, "nnw_bdi_count").count);
}

/// Decodes a stream of nnw_bdi_encode; `out` has nnw_bdi_count<Value>(stream) elements.
/// Throws tare::error naming the byte for every stream that is truncated, too long or inconsistent;
/// then `out` is undefined. A changed delta cannot be noticed: the stream carries no checksum.
/// Threads: groups; the result and the error do not depend on their number.
template <bdi_value Value>
void nnw_bdi_decode(std::span<const std::byte> stream, std::span<Value> out) {
    const auto layout = detail::nnw_bdi_layout::read<Value>(stream, "nnw_bdi_decode");
    require(out.size() == layout.count, "nnw_bdi_decode: out has ", out.size(),
            " elements, the stream holds ", layout.count, "; ask nnw_bdi_count first");
    const std::size_t groups = layout.groups();
    const std::size_t directory = layout.header_bytes();
    bit_reader lengths(stream.subspan(directory), "nnw_bdi_decode", directory);
    std::vector<std::size_t> begins(groups + 1);
    begins[0] = directory + 4 * groups;
    for (std::size_t g = 0; g < groups; ++g)
        begins[g + 1] = begins[g] + static_cast<std::size_t>(lengths.take(32));
    require(begins[groups] == stream.size(), "nnw_bdi_decode: byte ", directory,
            ": the directory ends the last group at byte ", begins[groups], ", the stream ends at ",
            stream.size());

    detail::first_failure failure;
    const auto elements = static_cast<extent>(layout.group_elements());
    parallel_for(static_cast<extent>(groups), 1, 2 * elements, [&](extent b, extent e) {
        auto g = static_cast<std::size_t>(b);
        try {
            detail::nnw_bdi_decoder<Value> decoder(layout);
            for (; g < static_cast<std::size_t>(e); ++g) {
                bit_reader in(stream.subspan(begins[g], begins[g + 1] - begins[g]),
                              "nnw_bdi_decode", begins[g]);
                const std::size_t first = g * layout.group_elements();
                const std::size_t last = std::min(out.size(), first + layout.group_elements());
                for (std::size_t at = first; at < last; at += layout.options.chunk)
                    decoder.decode(in, out.subspan(at, std::min(layout.options.chunk, last - at)));
                in.finish();
            }
        } catch (...) {
            failure.record(g);
        }
    });
    failure.rethrow();
}

}  // namespace tare
