#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, eight chunks of <tare/lossless/nnw_bdi_bytes.hpp> on their way from values to strings of
// bits, a lane each, in steps: load, find the bases, choose, put together, write. Between steps
// what was written chunk by chunk is read as rows, which takes until all of it has arrived in the
// cache: two groups of eight take each step in turns.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>

#include <tare/core/bits.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/byte_lanes.hpp>
#include <tare/lossless/eight_strings.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/lossless/nnw_bdi_choice.hpp>
#include <tare/lossless/nnw_bdi_families.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>
#include <tare/lossless/word_row.hpp>
#include <tare/quantize/storage.hpp>

namespace tare::detail {

template <bdi_value Value>
class nnw_bdi_eight {
  public:
    using families = nnw_bdi_families<Value>;

    explicit nnw_bdi_eight(const nnw_bdi_layout& layout)
        : options_(layout.options),
          raw_bits_(static_cast<std::uint64_t>(layout.raw_bits())),
          config_bits_(static_cast<std::uint64_t>(layout.config_bits())) {}

    // Reads the chunks of `values`, at most eight. The origin of `f` may move.
    void load(std::span<const Value> values, families& f) noexcept {
        const std::size_t chunk = options_.chunk;
        const int shift = options_.init_shift;
        const std::uint64_t zeros = options_.zero_compression ? ~std::uint64_t{0} : 0;
        const std::size_t whole = values.size() / chunk;
        count_ = whole + (values.size() % chunk != 0);
        values_ = values.data();
        loaded_ = static_cast<std::uint32_t>(low_mask(static_cast<int>(count_)));
        marked_ = 0;
        choice_.clear();
        (word_row(zeros) & word_row(chunk)).store(mask_bits_);
        word_row(std::uint64_t{f.origin}).store(origin_);
        for (std::size_t c = 0; c < count_; ++c) {
            fetch_half(c, 0);
            const Value* from = values_ + c * chunk;
            std::uint64_t stored = low_mask(static_cast<int>(chunk));
            Value padded[mask_block];
            if (chunk < mask_block || c == whole) {
                const std::size_t size = std::min(chunk, values.size() - c * chunk);
                std::fill(std::copy(from, from + size, padded), padded + mask_block, from[0]);
                from = padded;
                stored = low_mask(static_cast<int>(size));
                mask_bits_.at[c] = zeros & size;
            }
            bool inside;
            const auto bytes = byte_block::narrowed(from, shift, f.origin, inside);
            if (inside) {
                bytes.store(choice_.bytes + mask_block * c);
                choice_.stored.at[c] = stored & ~(f.zero.marks(bytes) & zeros);
            } else {
                load_elsewhere(from, stored, c, f);
            }
        }
        choice_.mark(f, marked_, count_);
    }

    void find_bases(const families& f, std::size_t b) noexcept { choice_.find_bases(f, b); }

    void choose(const families& f) noexcept {
        choice_.choose(f, raw_bits_, options_.configs.size());
    }

    // What the chosen configurations make of the chunks.
    void put_together(const families& f) noexcept {
        settle(f);
        for (std::size_t c = 0; c < count_; ++c)
            if ((fit_ >> c & 1) != 0) code(c, f.immediates + f.most_bases);
        join_selectors();
    }

    // Appends the chunks; those that are not as above by a call of other(which).
    template <class Other>
    void write(bit_writer& out, storage_cost& cost, Other&& other) {
        if (together_) return append_all(out, cost);
        for (std::size_t c = 0; c < count_; ++c) {
            if ((fit_ >> c & 1) != 0) {
                append(c, out, cost);
            } else {
                other(c);
            }
        }
    }

  private:
    // Asks for a half of what is loaded in the place of chunk c four turns later. In halves,
    // because the lines of a whole group asked for at once wait for one another.
    [[gnu::always_inline]] void fetch_half(std::size_t c, std::size_t half) const noexcept {
        simd::prefetch_early<mask_block / 2>(
            values_, static_cast<std::ptrdiff_t>((8 * row_lanes + c) * options_.chunk +
                                                 half * (mask_block / 2)));
    }

