#pragma once
// SPDX-License-Identifier: MIT
// SmaQ: mean and deviation of a tensor, and per element a short code for values within `tm`
// deviations of the mean, a longer one for outliers.
//
//   z = (x - mean) / deviation
//   main, |z| <= tm:  q = round(z Rm),          value = q/Rm deviation + mean
//   outlier:          q = round((z -+ tm) Ro),  value = (q/Ro +- tm) deviation + mean
//   Rm = (2^(bm-2)-1)/tm,  Ro = (2^(bo-2)-1)/(to-tm)
//
// One bit of a code is the outlier flag, one the sign, the rest the magnitude |q|. Policies:
//   smaq_encodable  |q| ends at 2^(b-2)-1, so that every value has a code; NaN becomes the mean,
//                   infinities the outermost code, and neither touches the statistics
//   smaq_faithful   the published simulation: |q| unbounded (no code), NaN or infinity anywhere
//                   makes the whole tensor NaN, the divisor is clamped, 2-bit codes are NaN
// Rounding: smaq_nearest (half to even), smaq_truncating (toward zero), smaq_stochastic (up when
// the fraction exceeds a uniform draw: unbiased). Every operation is rounded to float32, none
// fused. Source: Shoghi, Bersatti, Qureshi, Kim 2021, IEEE Computer Architecture Letters 20(2).

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/smaq_fold.hpp>
#include <tare/quantize/smaq_kernel.hpp>
#include <tare/quantize/smaq_simulation.hpp>
#include <tare/quantize/smaq_size.hpp>
#include <tare/quantize/smaq_statistics.hpp>
#include <tare/quantize/smaq_stream.hpp>
#include <tare/quantize/smaq_stream_decode.hpp>

namespace tare {

/// The quantizer. Gradient: identity.
/// Accuracy: bit for bit the reference's for given mean, deviation and draws (faithful).
/// Storage: 64 bits per tensor and, by value, main or outlier bits per element; tensors below
/// min_size 32 bits per element and nothing else.
/// Threads: results do not depend on their number; draw i belongs to element i.
template <class Overflow = smaq_encodable, class Rounding = smaq_nearest>
class smaq {
  public:
    static constexpr std::string_view name = Overflow::name;
    static constexpr bool faithful = Overflow::faithful;
    using params_type = smaq_params;

    /// Throws unless bits are in [2, 16], thresholds 0 < main < outlier and at least one sample is
    /// taken.
    explicit smaq(smaq_options options = {}) : options_(options) {
        detail::require_smaq_options(name, options);
    }
    [[nodiscard]] const smaq_options& options() const noexcept { return options_; }
    /// The same quantizer with other draws, the `call`-th of this seed's.
    [[nodiscard]] smaq reseeded(std::uint64_t call) const {
        smaq_options o = options_;
        o.seed = seed_of_call(options_.seed, call);
        return smaq(o);
    }

    /// Mean and deviation (of a sample drawn from the seed, with sample_statistics).
    [[nodiscard]] smaq_params fit(std::span<const float> x) const {
        if (!options_.sample_statistics) return statistics(x, false);
        const extent n = static_cast<extent>(x.size());
        return fit_sample(x, sample_indices(n, options_.samples, options_.seed));
    }
    /// Mean and deviation of the elements `indices` of x. Throws on an index out of range.
    [[nodiscard]] smaq_params fit_sample(std::span<const float> x,
                                         std::span<const extent> indices) const {
        std::vector<float> sample;
        for (const extent i : indices) {
            require(i >= 0 && i < static_cast<extent>(x.size()), name, ": sample index ", i,
                    " of a tensor of ", x.size(), " elements");
            sample.push_back(x[static_cast<std::size_t>(i)]);
        }
        return statistics(sample, true);
    }

    /// y = what survives coding. With stochastic rounding draw i of (seed, stream 0) belongs to
    /// element i.
    void fake_quantize(std::span<const float> x, const smaq_params& p, std::span<float> y) const {
        run(x, p, {}, {}, y);
    }
    /// The same with the caller's draws in [0, 1), one per element.
    void fake_quantize(std::span<const float> x, const smaq_params& p, std::span<const float> draws,
                       std::span<float> y) const {
        require(draws.size() == x.size(), name, ": ", draws.size(), " draws for ", x.size(),
                " elements");
        run(x, p, draws, {}, y);
    }
    /// The same with batch-norm folding; `draws` may be empty.
    /// Throws unless gamma and beta have one size and the tensor consists of whole channels.
    void fake_quantize(std::span<const float> x, const smaq_params& p, std::span<const float> draws,
                       const smaq_fold& fold, std::span<float> y) const {
        require(draws.empty() || draws.size() == x.size(), name, ": ", draws.size(), " draws for ",
                x.size(), " elements");
        detail::require_fold(name, fold, x.size());
        run(x, p, draws, fold, y);
    }

