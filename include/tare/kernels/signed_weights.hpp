#pragma once
// SPDX-License-Identifier: MIT
// Weights of 8 or 9 bits from symmetric quantizers, as one byte of magnitude and one bit of sign:
// -255 .. 255 is what 9 bits hold there. Where pruning left enough zeros, a bit says which weights
// have a sign and a byte at all: 9 d + 1 bits a weight at a density d, as in a file, and half a
// byte for each 64 weights, whose signs begin at a byte of their own.
//
//     a cell     16 outputs x 4 inputs: bit and byte 4 j + i belong to output j, input i
//     a tile     64 outputs: cells lie as [tile][group of 4 inputs][4 cells], in two streams that
//                are read from front to back: masks, and for each cell the signs and the bytes of
//                what its mask keeps; without masks signs, and bytes
//
// A register of bytes is a register of vpdpbusd's unsigned operand; the sign goes to the activation
// (see signed_product.hpp). Outputs are rounded up to 64 and inputs to 4 with zeros.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <tare/core/huge_pages.hpp>
#include <tare/core/simd_int.hpp>
#include <tare/core/unroll.hpp>
#include <tare/kernels/matmul_check.hpp>

namespace tare::kernels {

namespace detail {

/// Outputs of a cell and of a tile, inputs of a cell.
inline constexpr extent cell_outputs = 16;
inline constexpr extent tile_outputs = 64;
inline constexpr extent cell_inputs = 4;
inline constexpr extent tile_cells = tile_outputs / cell_outputs;
/// Registers of bytes in a cell and in the cells of a tile's group.
inline constexpr int cell_registers = static_cast<int>(cell_outputs) / simd::word_lanes;
inline constexpr int signed_registers = static_cast<int>(tile_outputs) / simd::word_lanes;
static_assert(cell_registers >= 1);

}  // namespace detail

/// Weights (N,K) with codes in [-255, 255].
class signed_weights {
  public:
    static constexpr int largest = 255;

    signed_weights() = default;
    /// **Throws** tare::error on a code outside [-255, 255] and on a bad view.
    explicit signed_weights(matrix_view<const std::int16_t> codes)
        : outputs_(codes.rows),
          inputs_(codes.columns),
          groups_((codes.columns + detail::cell_inputs - 1) / detail::cell_inputs) {
        using namespace detail;
        check_view("signed_weights", "codes", codes);
        extent kept = 0;
        for (extent n = 0; n < outputs_; ++n) {
            for (const std::int16_t code : codes.row(n)) {
                require(code >= -largest && code <= largest, "signed_weights: row ", n,
                        " holds the code ", code, "; magnitudes end at ", largest,
                        ". packed_weights takes wider codes");
                kept += code != 0;
            }
        }
        // A mask costs one bit a weight and saves the nine of each zero.
        masked_ = kept * 8 < outputs_ * inputs_ * 7;
        // Expansion reads a whole register from the next byte on.
        constexpr extent behind = 64;
        const extent cells = tiles() * groups_ * tile_cells;
        bytes_.reserve(
            static_cast<std::size_t>((masked_ ? kept + kept / 8 + cells : cells * 64) + behind));
        bits_.reserve(static_cast<std::size_t>(cells));
        starts_.reserve(static_cast<std::size_t>(tiles()));
        for (extent tile = 0; tile < tiles(); ++tile) {
            starts_.push_back(bytes_.size());
            for (extent g = 0; g < groups_; ++g)
                for (extent c = 0; c < tile_cells; ++c)
                    add_cell(codes, tile * tile_outputs + c * cell_outputs, g * cell_inputs);
        }
        bytes_.resize(bytes_.size() + behind);
    }

    /// N: the number of outputs.
    [[nodiscard]] extent outputs() const noexcept { return outputs_; }
    /// K: the length of each sum.
    [[nodiscard]] extent inputs() const noexcept { return inputs_; }
    /// Whether zeros are left out.
    [[nodiscard]] bool masked() const noexcept { return masked_; }
    /// Bytes that a product reads.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return bytes_.size() + bits_.size() * sizeof(std::uint64_t) +
               starts_.size() * sizeof(std::size_t);
    }

