#pragma once
// SPDX-License-Identifier: MIT
// One chunk of NNW-BDI to bits: find the smallest configuration, then write it as
// <tare/lossless/nnw_bdi_layout.hpp> says. Every test "which elements lie within reach of this
// base" is one range comparison on 64 elements at a time and yields a mask word; sizes follow from
// popcounts, and only the winner's deltas are ever computed.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/random.hpp>
#include <tare/lossless/bit_pack_blocks.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>
#include <tare/quantize/storage.hpp>

namespace tare::detail {

template <bdi_value Value>
class nnw_bdi_encoder {
  public:
    explicit nnw_bdi_encoder(const nnw_bdi_layout& layout)
        : layout_(layout),
          options_(layout.options),
          words_((options_.chunk + 63) / 64),
          values_(64 * words_),
          nonzero_(words_),
          left_(words_) {
        std::size_t most_bases = 0;
        for (std::size_t i = 0; i < options_.configs.size(); ++i) {
            configs_.push_back({options_.configs[i], i, reach(options_.configs[i].delta_bits)});
            most_bases = std::max(most_bases, static_cast<std::size_t>(options_.configs[i].bases));
        }
        // Small deltas first: the larger ones then seldom need a look.
        std::ranges::stable_sort(configs_, {},
                                 [](const candidate& c) { return c.config.delta_bits; });
        const std::size_t sources = options_.immediates.size() + most_bases;
        for (plan* p : {&best_, &tried_}) {
            p->bases.reserve(sources);
            p->masks.resize(sources * words_);
        }
    }

    // Appends the chunk that starts at element `first` of the tensor (draws are taken by element).
    void encode(std::span<const Value> chunk, std::uint64_t first, bit_writer& out,
                storage_cost& cost) {
        load(chunk);
        choose(first);
        write(first, out, cost);
    }

  private:
    // An interval of differences v - base, as origin and length, both modulo 2^32.
    struct interval {
        std::uint32_t least;
        std::uint32_t span;
    };
    struct candidate {
        nnw_bdi_config config;
        std::size_t index;
        interval deltas;
    };
    struct plan {
        std::size_t config = 0;
        int delta_bits = 0;
        std::int64_t bits = 0;
        std::size_t immediates = 0;          // used ones
        std::uint64_t used_immediates[2]{};  // one bit each
        std::vector<std::uint32_t> bases;    // of all sources: immediates, then bases shifted back
        std::vector<std::uint64_t> masks;    // words_ for each source
    };

    // All differences d with d >> delta_shift representable in `delta_bits` bits.
    [[nodiscard]] interval reach(int delta_bits) const noexcept {
        const int bits = delta_bits + options_.delta_shift;
        if (bits >= 32) return {0, ~std::uint32_t{0}};
        const auto span = static_cast<std::uint32_t>(low_mask(bits));
        return {std::is_signed_v<Value> ? ~std::uint32_t{0} << (bits - 1) : 0, span};
    }

    void load(std::span<const Value> chunk) noexcept {
        count_ = chunk.size();
        const int shift = options_.init_shift;
        for (std::size_t i = 0; i < count_; ++i)
            values_[i] = static_cast<std::uint32_t>(chunk[i] >> shift);
        std::fill(values_.begin() + static_cast<std::ptrdiff_t>(count_), values_.end(), 0U);
        const auto low = static_cast<std::uint32_t>(low_mask(options_.delta_shift));
        stored_ = 0;
        raw_only_ = false;
        for (std::size_t w = 0; w < words_; ++w) {
            const std::size_t begin = std::min(count_, 64 * w);
            nonzero_[w] = low_mask(static_cast<int>(std::min<std::size_t>(64, count_ - begin)));
            if (options_.zero_compression) nonzero_[w] &= ~within_64(block(w), 0, low);
            stored_ += std::popcount(nonzero_[w]);
            // Rounding down must not step below the least value; such a chunk stays raw.
            if (std::is_signed_v<Value> && low != 0)
                raw_only_ |= (nonzero_[w] & within_64(block(w), least(), low - 1)) != 0;
        }
    }

    [[nodiscard]] const std::uint32_t* block(std::size_t w) const noexcept {
        return values_.data() + 64 * w;
    }
    [[nodiscard]] std::uint32_t least() const noexcept {
        return static_cast<std::uint32_t>(bdi_range<Value>(layout_.raw_bits()).least);
    }

    // Bits of a chunk that every configuration pays: its index and the zero mask.
    [[nodiscard]] std::int64_t common_bits() const noexcept {
        return layout_.config_bits() +
               (options_.zero_compression ? static_cast<std::int64_t>(count_) : 0);
    }

