#pragma once
// SPDX-License-Identifier: MIT
// SmaQ over a tensor: the element functions of quantize/smaq_kernel.hpp, the draws that belong to
// the elements, batch-norm folding around them, and all threads.

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>

#include <tare/core/bits.hpp>
#include <tare/core/elementwise.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/random.hpp>
#include <tare/core/random_fill.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/core/simd_tables.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/quantize/smaq_fold.hpp>

namespace tare::detail {

/// The elements of a tensor under one mean and deviation, which `Kernel` holds.
template <class Kernel, class Rounding>
class smaq_simulation {
  public:
    smaq_simulation(const Kernel& kernel, std::uint64_t seed) : kernel_(kernel), seed_(seed) {}

    /// codes[i - begin] = signed_code of element i, at most map_chunk of them and padded to whole
    /// blocks of 64; bit i of `outliers` says which side element begin + i is on. |codes| end at
    /// what both Signed and 16 bits can hold.
    template <class Signed>
    void signed_codes(const float* x, extent begin, extent end, Signed* codes,
                      std::uint64_t* outliers) const requires(!Kernel::faithful) {
        const philox_keys<rounding_rounds> keys(random_stream(seed_, 0));
        with_draws({}, keys, begin, end, [&](const auto& u) {
            if (kernel_.usual()) return code<true>(x + begin, end - begin, codes, outliers, u);
            code<false>(x + begin, end - begin, codes, outliers, u);
        });
    }
    [[nodiscard]] int levels(bool outlier) const noexcept { return kernel_.levels(outlier); }

    /// y = what survives of x. `draws` are the caller's, one per element, or empty.
    void run(std::span<const float> x, std::span<const float> draws, const smaq_fold& fold,
             std::span<float> y) const {
        const extent n = static_cast<extent>(x.size());
        const bool stream = n >= stream_min_elements;
        parallel_for(n, map_chunk, Rounding::draws ? 16 : 8, [&](extent begin, extent end) {
            const philox_keys<rounding_rounds> keys(random_stream(seed_, 0));
            for_chunks(begin, end, [&](extent from, extent to) {
                with_draws(draws, keys, from, to, [&](const auto& u) {
                    if (fold.gamma.empty()) {
                        plain(x.data() + from, y.data() + from, to - from, stream, draws.empty(),
                              u);
                    } else {
                        folded(fold, x.data(), y.data(), from, to, u);
                    }
                });
            });
            if (stream) simd::stream_fence();
        });
    }

  private:
    // Calls use(u) with u(i) the draws of the elements begin + i and on, at most map_chunk of them.
    // `begin` is a multiple of rounding_bits_block. Rounding that draws nothing gets zeros.
    template <class Use>
    [[gnu::always_inline]] static void with_draws(std::span<const float> draws,
                                                  const philox_keys<rounding_rounds>& keys,
                                                  extent begin, extent end, const Use& use) {
        // Padded, because the last vector reads whole lanes.
        constexpr extent most = map_chunk + static_cast<extent>(simd::lanes);
        const auto count = static_cast<std::size_t>(end - begin);
        if constexpr (!Rounding::draws) {
            use([](extent) { return simd::broadcast(0.0F); });
        } else if (draws.empty()) {
            constexpr std::size_t block = rounding_bits_block;
            alignas(64) std::uint16_t bits[map_chunk + static_cast<extent>(block)];
            const std::size_t wanted = (count + block - 1) / block * block;
            fill_rounding_bits(keys, static_cast<std::uint64_t>(begin), std::span(bits, wanted));
            const std::uint16_t* const from = bits;
            use([from](extent i) { return uniform_16(simd::load_codes(from + i)); });
        } else {
            float given[most];
            std::copy_n(draws.data() + begin, count, given);
            const float* const from = given;
            use([from](extent i) { return simd::load(from + i); });
        }
    }

    template <bool Usual, class Signed, class Draws>
    void code(const float* x, extent count, Signed* codes, std::uint64_t* outliers,
              const Draws& draws) const {
        constexpr auto block = static_cast<extent>(mask_block);
        constexpr auto lanes = static_cast<extent>(simd::lanes);
        const simd::floats most = simd::broadcast(sizeof(Signed) == 1 ? 0x7F : 0x7FFF);
        const Kernel kernel = kernel_;  // its own, which no store can change
        const Draws u = draws;
        for (extent at = 0; at < count; at += block) {
            const float* in = x + at;
            float padded[mask_block];
            const extent here = std::min(count - at, block);
            if (here < block) {
                std::fill_n(padded, block, 0.0F);
                in = std::copy_n(in, here, padded) - here;
            } else {
                // The next chunk comes into the cache while this one is coded.
                simd::prefetch<mask_block>(in, map_chunk);
            }
            std::uint64_t mask = 0;
#pragma GCC unroll 4
            for (extent i = 0; i < block; i += lanes) {
                std::uint32_t bits = 0;
                const simd::ints one =
                    kernel.template signed_code<Usual>(simd::load(in + i), u(at + i), most, bits);
                if constexpr (sizeof(Signed) == 1) {
                    simd::store_bytes(codes + at + i, one);
                } else {
                    simd::store(codes + at + i, one);
                }
                mask |= std::uint64_t{bits} << i;
            }
            outliers[at / block] = mask & low_mask(static_cast<int>(here));
        }
    }
    // `u` gives the draws of the elements that are worked on: `own` ones, or the caller's.
    template <class Draws>
    void plain(const float* x, float* y, extent count, bool stream, bool own,
               const Draws& u) const {
        const auto run = [&](auto usual) {
            map_elements(x, y, 0, count, stream, [=, k = kernel_](simd::floats v, extent i) {
                return k.template survivor<decltype(usual)::value>(v, u(i));
            });
        };
        if constexpr (!Kernel::faithful)
            if (kernel_.usual() && (own || !Rounding::draws)) return run(std::true_type{});
        run(std::false_type{});
    }
    template <class Draws>
    void folded(const smaq_fold& fold, const float* x, float* y, extent begin, extent end,
                const Draws& u) const {
        for_each_channel(begin, end, fold, [&](extent from, extent to, float gamma, float beta) {
            const simd::floats back = simd::broadcast(gamma);
            // Without gamma the output is beta whatever is coded.
            const simd::floats g =
                simd::broadcast(!Kernel::faithful && gamma == 0.0F ? 1.0F : gamma);
            const simd::floats b = simd::broadcast(beta);
            map_elements(x, y, from, to, false, [=, k = kernel_](simd::floats v, extent i) {
                const simd::floats w = k.value(k.grid((v - b) / g, u(i - begin))) * back + b;
                if constexpr (Kernel::faithful) {
                    return k.finish(w);
                } else {
                    return k.bounded(w);
                }
            });
        });
    }

    Kernel kernel_;
    std::uint64_t seed_;
};

}  // namespace tare::detail
