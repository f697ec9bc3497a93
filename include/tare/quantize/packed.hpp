#pragma once
// SPDX-License-Identifier: MIT
// The packed form of a tensor: bytes and the number of bits in them that mean something. A stream
// starts with the codes of all elements (so that they begin on a byte, whatever their width) and
// goes on with the parameters, each field as wide as it is declared, least significant bit first,
// without padding between fields. The element count is not stored: it is the tensor's shape.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/bits.hpp>
#include <tare/core/error.hpp>
#include <tare/core/pool.hpp>
#include <tare/core/shape.hpp>
#include <tare/lossless/bit_pack.hpp>

namespace tare {

/// A packed tensor. `bits` is what the accounting charges; the bytes hold them and at most seven
/// padding bits, which are zero.
struct packed_tensor {
    std::vector<std::byte, unset_allocator<std::byte>> bytes;
    std::int64_t bits = 0;
    friend bool operator==(const packed_tensor&, const packed_tensor&) = default;
};

/// Appends fields of up to 64 bits to a packed tensor.
class code_writer {
  public:
    explicit code_writer(packed_tensor& out) noexcept : out_(&out) {}

    /// Appends the lowest `width` bits of `value`, 0 <= width <= 64.
    void put(std::uint64_t value, int width) {
        if (((out_->bits | width) & 7) == 0) {  // whole bytes: most parameters
            const std::size_t start = out_->bytes.size();
            const auto count = static_cast<std::size_t>(width / 8);
            out_->bytes.resize(start + count);
            for (std::size_t i = 0; i < count; ++i)
                out_->bytes[start + i] = static_cast<std::byte>(value >> (8 * i));
            out_->bits += width;
            return;
        }
        for (int left = width; left > 0;) {
            const int used = static_cast<int>(out_->bits % 8);
            if (used == 0) out_->bytes.push_back(std::byte{0});
            const int take = left < 8 - used ? left : 8 - used;
            out_->bytes.back() |= static_cast<std::byte>((value & low_mask(take)) << used);
            value >>= take;
            left -= take;
            out_->bits += take;
        }
    }
    /// Appends the 32 bits of a float.
    void put_float(float value) { put(std::bit_cast<std::uint32_t>(value), 32); }

    /// Whether the next field begins a byte.
    [[nodiscard]] bool at_byte() const noexcept { return out_->bits % 8 == 0; }
    /// Makes room for `count` codes of `width` bits at a byte boundary and returns their bytes.
    /// The caller fills them. Only valid while the stream is whole bytes.
    std::span<std::byte> reserve(extent count, int width) {
        TARE_ASSERT(out_->bits % 8 == 0);
        const std::size_t start = out_->bytes.size();
        out_->bytes.resize(start + packed_bytes(static_cast<std::size_t>(count), width));
        out_->bits += packed_bits(static_cast<std::size_t>(count), width);
        return std::span(out_->bytes).subspan(start);
    }

  private:
    packed_tensor* out_;
};

/// Takes fields out of a packed tensor, in order. Reading past the end throws tare::error with the
/// byte offset.
class code_reader {
  public:
    /// `who` is the name that messages start with.
    code_reader(const packed_tensor& in, std::string_view who) : in_(&in), who_(who) {
        require(in.bits >= 0 && (in.bits + 7) / 8 == static_cast<std::int64_t>(in.bytes.size()),
                who, ": the stream declares ", in.bits, " bits but has ", in.bytes.size(),
                " bytes");
        if (in.bits % 8 != 0)
            require(std::to_integer<unsigned>(in.bytes.back()) >> (in.bits % 8) == 0, who,
                    ": byte ", in.bytes.size() - 1, ": padding bits behind the end are not zero");
    }

    /// The next `width` bits, 0 <= width <= 64.
    std::uint64_t get(int width) {
        require(width <= in_->bits - at_, who_, ": byte ", at_ / 8, ": the stream of ", in_->bits,
                " bits ends inside a field of ", width, " bits; it was cut or damaged");
        field_ = at_;
        const auto first = static_cast<std::size_t>(at_ / 8);
        if (width <= 56 && first + 8 <= in_->bytes.size()) {  // within one word wherever it begins
            static_assert(std::endian::native == std::endian::little);
            std::uint64_t word;
            std::memcpy(&word, in_->bytes.data() + first, sizeof word);
            const int skip = static_cast<int>(at_ % 8);
            at_ += width;
            return word >> skip & low_mask(width);
        }
        std::uint64_t value = 0;
        for (int got = 0; got < width;) {
            const int skip = static_cast<int>(at_ % 8);
            const int take = width - got < 8 - skip ? width - got : 8 - skip;
            const auto byte =
                std::to_integer<std::uint64_t>(in_->bytes[static_cast<std::size_t>(at_ / 8)]);
            value |= (byte >> skip & low_mask(take)) << got;
            got += take;
            at_ += take;
        }
        return value;
    }
    float get_float() { return std::bit_cast<float>(static_cast<std::uint32_t>(get(32))); }

    /// The bytes of `count` codes of `width` bits that start here, at a byte boundary; a last byte
    /// that is shared with the next field belongs to both.
    std::span<const std::byte> take(extent count, int width) {
        TARE_ASSERT(at_ % 8 == 0);
        const std::int64_t bits = packed_bits(static_cast<std::size_t>(count), width);
        require(bits <= in_->bits - at_, who_, ": byte ", at_ / 8, ": the stream of ", in_->bits,
                " bits is too short for ", count, " codes of ", width,
                " bits; it was cut or belongs to a smaller tensor");
        const auto codes = std::span(in_->bytes)
                               .subspan(static_cast<std::size_t>(at_ / 8),
                                        packed_bytes(static_cast<std::size_t>(count), width));
        field_ = at_;
        at_ += bits;
        return codes;
    }
    /// Throws, with the byte where what was read last begins, unless it makes sense.
    template <class... Parts>
    void check(bool good, const Parts&... parts) const {
        require(good, who_, ": byte ", field_ / 8, ": ", parts...);
    }
    /// Throws unless at least `bits` are left.
    void expect(std::int64_t bits) const {
        require(bits <= in_->bits - at_, who_, ": byte ", at_ / 8, ": ", in_->bits - at_,
                " bits are left of the ", bits,
                " that follow here; the stream was cut or belongs to a smaller tensor");
    }
    /// Throws unless everything was read.
    void expect_end() const {
        require(at_ == in_->bits, who_, ": byte ", at_ / 8, ": ", in_->bits - at_,
                " bits follow the last field; the stream belongs to a larger tensor");
    }

  private:
    const packed_tensor* in_;
    std::string_view who_;
    std::int64_t at_ = 0;
    std::int64_t field_ = 0;
};

namespace detail {

/// Unpacks codes whose last byte may go on with the next field.
template <packable_code Code>
void unpack_codes(std::span<const std::byte> in, int width, std::span<Code> out) {
    const std::int64_t bits = packed_bits(out.size(), width);
    if (bits % 8 == 0) return unpack_bits(in, width, out);
    const std::size_t head = out.size() / 8 * 8;  // eight codes are whole bytes
    unpack_bits(in.first(packed_bytes(head, width)), width, out.first(head));
    for (std::size_t i = head; i < out.size(); ++i)
        out[i] = static_cast<Code>(packed_code(in, width, i));
}

}  // namespace detail

}  // namespace tare