    // Reads chunk c, if an element lies outside the bytes: zeros may, and the origin may move. Not,
    // if the stored elements span 256 or more. Seldom called, and in line it takes the registers.
    [[gnu::noinline]] void load_elsewhere(const Value* from, std::uint64_t stored, std::size_t c,
                                          families& f) noexcept {
        std::uint32_t values[mask_block];
        for (std::size_t i = 0; i < mask_block; ++i)
            values[i] = static_cast<std::uint32_t>(from[i] >> options_.init_shift);
        if (options_.zero_compression) stored &= ~within_64(values, 0U, 0U);
        choice_.stored.at[c] = stored;
        if (stored == 0) return;
        Value least = std::numeric_limits<Value>::max();
        Value most = std::numeric_limits<Value>::min();
        // An integer may be read through the type of the other signedness.
        extremes_64(reinterpret_cast<const Value*>(values), stored, least, most);
        if (std::int64_t{most} - least > 255) {
            choice_.stored.at[c] = 0;
            loaded_ &= ~(1U << c);
            return;
        }
        const auto bottom = std::int64_t{static_cast<Value>(f.origin)};
        if (least < bottom || most > bottom + 255) {
            choice_.mark(f, marked_, c);  // what was loaded from the old origin
            marked_ = c;
            f.move_to(least, most);
            std::fill(origin_.at + c, origin_.at + row_lanes, f.origin);
        }
        bool inside;
        byte_block::narrowed(from, options_.init_shift, f.origin, inside)
            .store(choice_.bytes + mask_block * c);
    }

    // What the chosen configurations make of the chunks: the bytes that their sources stand for,
    // the planes of the selectors, and the fields in front of those. Which of them fit, with deltas
    // of bytes; and whether eight can be written together: two planes, a head of a byte at least.
    void settle(const families& f) noexcept {
        const word_row zero(std::uint64_t{0});
        const word_row one(std::uint64_t{1});
        const word_row entry = choice_.entry;
        const word_row base_bits = bdi_entry::field(entry, bdi_entry::base_bits);
        const word_row base_mask = (one << base_bits) - one;
        word_row planes[3] = {zero, zero, zero};
        word_row sources = zero;
        word_row immediates = zero;
        word_row bases = zero;
        word_row values = zero;
        word_row bits = zero;
        const std::size_t count = f.immediates;
        for (std::size_t s = 0; s < count + f.most_bases; ++s) {
            const word_row mask = choice_.taken[s];
            const std::uint8_t used = nonzero(mask);
            for (std::uint64_t p = 0; p < 3; ++p)
                planes[p] =
                    select(nonzero(sources & word_row(1U << p)), planes[p] | mask, planes[p]);
            sources = select(used, sources + one, sources);
            if (s < count) {
                const auto immediate = static_cast<std::uint32_t>(options_.immediates[s]);
                fours_of(word_row(std::uint64_t{immediate}) - origin_).store(source_bytes_[s]);
                immediates = select(used, immediates | word_row(std::uint64_t{1} << s), immediates);
                continue;
            }
            const word_row byte = choice_.base[s - count];
            fours_of(byte).store(source_bytes_[s]);
            values = select(used, values | (((byte + origin_) & base_mask) << bits), values);
            bits = select(used, bits + base_bits, bits);
            bases = select(used, bases + one, bases);
        }
        const word_row mask = select(nonzero(word_row(mask_bits_)), choice_.stored, zero);
        const word_row config_bits(config_bits_);
        const word_row front =
            ((((values << bdi_entry::field(entry, bdi_entry::used_bits)) | bases))
             << word_row(count)) |
            immediates;
        const word_row at = config_bits + mask_bits_;
        const word_row elements = popcount(word_row(choice_.stored));
        const word_row end = at + bdi_entry::field(entry, bdi_entry::front_bits) + bits;
        (choice_.config | (mask << config_bits) | string_word(front, at, 0)).store(head_[0]);
        (string_word(mask, config_bits, 1) | string_word(front, at, 1)).store(head_[1]);
        end.store(selectors_at_);
        const word_row first_plane = select(less(one, sources), elements, zero);
        const word_row second_plane =
            select(less(word_row(std::uint64_t{2}), sources), elements, zero);
        (end + first_plane + second_plane).store(head_bits_);
        for (std::size_t p = 0; p < 3; ++p)
            planes[p].store(planes_[p]);
        sources.store(sources_);
        elements.store(elements_);
        bits.store(base_bits_);
        const word_row delta_bits = bdi_entry::field(entry, bdi_entry::delta_bits);
        delta_bits.store(delta_bits_);
        fours_of((one << delta_bits) - one).store(delta_masks_);
        fours_of(zero - origin_).store(raw_bytes_);
        const word_row four(std::uint64_t{4});
        const word_row eight(std::uint64_t{8});
        fit_ = loaded_ & ~std::uint32_t{less(eight, delta_bits)};
        together_ = fit_ == 0xFF && (less(four, sources) | less(end, eight)) == 0;
    }

