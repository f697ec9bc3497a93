#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the writing: one planned chunk to bits, as <tare/lossless/nnw_bdi_layout.hpp> lays it
// out. Only here are deltas computed, for the configuration that won.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <tare/core/random.hpp>
#include <tare/lossless/bit_pack_blocks.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/lane_moves.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/lossless/nnw_bdi_bytes.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>
#include <tare/lossless/nnw_bdi_planner.hpp>
#include <tare/quantize/storage.hpp>

namespace tare::detail {

template <bdi_value Value>
class nnw_bdi_encoder {
  public:
    explicit nnw_bdi_encoder(const nnw_bdi_layout& layout)
        : layout_(layout), options_(layout.options), bytes_(layout), planner_(layout) {}

    // Appends the chunks of `values`, which start at element `first` of the tensor (draws are taken
    // by element).
    void encode(std::span<const Value> values, std::uint64_t first, bit_writer& out,
                storage_cost& cost) {
        const std::size_t chunk = options_.chunk;
        const std::size_t batch = nnw_bdi_byte_encoder<Value>::batch * chunk;
        const std::int64_t before = out.bits() - cost.total_bits();
        for (std::size_t begin = 0; begin < values.size(); begin += batch) {
            const auto some = values.subspan(begin, std::min(batch, values.size() - begin));
            bytes_.encode(some, out, cost, [&](std::size_t which) {
                const std::size_t at = which * chunk;
                const std::size_t count = std::min(chunk, some.size() - at);
                encode_one(some.subspan(at, count), first + begin + at, out, cost);
            });
        }
        // Configurations, masks and selectors are the rest.
        cost.mask_bits += out.bits() - before - cost.total_bits();
    }

  private:
    void encode_one(std::span<const Value> chunk, std::uint64_t first, bit_writer& out,
                    storage_cost& cost) {
        const nnw_bdi_plan& plan = planner_.choose(chunk, first);
        const bool raw = plan.config == layout_.raw_config();
        out.put(plan.config, layout_.config_bits());
        if (options_.zero_compression) out.put(planner_.chunk().stored_words(), chunk.size());
        std::int64_t base_bits = 0;
        if (!raw) {
            const nnw_bdi_config& c = options_.configs[plan.config];
            const std::size_t used = plan.sources - plan.immediates;
            out.put(plan.used_immediates, options_.immediates.size());
            out.put(used, nnw_bdi_layout::used_bits(c));
            for (std::size_t s = plan.immediates; s < plan.sources; ++s)
                out.put(plan.bases[s] >> options_.base_shift & low_mask(c.base_bits), c.base_bits);
            base_bits = static_cast<std::int64_t>(used) * c.base_bits;
            write_selectors(plan, out);
        }
        write_deltas(plan, first, raw ? 0 : options_.delta_shift, out);
        cost.value_bits += planner_.chunk().stored_count() * plan.delta_bits;
        cost.scale_bits += base_bits;
    }

    void write_selectors(const nnw_bdi_plan& plan, bit_writer& out) const {
        const nnw_bdi_chunk_data<Value>& chunk = planner_.chunk();
        const int planes = nnw_bdi_layout::selector_bits(plan.sources);
        for (int p = 0; p < planes; ++p)
            for (std::size_t w = 0; w < chunk.words(); ++w) {
                std::uint64_t plane = 0;
                for (std::size_t s = 0; s < plan.sources; ++s)
                    if ((s >> p & 1) != 0) plane |= plan.masks[s * chunk.words() + w];
                const std::uint64_t dense = extract_bits(plane, chunk.stored(w));
                out.put_wide(dense, std::popcount(chunk.stored(w)));
            }
    }

