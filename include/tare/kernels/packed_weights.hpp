#pragma once
// SPDX-License-Identifier: MIT
// Weights stored at their own width of 2 to 16 bits, in a layout that unpacks in registers.
//
// A code q of b bits is stored as q + 2^(b-1), an unsigned number of b bits, cut into fields of 8,
// 4, 2 and 1 bits from the lowest bit on: 9 = 8 + 1, 10 = 8 + 2, 6 = 4 + 2, 16 = 8 + 8. Each field
// has a plane of its own. In a plane of fields of f bits, a byte holds the fields of 8/f weights of
// one output that are four inputs apart:
//
//     word(s, c, j), byte i, bits [f t, f t + f)  =  field(output 32 s + j, input (c 8/f + t) 4 +
//     i) words lie as [strip s][block c][32]
//
// So a register masked by one constant is four fields of k for each of its outputs, what one
// vpdpbusd multiplies; nothing is permuted, expanded or shifted across bytes. K is rounded up to
// 32/f inputs, N to 32 outputs: b K N bits but for these edges.

#include <array>
#include <cstdint>
#include <limits>

#include <tare/core/huge_pages.hpp>
#include <tare/kernels/word_strips.hpp>

namespace tare::kernels {

namespace detail {

/// One plane: `width` bits of each code, from bit `shift` on.
struct packed_field {
    int width = 0;
    int shift = 0;
    extent blocks = 0;  ///< words of an output
    lasting_vector<std::uint32_t> words;

    /// Inputs that a word covers.
    [[nodiscard]] extent block_inputs() const { return 32 / width; }
    [[nodiscard]] const std::uint32_t* strip(extent s) const {
        return words.data() + s * blocks * word_strip;
    }
};

}  // namespace detail

/// Weights (N,K) of a linear layer as codes of `bits` bits.
class packed_weights {
  public:
    static constexpr int most_bits = 16;

    packed_weights() = default;
    /// **Throws** tare::error on a width outside 2..16, a code outside [-2^(b-1), 2^(b-1) - 1], a
    /// bad view, or sizes beyond 64 bits.
    packed_weights(matrix_view<const std::int16_t> codes, int bits) : bits_(bits) {
        require(bits >= 2 && bits <= most_bits, "packed_weights: ", bits,
                " bits were asked for; widths of 2 to ", most_bits, " can be packed");
        detail::check_view("packed_weights", "codes", codes);
        // No plane is larger than one of whole bytes.
        require(codes.columns / 4 + 1 <= std::numeric_limits<extent>::max() /
                                             (4 * detail::word_strip) /
                                             (codes.rows / detail::word_strip + 1),
                "packed_weights: codes of (", codes.rows, ',', codes.columns,
                ") have more bytes than 64 bits count; split them");
        outputs_ = codes.rows;
        inputs_ = codes.columns;
        const std::int32_t offset = 1 << (bits - 1);
        for (extent n = 0; n < outputs_; ++n)
            for (const std::int16_t code : codes.row(n))
                require(code >= -offset && code < offset, "packed_weights: row ", n,
                        " holds the code ", code, ", which needs more than ", bits,
                        " bits; pass a larger width");
        int shift = 0;
        for (const int width : {8, 8, 4, 2, 1}) {
            if (bits - shift < width) continue;
            fields_[field_count_] = pack_field(codes, width, shift, offset);
            ++field_count_;
            shift += width;
        }
    }

    /// N: the number of outputs.
    [[nodiscard]] extent outputs() const noexcept { return outputs_; }
    /// K: the length of each sum.
    [[nodiscard]] extent inputs() const noexcept { return inputs_; }
    /// Width of a code.
    [[nodiscard]] int bits() const noexcept { return bits_; }
    /// Bytes that a product reads.
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t sum = 0;
        for (const detail::packed_field& field : fields())
            sum += field.words.size() * sizeof(std::uint32_t);
        return sum;
    }
    [[nodiscard]] std::span<const detail::packed_field> fields() const noexcept {
        return {fields_.data(), field_count_};
    }
    /// The code of one weight, read back from the planes.
    [[nodiscard]] std::int16_t code(extent output, extent input) const {
        std::uint32_t value = 0;
        for (const detail::packed_field& field : fields()) {
            const extent block = input / field.block_inputs();
            const extent within = input % field.block_inputs();
            const std::uint32_t word = field.strip(
                output /
                detail::word_strip)[block * detail::word_strip + output % detail::word_strip];
            const extent bit = 8 * (within % 4) + field.width * (within / 4);
            value |= (word >> bit & ((1U << field.width) - 1U)) << field.shift;
        }
        return static_cast<std::int16_t>(static_cast<std::int32_t>(value) - (1 << (bits_ - 1)));
    }

  private:
    static detail::packed_field pack_field(matrix_view<const std::int16_t> codes, int width,
                                           int shift, std::int32_t offset) {
        using detail::word_strip;
        detail::packed_field field{width, shift, 0, {}};
        const extent block_inputs = field.block_inputs();
        field.blocks = codes.columns / block_inputs + (codes.columns % block_inputs != 0);
        if (codes.rows == 0 || codes.columns == 0) return field;
        const extent strips = (codes.rows - 1) / word_strip + 1;
        field.words.assign(static_cast<std::size_t>(strips * field.blocks * word_strip), 0U);
        const std::uint32_t mask = (1U << width) - 1U;
        for (extent n = 0; n < codes.rows; ++n) {
            std::uint32_t* strip =
                field.words.data() + n / word_strip * field.blocks * word_strip + n % word_strip;
            for (extent k = 0; k < codes.columns; ++k) {
                const auto code = static_cast<std::uint32_t>(codes(n, k) + offset);
                const extent within = k % block_inputs;
                strip[k / block_inputs * word_strip] |=
                    (code >> shift & mask) << (8 * (within % 4) + width * (within / 4));
            }
        }
        return field;
    }

    std::array<detail::packed_field, 5> fields_;
    std::size_t field_count_ = 0;
    extent outputs_ = 0;
    extent inputs_ = 0;
    int bits_ = 0;
};

}  // namespace tare::kernels
