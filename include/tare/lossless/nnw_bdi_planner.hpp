#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the choice: which configuration makes a chunk smallest, and which element then belongs
// to which base. Every question "which elements lie within reach of this base" is one range
// comparison on 64 elements that yields a mask word; sizes follow from popcounts. The usual case
// (at most 64 elements that span less than 256) takes no branch on the data but the comparison of
// sizes: a mispredicted branch costs as much as a whole comparison of 64 bytes.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/core/random.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/lossless/nnw_bdi_chunk.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>

namespace tare::detail {

// What to write for one chunk.
struct nnw_bdi_plan {
    std::size_t config = 0;
    int delta_bits = 0;
    std::int64_t bits = 0;               // of the chunk in the stream
    std::size_t immediates = 0;          // used ones
    std::uint64_t used_immediates[2]{};  // one bit each
    std::size_t sources = 0;             // used immediates, then bases
    std::vector<std::uint32_t> bases;    // of all sources, shifted back
    std::vector<std::uint64_t> masks;    // which elements: the words of a chunk for each source
};

template <bdi_value Value>
class nnw_bdi_planner {
  public:
    explicit nnw_bdi_planner(const nnw_bdi_layout& layout)
        : layout_(layout), options_(layout.options), chunk_(layout), left_(chunk_.words()) {
        std::size_t most_bases = 0;
        for (std::size_t i = 0; i < options_.configs.size(); ++i) {
            const nnw_bdi_config& c = options_.configs[i];
            configs_.push_back({c, i, nnw_bdi_layout::used_bits(c), reach(c.delta_bits)});
            most_bases = std::max(most_bases, static_cast<std::size_t>(c.bases));
        }
        // Small deltas first: the larger ones then seldom need a look.
        std::ranges::stable_sort(configs_, {},
                                 [](const candidate& c) { return c.config.delta_bits; });
        // One more than there can be: the branch-free path writes before it knows.
        const std::size_t sources = options_.immediates.size() + most_bases + 1;
        for (nnw_bdi_plan& p : plans_) {
            p.bases.resize(sources);
            p.masks.resize(sources * chunk_.words());
        }
    }

    // Reads the chunk that starts at element `first` of the tensor and returns the smallest plan.
    const nnw_bdi_plan& choose(std::span<const Value> chunk, std::uint64_t first) {
        chunk_.load(chunk);
        const std::int64_t stored = chunk_.stored_count();
        const std::int64_t common =
            layout_.config_bits() +
            (options_.zero_compression ? static_cast<std::int64_t>(chunk_.count()) : 0);
        best_->config = layout_.raw_config();
        best_->delta_bits = layout_.raw_bits();
        best_->bits = common + stored * best_->delta_bits;
        best_->sources = best_->immediates = 0;
        if (chunk_.must_stay_raw()) return *best_;
        const std::size_t immediates = options_.immediates.size();
        const bool simple = chunk_.narrow() && chunk_.words() == 1 && immediates <= 64 &&
                            options_.base_shift == 0 && !options_.random_bases;
        for (const candidate& c : configs_) {
            const std::int64_t least_bits = common + static_cast<std::int64_t>(immediates) +
                                            c.used_bits + stored * c.config.delta_bits;
            if (worse(least_bits, c.index) || hopeless(c)) continue;
            const bool fits = simple && chunk_.all_within(bdi_range<Value>(c.config.base_bits))
                                  ? attempt_narrow(c)
                                  : attempt(c, first);
            nnw_bdi_plan& t = *tried_;
            const auto used = static_cast<std::int64_t>(t.sources - t.immediates);
            t.bits = least_bits + used * c.config.base_bits +
                     stored * nnw_bdi_layout::selector_bits(t.sources);
            if (!fits || worse(t.bits, c.index)) continue;
            t.config = c.index;
            t.delta_bits = c.config.delta_bits;
            std::swap(best_, tried_);
        }
        return *best_;
    }

    // The chunk that was chosen for last.
    [[nodiscard]] const nnw_bdi_chunk_data<Value>& chunk() const noexcept { return chunk_; }