    void write_deltas(const nnw_bdi_plan& plan, std::uint64_t first, int shift,
                      bit_writer& out) const {
        const nnw_bdi_chunk_data<Value>& chunk = planner_.chunk();
        // Deltas of a byte are right modulo 256, so bytes are enough to compute them.
        const bool bytes = chunk.narrow() && plan.delta_bits <= 8 && shift == 0;
        for (std::size_t w = 0; w < chunk.words(); ++w) {
            const std::uint64_t stored = chunk.stored(w);
            if (stored == 0) continue;
            if (bytes) {
                alignas(64) std::uint8_t base[mask_block];
                alignas(64) std::uint8_t delta[mask_block];
                select_bases(plan, w, chunk.least(), base);
                difference_64(chunk.bytes(w), base, 0, plan.delta_bits, delta);
                write_codes(delta, stored, plan.delta_bits, out);
            } else {
                alignas(64) std::uint32_t base[mask_block];
                alignas(64) std::uint32_t delta[mask_block];
                select_bases(plan, w, 0, base);
                difference_64(chunk.values(w), base, shift, plan.delta_bits, delta);
                if (options_.stochastic_rounding && shift != 0)
                    round_up(plan, chunk.values(w), base, stored, first + 64 * w, delta);
                write_codes(delta, stored, plan.delta_bits, out);
            }
        }
    }

    // The base of each element of block w, less `origin`.
    template <class Lane>
    void select_bases(const nnw_bdi_plan& plan, std::size_t w, std::uint32_t origin,
                      Lane* base) const {
        const std::uint32_t first = plan.sources == 0 ? 0 : plan.bases[0];
        const auto start = static_cast<Lane>(first - origin);
        for (std::size_t i = 0; i < mask_block; ++i)
            base[i] = start;
        for (std::size_t s = 1; s < plan.sources; ++s)
            blend_64(base, plan.masks[s * planner_.chunk().words() + w],
                     static_cast<Lane>(plan.bases[s] - origin));
    }

    template <class Lane>
    static void difference_64(const Lane* value, const Lane* base, int shift, int bits,
                              Lane* delta) noexcept {
        const auto low = static_cast<Lane>(low_mask(bits));
        for (std::size_t i = 0; i < mask_block; ++i) {
            const auto d = static_cast<Lane>(value[i] - base[i]);
            delta[i] = static_cast<Lane>(static_cast<Lane>(d >> shift) & low);
        }
    }

    template <class Lane>
    static void write_codes(const Lane* delta, std::uint64_t stored, int bits,
                            bit_writer& out) noexcept {
        alignas(64) Lane codes[mask_block];
        std::uint64_t packed[max_packed_words];
        const bool all = ~stored == 0;
        const std::size_t count = all ? mask_block : compress_64(delta, stored, codes);
        const auto pack = bit_pack_kernels<Lane>::pack(bits);
        pack(all ? delta : codes, reinterpret_cast<std::byte*>(packed));
        out.put(packed, count * static_cast<std::size_t>(bits));
    }

    // Adds 1 to a delta with the probability of what the shift cut off, unless the delta or the
    // value would leave its range.
    void round_up(const nnw_bdi_plan& plan, const std::uint32_t* value, const std::uint32_t* base,
                  std::uint64_t mask, std::uint64_t first, std::uint32_t* delta) const {
        const int shift = options_.delta_shift;
        const random_stream draws(options_.seed, 0);
        const auto most_delta = static_cast<std::uint32_t>(
            low_mask(plan.delta_bits - static_cast<int>(std::is_signed_v<Value>)));
        const std::int64_t most_value = bdi_range<Value>(layout_.raw_bits()).most;
        for (; mask != 0; mask &= mask - 1) {
            const auto i = static_cast<std::size_t>(std::countr_zero(mask));
            const auto cut = static_cast<std::uint32_t>((value[i] - base[i]) & low_mask(shift));
            const std::uint32_t draw = draws.bits(first + i) >> (32 - shift);
            const std::int64_t up =
                std::int64_t{static_cast<Value>(value[i])} - cut + (std::int64_t{1} << shift);
            if (draw < cut && delta[i] != most_delta && up <= most_value)
                delta[i] = static_cast<std::uint32_t>((delta[i] + 1) & low_mask(plan.delta_bits));
        }
    }

    const nnw_bdi_layout& layout_;
    const nnw_bdi_options& options_;
    nnw_bdi_byte_encoder<Value> bytes_;
    nnw_bdi_planner<Value> planner_;
};

}  // namespace tare::detail
