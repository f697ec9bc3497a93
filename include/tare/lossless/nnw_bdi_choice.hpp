#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the choice for eight chunks of 64 bytes at once, a lane each: what every source of every
// family takes, in turn, and which configuration is the smallest then. All of them are priced and
// the least price is kept: random codes make the choice random, and a branch that guesses it wrong
// costs more than all the prices.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <tare/lossless/byte_lanes.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/lossless/nnw_bdi_families.hpp>
#include <tare/lossless/nnw_bdi_prices.hpp>
#include <tare/lossless/word_row.hpp>

namespace tare::detail {

template <bdi_value Value>
class nnw_bdi_choice {
  public:
    using families = nnw_bdi_families<Value>;

    // The bytes of chunk c start at 64 c; a word is read behind the last.
    alignas(64) std::uint8_t bytes[row_lanes * mask_block + 8] = {};
    stored_row stored;  // elements with a delta; none of a chunk that is not to be chosen for

    // The result: the configuration, its entry, what its sources take and the bytes of its bases.
    stored_row config;
    stored_row entry;
    stored_row taken[bdi_sources];
    stored_row base[bdi_sources];

    // Forgets the eight chunks before.
    void clear() noexcept {
        stored = {};
        all_may_ = true;
    }

    // Marks what the immediates reach in chunk c, and what may be a base. The origin of `f` may
    // move afterwards.
    [[gnu::always_inline]] void mark(const families& f, std::size_t c) noexcept {
        const byte_block block(bytes + mask_block * c);
        for (std::size_t n = 0; n < f.count; ++n)
            for (std::size_t i = 0; i < f.immediates; ++i) {
                const bdi_byte_range& reached = f.family[n].reached[i];
                rows_[n].masks[i].at[c] = block.within(reached.first, reached.span);
            }
        if (!f.all_reach || !f.all_may) mark_seldom(f, block, c);
    }

    // Chooses. A raw chunk takes `raw_bits` an element and has the configuration `raw_config`.
    void choose(const families& f, std::uint64_t raw_bits, std::uint64_t raw_config) noexcept {
        for (std::size_t b = 0; b < f.most_bases; ++b) {
            for (std::size_t n = 0; n < f.taking[b]; ++n) {
                take(rows_[n], f.immediates, b);
                find_base(rows_[n], f.family[n], b);
            }
            for (std::size_t c = 0; c < row_lanes; ++c) {
                const byte_block block(bytes + mask_block * c);
                for (std::size_t n = 0; n < f.taking[b]; ++n)
                    rows_[n].masks[f.immediates + b].at[c] =
                        block.within(static_cast<std::uint32_t>(rows_[n].low.at[c]),
                                     static_cast<std::uint32_t>(rows_[n].span.at[c]));
            }
        }
        const word_row count = popcount(word_row(stored));
        const word_row shift(std::uint64_t{bdi_price_shift});
        word_row best = (product(count, word_row(raw_bits)) << shift) | word_row(raw_config);
        word_row best_entry(bdi_entry::of(static_cast<int>(raw_bits), 0, 0, 0));
        const std::size_t sources = f.immediates + f.most_bases;
        std::fill_n(taken, sources, stored_row{});
        for (std::size_t n = 0; n < f.count; ++n) {
            const bdi_family& family = f.family[n];
            family_rows& r = rows_[n];
            take(r, f.immediates, family.bases);
            const word_row immediates = used(r.masks, f.immediates);
            const word_row bases = used(r.masks + f.immediates, family.bases);
            const word_row price =
                select(nonzero(word_row(r.left)), word_row(bdi_no_price),
                       bdi_price(family.prices, bases, immediates + bases, count));
            const std::uint8_t better = less(price, best);
            best = min(price, best);
            best_entry = select(better, looked_up(family.entry, bases), best_entry);
            for (std::size_t s = 0; s < f.immediates + family.bases; ++s)
                select(better, word_row(r.masks[s]), taken[s]).store(taken[s]);
            for (std::size_t s = f.immediates + family.bases; s < sources; ++s)
                select(better, word_row(std::uint64_t{0}), taken[s]).store(taken[s]);
            for (std::size_t b = 0; b < family.bases; ++b)
                select(better, word_row(r.base[b]), base[b]).store(base[b]);
        }
        (best & word_row(std::uint64_t{255})).store(config);
        best_entry.store(entry);
    }

  private:
    struct family_rows {
        stored_row masks[bdi_sources];  // what each source reaches, then what it takes
        stored_row left;                // what is not taken yet
        stored_row may_be_base;         // unless all may
        stored_row base[bdi_sources];   // bytes
        stored_row low;                 // the lowest byte that the last base reaches
        stored_row span;                // and how many more, as four_of()
    };

    void mark_seldom(const families& f, const byte_block& block, std::size_t c) noexcept {
        if (all_may_ && !f.all_may)
            for (std::size_t n = 0; n < f.count; ++n)
                std::ranges::fill(rows_[n].may_be_base.at, ~std::uint64_t{0});
        all_may_ = all_may_ && f.all_may;
        for (std::size_t n = 0; n < f.count; ++n) {
            for (std::size_t i = 0; i < f.immediates; ++i)
                rows_[n].masks[i].at[c] &= f.family[n].reached[i].some;
            rows_[n].may_be_base.at[c] = f.family[n].may_be_base.marks(block);
        }
    }

    // The turn of what comes before base b: of what it reaches it takes what is left.
    void take(family_rows& r, std::size_t immediates, std::size_t b) const noexcept {
        word_row left = stored;
        std::size_t source = 0;
        std::size_t end = immediates;
        if (b > 0) {
            left = r.left;
            source = immediates + b - 1;
            end = source + 1;
        }
        for (; source < end; ++source) {
            word_row taken_now = left & r.masks[source];
            if (b > 0 && !all_may_)  // without a candidate there was no base
                taken_now =
                    select(nonzero(left & r.may_be_base), taken_now, word_row(std::uint64_t{0}));
            taken_now.store(r.masks[source]);
            left = without(left, taken_now);
        }
        left.store(r.left);
    }

    // The first element left is base b, or with !all_may_ the first one that may be.
    void find_base(family_rows& r, const bdi_family& family, std::size_t b) const noexcept {
        static constexpr stored_row starts = {{0, 64, 128, 192, 256, 320, 384, 448}};
        word_row candidates = r.left;
        if (!all_may_) candidates = candidates & r.may_be_base;
        const word_row place = lowest_place(candidates) & word_row(mask_block - 1);
        const word_row byte = word_row::bytes_at(bytes, place + starts);
        const word_row low = byte - min(byte, word_row(family.below));
        const word_row high = min(byte + word_row(family.above), word_row(std::uint64_t{255}));
        const word_row four(std::uint64_t{four_of(1)});
        byte.store(r.base[b]);
        product(low, four).store(r.low);
        product(high - low, four).store(r.span);
    }

    // How many of the sources take something.
    static word_row used(const stored_row* masks, std::size_t count) noexcept {
        word_row sum(std::uint64_t{0});
        for (std::size_t s = 0; s < count; ++s)
            sum = select(nonzero(word_row(masks[s])), sum + word_row(std::uint64_t{1}), sum);
        return sum;
    }

    family_rows rows_[bdi_families];
    bool all_may_ = true;
};

}  // namespace tare::detail
