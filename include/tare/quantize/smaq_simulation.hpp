#pragma once
// SPDX-License-Identifier: MIT
// SmaQ over a tensor: the element functions of quantize/smaq_kernel.hpp, the draws that belong to
// the elements, batch-norm folding around them, and all threads.

#include <algorithm>
#include <cstdint>
#include <span>

#include <tare/core/elementwise.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/core/random_fill.hpp>
#include <tare/quantize/smaq_fold.hpp>
#include <tare/quantize/smaq_stream.hpp>

namespace tare::detail {

/// The elements of a tensor under one mean and deviation, which `Kernel` holds.
template <class Kernel, class Rounding>
class smaq_simulation {
  public:
    smaq_simulation(const Kernel& kernel, std::uint64_t seed) : kernel_(kernel), seed_(seed) {}

    /// codes[i - begin] = code of element i as a number, at most map_chunk of them.
    void code_values(std::span<const float> x, extent begin, extent end, const smaq_widths& widths,
                     float* codes) const requires(!Kernel::faithful) {
        float u[map_chunk + static_cast<extent>(simd::lanes)];
        draw({}, begin, end, u);
        const auto sign = [](int width) { return static_cast<float>(1 << (width - 1)); };
        const float main_sign = sign(widths.main);
        const float outlier_sign = sign(widths.outlier);
        const float* const draws = u;
        map_elements(x.data() + begin, codes, 0, end - begin, false,
                     [=, k = kernel_](simd::floats v, extent i) {
                         return k.code(k.grid(v, drawn(draws + i)), main_sign, outlier_sign);
                     });
    }

    /// y = what survives of x. `draws` are the caller's, one per element, or empty.
    void run(std::span<const float> x, std::span<const float> draws, const smaq_fold& fold,
             std::span<float> y) const {
        const extent n = static_cast<extent>(x.size());
        const bool stream = n >= stream_min_elements;
        parallel_for(n, map_chunk, Rounding::draws ? 16 : 8, [&](extent begin, extent end) {
            // From the last chunk to the first, see core/elementwise.hpp.
            for (extent stop = end; stop > begin;) {
                const extent start = std::max(begin, (stop - 1) / map_chunk * map_chunk);
                // Padded, because the last vector reads whole lanes.
                float u[map_chunk + static_cast<extent>(simd::lanes)];
                draw(draws, start, stop, u);
                if (fold.gamma.empty()) {
                    plain(x.data() + start, y.data() + start, stop - start, stream, u);
                } else {
                    folded(fold, x.data(), y.data(), start, stop, u);
                }
                stop = start;
            }
            if (stream) simd::stream_fence();
        });
    }

  private:
    // Fills u[0 .. end - begin) with the draws of elements begin to end.
    void draw(std::span<const float> draws, extent begin, extent end, float* u) const {
        if constexpr (Rounding::draws) {
            if (draws.empty()) {
                fill_uniform_16(random_stream(seed_, 0), static_cast<std::uint64_t>(begin),
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
