#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the usual chunk: at most 64 elements that lie within 256 of each other, as codes of 8
// bits always do, and deltas of at most 8 bits. They are held as bytes above an origin that stays
// from chunk to chunk as long as it serves, so that what an immediate reaches is known before the
// chunk is seen. Eight chunks are chosen for and put together side by side, a lane each; one after
// the other only their codes are computed and written. The bits are those of
// <tare/lossless/nnw_bdi_encoder.hpp>, which takes all other chunks.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <tare/core/bits.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/byte_lanes.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/lossless/nnw_bdi_choice.hpp>
#include <tare/lossless/nnw_bdi_families.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>
#include <tare/lossless/word_row.hpp>
#include <tare/quantize/storage.hpp>

namespace tare::detail {

template <bdi_value Value>
class nnw_bdi_byte_encoder {
  public:
    static constexpr std::size_t batch = row_lanes;  // chunks

    explicit nnw_bdi_byte_encoder(const nnw_bdi_layout& layout)
        : options_(layout.options),
          families_(layout),
          raw_bits_(static_cast<std::uint64_t>(layout.raw_bits())),
          config_bits_(static_cast<std::uint64_t>(layout.config_bits())) {
        // Pricing everything pays where a comparison of 64 bytes is one instruction; elsewhere the
        // planner, which rules most configurations out beforehand, is up to four times as fast.
        serves_ = byte_block::one_register && families_.fit && options_.chunk <= mask_block &&
                  options_.base_shift == 0 && options_.delta_shift == 0 && !options_.random_bases;
    }

