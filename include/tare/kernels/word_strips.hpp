#pragma once
// SPDX-License-Identifier: MIT
// Weights of a linear layer, stored (N,K), packed for products of narrow codes: strips of 32
// outputs, and inside a strip one 32-bit word for each output and each group of k. A group is what
// fills a word: four 8-bit codes or two 16-bit ones.
//
//     word(s, g, j) = codes (32 s + j, G g .. G g + G - 1), lowest k in the lowest bits
//     words lie as [strip][group][32], zeros behind row N and column K
//
// The layout is the same in every build; 128 bytes of a strip are two AVX-512 registers or four of
// AVX2. The same strips serve one row of activations and a thousand.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include <tare/core/huge_pages.hpp>
#include <tare/kernels/matmul_check.hpp>

namespace tare::kernels::detail {

/// Outputs of a strip.
inline constexpr extent word_strip = 32;

/// Packed words together with the sizes they stand for.
struct word_strips {
    lasting_vector<std::uint32_t> words;
    extent outputs = 0;  ///< N
    extent inputs = 0;   ///< K
    extent groups = 0;   ///< words of an output: ceil(K / G)

    [[nodiscard]] extent strips() const { return (outputs + word_strip - 1) / word_strip; }
    [[nodiscard]] extent strip_words() const { return groups * word_strip; }
};

/// Packs `weights` (N,K); `encode` turns a code into the unsigned code of the word.
/// **Throws** tare::error on a bad view and where the packed size exceeds 64 bits.
template <class Code, class Encode>
[[nodiscard]] word_strips pack_words(std::string_view function, matrix_view<const Code> weights,
                                     Encode encode) {
    using bits = std::make_unsigned_t<Code>;
    constexpr extent per_word = 4 / static_cast<extent>(sizeof(Code));
    check_view(function, "weights", weights);
    word_strips out;
    out.outputs = weights.rows;
    out.inputs = weights.columns;
    out.groups = weights.columns / per_word + (weights.columns % per_word != 0);
    if (weights.rows == 0 || weights.columns == 0) return out;
    const extent strips = out.strips();
    require(out.groups <= std::numeric_limits<extent>::max() / (4 * word_strip) / strips, function,
            ": weights of (", weights.rows, ',', weights.columns,
            ") have more bytes than 64 bits count; split them");
    out.words.assign(static_cast<std::size_t>(strips * out.strip_words()), 0U);
    for (extent n = 0; n < weights.rows; ++n) {
        std::uint32_t* strip =
            out.words.data() + n / word_strip * out.strip_words() + n % word_strip;
        const Code* row = weights.data + n * weights.stride;
        for (extent k = 0; k < weights.columns; ++k) {
            const auto code = static_cast<std::uint32_t>(static_cast<bits>(encode(row[k])));
            strip[k / per_word * word_strip] |=
                code << (k % per_word * 8 * static_cast<extent>(sizeof(Code)));
        }
    }
    return out;
}

}  // namespace tare::kernels::detail