    void choose(std::uint64_t first) {
        best_.config = layout_.raw_config();
        best_.delta_bits = layout_.raw_bits();
        best_.bits = common_bits() + stored_ * best_.delta_bits;
        best_.immediates = 0;
        best_.bases.clear();
        if (raw_only_) return;
        for (const candidate& c : configs_) {
            const std::int64_t least_bits =
                common_bits() + static_cast<std::int64_t>(options_.immediates.size()) +
                nnw_bdi_layout::used_bits(c.config) + stored_ * c.config.delta_bits;
            if (worse(least_bits, c.index)) continue;
            if (attempt(c, least_bits, first) && !worse(tried_.bits, c.index))
                std::swap(best_, tried_);
        }
    }

    // The smallest result wins, the first configuration on ties.
    [[nodiscard]] bool worse(std::int64_t bits, std::size_t index) const noexcept {
        return bits > best_.bits || (bits == best_.bits && index > best_.config);
    }

    // Fills tried_; false if an element is left that no source reaches.
    bool attempt(const candidate& c, std::int64_t least_bits, std::uint64_t first) {
        std::ranges::copy(nonzero_, left_.begin());
        remaining_ = stored_;
        tried_.config = c.index;
        tried_.delta_bits = c.config.delta_bits;
        tried_.immediates = 0;
        tried_.used_immediates[0] = tried_.used_immediates[1] = 0;
        tried_.bases.clear();
        for (std::size_t i = 0; i < options_.immediates.size() && remaining_ != 0; ++i) {
            if (!cover(static_cast<std::uint32_t>(options_.immediates[i]), c.deltas)) continue;
            tried_.used_immediates[i / 64] |= std::uint64_t{1} << (i % 64);
            ++tried_.immediates;
        }
        for (int b = 0; b < c.config.bases && remaining_ != 0; ++b) {
            std::uint32_t base = 0;
            if (!pick(c, b, first, base)) return false;
            cover(base, c.deltas);
        }
        if (remaining_ != 0) return false;
        const auto used = static_cast<std::int64_t>(tried_.bases.size() - tried_.immediates);
        tried_.bits = least_bits + used * c.config.base_bits +
                      stored_ * nnw_bdi_layout::selector_bits(tried_.bases.size());
        return true;
    }

    // Gives all uncovered elements within reach of `base` to a new source; false if there are none.
    bool cover(std::uint32_t base, interval deltas) noexcept {
        // Unsigned differences may not wrap: v >= base exactly when v - base <= ~base.
        const std::uint32_t span =
            std::is_signed_v<Value> ? deltas.span : std::min(deltas.span, ~base);
        std::uint64_t* mask = tried_.masks.data() + tried_.bases.size() * words_;
        std::int64_t hits = 0;
        for (std::size_t w = 0; w < words_; ++w) {
            mask[w] = left_[w] == 0 ? 0 : left_[w] & within_64(block(w), base + deltas.least, span);
            left_[w] &= ~mask[w];
            hits += std::popcount(mask[w]);
        }
        remaining_ -= hits;
        if (hits != 0) tried_.bases.push_back(base);
        return hits != 0;
    }

    // The first uncovered element whose shifted value fits in the base size, or a random one.
    bool pick(const candidate& c, int which, std::uint64_t first, std::uint32_t& base) const {
        const bdi_range<Value> bases(c.config.base_bits);
        std::uint32_t skip = 0;
        if (options_.random_bases) {
            std::uint32_t fitting = 0;
            visit_candidates(bases, [&](std::uint32_t) { return ++fitting, false; });
            const std::uint64_t draw =
                ((first / options_.chunk) * max_bdi_configs + c.index) * (max_bdi_sources + 1) +
                static_cast<std::uint64_t>(which);
            if (fitting != 0) skip = random_stream(options_.seed, 1).below(draw, fitting);
        }
        return visit_candidates(bases, [&](std::uint32_t found) {
            base = found;
            return skip-- == 0;
        });
    }

    // Calls visit(base) for the candidates in order until it returns true; whether it did.
    template <class Visit>
    bool visit_candidates(const bdi_range<Value>& bases, Visit&& visit) const {
        for (std::size_t w = 0; w < words_; ++w)
            for (std::uint64_t rest = left_[w]; rest != 0; rest &= rest - 1) {
                const auto value = static_cast<Value>(block(w)[std::countr_zero(rest)]);
                const auto base = static_cast<Value>(value >> options_.base_shift);
                if (bases.holds(base) &&
                    visit(static_cast<std::uint32_t>(base) << options_.base_shift))
                    return true;
            }
        return false;
    }