  private:
    // The set origin, origin + 1 ... origin + span, modulo 2^32.
    struct interval {
        std::uint32_t origin;
        std::uint32_t span;

        [[nodiscard]] bool holds(std::uint32_t v) const noexcept { return v - origin <= span; }
    };
    struct candidate {
        nnw_bdi_config config;
        std::size_t index;
        int used_bits;
        interval deltas;
    };

    // All differences d with d >> delta_shift representable in `delta_bits` bits.
    [[nodiscard]] interval reach(int delta_bits) const noexcept {
        const int bits = delta_bits + options_.delta_shift;
        if (bits >= 32) return {0, ~std::uint32_t{0}};
        const auto span = static_cast<std::uint32_t>(low_mask(bits));
        return {std::is_signed_v<Value> ? ~std::uint32_t{0} << (bits - 1) : 0, span};
    }

    // The smallest result wins, the first configuration on ties.
    [[nodiscard]] bool worse(std::int64_t bits, std::size_t index) const noexcept {
        return bits > best_->bits || (bits == best_->bits && index > best_->config);
    }

    // What `base` reaches, counted from the least stored element.
    [[nodiscard]] interval around(std::uint32_t base, interval deltas) const noexcept {
        // Unsigned differences may not wrap: v >= base exactly when v - base <= ~base.
        const std::uint32_t span =
            std::is_signed_v<Value> ? deltas.span : std::min(deltas.span, ~base);
        const std::uint32_t origin = base + deltas.origin - chunk_.least();
        return {span == ~std::uint32_t{0} ? 0 : origin, span};
    }

    // True if no choice of bases can reach both the least and the most stored element. Most failing
    // configurations end here, without a look at the other elements and in a branch that is taken
    // almost always.
    [[nodiscard]] bool hopeless(const candidate& c) const noexcept {
        const std::uint32_t extent = chunk_.extent();
        bool least = chunk_.stored_count() == 0;
        bool most = least;
        for (const std::int64_t immediate : options_.immediates) {
            const interval hit = around(static_cast<std::uint32_t>(immediate), c.deltas);
            least |= hit.holds(0);
            most |= hit.holds(extent);
        }
        const int missing = !least + !most;
        // One base reaches both if its interval is long enough, one way round or the other.
        const bool apart = c.deltas.span < extent && c.deltas.span < 0 - extent;
        return missing > c.config.bases && (c.config.bases == 0 || apart);
    }

    // Fills tried_ for one block of bytes; false if an element is left that no source reaches.
    bool attempt_narrow(const candidate& c) noexcept {
        nnw_bdi_plan& t = *tried_;
        const std::uint8_t* bytes = chunk_.bytes(0);
        std::uint64_t left = chunk_.stored(0);
        std::uint64_t used = 0;
        std::size_t sources = 0;
        const auto cover = [&](std::uint32_t base) {
            const interval hit = around(base, c.deltas);
            const std::uint64_t mask = within_bytes(bytes, hit) & left;
            t.masks[sources] = mask;
            t.bases[sources] = base;
            left &= ~mask;
            return mask != 0;
        };
        for (std::size_t i = 0; i < options_.immediates.size(); ++i) {
            const bool hit = cover(static_cast<std::uint32_t>(options_.immediates[i]));
            used |= std::uint64_t{hit} << i;
            sources += hit;
        }
        t.used_immediates[0] = used;
        t.immediates = sources;
        for (int b = 0; b < c.config.bases; ++b)  // when nothing is left, byte 64 and no hit
            sources += cover(chunk_.least() + bytes[std::countr_zero(left)]);
        t.sources = sources;
        return left == 0;
    }