    // The codes of chunk c, and the two lowest planes of its selectors without gaps.
    void code(std::size_t c, std::size_t sources) noexcept {
        const auto four = [c](const stored_row& row) {
            return static_cast<std::uint32_t>(row.at[c]);
        };
        fetch_half(c, 1);
        byte_block bases(four(raw_bytes_));
        for (std::size_t s = 0; s < sources; ++s)
            bases.blend(choice_.taken[s].at[c], four(source_bytes_[s]));
        const std::uint64_t stored = choice_.stored.at[c];
        byte_block(choice_.bytes + mask_block * c)
            .minus(bases, four(delta_masks_))
            .pack(stored, static_cast<int>(delta_bits_.at[c]), codes_ + string_code_bytes * c);
        for (std::size_t p = 0; p < 2; ++p)
            selectors_[p].at[c] = extract_bits(planes_[p].at[c], stored);
    }

    // Puts the two planes behind the fields of the head, which end before bit 128: the planes
    // joined, moved up within words, and then by a word where they begin in the second one.
    void join_selectors() noexcept {
        const word_row zero(std::uint64_t{0});
        const word_row word(std::uint64_t{64});
        const word_row elements(elements_);
        const word_row second(selectors_[1]);
        const word_row low = word_row(selectors_[0]) | (second << elements);
        const word_row high = second >> (word - elements);
        const word_row at(selectors_at_);
        const word_row by = at & word_row(std::uint64_t{63});
        const word_row moved[3] = {low << by, joined(high, low, by), high >> (word - by)};
        const std::uint8_t later = less(word_row(std::uint64_t{63}), at);
        (select(later, zero, moved[0]) | word_row(head_[0])).store(head_[0]);
        (select(later, moved[0], moved[1]) | word_row(head_[1])).store(head_[1]);
        select(later, moved[1], moved[2]).store(head_[2]);
        select(later, moved[2], zero).store(head_[3]);
    }

    // Eight chunks as settle() wants them.
    void append_all(bit_writer& out, storage_cost& cost) const noexcept {
        const word_row values = product(word_row(elements_), word_row(delta_bits_));
        const word_row head[4] = {head_[0], head_[1], head_[2], head_[3]};
        put_eight(out, head, head_bits_, codes_, values);
        cost.value_bits += static_cast<std::int64_t>(sum(values));
        cost.scale_bits += static_cast<std::int64_t>(sum(word_row(base_bits_)));
    }

    // Any chunk.
    void append(std::size_t c, bit_writer& out, storage_cost& cost) const noexcept {
        const std::uint64_t head[4] = {head_[0].at[c], head_[1].at[c], head_[2].at[c],
                                       head_[3].at[c]};
        out.put_four(head, static_cast<int>(head_bits_.at[c]));
        for (int p = 2; sources_.at[c] > std::uint64_t{1} << p; ++p)
            out.put_wide(extract_bits(planes_[p].at[c], choice_.stored.at[c]),
                         static_cast<int>(elements_.at[c]));
        std::uint64_t codes[string_code_bytes / 8];
        std::memcpy(codes, codes_ + string_code_bytes * c, sizeof codes);
        const std::uint64_t bits = elements_.at[c] * delta_bits_.at[c];
        out.put(codes, bits);
        cost.value_bits += static_cast<std::int64_t>(bits);
        cost.scale_bits += static_cast<std::int64_t>(base_bits_.at[c]);
    }

    const nnw_bdi_options& options_;
    std::uint64_t raw_bits_;
    std::uint64_t config_bits_;
    const Value* values_ = nullptr;
    std::size_t count_ = 0;
    std::size_t marked_ = 0;    // chunks in front, whose reach is known
    std::uint32_t loaded_ = 0;  // a bit a chunk
    std::uint32_t fit_ = 0;
    bool together_ = false;

    nnw_bdi_choice<Value> choice_;
    stored_row origin_;
    stored_row mask_bits_;
    stored_row source_bytes_[bdi_sources];  // as four_of(), like the next two
    stored_row raw_bytes_;
    stored_row delta_masks_;
    stored_row planes_[3];     // of the selectors, over all elements
    stored_row selectors_[2];  // the lowest two, over the stored elements
    stored_row selectors_at_;  // their first bit in the head
    stored_row head_[4];       // all that is written before the codes
    stored_row head_bits_;
    stored_row sources_;
    stored_row elements_;  // stored ones
    stored_row base_bits_;
    stored_row delta_bits_;
    alignas(64) std::uint8_t codes_[row_lanes * string_code_bytes + 8] = {};  // packed
};

}  // namespace tare::detail