    // Appends the chunks of `values`, at most `batch` ones; those that are not as above by a call
    // of other(which).
    template <class Other>
    void encode(std::span<const Value> values, bit_writer& to, storage_cost& cost, Other&& other) {
        const std::size_t chunks = (values.size() + options_.chunk - 1) / options_.chunk;
        if (serves_) {
            choice_.clear();
            for (std::size_t c = 0; c < chunks; ++c)
                load(part(values, c), c);
            choice_.choose(families_, raw_bits_, options_.configs.size());
            settle();
            for (std::size_t c = 0; c < chunks; ++c)
                if (fits(c)) code(c);
            join_selectors();
        }
        bit_writer out = to;  // in registers: a store of bytes may alias every member
        for (std::size_t c = 0; c < chunks; ++c) {
            if (serves_ && fits(c)) {
                append(c, out, cost);
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

    // Whether the chunk is one as above.
    [[nodiscard]] bool fits(std::size_t c) const noexcept {
        return loaded_[c] && delta_bits_.at[c] <= 8;
    }

    // Reads chunk c; not, if the stored elements span 256 or more.
    [[gnu::always_inline]] void load(std::span<const Value> chunk, std::size_t c) noexcept {
        // The batch after the next comes into the cache while this one is encoded.
        simd::prefetch<mask_block>(reinterpret_cast<const float*>(chunk.data()),
                                   static_cast<std::ptrdiff_t>(2 * batch * options_.chunk));
        const Value* from = chunk.data();
        Value padded[mask_block];
        if (chunk.size() < mask_block) {
            std::fill(std::ranges::copy(chunk, padded).out, padded + mask_block, chunk[0]);
            from = padded;
        }
        std::uint8_t* const bytes = choice_.bytes + mask_block * c;
        std::uint64_t stored = low_mask(static_cast<int>(chunk.size()));
        const bool inside = narrow_64(from, options_.init_shift, families_.origin, bytes);
        loaded_[c] = inside || load_elsewhere(from, bytes, stored);
        if (!loaded_[c]) return;
        if (inside && options_.zero_compression) stored &= ~families_.zero.marks(byte_block(bytes));
        choice_.stored.at[c] = stored;
        mask_bits_.at[c] = options_.zero_compression ? chunk.size() : 0;
        origin_.at[c] = families_.origin;
        choice_.mark(families_, c);
    }

    // As load, if an element lies outside the bytes: zeros may, and the origin may move.
    bool load_elsewhere(const Value* from, std::uint8_t* bytes, std::uint64_t& stored) noexcept {
        std::uint32_t values[mask_block];
        for (std::size_t i = 0; i < mask_block; ++i)
            values[i] = static_cast<std::uint32_t>(from[i] >> options_.init_shift);
        if (options_.zero_compression) stored &= ~within_64(values, 0U, 0U);
        if (stored == 0) return true;
        Value least = std::numeric_limits<Value>::max();
        Value most = std::numeric_limits<Value>::min();
        // An integer may be read through the type of the other signedness.
        extremes_64(reinterpret_cast<const Value*>(values), stored, least, most);
        if (std::int64_t{most} - least > 255) return false;
        const auto bottom = std::int64_t{static_cast<Value>(families_.origin)};
        if (least < bottom || most > bottom + 255) families_.move_to(least, most);
        (void)narrow_64(from, options_.init_shift, families_.origin, bytes);
        return true;
    }

    static word_row field(word_row entry, std::uint64_t at) noexcept {
        return (entry >> word_row(at)) & word_row(std::uint64_t{255});
    }
    // Word `word` of a string of bits in which `what` begins at bit `at`: of the two shifts one or
    // both are by 64 or more (below 0, modulo 2^64) and give 0, but for at = 64 word, where both
    // are by 0.
    static word_row piece(word_row what, word_row at, std::uint64_t word) noexcept {
        const word_row start(64 * word);
        return (what << (at - start)) | (what >> (start - at));
    }

    // What the chosen configurations make of the chunks: the bytes that their sources stand for,
    // the planes of the selectors, and the fields in front of those.
    void settle() noexcept {
        const word_row zero(std::uint64_t{0});
        const word_row one(std::uint64_t{1});
        const word_row entry = choice_.entry;
        const word_row base_bits = field(entry, bdi_entry::base_bits);
        const word_row base_mask = (one << base_bits) - one;
        word_row planes[3] = {zero, zero, zero};
        word_row sources = zero;
        word_row immediates = zero;
        word_row bases = zero;
        word_row values = zero;
        word_row bits = zero;
        const std::size_t count = families_.immediates;
        for (std::size_t s = 0; s < count + families_.most_bases; ++s) {
            const word_row mask = choice_.taken[s];
            const std::uint8_t used = nonzero(mask);
            for (std::uint64_t p = 0; p < 3; ++p)
                planes[p] =
                    select(nonzero(sources & word_row(1U << p)), planes[p] | mask, planes[p]);
            sources = select(used, sources + one, sources);
            if (s < count) {
                const auto immediate = static_cast<std::uint32_t>(options_.immediates[s]);
                (word_row(std::uint64_t{immediate}) - origin_).store(source_bytes_[s]);
                immediates = select(used, immediates | word_row(std::uint64_t{1} << s), immediates);
                continue;
            }
            const word_row byte = choice_.base[s - count];
            byte.store(source_bytes_[s]);
            values = select(used, values | (((byte + origin_) & base_mask) << bits), values);
            bits = select(used, bits + base_bits, bits);
            bases = select(used, bases + one, bases);
        }
        const word_row mask = select(nonzero(word_row(mask_bits_)), choice_.stored, zero);
        const word_row config_bits(config_bits_);
        const word_row front =
            ((((values << field(entry, bdi_entry::used_bits)) | bases)) << word_row(count)) |
            immediates;
        const word_row at = config_bits + mask_bits_;
        const word_row elements = popcount(word_row(choice_.stored));
        const word_row end = at + field(entry, bdi_entry::front_bits) + bits;
        (choice_.config | (mask << config_bits) | piece(front, at, 0)).store(head_[0]);
        (piece(mask, config_bits, 1) | piece(front, at, 1)).store(head_[1]);
        end.store(selectors_at_);
        (end + select(less(one, sources), elements, zero)).store(head_bits_);
        for (std::size_t p = 0; p < 3; ++p)
            planes[p].store(planes_[p]);
        sources.store(sources_);
        elements.store(elements_);
        bits.store(base_bits_);
        field(entry, bdi_entry::delta_bits).store(delta_bits_);
    }

    // The codes of chunk c, and the lowest plane of its selectors without gaps.
    void code(std::size_t c) noexcept {
        byte_block bases(static_cast<std::uint8_t>(0 - origin_.at[c]));
        for (std::size_t s = 0; s < families_.immediates + families_.most_bases; ++s)
            bases.blend(choice_.taken[s].at[c], static_cast<std::uint8_t>(source_bytes_[s].at[c]));
        const std::uint64_t stored = choice_.stored.at[c];
        const auto low = static_cast<std::uint8_t>(low_mask(static_cast<int>(delta_bits_.at[c])));
        byte_block(choice_.bytes + mask_block * c).minus(bases, low).compress(stored, codes_[c]);
        selectors_.at[c] = extract_bits(planes_[0].at[c], stored);
    }

    // Puts the lowest plane behind the fields of the head, which end before bit 128.
    void join_selectors() noexcept {
        for (std::uint64_t w = 0; w < 2; ++w)
            (word_row(head_[w]) | piece(selectors_, selectors_at_, w)).store(head_[w]);
        piece(selectors_, selectors_at_, 2).store(head_[2]);
    }

    [[gnu::always_inline]] void append(std::size_t c, bit_writer& out,
                                       storage_cost& cost) const noexcept {
        const std::uint64_t words[3] = {head_[0].at[c], head_[1].at[c], head_[2].at[c]};
        const auto stored = static_cast<unsigned>(elements_.at[c]);
        const auto delta_bits = static_cast<int>(delta_bits_.at[c]);
        out.put_three(words, static_cast<int>(head_bits_.at[c]));
        for (int p = 1; sources_.at[c] > std::uint64_t{1} << p; ++p)  // seldom
            out.put_wide(extract_bits(planes_[p].at[c], choice_.stored.at[c]),
                         static_cast<int>(stored));
        out.put_codes(codes_[c], stored, delta_bits);
        cost.value_bits += static_cast<std::int64_t>(stored) * delta_bits;
        cost.scale_bits += static_cast<std::int64_t>(base_bits_.at[c]);
    }

    const nnw_bdi_options& options_;
    nnw_bdi_families<Value> families_;
    std::uint64_t raw_bits_;
    std::uint64_t config_bits_;
    bool serves_ = false;

    // Eight chunks, as far as they are.
    nnw_bdi_choice<Value> choice_;
    bool loaded_[batch] = {};
    stored_row origin_;
    stored_row mask_bits_;
    stored_row source_bytes_[bdi_sources];  // the low byte counts
    stored_row planes_[3];                  // of the selectors, over all elements
    stored_row selectors_;                  // the lowest one, over the stored elements
    stored_row selectors_at_;               // its first bit in the head
    stored_row head_[3];                    // all that is written up to there
    stored_row head_bits_;
    stored_row sources_;
    stored_row elements_;  // stored ones
    stored_row base_bits_;
    stored_row delta_bits_;
    alignas(64) std::uint8_t codes_[batch][mask_block] = {};
};

}  // namespace tare::detail