    /// Flags of all elements (bit i: element i is an outlier), main codes, outlier codes (sign
    /// above magnitude), mean, deviation. Tensors below min_size: the floats.
    /// Threads: ranges of the tensor; the bits do not depend on their number.
    [[nodiscard]] packed_tensor encode(std::span<const float> x, const smaq_params& p) const
        requires(!faithful) {
        packed_tensor out;
        const extent n = static_cast<extent>(x.size());
        if (n < options_.min_size) {
            code_writer writer(out);
            for (const float v : x)
                writer.put_float(v);
            return out;
        }
        detail::smaq_encode(x, widths(), p, out, simulation(p));
        return out;
    }
    /// Codes of all elements, bit 15 the outlier flag: what an entropy coder would see.
    [[nodiscard]] std::vector<std::uint16_t> symbols(std::span<const float> x,
                                                     const smaq_params& p) const
        requires(!faithful) {
        std::vector<std::uint16_t> out(x.size());
        detail::smaq_symbols(x, widths(), simulation(p), out);
        return out;
    }
    /// Throws tare::error with the byte offset on a stream of another size.
    void decode(const packed_tensor& packed, std::span<float> y) const requires(!faithful) {
        if (static_cast<extent>(y.size()) < options_.min_size) {
            code_reader reader(packed, name);
            for (float& v : y)
                v = reader.get_float();
            return reader.expect_end();
        }
        detail::smaq_decode(packed, name, widths(), y, [&](const smaq_params& p) {
            return [k = kernel(options_, p)](bool outlier, float q, float offset) {
                float value[simd::lanes];
                const detail::smaq_lanes lanes{simd::broadcast(q), simd::broadcast(offset),
                                               simd::broadcast(outlier ? 1.0F : 0.0F) >
                                                   simd::broadcast(0.0F)};
                simd::store(value, k.finish(k.value(lanes)));
                return value[0];
            };
        });
    }

    /// Straight through: dx = dy.
    void backward(std::span<const float> x, const smaq_params&, std::span<const float> dy,
                  std::span<float> dx) const {
        detail::require_same_size(name, x.size(), dy.size());
        detail::require_same_size(name, x.size(), dx.size());
        std::ranges::copy(dy, dx.begin());
    }

    /// The largest size that `nonzeros` of `elements` values can take: all outliers.
    [[nodiscard]] constexpr storage_cost storage(std::int64_t elements,
                                                 std::int64_t nonzeros) const noexcept {
        const int widest =
            options_.main_bits > options_.outlier_bits ? options_.main_bits : options_.outlier_bits;
        const bool raw = elements < options_.min_size;
        return {.value_bits = nonzeros * (raw ? 32 : widest),
                .mask_bits = nonzeros < elements ? elements : 0,
                .scale_bits = raw ? 0 : 64};
    }
    /// The exact size of these values (all of them stored).
    [[nodiscard]] storage_cost storage(std::span<const float> x, const smaq_params& p) const {
        const extent n = static_cast<extent>(x.size());
        if (n < options_.min_size) return storage(n, n);
        const std::int64_t outliers = count_outliers(x, p);
        return {.value_bits =
                    (n - outliers) * options_.main_bits + outliers * options_.outlier_bits,
                .scale_bits = 64};
    }
    /// What the reference logs: the same without mean and deviation, and 1024 bits per element
    /// (on both sides) for tensors below min_size.
    [[nodiscard]] smaq_reference_size reference_size(std::span<const float> x, const smaq_params& p,
                                                     const smaq_fold& fold = {}) const {
        const auto n = static_cast<std::int64_t>(x.size());
        if (n < options_.min_size) return {1024 * n, 1024 * n};
        const std::int64_t outliers = count_outliers(x, p, fold);
        return {(n - outliers) * options_.main_bits + outliers * options_.outlier_bits, 32 * n};
    }

  private:
    using kernel = std::conditional_t<faithful, detail::smaq_faithful_kernel<Rounding>,
                                      detail::smaq_encodable_kernel<Rounding>>;

    [[nodiscard]] smaq_params statistics(std::span<const float> x, bool biased) const {
        if constexpr (faithful)
            return detail::smaq_statistics_faithful(x, biased, options_.range_deviation);
        return detail::smaq_statistics(x, biased, options_.range_deviation);
    }
    [[nodiscard]] detail::smaq_widths widths() const noexcept {
        return {options_.main_bits - 1, options_.outlier_bits - 1,
                static_cast<float>(options_.main_threshold)};
    }

    [[nodiscard]] detail::smaq_simulation<kernel, Rounding> simulation(const smaq_params& p) const {
        return {kernel(options_, p), options_.seed};
    }
    void run(std::span<const float> x, const smaq_params& p, std::span<const float> draws,
             const smaq_fold& fold, std::span<float> y) const {
        detail::require_same_size(name, x.size(), y.size());
        if (static_cast<extent>(x.size()) < options_.min_size) {
            std::ranges::copy(x, y.begin());
        } else {
            simulation(p).run(x, draws, fold, y);
        }
    }

    [[nodiscard]] std::int64_t count_outliers(std::span<const float> x, const smaq_params& p,
                                              const smaq_fold& fold = {}) const {
        return detail::count_outliers(x, p.mean, kernel::divisor(options_, p),
                                      static_cast<float>(options_.main_threshold), fold);
    }

    smaq_options options_;
};

static_assert(packing_quantizer<smaq<>> && differentiable_quantizer<smaq<>>);
static_assert(quantizer<smaq<smaq_faithful, smaq_stochastic>>);

}  // namespace tare