    /// Groups of four inputs.
    [[nodiscard]] extent groups() const noexcept { return groups_; }
    [[nodiscard]] extent tiles() const noexcept {
        return (outputs_ + detail::tile_outputs - 1) / detail::tile_outputs;
    }
    /// Asks for what a product reads first: whoever cuts activations beforehand need not wait then.
    void ask() const {
        for (std::size_t line = 0; line < 12; ++line)
            __builtin_prefetch(bytes_.data() + line * 64);
        for (std::size_t line = 0; line < 4; ++line)
            __builtin_prefetch(bits_.data() + line * 8);
    }
    /// Reads the cells of one tile from its first group on.
    template <bool Masked>
    class reader {
      public:
        reader(const signed_weights& w, extent tile)
            : bits_(w.bits_.data() + tile * w.groups_ * detail::tile_cells),
              bytes_(w.bytes_.data() + w.starts_[static_cast<std::size_t>(tile)]) {}

        /// The next cell: calls use(register, magnitudes, signs) for each of its registers.
        template <class Use>
        [[gnu::always_inline]] void cell(const Use& use) {
            constexpr int width = 4 * simd::word_lanes;
            // The streams come from the third cache at its full rate: lines asked for this early
            // arrive in time, while the prefetcher starts again on each page. Half as far ahead a
            // model's layers take 8 % longer.
            __builtin_prefetch(bytes_ + 1536);
            __builtin_prefetch(bits_ + 64);
            const std::uint64_t bits = *bits_++;
            const std::uint64_t minus = Masked ? signs_of(bits, bytes_) : bits;
            if constexpr (Masked) bytes_ += sign_bytes(bits);
            unroll<detail::cell_registers>([&](auto r) __attribute__((always_inline)) {
                constexpr std::uint64_t whole =
                    width >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (width % 64)) - 1;
                if constexpr (Masked) {
                    const std::uint64_t kept = bits >> (r * width % 64) & whole;
                    use(r, simd::expand_bytes(kept, bytes_), minus >> (r * width % 64) & whole);
                    bytes_ += std::popcount(kept);
                } else {
                    use(r, simd::load_words(bytes_), minus >> (r * width % 64) & whole);
                    bytes_ += width;
                }
            });
        }

