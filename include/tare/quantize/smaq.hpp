#pragma once
// SPDX-License-Identifier: MIT
// SmaQ: mean and deviation of a tensor, and per element a short code for values within `tm`
// deviations of the mean, a longer one for outliers.
//
//   z = (x - mean) / deviation
//   main, |z| <= tm:   q = round(z Rm),           value = q/Rm deviation + mean, Rm =
//   (2^(bm-2)-1)/tm outlier:           q = round((z -+ tm) Ro),   value = (q/Ro +- tm) deviation +
//   mean,
//                      Ro = (2^(bo-2)-1)/(to-tm)
//
// One bit of a code is the outlier flag, one the sign, the rest the magnitude |q|. Policies:
//   smaq_encodable  |q| ends at 2^(b-2)-1, so that every value has a code; NaN becomes the mean,
//                   infinities the outermost code, and neither touches the statistics
//   smaq_faithful   the published simulation: |q| unbounded (no code), NaN or infinity anywhere
//                   makes the whole tensor NaN, the divisor is clamped, 2-bit codes are NaN
// Rounding: smaq_nearest (half to even), smaq_truncating (toward zero), smaq_stochastic (up when
// the fraction exceeds a uniform draw: unbiased). Every operation is rounded to float32, none
// fused. Source: Shoghi, Bersatti, Qureshi, Kim 2021, IEEE Computer Architecture Letters 20(2).

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/core/random_fill.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/smaq_kernel.hpp>
#include <tare/quantize/smaq_statistics.hpp>

