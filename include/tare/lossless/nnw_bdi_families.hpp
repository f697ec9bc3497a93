#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the configurations as a table for <tare/lossless/nnw_bdi_bytes.hpp>. Configurations that
// differ in the number of bases only are a family: they take the same bases in turn and stop at
// different ones. Each family is one lane of 8, so that a row of 64-bit prices is one AVX-512
// register. What a family reaches is kept as a range of bytes above an origin that can be moved.

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

// Which bytes of each family: the first one and how many more, as four_of(); and all bits set, or
// none where there is no such byte.
struct bdi_byte_ranges {
    bdi_row<std::uint32_t> first;
    bdi_row<std::uint32_t> span;
    bdi_row<std::uint64_t> some;

    [[nodiscard]] std::uint64_t marks(const byte_block& bytes, std::size_t f) const noexcept {
        return bytes.within(first.at[f], span.at[f]) & some.at[f];
    }
};

template <bdi_value Value>
struct nnw_bdi_families {
    // What it takes to write a chunk.
    struct entry {
        std::size_t lane;
        int delta_bits;
        int base_bits;
        int used_bits;   // of the number of bases
        int front_bits;  // those and the used immediates
    };

    std::size_t count = 0;
    bool fit = false;  // whether the options are small enough for this table
    bdi_price_table prices;
    std::size_t taking[bdi_sources] = {};  // by number of bases: families that take more, in front
    std::vector<entry> entries;            // of each configuration, and of raw
    bdi_row<std::uint32_t> below{};        // how far a base reaches, as four_of()
    bdi_row<std::uint32_t> above{};

    // What depends on the origin, the value of byte 0.
    std::uint32_t origin = 0;
    bdi_byte_ranges zero{};                  // the same for all
    bdi_byte_ranges reached[bdi_sources]{};  // by each immediate
    bdi_byte_ranges bases{};                 // what may be a base
    bool all_fit = false;                    // whether that is every byte for all families

    explicit nnw_bdi_families(const nnw_bdi_layout& layout)
        : entries(layout.options.configs.size() + 1, entry{0, layout.raw_bits(), 0, 0, 0}),
          immediates_(layout.options.immediates.begin(), layout.options.immediates.end()),
          all_(layout.raw_bits()) {
        std::size_t field = 0;  // number of bases and bases: they are written as one with the below
        for (const nnw_bdi_config& c : layout.options.configs) {
            lead(c);
            const int bits = nnw_bdi_layout::used_bits(c) + c.bases * c.base_bits;
            field = std::max(field, static_cast<std::size_t>(bits));
            prices.most_bases = std::max(prices.most_bases, static_cast<std::size_t>(c.bases));
        }
        prices.immediates = immediates_.size();
        count = leaders_.size();
        fit = count <= bdi_lanes && prices.immediates + prices.most_bases <= bdi_sources &&
              prices.immediates + field <= 56;
        if (!fit) return;
        std::ranges::stable_sort(leaders_, std::ranges::greater{}, &nnw_bdi_config::bases);
        for (bdi_words& row : prices.front)
            std::ranges::fill(row.at, bdi_no_price);
        for (std::size_t f = 0; f < count; ++f)
            fill(f, leaders_[f]);
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
        set(zero, 0, 0, 0);
        all_fit = true;
        for (std::size_t f = 0; f < count; ++f) {
            const bdi_range<Value> range(leaders_[f].base_bits);
            const auto first = static_cast<std::uint32_t>(range.least);
            set(bases, f, first, static_cast<std::uint32_t>(range.most) - first);
            all_fit =
                all_fit && bases.first.at[f] == four_of(0) && bases.span.at[f] == four_of(255);
            for (std::size_t i = 0; i < prices.immediates; ++i)
                reach(i, f);
        }
    }

  private:
    [[nodiscard]] std::size_t lane(const nnw_bdi_config& c) const noexcept {
        const auto same = [&](const nnw_bdi_config& leader) {
            return leader.base_bits == c.base_bits && leader.delta_bits == c.delta_bits;
        };
        return static_cast<std::size_t>(std::ranges::find_if(leaders_, same) - leaders_.begin());
    }

    // The leader of a family takes most bases.
    void lead(const nnw_bdi_config& c) {
        const std::size_t f = lane(c);
        if (f == leaders_.size()) leaders_.push_back(c);
        leaders_[f].bases = std::max(leaders_[f].bases, c.bases);
    }

    void fill(std::size_t f, const nnw_bdi_config& leader) {
        prices.delta_bits.at[f] = static_cast<std::uint64_t>(leader.delta_bits) << bdi_price_shift;
        prices.base_bits.at[f] = static_cast<std::uint64_t>(leader.base_bits) << bdi_price_shift;
        const std::uint64_t span = low_mask(leader.delta_bits);
        const std::uint64_t down = std::is_signed_v<Value> ? span / 2 + 1 : 0;
        const auto byte = [](std::uint64_t n) {
            return four_of(static_cast<std::uint8_t>(std::min<std::uint64_t>(n, 255)));
        };
        below.at[f] = byte(down);
        above.at[f] = byte(span - down);
        for (int b = 0; b < leader.bases; ++b)
            ++taking[b];
    }

    void enter(const nnw_bdi_config& c, std::size_t index) {
        const std::size_t f = lane(c);
        const int used_bits = nnw_bdi_layout::used_bits(c);
        const int front_bits = static_cast<int>(prices.immediates) + used_bits;
        entries[index] = {f, c.delta_bits, c.base_bits, used_bits, front_bits};
        std::uint64_t& price = prices.front[c.bases].at[f];
        // Of two alike the first one.
        price = std::min(price, static_cast<std::uint64_t>(front_bits) << bdi_price_shift | index);
    }

    // The bytes of start, start + 1 ... start + span, modulo 2^32. They are one piece, since an
    // interval that reaches round is either everything or far longer than bytes.
    void set(bdi_byte_ranges& row, std::size_t f, std::uint32_t start,
             std::uint32_t span) const noexcept {
        const std::uint32_t offset = start - origin;
        const std::uint32_t ahead = 0 - offset;  // of byte 0
        const bool round = ahead <= span;
        const std::uint32_t first = round ? 0 : offset;
        const std::uint32_t length =
            std::min(round ? span - ahead : span, 255 - std::min(first, 255U));
        row.first.at[f] = four_of(static_cast<std::uint8_t>(first));
        row.span.at[f] = four_of(static_cast<std::uint8_t>(length));
        row.some.at[f] = first > 255 ? 0 : ~std::uint64_t{0};
    }

    // What deltas of family f reach from immediate i.
    void reach(std::size_t i, std::size_t f) noexcept {
        const auto immediate = static_cast<std::uint32_t>(immediates_[i]);
        const auto span = static_cast<std::uint32_t>(low_mask(leaders_[f].delta_bits));
        if constexpr (!std::is_signed_v<Value>) {
            set(reached[i], f, immediate, std::min(span, ~immediate));  // no difference may wrap
        } else {
            // A span of everything begins at the origin: there is no end then that could reach
            // round.
            set(reached[i], f, span == ~std::uint32_t{0} ? origin : immediate - (span / 2 + 1),
                span);
        }
    }

    std::vector<nnw_bdi_config> leaders_;
    std::vector<std::int64_t> immediates_;
    bdi_range<Value> all_;  // values after the first shift
};

}  // namespace tare::detail
