#pragma once
// SPDX-License-Identifier: MIT
// Dropout with a counter-based generator: whether an element stays is a function of (seed, stream,
// position) alone. The gradient calls the same function with the same stream on dy; no mask is
// stored, and neither threads nor chunks change a bit.
//   y_i = x_i / (1 - p) if u_i >= p else 0,  u_i = stream.uniform(dropout_draw(i))
// Sources: Srivastava et al. 2014 (inverted form); Philox of core/random.hpp. Draws are dealt to
// positions 64 at a time: lane l of word w of sixteen counters serves position 16 w + l.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/random_fill.hpp>
#include <tare/core/simd_transpose.hpp>
#include <tare/kernels/arguments.hpp>

namespace tare::kernels {

/// Index in the stream of the draw that decides about position i.
[[nodiscard]] constexpr std::uint64_t dropout_draw(std::uint64_t i) noexcept {
    const std::uint64_t counter = i / 64 * 16 + i % 16;
    return counter * 4 + i % 64 / 16;
}

namespace plain {

/// The formula above for any scalar; 0 <= probability < 1.
template <class Scalar>
void dropout(std::span<const std::type_identity_t<Scalar>> x, float probability,
             const random_stream& stream, std::span<Scalar> y) {
    const Scalar factor = Scalar(1.0F / (1.0F - probability));
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = stream.uniform(dropout_draw(i)) < probability ? Scalar(0) : x[i] * factor;
}

}  // namespace plain

namespace detail {

inline constexpr extent dropout_group = static_cast<extent>(tare::detail::philox_words);

/// The draws of the positions dropout_group * group and on, in the order of the positions.
inline void dropout_words(const tare::detail::philox_keys<>& keys, std::uint64_t group,
                          std::int32_t* draws) {
    std::uint32_t words[dropout_group];
    tare::detail::philox_group(keys, group, words);
    std::int32_t drawn[dropout_group];
    std::memcpy(drawn, words, sizeof words);
    // Sixteen counters of four words each become four rows of sixteen positions.
    for (extent at = 0; at < dropout_group; at += 64)
        for (extent l = 0; l < 16; l += static_cast<extent>(simd::lanes))
            simd::transpose_columns(drawn + at + 4 * l, 4, draws + at + l, 16);
}

}  // namespace detail

/// Writes y (the size of x; may be x). A probability of 0 copies.
/// Rounding: one product with float(1 / (1 - p)). NaN stays where kept, becomes 0 where dropped.
/// Throws on a probability outside [0, 1), unequal sizes or half overlapping memory.
inline void dropout(std::span<const float> x, float probability, const random_stream& stream,
                    std::span<float> y) {
    require(probability >= 0.0F && probability < 1.0F, "dropout: the probability is ", probability,
            "; it must lie in [0, 1)");
    detail::require_size("dropout", "y", y, static_cast<extent>(x.size()), "the size of x");
    detail::require_same_or_apart("dropout", "x", x, "y", y);
    // uniform() has 24 bits: u < p exactly if those bits are below p 2^24, rounded up.
    const auto threshold =
        static_cast<std::int32_t>(std::ceil(static_cast<double>(probability) * 0x1p24));
    const simd::pack limit = simd::pack_of(static_cast<float>(threshold));
    const simd::pack factor = simd::pack_of(1.0F / (1.0F - probability));
    const simd::int_pack low_24 = simd::ints_of(0x00FFFFFF);
    const tare::detail::philox_keys<> keys(stream);
    constexpr extent group = detail::dropout_group;
    parallel_for(static_cast<extent>(x.size()), group, 10, [&](extent begin, extent end) {
        std::int32_t draws[group];
        for (extent i = begin; i < end; i += group) {
            detail::dropout_words(keys, static_cast<std::uint64_t>(i / group), draws);
            for (extent at = i; at < std::min(i + group, end); at += 16) {
                const simd::pack u =
                    to_floats(shift_right(simd::load_ints(draws + (at - i)), 8) & low_24);
                const auto stay = limit <= u;
                if (at + 16 <= end) {
                    store(y.data() + at, keep(stay, simd::load_pack(x.data() + at) * factor));
                } else {
                    const auto count = static_cast<std::size_t>(end - at);
                    store(y.data() + at, keep(stay, simd::load_pack(x.data() + at, count) * factor),
                          count);
                }
            }
        }
    });
}

}  // namespace tare::kernels
