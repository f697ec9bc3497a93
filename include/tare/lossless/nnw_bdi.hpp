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
#include <tare/core/pool.hpp>
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
    std::vector<std::byte, unset_allocator<std::byte>> bytes;
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

// Writes the groups from `first` to `last` one behind the other, from `at` in `out` on, and ends it
// there. Their bytes go to lengths[first] and so on. What new bytes hold before is not looked at,
// so that room for the longest stream costs addresses, not memory.
template <bdi_value Value>
void encode_groups(const nnw_bdi_layout& layout, std::span<const Value> values, std::size_t first,
                   std::size_t last, std::span<std::uint32_t> lengths, std::size_t at,
                   nnw_bdi_stream& out) {
    out.bytes.resize(at + (last - first) * layout.most_group_bytes() + bit_writer::room);
    nnw_bdi_encoder<Value> encoder(layout);
    for (std::size_t g = first; g < last; ++g) {
        const std::size_t begin = g * layout.group_elements();
        const std::size_t count = std::min(values.size() - begin, layout.group_elements());
        bit_writer writer(out.bytes.data() + at);
        encoder.encode(values.subspan(begin, count), begin, writer, out.cost);
        const std::size_t bytes = writer.finish();
        lengths[g] = static_cast<std::uint32_t>(bytes);
        at += bytes;
    }
    out.bytes.resize(at);
}

// The same for all groups, in runs: several for each thread, as parallel_for has ranges.
template <bdi_value Value>
void encode_in_runs(const nnw_bdi_layout& layout, std::span<const Value> values,
                    std::span<std::uint32_t> lengths, std::size_t at, nnw_bdi_stream& out) {
    const std::size_t groups = layout.groups();
    std::vector<nnw_bdi_stream> runs(std::min(4 * static_cast<std::size_t>(threads()), groups));
    first_failure failure;
    const auto each_run = [&](std::size_t work, auto body) {
        parallel_for(static_cast<extent>(runs.size()), 1, static_cast<extent>(work),
                     [&](extent b, extent e) {
                         for (auto r = static_cast<std::size_t>(b); r < static_cast<std::size_t>(e);
                              ++r)
                             body(r);
                     });
    };
    each_run(4 * values.size() / runs.size(), [&](std::size_t r) {
        try {
            encode_groups(layout, values, r * groups / runs.size(), (r + 1) * groups / runs.size(),
                          lengths, 0, runs[r]);
        } catch (...) {  // no memory
            failure.record(r);
        }
    });
    failure.rethrow();
    std::vector<std::size_t> begins;
    for (const nnw_bdi_stream& run : runs) {
        begins.push_back(at);
        at += run.bytes.size();
        out.cost += run.cost;
    }
    out.bytes.resize(at);
    each_run(at / runs.size(), [&](std::size_t r) {
        std::memcpy(out.bytes.data() + begins[r], runs[r].bytes.data(), runs[r].bytes.size());
    });
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
    const std::size_t begin = directory + 4 * groups;
    out.cost = {};
    out.bytes.resize(begin + bit_writer::room);
    bit_writer header(out.bytes.data());
    layout.write(header);
    (void)header.finish();
    std::vector<std::uint32_t> lengths(groups);
    if (threads() == 1 || groups <= 1) {
        detail::encode_groups(layout, values, 0, groups, lengths, begin, out);
    } else {
        detail::encode_in_runs(layout, values, lengths, begin, out);
    }
    std::ranges::copy(std::as_bytes(std::span(lengths)), out.bytes.data() + directory);
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