    void write(std::uint64_t first, bit_writer& out, storage_cost& cost) {
        const std::int64_t begin = out.bits();
        const bool raw = best_.config == layout_.raw_config();
        out.put(best_.config, layout_.config_bits());
        if (options_.zero_compression) out.put(nonzero_.data(), count_);
        std::int64_t base_bits = 0;
        if (!raw) {
            const nnw_bdi_config& c = options_.configs[best_.config];
            const std::size_t used = best_.bases.size() - best_.immediates;
            out.put(best_.used_immediates, options_.immediates.size());
            out.put(used, nnw_bdi_layout::used_bits(c));
            for (std::size_t s = best_.immediates; s < best_.bases.size(); ++s)
                out.put(best_.bases[s] >> options_.base_shift & low_mask(c.base_bits), c.base_bits);
            base_bits = static_cast<std::int64_t>(used) * c.base_bits;
            write_selectors(out);
        }
        const std::int64_t value_bits = stored_ * best_.delta_bits;
        write_deltas(first, raw, out);
        cost.value_bits += value_bits;
        cost.scale_bits += base_bits;
        cost.mask_bits += out.bits() - begin - value_bits - base_bits;
    }

    void write_selectors(bit_writer& out) const {
        const int planes = nnw_bdi_layout::selector_bits(best_.bases.size());
        for (int p = 0; p < planes; ++p)
            for (std::size_t w = 0; w < words_; ++w) {
                std::uint64_t plane = 0;
                for (std::size_t s = 0; s < best_.bases.size(); ++s)
                    if ((s >> p & 1) != 0) plane |= best_.masks[s * words_ + w];
                out.put(extract_bits(plane, nonzero_[w]), std::popcount(nonzero_[w]));
            }
    }

    void write_deltas(std::uint64_t first, bool raw, bit_writer& out) const {
        const int shift = raw ? 0 : options_.delta_shift;
        const auto low = static_cast<std::uint32_t>(low_mask(best_.delta_bits));
        const auto pack = bit_pack_kernels<std::uint32_t>::pack(best_.delta_bits);
        for (std::size_t w = 0; w < words_; ++w) {
            if (nonzero_[w] == 0) continue;
            alignas(64) std::uint32_t base[mask_block];
            std::ranges::fill(base, best_.bases.empty() ? 0 : best_.bases[0]);
            for (std::size_t s = 1; s < best_.bases.size(); ++s)
                if (best_.masks[s * words_ + w] != 0)
                    blend_64(base, best_.masks[s * words_ + w], best_.bases[s]);
            alignas(64) std::uint32_t delta[mask_block];
            for (std::size_t i = 0; i < mask_block; ++i)
                delta[i] = (block(w)[i] - base[i]) >> shift & low;
            if (options_.stochastic_rounding && shift != 0) round_up(w, first, base, delta);
            alignas(64) std::uint32_t codes[mask_block];
            const std::size_t count = compress_64(delta, nonzero_[w], codes);
            std::uint64_t packed[32];
            pack(codes, reinterpret_cast<std::byte*>(packed));
            out.put(packed, count * static_cast<std::size_t>(best_.delta_bits));
        }
    }

    // Adds 1 to a delta with the probability of what the shift cut off, unless the delta or the
    // value would leave its range.
    void round_up(std::size_t w, std::uint64_t first, const std::uint32_t* base,
                  std::uint32_t* delta) const {
        const int shift = options_.delta_shift;
        const random_stream draws(options_.seed, 0);
        const auto most_delta = static_cast<std::uint32_t>(
            low_mask(best_.delta_bits - static_cast<int>(std::is_signed_v<Value>)));
        const std::int64_t most_value = bdi_range<Value>(layout_.raw_bits()).most;
        for (std::uint64_t rest = nonzero_[w]; rest != 0; rest &= rest - 1) {
            const auto i = static_cast<std::size_t>(std::countr_zero(rest));
            const auto cut = static_cast<std::uint32_t>((block(w)[i] - base[i]) & low_mask(shift));
            const std::uint32_t draw = draws.bits(first + 64 * w + i) >> (32 - shift);
            const std::int64_t up =
                std::int64_t{static_cast<Value>(block(w)[i])} - cut + (std::int64_t{1} << shift);
            if (draw < cut && delta[i] != most_delta && up <= most_value)
                delta[i] = static_cast<std::uint32_t>((delta[i] + 1) & low_mask(best_.delta_bits));
        }
    }

    const nnw_bdi_layout& layout_;
    const nnw_bdi_options& options_;
    std::size_t words_;
    std::vector<candidate> configs_;
    std::vector<std::uint32_t> values_;   // of the chunk, shifted, zeros behind the last
    std::vector<std::uint64_t> nonzero_;  // elements that need a delta
    std::vector<std::uint64_t> left_;     // elements that no source has reached yet
    std::int64_t stored_ = 0;             // in nonzero_
    std::int64_t remaining_ = 0;          // in left_
    std::size_t count_ = 0;
    bool raw_only_ = false;
    plan best_;
    plan tried_;
};

}  // namespace tare::detail
