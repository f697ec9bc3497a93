#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the usual chunk: at most 64 elements that lie within 256 of each other, as codes of 8
// bits always do, and deltas of at most 8 bits. They are held as bytes above an origin that stays
// from chunk to chunk as long as it serves, so that what an immediate reaches is known before the
// chunk is seen. All configurations are priced and the least price is taken: random codes make the
// choice random, and a branch that guesses it wrong costs more than all the prices. A few chunks go
// through each step together, whose latencies then hide behind each other. The bits are those of
// <tare/lossless/nnw_bdi_encoder.hpp>, which takes all other chunks.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

#include <tare/core/bits.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/byte_lanes.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/lossless/nnw_bdi_families.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>
#include <tare/quantize/storage.hpp>

namespace tare::detail {

template <bdi_value Value>
class nnw_bdi_byte_encoder {
  public:
    static constexpr std::size_t batch = 8;  // chunks

    explicit nnw_bdi_byte_encoder(const nnw_bdi_layout& layout)
        : layout_(layout), options_(layout.options), families_(layout) {
        // Pricing everything pays where a comparison of 64 bytes is one instruction; elsewhere the
        // planner, which rules most configurations out beforehand, is up to four times as fast.
        serves_ = byte_block::one_register && families_.fit && options_.chunk <= mask_block &&
                  options_.base_shift == 0 && options_.delta_shift == 0 && !options_.random_bases;
        config_bits_ = layout.config_bits();
    }

    // Appends the chunks of `values`, at most `batch` ones; those that are not as above by a call
    // of other(which).
    template <class Other>
    void encode(std::span<const Value> values, bit_writer& to, storage_cost& cost, Other&& other) {
        const std::size_t chunks = (values.size() + options_.chunk - 1) / options_.chunk;
        for (std::size_t c = 0; c < chunks; ++c) {
            // The batch after the next comes into the cache while this one is encoded.
            simd::prefetch<mask_block>(reinterpret_cast<const float*>(part(values, c).data()),
                                       static_cast<std::ptrdiff_t>(2 * batch * options_.chunk));
            chunks_[c].fits = serves_ && load(part(values, c), chunks_[c]);
            if (chunks_[c].fits) cover(chunks_[c]);
        }
        for (std::size_t c = 0; c < chunks; ++c)
            if (chunks_[c].fits) choose(chunks_[c]);
        for (std::size_t c = 0; c < chunks; ++c)
            if (chunks_[c].fits) settle(chunks_[c]);
        bit_writer out = to;  // in registers: a store of bytes may alias every member
        for (std::size_t c = 0; c < chunks; ++c) {
            if (chunks_[c].fits) {
                append(chunks_[c], out, cost);
                continue;
            }
            to = out;
            other(c);
            out = to;
        }
        to = out;
    }

  private:
    [[nodiscard]] std::span<const Value> part(std::span<const Value> values,
                                              std::size_t which) const noexcept {
        const std::size_t begin = which * options_.chunk;
        return values.subspan(begin, std::min(options_.chunk, values.size() - begin));
    }

    // One chunk and what each family makes of it. A source is an immediate or a base.
    struct planned {
        alignas(64) std::uint8_t bytes[2 * mask_block] = {};  // one behind the last is read
        bdi_cover cover;
        bdi_row<std::uint8_t> base[bdi_sources] = {};  // which element; 64 if none
        std::uint64_t stored = 0;                      // elements with a delta
        std::size_t count = 0;                         // elements
        std::uint32_t origin = 0;
        bool fits = false;
        std::size_t config = 0;
        // What is written.
        std::uint64_t head[3] = {};  // all up to the lowest plane of selectors
        int head_bits = 0;
        int base_bits = 0;
        int delta_bits = 0;
        std::uint64_t sources = 0;
    };

    // Fills p.bytes and p.stored; false if the stored elements span 256 or more.
    bool load(std::span<const Value> chunk, planned& p) noexcept {
        const Value* from = chunk.data();
        Value padded[mask_block];
        if (chunk.size() < mask_block) {
            std::fill(std::ranges::copy(chunk, padded).out, padded + mask_block, chunk[0]);
            from = padded;
        }
        p.count = chunk.size();
        p.stored = low_mask(static_cast<int>(chunk.size()));
        const bool inside = narrow_64(from, options_.init_shift, families_.origin, p.bytes);
        if (!inside && !load_elsewhere(from, p)) return false;
        if (inside && options_.zero_compression)
            p.stored &= ~families_.zero.marks(byte_block(p.bytes), 0);
        p.origin = families_.origin;
        return true;
    }

