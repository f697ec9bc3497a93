#pragma once
// SPDX-License-Identifier: MIT
// SmaQ over a tensor: the element functions of quantize/smaq_kernel.hpp, the draws that belong to
// the elements, batch-norm folding around them, and all threads.

#include <algorithm>
#include <cstdint>
#include <span>

#include <tare/core/bits.hpp>
#include <tare/core/elementwise.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/random.hpp>
#include <tare/core/random_fill.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/quantize/smaq_fold.hpp>

namespace tare::detail {

/// The elements of a tensor under one mean and deviation, which `Kernel` holds.
template <class Kernel, class Rounding>
class smaq_simulation {
  public:
    smaq_simulation(const Kernel& kernel, std::uint64_t seed) : kernel_(kernel), seed_(seed) {}

    /// codes[i - begin] = signed_code of element i, at most map_chunk of them and padded to whole
    /// blocks of 64; bit i of `outliers` says which side element begin + i is on.
    void signed_codes(const float* x, extent begin, extent end, float most, std::int32_t* codes,
                      std::uint64_t* outliers) const requires(!Kernel::faithful) {
        constexpr auto block = static_cast<extent>(mask_block);
        constexpr auto lanes = static_cast<extent>(simd::lanes);
        float u[map_chunk + lanes];
        const philox_keys<rounding_rounds> keys(random_stream(seed_, 0));
        draw({}, keys, begin, end, u);
        const simd::floats bound = simd::broadcast(most);
        const Kernel kernel = kernel_;  // its own, which no store can change
        const auto one_block = [&](const float* in, extent at) {
            std::uint64_t mask = 0;
#pragma GCC unroll 4
            for (extent i = 0; i < block; i += lanes) {
                std::uint32_t bits = 0;
                const simd::ints code =
                    kernel.signed_code(simd::load(in + i), drawn(u + at + i), bound, bits);
                simd::store(codes + at + i, code);
                mask |= std::uint64_t{bits} << i;
            }
            outliers[at / block] = mask;
        };
        extent at = 0;
        for (; at + block <= end - begin; at += block) {
            // The next chunk comes into the cache while this one is coded.
            simd::prefetch<mask_block>(x + begin + at, map_chunk);
            one_block(x + begin + at, at);
        }
        if (const extent rest = end - begin - at; rest > 0) {
            float padded[mask_block] = {};
            std::copy_n(x + begin + at, rest, padded);
            one_block(padded, at);
            outliers[at / block] &= low_mask(static_cast<int>(rest));
        }
    }
    [[nodiscard]] int levels(bool outlier) const noexcept {
        return kernel_.levels(outlier);
    }

    /// y = what survives of x. `draws` are the caller's, one per element, or empty.
    void run(std::span<const float> x, std::span<const float> draws, const smaq_fold& fold,
             std::span<float> y) const {
        const extent n = static_cast<extent>(x.size());
        const bool stream = n >= stream_min_elements;
        parallel_for(n, map_chunk, Rounding::draws ? 16 : 8, [&](extent begin, extent end) {
            const philox_keys<rounding_rounds> keys(random_stream(seed_, 0));
            // From the last chunk to the first, see core/elementwise.hpp.
            for (extent stop = end; stop > begin;) {
                const extent start = std::max(begin, (stop - 1) / map_chunk * map_chunk);
                // Few draws at a time: the memory system goes on fetching meanwhile.
                constexpr extent step = Rounding::draws ? drawn_together : map_chunk;
                for (extent from = start; from < stop; from += step) {
                    const extent to = std::min(stop, from + step);
                    // Padded, because the last vector reads whole lanes.
                    float u[step + static_cast<extent>(simd::lanes)];
                    draw(draws, keys, from, to, u);
                    if (fold.gamma.empty()) {
                        plain(x.data() + from, y.data() + from, to - from, stream, u);
                    } else {
                        folded(fold, x.data(), y.data(), from, to, u);
                    }
                }
                stop = start;
            }
            if (stream) simd::stream_fence();
        });
    }

  private:
    /// One group of the generator.
    static constexpr auto drawn_together = static_cast<extent>(2 * philox_words);

    // Fills u[0 .. end - begin) with the draws of elements begin to end.
    static void draw(std::span<const float> draws, const philox_keys<rounding_rounds>& keys,
                     extent begin, extent end, float* u) {
        if constexpr (Rounding::draws) {
            if (draws.empty()) {
                fill_uniform_16(keys, static_cast<std::uint64_t>(begin),
                                std::span(u, static_cast<std::size_t>(end - begin)));
            } else {
                std::copy_n(draws.data() + begin, end - begin, u);
            }
        }
    }
    [[gnu::always_inline]] static simd::floats drawn(const float* u) {
        if constexpr (Rounding::draws) return simd::load(u);
        return simd::broadcast(0.0F);
    }

    // `u` holds the draws of the elements that are worked on.
    void plain(const float* x, float* y, extent count, bool stream, const float* u) const {
        map_elements(x, y, 0, count, stream, [=, k = kernel_](simd::floats v, extent i) {
            return k.finish(k.value(k.grid(v, drawn(u + i))));
        });
    }
    void folded(const smaq_fold& fold, const float* x, float* y, extent begin, extent end,
                const float* u) const {
        for_each_channel(begin, end, fold, [&](extent from, extent to, float gamma, float beta) {
            const simd::floats back = simd::broadcast(gamma);
            // Without gamma the output is beta whatever is coded.
            const simd::floats g =
                simd::broadcast(!Kernel::faithful && gamma == 0.0F ? 1.0F : gamma);
            const simd::floats b = simd::broadcast(beta);
            map_elements(x, y, from, to, false, [=, k = kernel_](simd::floats v, extent i) {
                return k.finish(k.value(k.grid((v - b) / g, drawn(u + (i - begin)))) * back + b);
            });
        });
    }

    Kernel kernel_;
    std::uint64_t seed_;
};

}  // namespace tare::detail