    // Marks the bytes, which lie within [0, extent], that are in `hit`. The two sets meet in one
    // piece, because an interval that reaches round is either everything or far longer than bytes.
    [[nodiscard]] std::uint64_t within_bytes(const std::uint8_t* bytes,
                                             interval hit) const noexcept {
        const std::uint32_t extent = chunk_.extent();
        const std::uint32_t ahead = 0 - hit.origin;  // of 0, if the interval begins below it
        const std::uint32_t below = 0 - std::uint32_t{ahead <= hit.span};  // all ones if so
        const std::uint32_t first = hit.origin & ~below;
        const std::uint32_t length = std::min(hit.span - (ahead & below), extent - first);
        const std::uint64_t meets = 0 - std::uint64_t{first <= extent};
        return within_64(bytes, static_cast<std::uint8_t>(first),
                         static_cast<std::uint8_t>(length)) &
               meets;
    }

    // As attempt_narrow, for any chunk and all options.
    bool attempt(const candidate& c, std::uint64_t first) {
        nnw_bdi_plan& t = *tried_;
        std::copy_n(chunk_.stored_words(), left_.size(), left_.begin());
        remaining_ = chunk_.stored_count();
        t.sources = t.immediates = 0;
        t.used_immediates[0] = t.used_immediates[1] = 0;
        for (std::size_t i = 0; i < options_.immediates.size() && remaining_ != 0; ++i) {
            cover(static_cast<std::uint32_t>(options_.immediates[i]), c.deltas);
            if (t.sources == t.immediates) continue;  // it reached nothing
            t.used_immediates[i / 64] |= std::uint64_t{1} << (i % 64);
            ++t.immediates;
        }
        for (int b = 0; b < c.config.bases && remaining_ != 0; ++b) {
            std::uint32_t base = 0;
            if (!pick(c, b, first, base)) return false;
            cover(base, c.deltas);
        }
        return remaining_ == 0;
    }

    // Gives all elements that are left and within reach of `base` to a new source, if there are
    // any.
    void cover(std::uint32_t base, interval deltas) noexcept {
        const interval hit = around(base, deltas);
        if (hit.origin > chunk_.extent() && !hit.holds(0)) return;
        std::uint64_t* mask = tried_->masks.data() + tried_->sources * left_.size();
        std::int64_t hits = 0;
        for (std::size_t w = 0; w < left_.size(); ++w) {
            mask[w] = within_64(chunk_.values(w), hit.origin + chunk_.least(), hit.span) & left_[w];
            left_[w] &= ~mask[w];
            hits += std::popcount(mask[w]);
        }
        if (hits == 0) return;
        remaining_ -= hits;
        tried_->bases[tried_->sources++] = base;
    }

    // The first element left whose shifted value fits in the base size, or a random one of them.
    bool pick(const candidate& c, int which, std::uint64_t first, std::uint32_t& base) const {
        const bdi_range<Value> bases(c.config.base_bits);
        std::uint32_t skip = 0;
        if (options_.random_bases) {
            std::uint32_t fitting = 0;
            visit_candidates(bases, [&](std::uint32_t) { return ++fitting, false; });
            const std::uint64_t attempt_id = first / options_.chunk * max_bdi_configs + c.index;
            const std::uint64_t draw =
                attempt_id * (max_bdi_sources + 1) + static_cast<std::uint64_t>(which);
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
        for (std::size_t w = 0; w < left_.size(); ++w)
            for (std::uint64_t rest = left_[w]; rest != 0; rest &= rest - 1) {
                const auto value = static_cast<Value>(chunk_.values(w)[std::countr_zero(rest)]);
                const auto base = static_cast<Value>(value >> options_.base_shift);
                if (bases.holds(base) &&
                    visit(static_cast<std::uint32_t>(base) << options_.base_shift))
                    return true;
            }
        return false;
    }

    const nnw_bdi_layout& layout_;
    const nnw_bdi_options& options_;
    nnw_bdi_chunk_data<Value> chunk_;
    std::vector<candidate> configs_;
    std::vector<std::uint64_t> left_;  // elements that no source has reached yet
    std::int64_t remaining_ = 0;       // in left_
    nnw_bdi_plan plans_[2];
    nnw_bdi_plan* best_ = &plans_[0];
    nnw_bdi_plan* tried_ = &plans_[1];
};

}  // namespace tare::detail
