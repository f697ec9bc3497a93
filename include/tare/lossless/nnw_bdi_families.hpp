#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the configurations as a table for <tare/lossless/nnw_bdi_bytes.hpp>. Configurations that
// differ in the number of bases only are a family: they take the same bases in turn and stop at
// different ones. What a family reaches is kept as a range of bytes above an origin that can be
// moved.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <tare/core/bits.hpp>
#include <tare/lossless/byte_lanes.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>
#include <tare/lossless/nnw_bdi_prices.hpp>

namespace tare::detail {

// The first byte and how many more, both as four_of(); and all bits set, or none where there is no
// such byte.
struct bdi_byte_range {
    std::uint32_t first = 0;
    std::uint32_t span = 0;
    std::uint64_t some = 0;

    [[nodiscard]] std::uint64_t marks(const byte_block& bytes) const noexcept {
        return bytes.within(first, span) & some;
    }
};

// What it takes to write a chunk, as bytes of a word.
struct bdi_entry {
    static constexpr std::uint64_t delta_bits = 0, base_bits = 8, used_bits = 16, front_bits = 24;
    // used_bits: of the number of bases; front_bits: those and the used immediates

    static std::uint64_t of(int delta, int base, int used, int front) noexcept {
        return static_cast<std::uint64_t>(delta | base << 8 | used << 16) |
               static_cast<std::uint64_t>(front) << 24;
    }
    static word_row field(word_row entries, std::uint64_t at) noexcept {
        return (entries >> word_row(at)) & word_row(std::uint64_t{255});
    }
};

struct bdi_family {
    bdi_price_table prices;
    stored_row entry;         // by used bases
    std::size_t bases = 0;    // of the leader, which takes most
    std::uint64_t below = 0;  // how many bytes a base reaches down and up
    std::uint64_t above = 0;

    // What depends on the origin.
    bdi_byte_range reached[bdi_sources];  // by each immediate
    bdi_byte_range may_be_base;
};

template <bdi_value Value>
struct nnw_bdi_families {
    std::size_t count = 0;
    bool fit = false;  // whether the options are small enough for this table
    std::size_t immediates = 0;
    std::size_t most_bases = 0;
    bool some_may_fail = false;            // families of one base that do not reach every byte
    std::size_t taking[bdi_sources] = {};  // by number of bases: families that take more, in front
    bdi_family family[bdi_families];

    // What depends on the origin, the value of byte 0.
    std::uint32_t origin = 0;
    bdi_byte_range zero;
    bool all_may = false;    // whether every byte may be a base of all families
    bool all_reach = false;  // whether every immediate reaches some byte in all families

    explicit nnw_bdi_families(const nnw_bdi_layout& layout)
        : immediates(layout.options.immediates.size()),
          immediate_(layout.options.immediates.begin(), layout.options.immediates.end()),
          all_(layout.raw_bits()) {
        std::size_t field = 0;  // number of bases and bases: they are written as one with the below
        for (const nnw_bdi_config& c : layout.options.configs) {
            lead(c);
            const int bits = nnw_bdi_layout::used_bits(c) + c.bases * c.base_bits;
            field = std::max(field, static_cast<std::size_t>(bits));
            most_bases = std::max(most_bases, static_cast<std::size_t>(c.bases));
        }
        count = leaders_.size();
        // A head is configuration, mask, those fields and two planes of selectors: 248 bits at
        // most.
        fit = count <= bdi_families && immediates + most_bases <= bdi_sources &&
              immediates + field <= 49;
        if (!fit) return;
        std::ranges::stable_sort(leaders_, std::ranges::greater{}, &nnw_bdi_config::bases);
        for (std::size_t f = 0; f < count; ++f)
            fill(family[f], leaders_[f]);
        for (std::size_t i = 0; i < layout.options.configs.size(); ++i)
            enter(layout.options.configs[i], i);
        const std::int64_t bottom = all_.least;
        move_to(bottom, std::min<std::int64_t>(all_.most, bottom + 255));
    }

