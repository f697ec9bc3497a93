#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the choice for eight chunks of 64 bytes at once, a lane each: what every source of every
// family takes, in turn, and which configuration is the smallest then. All of them are priced and
// the least price is kept: random codes make the choice random, and a branch that guesses it wrong
// costs more than all the prices.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tare/lossless/byte_extremes.hpp>
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
        out_ = 0;
    }

    // Marks what the immediates reach in chunks `first` to `last`, and what may be a base. The
    // origin of `f` may move afterwards.
    void mark(const families& f, std::size_t first, std::size_t last) noexcept {
        if (f.some_may_fail && last - first == row_lanes) rule_out(f);
        if (usual(f)) {
            mark_reached(f, one{}, first, last);
        } else {
            mark_reached(f, f.immediates, first, last);
        }
        if (!f.all_reach || !f.all_may) mark_seldom(f, first, last);
    }

    // Finds base b of every family that takes so many, and what it reaches. For b from 0 upward.
    void find_bases(const families& f, std::size_t b) noexcept {
        if (usual(f)) {
            find_bases(f, one{}, b);
        } else {
            find_bases(f, f.immediates, b);
        }
    }

    // Chooses. A raw chunk takes `raw_bits` an element and has the configuration `raw_config`.
    void choose(const families& f, std::uint64_t raw_bits, std::uint64_t raw_config) noexcept {
        const word_row count = popcount(word_row(stored));
        const word_row shift(std::uint64_t{bdi_price_shift});
        const best_of_all best{count,
                               (product(count, word_row(raw_bits)) << shift) | word_row(raw_config),
                               word_row(bdi_entry::of(static_cast<int>(raw_bits), 0, 0, 0))};
        if (usual(f)) {
            choose_among(f, one{}, two{}, best);
        } else {
            choose_among(f, f.immediates, f.most_bases, best);
        }
    }

  private:
    // The usual sources as constants: their loops unroll, and a family stays in registers.
    using one = std::integral_constant<std::size_t, 1>;
    using two = std::integral_constant<std::size_t, 2>;
    static bool usual(const families& f) noexcept {
        return f.immediates == one{} && f.most_bases <= two{};
    }

    struct family_rows {
        stored_row masks[bdi_sources];  // what each source reaches; nothing, if there is none
        stored_row may_be_base;         // unless all may
        stored_row base[bdi_sources];   // bytes
        stored_row low;                 // the lowest byte that the last base reaches
        stored_row span;                // and how many more, as four_of()
    };
    struct best_of_all {
        word_row count;  // of stored elements
        word_row price;
        word_row entry;
    };

    template <class Immediates>
    void mark_reached(const families& f, Immediates immediates, std::size_t first,
                      std::size_t last) noexcept {
        for (std::size_t n = 0; n < f.count; ++n) {
            if (is_out(n)) continue;
            for (std::size_t i = 0; i < immediates; ++i)
                mark_range(f.family[n].reached[i], first, last, rows_[n].masks[i]);
        }
    }

    // to = what of chunks `first` to `last` lies in the range.
    void mark_range(const bdi_byte_range& range, std::size_t first, std::size_t last,
                    stored_row& to) const noexcept {
        const auto mark_chunks = [&, low = range.first, span = range.span](std::size_t from,
                                                                           std::size_t end) {
            for (std::size_t c = from; c < end; ++c)
                to.at[c] = byte_block(bytes + mask_block * c).within(low, span);
        };
        if (last - first == row_lanes) {
            mark_chunks(0, row_lanes);  // unrolled
        } else {
            mark_chunks(first, last);
        }
    }

    [[nodiscard]] bool is_out(std::size_t n) const noexcept { return (out_ >> n & 1) != 0; }

    // Rules out the families of one base that cannot write any of the eight chunks: their least and
    // their greatest element are both beyond the immediate, and no base reaches from one to the
    // other. Elements that are not stored are zeros. Nothing is known where one of the two is a
    // zero, nor, if zeros are outside the bytes and hold whatever they give modulo 256, beside one.
    void rule_out(const families& f) noexcept {
        if (f.immediates != one{}) return;
        stored_row least, most;
        byte_extremes(bytes, least, most);
        const word_row low(least);
        const word_row high(most);
        const word_row between = high - low;
        const auto begin = [](const bdi_byte_range& range) {
            const std::uint64_t nowhere = std::uint64_t{1} << 32;  // all bytes are beyond it
            return word_row(range.some != 0 ? range.first & 255 : nowhere);
        };
        const auto beyond = [&](const bdi_byte_range& range, const word_row& x) {
            return less(word_row(std::uint64_t{range.span & 255}), x - begin(range));
        };
        const word_row all_but_one(~std::uint64_t{1});
        const std::uint8_t known = f.zero.some != 0 ? beyond(f.zero, low) & beyond(f.zero, high)
                                                    : less(all_but_one, word_row(stored));
        for (std::size_t n = 0; n < f.count; ++n) {
            const bdi_family& family = f.family[n];
            if (family.bases != 1) continue;
            const std::uint8_t fails = known & beyond(family.reached[0], low) &
                                       beyond(family.reached[0], high) &
                                       less(word_row(family.below + family.above), between);
            out_ |= static_cast<std::uint32_t>(fails == 0xFF) << n;
        }
    }

    void mark_seldom(const families& f, std::size_t first, std::size_t last) noexcept {
        if (all_may_ && !f.all_may)
            for (std::size_t n = 0; n < f.count; ++n)
                std::ranges::fill(rows_[n].may_be_base.at, ~std::uint64_t{0});
        all_may_ = all_may_ && f.all_may;
        for (std::size_t n = 0; n < f.count; ++n) {
            const bdi_byte_range& may = f.family[n].may_be_base;
            mark_range(may, first, last, rows_[n].may_be_base);
            for (std::size_t c = first; c < last; ++c) {
                rows_[n].may_be_base.at[c] &= may.some;
                for (std::size_t i = 0; i < f.immediates; ++i)
                    rows_[n].masks[i].at[c] &= f.family[n].reached[i].some;
            }
        }
    }

    // Immediates and bases are numbers or constants.
    template <class Immediates>
    void find_bases(const families& f, Immediates immediates, std::size_t b) noexcept {
        for (std::size_t n = 0; n < f.taking[b]; ++n) {
            if (is_out(n)) continue;
            word_row left = stored;
            for (std::size_t s = 0; s < immediates + b; ++s)
                left = without(left, taken_by(rows_[n], left, s, s >= immediates));
            find_base(rows_[n], f.family[n], left, b);
        }
        for (std::size_t n = 0; n < f.taking[b]; ++n) {
            if (is_out(n)) continue;
            family_rows& r = rows_[n];
#pragma GCC unroll 8
            for (std::size_t c = 0; c < row_lanes; ++c)
                r.masks[immediates + b].at[c] =
                    byte_block(bytes + mask_block * c)
                        .within(static_cast<std::uint32_t>(r.low.at[c]),
                                static_cast<std::uint32_t>(r.span.at[c]));
        }
    }

    template <class Immediates, class Bases>
    void choose_among(const families& f, Immediates immediates, Bases bases,
                      best_of_all best) noexcept {
        const word_row zero(std::uint64_t{0});
        const word_row once(std::uint64_t{1});
        for (std::size_t s = 0; s < immediates + bases; ++s)
            zero.store(taken[s]);
        for (std::size_t n = 0; n < f.count; ++n) {
            if (is_out(n)) continue;
            const bdi_family& family = f.family[n];
            const family_rows& r = rows_[n];
            word_row taken_now[bdi_sources] = {zero, zero, zero, zero, zero, zero, zero};
            word_row left = stored;
            word_row used_bases = zero;
            word_row used = zero;
            for (std::size_t s = 0; s < immediates + bases; ++s) {
                taken_now[s] = taken_by(r, left, s, s >= immediates);
                left = without(left, taken_now[s]);
                const std::uint8_t some = nonzero(taken_now[s]);
                used = select(some, used + once, used);
                if (s >= immediates) used_bases = select(some, used_bases + once, used_bases);
            }
            const word_row price = select(nonzero(left), word_row(bdi_no_price),
                                          bdi_price(family.prices, used_bases, used, best.count));
            const std::uint8_t better = less(price, best.price);
            best.price = min(price, best.price);
            best.entry = select(better, looked_up(family.entry, used_bases), best.entry);
            for (std::size_t s = 0; s < immediates + bases; ++s)
                taken_now[s].store_where(better, taken[s]);
            for (std::size_t b = 0; b < bases; ++b)
                word_row(r.base[b]).store_where(better, base[b]);
        }
        (best.price & word_row(std::uint64_t{255})).store(config);
        best.entry.store(entry);
    }

    // What a source takes of what is left: all that it reaches. A base only where there was a
    // candidate for it.
    [[gnu::always_inline]] word_row taken_by(const family_rows& r, const word_row& left,
                                             std::size_t source, bool is_base) const noexcept {
        const word_row taken_now = left & r.masks[source];
        if (!is_base || all_may_) return taken_now;
        return select(nonzero(left & r.may_be_base), taken_now, word_row(std::uint64_t{0}));
    }

    // The first element left is base b, or with !all_may_ the first one that may be.
    void find_base(family_rows& r, const bdi_family& family, const word_row& left,
                   std::size_t b) const noexcept {
        static constexpr stored_row starts = {{0, 64, 128, 192, 256, 320, 384, 448}};
        const word_row candidates = all_may_ ? left : left & r.may_be_base;
        const word_row place = lowest_place(candidates) & word_row(mask_block - 1);
        const word_row byte = word_row::bytes_at(bytes, place + starts);
        const word_row low = byte - min(byte, word_row(family.below));
        const word_row high = min(byte + word_row(family.above), word_row(std::uint64_t{255}));
        const word_row four(std::uint64_t{four_of(1)});
        byte.store(r.base[b]);
        product(low, four).store(r.low);
        product(high - low, four).store(r.span);
    }

    family_rows rows_[bdi_families];
    bool all_may_ = true;
    std::uint32_t out_ = 0;  // families that cannot write any of the chunks, a bit each
};

}  // namespace tare::detail