      private:
        const std::uint64_t* bits_;
        const std::uint8_t* bytes_;
    };

    /// The codes of one output. **Shapes** to (K).
    void copy_row(extent output, std::span<std::int16_t> to) const {
        using namespace detail;
        TARE_ASSERT(output >= 0 && output < outputs_);
        const extent tile = output / tile_outputs;
        const auto first = static_cast<int>(output % cell_outputs * cell_inputs);
        const std::uint8_t* from = bytes_.data() + starts_[static_cast<std::size_t>(tile)];
        for (extent g = 0; g < groups_; ++g) {
            for (extent c = 0; c < tile_cells; ++c) {
                const extent at = (tile * groups_ + g) * tile_cells + c;
                const std::uint64_t bits = bits_[static_cast<std::size_t>(at)];
                const std::uint64_t kept = masked_ ? bits : ~std::uint64_t{0};
                const std::uint64_t minus = masked_ ? signs_of(bits, from) : bits;
                if (masked_) from += sign_bytes(bits);
                if (c == output % tile_outputs / cell_outputs) {
                    const extent some = std::min(cell_inputs, inputs_ - g * cell_inputs);
                    for (int i = 0; i < some; ++i) {
                        const int bit = first + i;
                        const std::uint64_t below = (std::uint64_t{1} << bit) - 1;
                        const std::int32_t size =
                            (kept >> bit & 1U) != 0 ? from[std::popcount(kept & below)] : 0;
                        to[static_cast<std::size_t>(g * cell_inputs + i)] =
                            static_cast<std::int16_t>((minus >> bit & 1U) != 0 ? -size : size);
                    }
                }
                from += std::popcount(kept);
            }
        }
    }

    /// Calls put(output, input, codes) with four registers of signed codes, those of
    /// simd::word_lanes outputs and of four inputs, for the tiles [tile, tile_end). Inputs behind
    /// column K and outputs behind row N come as zeros.
    template <class Put>
    void decode(extent tile, extent tile_end, const Put& put) const {
        for (extent t = tile; t < tile_end; ++t) {
            if (masked_)
                decode_tile<true>(t, put);
            else
                decode_tile<false>(t, put);
        }
    }

  private:
    /// Bytes that the signs of a cell take which keeps these weights.
    [[gnu::always_inline]] static std::ptrdiff_t sign_bytes(std::uint64_t kept) {
        return (std::popcount(kept) + 7) / 8;
    }
    /// Which weights of a cell are negative, from the signs of those it keeps.
    [[gnu::always_inline]] static std::uint64_t signs_of(std::uint64_t kept,
                                                         const std::uint8_t* signs) {
        std::uint64_t packed;
        std::memcpy(&packed, signs, sizeof packed);
        return simd::deposit_bits(packed, kept);
    }

    void add_cell(matrix_view<const std::int16_t> codes, extent output, extent input) {
        std::uint64_t minus = 0;
        std::uint64_t kept = 0;
        std::uint64_t kept_minus = 0;
        std::uint8_t sizes[64];
        int count = 0;
        for (int b = 0; b < 64; ++b) {
            const extent n = output + b / detail::cell_inputs;
            const extent k = input + b % detail::cell_inputs;
            const std::int32_t code = n < outputs_ && k < inputs_ ? codes(n, k) : 0;
            if (code == 0 && masked_) continue;
            kept |= std::uint64_t{1} << b;
            if (code < 0) minus |= std::uint64_t{1} << b;
            if (code < 0) kept_minus |= std::uint64_t{1} << count;
            sizes[count++] = static_cast<std::uint8_t>(code < 0 ? -code : code);
        }
        bits_.push_back(masked_ ? kept : minus);
        if (masked_)
            for (int s = 0; s < count; s += 8)
                bytes_.push_back(static_cast<std::uint8_t>(kept_minus >> s & 255U));
        bytes_.insert(bytes_.end(), sizes, sizes + count);
    }

    template <bool Masked, class Put>
    void decode_tile(extent tile, const Put& put) const {
        reader<Masked> from(*this, tile);
        const simd::words low = simd::words_of(255);
        for (extent g = 0; g < groups_; ++g) {
            for (extent c = 0; c < detail::tile_cells; ++c) {
                from.cell([&](int r, simd::words bytes,
                              std::uint64_t minus) __attribute__((always_inline)) {
                    const simd::words flip = simd::byte_mask(minus);
                    const extent output = tile * detail::tile_outputs + c * detail::cell_outputs +
                                          r * simd::word_lanes;
                    simd::words codes[4];
                    unroll<4>([&](auto i) __attribute__((always_inline)) {
                        // Byte i of each word, and its sign in all bits of a word.
                        const simd::words size =
                            simd::bitwise_and(simd::shift_right<8 * i>(bytes), low);
                        const simd::words sign =
                            simd::shift_right<31>(simd::shift_left<24 - 8 * i>(flip));
                        codes[i] = simd::subtract(
                            size, simd::shift_left<1>(simd::bitwise_and(size, sign)));
                    });
                    put(output, g * detail::cell_inputs, codes);
                });
            }
        }
    }

    extent outputs_ = 0;
    extent inputs_ = 0;
    extent groups_ = 0;
    bool masked_ = false;
    std::vector<std::size_t> starts_;     ///< of the bytes of each tile
    lasting_vector<std::uint64_t> bits_;  ///< masks, or without them signs
    lasting_vector<std::uint8_t> bytes_;  ///< of each cell its signs, if masked, and magnitudes
};

}  // namespace tare::kernels