    // Makes the bytes reach from `least` to `most`, which are less than 256 apart, and if they can
    // also to zero.
    void move_to(std::int64_t least, std::int64_t most) noexcept {
        const std::int64_t low = std::min<std::int64_t>(least, 0);
        const std::int64_t high = std::max<std::int64_t>(most, 0);
        if (high - low < 256) {
            least = low;
            most = high;
        }
        const std::int64_t middle = least - (255 - (most - least)) / 2;
        origin = static_cast<std::uint32_t>(
            std::max<std::int64_t>(all_.least, std::min(middle, std::int64_t{all_.most} - 255)));
        zero = range(0, 0);
        all_may = true;
        all_reach = true;
        for (std::size_t f = 0; f < count; ++f) {
            const bdi_range<Value> bases(leaders_[f].base_bits);
            const auto first = static_cast<std::uint32_t>(bases.least);
            bdi_byte_range& may = family[f].may_be_base;
            may = range(first, static_cast<std::uint32_t>(bases.most) - first);
            all_may = all_may && may.first == four_of(0) && may.span == four_of(255);
            for (std::size_t i = 0; i < immediates; ++i) {
                family[f].reached[i] = reach(i, f);
                all_reach = all_reach && family[f].reached[i].some != 0;
            }
        }
    }

  private:
    [[nodiscard]] std::size_t find(const nnw_bdi_config& c) const noexcept {
        const auto same = [&](const nnw_bdi_config& leader) {
            return leader.base_bits == c.base_bits && leader.delta_bits == c.delta_bits;
        };
        return static_cast<std::size_t>(std::ranges::find_if(leaders_, same) - leaders_.begin());
    }

    // The leader of a family takes most bases.
    void lead(const nnw_bdi_config& c) {
        const std::size_t f = find(c);
        if (f == leaders_.size()) leaders_.push_back(c);
        leaders_[f].bases = std::max(leaders_[f].bases, c.bases);
    }

    void fill(bdi_family& f, const nnw_bdi_config& leader) {
        std::ranges::fill(f.prices.front.at, bdi_no_price);
        f.prices.delta_bits = static_cast<std::uint64_t>(leader.delta_bits);
        f.bases = static_cast<std::size_t>(leader.bases);
        const std::uint64_t span = low_mask(leader.delta_bits);
        const std::uint64_t down = std::is_signed_v<Value> ? span / 2 + 1 : 0;
        f.below = std::min<std::uint64_t>(down, 255);
        f.above = std::min<std::uint64_t>(span - down, 255);
        some_may_fail = some_may_fail || (f.bases == 1 && f.below + f.above < 255);
        for (int b = 0; b < leader.bases; ++b)
            ++taking[b];
    }

    // A configuration serves chunks that use fewer bases too.
    void enter(const nnw_bdi_config& c, std::size_t index) {
        bdi_family& f = family[find(c)];
        const int used_bits = nnw_bdi_layout::used_bits(c);
        const int front_bits = static_cast<int>(immediates) + used_bits;
        for (int used = 0; used <= c.bases; ++used) {
            const auto bits = static_cast<std::uint64_t>(front_bits + used * c.base_bits);
            const std::uint64_t price = bits << bdi_price_shift | index;
            std::uint64_t& least = f.prices.front.at[used];
            if (price >= least) continue;  // of two alike the first one
            least = price;
            f.entry.at[used] = bdi_entry::of(c.delta_bits, c.base_bits, used_bits, front_bits);
        }
    }

    // The bytes of start, start + 1 ... start + span, modulo 2^32. They are one piece, since an
    // interval that reaches round is either everything or far longer than bytes.
    [[nodiscard]] bdi_byte_range range(std::uint32_t start, std::uint32_t span) const noexcept {
        const std::uint32_t offset = start - origin;
        const std::uint32_t ahead = 0 - offset;  // of byte 0
        const bool round = ahead <= span;
        const std::uint32_t first = round ? 0 : offset;
        const std::uint32_t length =
            std::min(round ? span - ahead : span, 255 - std::min(first, 255U));
        return {four_of(static_cast<std::uint8_t>(first)),
                four_of(static_cast<std::uint8_t>(length)), first > 255 ? 0 : ~std::uint64_t{0}};
    }

    // What deltas of family f reach from immediate i.
    [[nodiscard]] bdi_byte_range reach(std::size_t i, std::size_t f) const noexcept {
        const auto immediate = static_cast<std::uint32_t>(immediate_[i]);
        const auto span = static_cast<std::uint32_t>(low_mask(leaders_[f].delta_bits));
        if constexpr (!std::is_signed_v<Value>)
            return range(immediate, std::min(span, ~immediate));  // no difference may wrap
        // A span of everything begins at the origin: there is no end then that could reach round.
        return range(span == ~std::uint32_t{0} ? origin : immediate - (span / 2 + 1), span);
    }

    std::vector<nnw_bdi_config> leaders_;
    std::vector<std::int64_t> immediate_;
    bdi_range<Value> all_;  // values after the first shift
};

}  // namespace tare::detail
