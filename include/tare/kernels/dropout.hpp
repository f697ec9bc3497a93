#pragma once
// SPDX-License-Identifier: MIT
// Dropout with a counter-based generator: whether an element stays is a function of (seed, stream,
// position) alone. The gradient calls the same function with the same stream on dy; no mask is
// stored, and neither threads nor chunks change a bit.
//   y_i = x_i / (1 - p) if u_i >= p else 0,  u_i = stream.uniform(dropout_draw(i))
// Sources: Srivastava et al. 2014 (inverted form); Philox of core/random.hpp. Sixteen counters are
// computed side by side; draws are dealt to positions 64 at a time so that lane l of word w serves
// position 16 w + l, which needs no shuffling.

#include <cmath>
#include <cstdint>
#include <span>
#include <type_traits>

#include <tare/core/lanes.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
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

/// Four words of sixteen consecutive counters, the first of them `counter`.
struct philox_words {
    simd::int_pack word[4];
};
[[gnu::always_inline]] inline philox_words philox_pack(std::uint64_t counter,
                                                       const random_stream& stream) {
    alignas(64) static constexpr std::int32_t index[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                           8, 9, 10, 11, 12, 13, 14, 15};
    const auto bits = [](std::uint64_t v) { return static_cast<std::int32_t>(v & 0xFFFFFFFFU); };
    // Counters start at multiples of 16, so the lower word never carries within a pack.
    philox_words c = {{simd::load_ints(index) + simd::ints_of(bits(counter)),
                       simd::ints_of(bits(counter >> 32)), simd::ints_of(bits(stream.stream())),
                       simd::ints_of(bits(stream.stream() >> 32))}};
    auto key0 = static_cast<std::uint32_t>(stream.seed());
    auto key1 = static_cast<std::uint32_t>(stream.seed() >> 32);
    for (int round = 0; round < 10; ++round) {
        const simd::wide_product p0 = multiply_wide(c.word[0], 0xD2511F53U);
        const simd::wide_product p1 = multiply_wide(c.word[2], 0xCD9E8D57U);
        c = {{p1.high ^ c.word[1] ^ simd::ints_of(static_cast<std::int32_t>(key0)), p1.low,
              p0.high ^ c.word[3] ^ simd::ints_of(static_cast<std::int32_t>(key1)), p0.low}};
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
    return c;
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
    parallel_for(static_cast<extent>(x.size()), 64, 10, [&](extent begin, extent end) {
        for (extent i = begin; i < end; i += 64) {
            const auto draws = detail::philox_pack(static_cast<std::uint64_t>(i) / 64 * 16, stream);
            for (extent w = 0; w < 4 && i + 16 * w < end; ++w) {
                const extent at = i + 16 * w;
                const simd::pack u =
                    to_floats(shift_right(draws.word[static_cast<std::size_t>(w)], 8) & low_24);
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