namespace tare {

struct smaq_encodable {
    static constexpr bool faithful = false;
    static constexpr std::string_view name = "smaq";
};
struct smaq_faithful {
    static constexpr bool faithful = true;
    static constexpr std::string_view name = "smaq_faithful";
};

/// Batch-norm folding: elements are coded as (x - beta_c) / gamma_c, with the statistics of x
/// itself. Channel c of element i is (i / inner) modulo the number of channels; one channel folds
/// the whole tensor.
struct smaq_fold {
    std::span<const float> gamma;
    std::span<const float> beta;
    extent inner = 1;  ///< elements of one channel of one sample (H W)
};

/// How the reference counts a tensor: mean and deviation are free.
struct smaq_reference_size {
    std::int64_t new_bits = 0;
    std::int64_t original_bits = 0;
    /// original / new, in float32.
    [[nodiscard]] float ratio() const noexcept {
        return static_cast<float>(static_cast<double>(original_bits) /
                                  static_cast<double>(new_bits));
    }
};

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
        const auto bits_fit = [](int b) { return b >= 2 && b <= 16; };
        require(bits_fit(options.main_bits) && bits_fit(options.outlier_bits), name, ": codes of ",
                options.main_bits, " and ", options.outlier_bits, " bits; choose 2 to 16");
        require(options.main_threshold > 0.0 && options.outlier_threshold > options.main_threshold,
                name, ": thresholds ", options.main_threshold, " and ", options.outlier_threshold,
                " must be positive and ascending");
        require(options.samples > 0 && options.min_size >= 0, name, ": ", options.samples,
                " samples and min_size ", options.min_size, "; samples must be positive");
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
        require(fold.gamma.size() == fold.beta.size() && !fold.gamma.empty() && fold.inner > 0 &&
                    (fold.gamma.size() == 1 || static_cast<extent>(x.size()) % fold.inner == 0),
                name, ": folding ", x.size(), " elements as channels of ", fold.inner, " with ",
                fold.gamma.size(), " gammas and ", fold.beta.size(), " betas");
        run(x, p, draws, fold, y);
    }

    /// Flags of all elements (bit i: element i is an outlier), main codes, outlier codes (sign
    /// above magnitude), mean, deviation. Tensors below min_size: the floats.
    [[nodiscard]] packed_tensor encode(std::span<const float> x, const smaq_params& p) const
        requires(!faithful) {
        packed_tensor out;
        code_writer writer(out);
        const extent n = static_cast<extent>(x.size());
        if (n < options_.min_size) {
            for (const float v : x)
                writer.put_float(v);
            return out;
        }
        const coded c = codes(x, p);
        for (const std::uint16_t code : c.all)
            writer.put(code >> 15, 1);
        for (const bool outliers : {false, true})
            for (const std::uint16_t code : c.all)
                if ((code >> 15 != 0) == outliers) writer.put(code, code_width(outliers));
        writer.put_float(p.mean);
        writer.put_float(p.deviation);
        return out;
    }
    /// Codes of all elements, bit 15 the outlier flag: what an entropy coder would see.
    [[nodiscard]] std::vector<std::uint16_t> symbols(std::span<const float> x,
                                                     const smaq_params& p) const
        requires(!faithful) {
        return codes(x, p).all;
    }
    /// Throws tare::error with the byte offset on a stream of another size.
    void decode(const packed_tensor& packed, std::span<float> y) const requires(!faithful) {
        code_reader reader(packed, name);
        if (static_cast<extent>(y.size()) < options_.min_size) {
            for (float& v : y)
                v = reader.get_float();
            return reader.expect_end();
        }
        std::vector<std::uint16_t> code(y.size());
        for (std::uint16_t& c : code)
            c = static_cast<std::uint16_t>(reader.get(1) << 15);
        for (const bool outliers : {false, true})
            for (std::uint16_t& c : code)
                if ((c >> 15 != 0) == outliers)
                    c = static_cast<std::uint16_t>(c | reader.get(code_width(outliers)));
        const float mean = reader.get_float();
        const float deviation = reader.get_float();
        reader.expect_end();
        require(is_finite(mean) && is_finite(deviation) && deviation >= 0.0F, name, ": mean ", mean,
                " and deviation ", deviation, " in the stream; both must be finite");
        const constants k(options_, {mean, deviation});
        for (std::size_t i = 0; i < y.size(); ++i)
            y[i] = value_of(code[i], k);
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
    using constants = detail::smaq_constants<faithful>;

    struct coded {
        std::vector<std::uint16_t> all;  // bit 15 the flag; below it sign and magnitude
    };
    [[nodiscard]] smaq_params statistics(std::span<const float> x, bool biased) const {
        if constexpr (faithful)
            return detail::smaq_statistics_faithful(x, biased, options_.range_deviation);
        return detail::smaq_statistics(x, biased, options_.range_deviation);
    }
    [[nodiscard]] int code_width(bool outlier) const noexcept {
        return (outlier ? options_.outlier_bits : options_.main_bits) - 1;
    }

    [[gnu::always_inline]] static detail::smaq_lanes grid(simd::floats v, simd::floats u,
                                                          const constants& k) {
        return detail::smaq_grid<faithful, Rounding>(v, u, k);
    }

    // Calls body(begin, end, draws) on chunks, from the last to the first; `draws[i]` belongs to
    // element begin + i and is padded to whole vectors.
    template <class Body>
    void chunks(extent begin, extent end, std::span<const float> draws, Body&& body) const {
        float u[detail::map_chunk + static_cast<extent>(simd::lanes)] = {};
        const random_stream random(options_.seed, 0);
        for (extent stop = end; stop > begin;) {
            const extent start =
                std::max(begin, (stop - 1) / detail::map_chunk * detail::map_chunk);
            if constexpr (Rounding::draws) {
                if (draws.empty()) {
                    fill_uniform(random, static_cast<std::uint64_t>(start),
                                 std::span(u, static_cast<std::size_t>(stop - start)));
                } else {
                    std::copy_n(draws.data() + start, stop - start, u);
                }
            }
            body(start, stop, static_cast<const float*>(u));
            stop = start;
        }
    }

    void run(std::span<const float> x, const smaq_params& p, std::span<const float> draws,
             const smaq_fold& fold, std::span<float> y) const {
        detail::require_same_size(name, x.size(), y.size());
        const extent n = static_cast<extent>(x.size());
        if (n < options_.min_size) {
            std::ranges::copy(x, y.begin());
            return;
        }
        const constants k(options_, p);
        const bool stream = n >= stream_min_elements;
        parallel_for(n, detail::map_chunk, Rounding::draws ? 32 : 8, [&](extent begin, extent end) {
            chunks(begin, end, draws, [&](extent start, extent stop, const float* u) {
                if (fold.gamma.empty()) {
                    map_elements(
                        x.data(), y.data(), start, stop, stream, [&](simd::floats v, extent i) {
                            const detail::smaq_lanes c = grid(v, simd::load(u + (i - start)), k);
                            return detail::smaq_not_below(detail::smaq_value(c, k), k.floor);
                        });
                    return;
                }
                for_each_channel(
                    start, stop, fold, [&](extent from, extent to, float gamma, float beta) {
                        const float back = gamma;
                        if (!faithful && gamma == 0.0F) gamma = 1.0F;  // the output is beta anyway
                        const simd::floats g = simd::broadcast(gamma);
                        const simd::floats b = simd::broadcast(beta);
                        map_elements(
                            x.data(), y.data(), from, to, false, [&](simd::floats v, extent i) {
                                const detail::smaq_lanes c =
                                    grid((v - b) / g, simd::load(u + (i - start)), k);
                                return detail::smaq_not_below(
                                    detail::smaq_value(c, k) * simd::broadcast(back) + b, k.floor);
                            });
                    });
            });
        });
    }

    template <class Body>
    static void for_each_channel(extent begin, extent end, const smaq_fold& fold, Body&& body) {
        const auto channels = static_cast<extent>(fold.gamma.size());
        for (extent from = begin; from < end;) {
            const extent run_index = channels == 1 ? 0 : from / fold.inner;
            const extent stop = channels == 1 ? end : std::min(end, (run_index + 1) * fold.inner);
            const auto c = static_cast<std::size_t>(run_index % channels);
            body(from, stop, fold.gamma[c], fold.beta[c]);
            from = stop;
        }
    }

    [[nodiscard]] std::int64_t count_outliers(std::span<const float> x, const smaq_params& p,
                                              const smaq_fold& fold = {}) const {
        const constants k(options_, p);
        const smaq_fold none{std::span<const float>(&unit, 1), std::span<const float>(&nothing, 1)};
        const float divisor = constants::bounded(k.deviation, options_.half_precision);
        std::int64_t count = 0;
        for_each_channel(0, static_cast<extent>(x.size()), fold.gamma.empty() ? none : fold,
                         [&](extent from, extent to, float gamma, float beta) {
                             for (extent i = from; i < to; ++i) {
                                 const float v = (x[static_cast<std::size_t>(i)] - beta) / gamma;
                                 const float z = (v - k.mean) / divisor;
                                 count += z > k.threshold || z < -k.threshold;
                             }
                         });
        return count;
    }

    [[nodiscard]] coded codes(std::span<const float> x, const smaq_params& p) const {
        const constants k(options_, p);
        const extent n = static_cast<extent>(x.size());
        coded out{std::vector<std::uint16_t>(x.size())};
        parallel_for(n, detail::map_chunk, 32, [&](extent begin, extent end) {
            chunks(begin, end, {}, [&](extent start, extent stop, const float* u) {
                float q[detail::map_chunk];
                float side[detail::map_chunk];  // the offset: what tells outliers and their sign
                map_elements(
                    x.data() + start, q, 0, stop - start, false,
                    [&](simd::floats v, extent i) { return grid(v, simd::load(u + i), k).q; });
                map_elements(
                    x.data() + start, side, 0, stop - start, false,
                    [&](simd::floats v, extent i) { return grid(v, simd::load(u + i), k).offset; });
                for (extent i = 0; i < stop - start; ++i) {
                    const bool outlier = side[i] != 0.0F;
                    const bool negative = outlier ? side[i] > 0.0F : q[i] < 0.0F;
                    const auto magnitude = static_cast<std::uint32_t>(std::fabs(q[i]));
                    const int sign_at = code_width(outlier) - 1;
                    out.all[static_cast<std::size_t>(start + i)] = static_cast<std::uint16_t>(
                        (outlier ? 0x8000U : 0U) | (negative ? 1U << sign_at : 0U) | magnitude);
                }
            });
        });
        return out;
    }
    [[nodiscard]] float value_of(std::uint16_t code, const constants& k) const {
        const bool outlier = code >> 15 != 0;
        const int sign_at = code_width(outlier) - 1;
        const bool negative = (code >> sign_at & 1) != 0;
        const auto magnitude =
            static_cast<float>(code & static_cast<std::uint32_t>(low_mask(sign_at)));
        const float q = negative ? -magnitude : magnitude;
        const float offset = !outlier ? 0.0F : (negative ? k.threshold : -k.threshold);
        const float w =
            (q + 0.0F) / constants::back(outlier ? k.outlier.scale : k.main.scale) - offset;
        const float v = w * k.deviation + k.mean;
        constexpr float most = std::numeric_limits<float>::max();
        const float bounded = v > most ? most : (v < -most ? -most : v);
        return bounded < k.floor ? k.floor : bounded;
    }

    static constexpr float unit = 1.0F;
    static constexpr float nothing = 0.0F;

    smaq_options options_;
};

static_assert(packing_quantizer<smaq<>> && differentiable_quantizer<smaq<>>);
static_assert(quantizer<smaq<smaq_faithful, smaq_stochastic>>);

}  // namespace tare