    // As load, if an element lies outside the bytes: zeros may, and the origin may move.
    bool load_elsewhere(const Value* from, planned& p) noexcept {
        std::uint32_t values[mask_block];
        for (std::size_t i = 0; i < mask_block; ++i)
            values[i] = static_cast<std::uint32_t>(from[i] >> options_.init_shift);
        if (options_.zero_compression) p.stored &= ~within_64(values, 0U, 0U);
        if (p.stored == 0) return true;
        Value least = std::numeric_limits<Value>::max();
        Value most = std::numeric_limits<Value>::min();
        // An integer may be read through the type of the other signedness.
        extremes_64(reinterpret_cast<const Value*>(values), p.stored, least, most);
        if (std::int64_t{most} - least > 255) return false;
        const auto bytes = std::int64_t{static_cast<Value>(families_.origin)};
        if (least < bytes || most > bytes + 255) families_.move_to(least, most);
        (void)narrow_64(from, options_.init_shift, families_.origin, p.bytes);
        return true;
    }

    // Which elements each source of each family takes, and which are left then.
    void cover(planned& p) const noexcept {
        const nnw_bdi_families<Value>& f = families_;
        const byte_block bytes(p.bytes);
        const std::size_t immediates = f.prices.immediates;
        for (std::size_t l = 0; l < f.count; ++l) {
            std::uint64_t left = p.stored;
            for (std::size_t i = 0; i < immediates; ++i) {
                const std::uint64_t mask = f.reached[i].marks(bytes, l) & left;
                p.cover.masks[i].at[l] = mask;
                left &= ~mask;
            }
            p.cover.left[0].at[l] = left;
        }
        if (f.all_fit)
            take_bases<true>(p, bytes);
        else
            take_bases<false>(p, bytes);
    }

    // A base is the first element left, or with !AllFit the first one that may be a base.
    template <bool AllFit>
    void take_bases(planned& p, const byte_block& bytes) const noexcept {
        const nnw_bdi_families<Value>& f = families_;
        for (std::size_t b = 0; b < f.prices.most_bases; ++b)
            for (std::size_t l = 0; l < f.taking[b]; ++l) {
                const std::uint64_t left = p.cover.left[b].at[l];
                std::uint64_t candidates = left;
                std::uint64_t open = left;  // without a candidate nothing is
                if constexpr (!AllFit) {
                    candidates &= f.bases.marks(bytes, l);
                    open &= 0 - std::uint64_t{candidates != 0};
                }
                const int base = std::countr_zero(candidates);
                const std::uint64_t mask =
                    bytes.around(p.bytes + base, f.below.at[l], f.above.at[l]) & open;
                p.base[b].at[l] = static_cast<std::uint8_t>(base);
                p.cover.masks[f.prices.immediates + b].at[l] = mask;
                p.cover.left[b + 1].at[l] = left & ~mask;
            }
    }

    // The configuration with the fewest bits, the first of equals, or raw.
    void choose(planned& p) const noexcept {
        const nnw_bdi_families<Value>& f = families_;
        const auto stored = static_cast<std::uint64_t>(std::popcount(p.stored));
        const std::uint64_t raw = stored * static_cast<std::uint64_t>(layout_.raw_bits())
                                      << bdi_price_shift |
                                  layout_.raw_config();
        p.config = std::min(raw, bdi_least_price(f.prices, p.cover, stored)) & 255;
        p.fits = f.entries[p.config].delta_bits <= 8;
    }

