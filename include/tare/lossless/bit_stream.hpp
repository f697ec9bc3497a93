#pragma once
// SPDX-License-Identifier: MIT
// Fields of 0 to 64 bits, one behind the other without alignment, in the bit order of
// <tare/lossless/bit_pack.hpp>: least significant bit first, little-endian bytes. The writer trusts
// its caller, the reader trusts nobody: each read beyond the end is a tare::error with the byte.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include <tare/core/bits.hpp>
#include <tare/core/error.hpp>

namespace tare {

/// Writes fields into memory that has room for them and for `room` bytes more (words are stored
/// whole). No branch depends on how full the current byte is.
class bit_writer {
  public:
    /// Bytes from the current one on that whole registers may take (put_eight in eight_strings.hpp:
    /// 64, and a word behind).
    static constexpr std::size_t room = 80;
    /// Where the next bit goes: bit `fill` (0 to 7) of *byte, whose lower bits are `pending`.
    struct place {
        std::byte* byte;
        std::uint64_t pending;
        unsigned fill;
    };

    explicit bit_writer(std::byte* out) noexcept : begin_(out), out_(out) {}

    /// Appends the lowest `bits` (0 to 56) bits of `field`; its other bits must be zero.
    void put(std::uint64_t field, int bits) noexcept {
        pending_ |= field << fill_;
        std::memcpy(out_, &pending_, sizeof pending_);
        const unsigned end = fill_ + static_cast<unsigned>(bits);  // at most 63
        pending_ >>= end / 8 * 8;
        advance(end);
    }

    /// The same for 0 to 64 bits, a few steps more.
    void put_wide(std::uint64_t field, int bits) noexcept {
        const std::uint64_t low = pending_ | field << fill_;
        std::memcpy(out_, &low, sizeof low);
        const unsigned end = fill_ + static_cast<unsigned>(bits);  // at most 71
        // Two shifts, because by 64 there is none; and no branch on what cannot be foreseen.
        const std::uint64_t high = field >> 1 >> (63 - fill_);
        const std::uint64_t full = 0 - std::uint64_t{end / 64};
        pending_ = (low >> (end / 8 * 8 % 64) & ~full) | (high & full);
        advance(end);
    }

    /// Appends the first `bits` (0 to 248) bits of four words, whose other bits must be zero.
    /// What stays behind is read back from memory: a row of such calls does not wait for one
    /// another, as a row of put() does. Writes all of the next 32 bytes whatever the length.
    void put_four(const std::uint64_t (&words)[4], int bits) noexcept {
        const auto high = [fill = fill_](std::uint64_t word) {
            return word >> 1 >> (63 - fill);  // two shifts: by 64 there is none
        };
        std::uint64_t whole[4] = {pending_ | words[0] << fill_, high(words[0]) | words[1] << fill_,
                                  high(words[1]) | words[2] << fill_,
                                  high(words[2]) | words[3] << fill_};
        for (int w = 0; w < 4; ++w)
            std::memcpy(out_ + 8 * w, &whole[w], sizeof whole[w]);
        advance(fill_ + static_cast<unsigned>(bits));
        pending_ = std::to_integer<std::uint64_t>(*out_);
    }

    /// Appends 64 bits.
    void put_64(std::uint64_t field) noexcept {
        const std::uint64_t low = pending_ | field << fill_;
        std::memcpy(out_, &low, sizeof low);
        pending_ = field >> 1 >> (63 - fill_);  // two shifts: by 64 there is none
        out_ += 8;
    }

    /// Appends the first `bits` bits of an array of words that lies elsewhere; bits behind the last
    /// one are ignored.
    void put(const std::uint64_t* words, std::size_t bits) noexcept {
        const std::size_t whole = bits / 64;
        if (whole > 0) {
            // Each word from its two neighbours, not from what the last step left: a loop that goes
            // over many words at once. Locals, because a store through a pointer to bytes may alias
            // every member.
            const unsigned fill = fill_;
            std::byte* const out = out_;
            const auto high = [fill](std::uint64_t word) {
                return word >> 1 >> (63 - fill);  // two shifts: by 64 there is none
            };
            const std::uint64_t first = pending_ | words[0] << fill;
            std::memcpy(out, &first, sizeof first);
#pragma omp simd
            for (std::size_t i = 1; i < whole; ++i) {
                const std::uint64_t word = high(words[i - 1]) | words[i] << fill;
                std::memcpy(out + 8 * i, &word, sizeof word);
            }
            pending_ = high(words[whole - 1]);
            out_ = out + 8 * whole;
        }
        if (bits % 64 == 0) return;
        const int rest = static_cast<int>(bits % 64);
        put_wide(words[whole] & low_mask(rest), rest);
    }

    [[nodiscard]] place where() const noexcept {
        return {out_, pending_, fill_};
    }
    /// Goes on at a place behind what others have written from where() on.
    void go_on(const place& p) noexcept {
        out_ = p.byte;
        pending_ = p.pending;
        fill_ = p.fill;
    }

    /// Bits written so far.
    [[nodiscard]] std::int64_t bits() const noexcept {
        return 8 * (out_ - begin_) + fill_;
    }

    /// Fills the last byte with zero bits and returns the bytes written; then the writer is done.
    [[nodiscard]] std::size_t finish() noexcept {
        std::memcpy(out_, &pending_, sizeof pending_);
        return static_cast<std::size_t>((bits() + 7) / 8);
    }

  private:
    void advance(unsigned end) noexcept {
        out_ += end / 8;
        fill_ = end % 8;
    }

    std::byte* begin_;
    std::byte* out_;
    std::uint64_t pending_ = 0;
    unsigned fill_ = 0;  // bits in pending_, 0 to 7
};

/// Reads fields from `in`. `reader` opens the messages; `offset` is the place of in[0] in the whole
/// stream and is added to the bytes that they name.
class bit_reader {
  public:
    bit_reader(std::span<const std::byte> in, std::string_view reader, std::size_t offset) noexcept
        : in_(in), reader_(reader), offset_(offset) {}

    /// The next `bits` (0 to 64) bits. Throws if fewer are left.
    [[nodiscard]] std::uint64_t take(int bits) {
        need(static_cast<std::size_t>(bits));
        const std::uint64_t field = peek(at_, bits);
        at_ += static_cast<std::size_t>(bits);
        return field;
    }

    /// The next `bits` bits into an array of ceil(bits / 64) words. Throws if fewer are left.
    void take(std::uint64_t* words, std::size_t bits) {
        need(bits);
        for (; bits >= 64; bits -= 64, at_ += 64)
            *words++ = peek(at_, 64);
        if (bits != 0) *words = peek(at_, static_cast<int>(bits));
        at_ += bits;
    }

    /// Leaves out the next `bits` bits. Throws if fewer are left.
    void skip(std::size_t bits) {
        need(bits);
        at_ += bits;
    }

    /// Throws unless what is left is less than a byte of zero bits.
    void finish() {
        const std::size_t left = 8 * in_.size() - at_;
        require(left < 8, reader_, ": byte ", byte(), ": ", left / 8,
                " bytes behind the last chunk");
        const std::size_t last = byte();
        require(take(static_cast<int>(left)) == 0, reader_, ": byte ", last,
                ": padding bits are not zero");
    }

    /// Throws tare::error with the byte of the stream that was reached and the reason.
    template <class... Parts>
    [[noreturn]] void corrupt(const Parts&... parts) const {
        fail(reader_, ": byte ", byte(), ": ", parts...);
    }

    /// The byte of the whole stream that holds the next bit.
    [[nodiscard]] std::size_t byte() const noexcept { return offset_ + at_ / 8; }

  private:
    void need(std::size_t bits) const {
        if (8 * in_.size() - at_ < bits)
            corrupt("the stream ends at byte ", offset_ + in_.size(), " where ", bits,
                    " more bits are needed");
    }

    [[nodiscard]] std::uint64_t peek(std::size_t at, int bits) const noexcept {
        if (bits == 0) return 0;
        const std::size_t first = at / 8;
        const int shift = static_cast<int>(at % 8);
        std::uint64_t word = 0;
        if (first + 8 <= in_.size()) {
            std::memcpy(&word, in_.data() + first, 8);  // the constant size makes it one load
        } else {
            std::memcpy(&word, in_.data() + first, in_.size() - first);
        }
        word >>= shift;
        if (shift + bits > 64)
            word |= std::to_integer<std::uint64_t>(in_[first + 8]) << (64 - shift);
        return word & low_mask(bits);
    }

    std::span<const std::byte> in_;
    std::string_view reader_;
    std::size_t offset_;
    std::size_t at_ = 0;  // bits
};

}  // namespace tare