    // What the chosen configuration makes of the chunk: the fields in front of the selectors, the
    // lowest plane of those, and the codes in place of the bytes.
    void settle(planned& p) const noexcept {
        const auto& entry = families_.entries[p.config];
        const std::uint64_t all = 0 - std::uint64_t{entry.front_bits != 0};  // raw has no source
        byte_block bases(static_cast<std::uint8_t>(0 - p.origin));
        std::uint64_t plane = 0;
        std::uint64_t sources = 0;
        const auto add = [&](std::uint64_t mask, std::uint8_t byte) {
            const std::uint64_t used = mask != 0;
            plane |= mask & (0 - (sources & 1));
            bases.blend(mask, byte);
            sources += used;
            return used;
        };
        std::uint64_t immediates = 0;
        for (std::size_t i = 0; i < families_.prices.immediates; ++i) {
            const auto immediate = static_cast<std::uint32_t>(options_.immediates[i]);
            const std::uint64_t used = add(p.cover.masks[i].at[entry.lane] & all,
                                           static_cast<std::uint8_t>(immediate - p.origin));
            immediates |= used << i;
        }
        const std::uint64_t before = sources;
        std::uint64_t values = 0;
        int bits = 0;
        for (std::size_t b = 0; b < families_.prices.most_bases; ++b) {
            const std::uint8_t byte = p.bytes[p.base[b].at[entry.lane]];
            const std::uint64_t mask =
                p.cover.masks[families_.prices.immediates + b].at[entry.lane] & all;
            const std::uint64_t used = add(mask, byte);
            values |= ((byte + p.origin) & low_mask(entry.base_bits) & (0 - used)) << bits;
            bits += static_cast<int>(used) * entry.base_bits;
        }
        const std::uint64_t front =
            (values << entry.used_bits | (sources - before)) << families_.prices.immediates |
            immediates;
        p.base_bits = bits;
        p.delta_bits = entry.delta_bits;
        p.sources = sources;
        write_head(p, front, entry.front_bits + bits, extract_bits(plane, p.stored));
        byte_block(p.bytes)
            .minus(bases, static_cast<std::uint8_t>(low_mask(entry.delta_bits)))
            .compress(p.stored, p.bytes);
    }

    // Configuration, zero mask, used immediates and bases, and bit 0 of each stored element's source.
    [[gnu::always_inline]] void write_head(planned& p, std::uint64_t front, int front_bits,
                                           std::uint64_t plane) const noexcept {
        const int selected = p.sources > 1 ? std::popcount(p.stored) : 0;
        if (options_.zero_compression && p.count == mask_block) {  // the places are known
            const int at = config_bits_ + front_bits;  // in the second word; at most 63
            p.head[0] = p.config | p.stored << config_bits_;
            p.head[1] = p.stored >> 1 >> (63 - config_bits_) | front << config_bits_ | plane << at;
            p.head[2] = plane >> 1 >> (63 - at);
            p.head_bits = 64 + at + selected;
            return;
        }
        std::byte bytes[sizeof p.head + sizeof(std::uint64_t)] = {};
        bit_writer out(bytes);
        out.put(p.config, config_bits_);
        if (options_.zero_compression) out.put_wide(p.stored, static_cast<int>(p.count));
        out.put(front, front_bits);
        out.put_wide(plane, selected);
        p.head_bits = static_cast<int>(out.bits());
        (void)out.finish();
        std::memcpy(p.head, bytes, sizeof p.head);
    }

    [[gnu::always_inline]] void append(const planned& p, bit_writer& out,
                                       storage_cost& cost) const noexcept {
        const auto stored = static_cast<unsigned>(std::popcount(p.stored));
        out.put_three(p.head, p.head_bits);
        if (p.sources > 2) append_planes(p, out);  // seldom
        out.put_codes(p.bytes, stored, p.delta_bits);
        cost.value_bits += static_cast<std::int64_t>(stored) * p.delta_bits;
        cost.scale_bits += p.base_bits;
    }

    // Bits 1 and up of the elements' sources.
    void append_planes(const planned& p, bit_writer& out) const noexcept {
        const std::size_t lane = families_.entries[p.config].lane;
        for (int bit = 1; p.sources > std::uint64_t{1} << bit; ++bit) {
            std::uint64_t plane = 0;
            std::uint64_t source = 0;
            for (std::size_t s = 0; s < families_.prices.immediates + families_.prices.most_bases;
                 ++s) {
                const std::uint64_t mask = p.cover.masks[s].at[lane];
                plane |= mask & (0 - (source >> bit & 1));
                source += mask != 0;
            }
            out.put_wide(extract_bits(plane, p.stored), std::popcount(p.stored));
        }
    }

    const nnw_bdi_layout& layout_;
    const nnw_bdi_options& options_;
    nnw_bdi_families<Value> families_;
    int config_bits_ = 0;
    bool serves_ = false;
    planned chunks_[batch];
};

}  // namespace tare::detail
