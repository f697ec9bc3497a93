#pragma once
// SPDX-License-Identifier: MIT
// What storing a tensor in a format costs and loses: bits per value, errors, distance from the
// entropy of the codes, speed. One row for each element format and each quantizer.
//
// Element formats of up to 8 bits and integers get one float32 scale for the whole tensor, that of
// the least squared error among 105 (quarter octaves around the tensor's root mean square); wider
// floats are used as they are.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/formats/builtin.hpp>
#include <tare/formats/convert.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/entropy.hpp>
#include <tare/quantize/builtin.hpp>
#include <tare/quantize/fit_and_quantize.hpp>

namespace tare::tool {

/// One row of the table.
struct surveyed {
    std::string name;
    std::string kind;             ///< "format" or "quantizer"
    double bits_per_value = 0.0;  ///< codes and everything stored beside them
    double mean_squared_error = 0.0;
    double largest_error = 0.0;
    double signal_to_noise = 0.0;       ///< dB; infinite where nothing is lost
    double entropy_gap = 0.0;           ///< code bits per value above the codes' entropy
    double gigabytes_per_second = 0.0;  ///< input bytes of a float-to-float round trip
    std::vector<float> values;          ///< what survives
};

/// Seconds of one call of `body`: the best of at least three, for about 30 ms.
template <class Body>
[[nodiscard]] double best_seconds(Body&& body) {
    using clock = std::chrono::steady_clock;
    double best = std::numeric_limits<double>::infinity();
    double total = 0.0;
    for (int run = 0; run < 3 || (total < 0.03 && run < 1000); ++run) {
        const auto begin = clock::now();
        body();
        const double taken = std::chrono::duration<double>(clock::now() - begin).count();
        best = std::min(best, taken);
        total += taken;
    }
    return best;
}

class survey {
  public:
    /// `x`: finite values; `columns`: elements of a row.
    survey(std::span<const float> x, extent columns) : x_(x), columns_(columns) {
        for (const float v : x)
            power_ += static_cast<double>(v) * static_cast<double>(v);
        power_ /= static_cast<double>(x.size());
    }

    /// Speed of copying the tensor, the ceiling of every row.
    [[nodiscard]] double copy_speed() const {
        std::vector<float> y(x_.size());
        return speed(best_seconds([&] { std::ranges::copy(x_, y.begin()); }));
    }

    template <numeric_format F>
    [[nodiscard]] surveyed format() const {
        surveyed row;
        // A format without negative numbers (a scale) is tried on the magnitudes.
        const bool only_positive = std::isnan(round_to<F>(-1.0F));
        row.name = only_positive ? message(F::name, ", magnitudes") : std::string(F::name);
        row.kind = "format";
        std::vector<float> x(x_.begin(), x_.end());
        if (only_positive)
            for (float& v : x)
                v = std::fabs(v);
        const bool scaled = needs_scale<F>();
        const float scale = scaled ? best_scale<F>(x) : 1.0F;
        std::vector<float> inner(x.size());
        for (std::size_t i = 0; i < inner.size(); ++i)
            inner[i] = x[i] / scale;
        row.values.resize(x.size());
        row.gigabytes_per_second = speed(best_seconds([&] { round_trip<F>(inner, row.values); }));
        for (float& v : row.values)
            v *= scale;
        std::vector<typename F::code_type> codes(x.size());
        encode<F>(inner, codes);
        row.bits_per_value = F::bits + (scaled ? 32.0 / static_cast<double>(x.size()) : 0.0);
        row.entropy_gap = F::bits - entropy_bits(std::span<const typename F::code_type>(codes));
        add_errors(row, x);
        return row;
    }

    template <packing_quantizer Q>
    [[nodiscard]] surveyed quantizer(const char* label, const Q& q) const {
        surveyed row;
        row.name = label;
        row.kind = "quantizer";
        row.values.resize(x_.size());
        row.gigabytes_per_second =
            speed(best_seconds([&] { fit_and_quantize(q, x_, row.values); }));
        const auto p = q.fit(x_);
        const storage_cost cost = storage_of(q, x_, p);
        const auto n = static_cast<double>(x_.size());
        row.bits_per_value = static_cast<double>(cost.total_bits()) / n;
        const std::vector<std::uint16_t> codes = symbols_of(q, p);
        // Elements without a code are kept as floats, 32 bits each.
        double coded = static_cast<double>(codes.size());
        if constexpr (requires { q.elements_per_code(); })
            coded *= static_cast<double>(q.elements_per_code());
        const double kept = n - coded;
        if (!codes.empty())
            row.entropy_gap = (static_cast<double>(cost.value_bits) - 32.0 * kept) /
                                  static_cast<double>(codes.size()) -
                              entropy_bits(std::span<const std::uint16_t>(codes));
        add_errors(row, x_);
        return row;
    }

    /// All of both lists.
    template <class Formats>
    [[nodiscard]] std::vector<surveyed> all() const {
        std::vector<surveyed> rows;
        formats::for_each_format<Formats>([&]<class F>() { rows.push_back(format<F>()); });
        quantizers::for_each_builtin(columns_, [&](const char* label, const auto& q) {
            rows.push_back(quantizer(label, q));
        });
        return rows;
    }

  private:
    [[nodiscard]] double speed(double seconds) const {
        return 4e-9 * static_cast<double>(x_.size()) / seconds;
    }

    // Integers (no value between 0 and 1) and codes of up to 8 bits.
    template <numeric_format F>
    [[nodiscard]] static bool needs_scale() {
        return F::bits <= 8 || round_to<F>(0.25F) != 0.25F;
    }

    template <numeric_format F>
    [[nodiscard]] float best_scale(std::span<const float> x) const {
        // The largest magnitudes one by one, because clipping is rare and dear; a sample of the
        // rest, each element standing for as many as were passed over.
        constexpr std::size_t extremes = 1024;
        constexpr std::size_t sampled = 4096;
        std::vector<float> sorted(x.begin(), x.end());
        const std::size_t rest = sorted.size() > extremes ? sorted.size() - extremes : 0;
        std::ranges::nth_element(sorted, sorted.begin() + static_cast<std::ptrdiff_t>(rest), {},
                                 [](float v) { return std::fabs(v); });
        const std::size_t step = std::max<std::size_t>(1, rest / sampled);

        const double unit = power_ > 0.0 ? std::sqrt(power_) : 1.0;
        float best = 1.0F;
        double least = std::numeric_limits<double>::infinity();
        for (int quarter = -64; quarter <= 40; ++quarter) {
            const auto scale = static_cast<float>(unit * std::exp2(0.25 * quarter));
            if (!is_finite(scale) || !(scale >= std::numeric_limits<float>::min())) continue;
            double sum = 0.0;
            for (std::size_t i = 0; i < sorted.size(); i += i < rest ? step : 1) {
                const double off = static_cast<double>(sorted[i]) -
                                   static_cast<double>(round_to<F>(sorted[i] / scale) * scale);
                sum += off * off * (i < rest ? static_cast<double>(step) : 1.0);
            }
            if (sum < least) {
                least = sum;
                best = scale;
            }
        }
        return best;
    }

    template <class Q, class Params>
    [[nodiscard]] std::vector<std::uint16_t> symbols_of(const Q& q, const Params& p) const {
        if constexpr (requires { q.symbols(x_, p); }) {
            return q.symbols(x_, p);
        } else {
            // The stream of a grouped quantizer starts with the codes of all elements.
            const packed_tensor packed = q.encode(x_, p);
            code_reader reader(packed, Q::name);
            std::vector<std::uint16_t> codes(x_.size());
            for (std::uint16_t& c : codes)
                c = static_cast<std::uint16_t>(reader.get(q.code_bits()));
            return codes;
        }
    }

    void add_errors(surveyed& row, std::span<const float> x) const {
        double sum = 0.0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double off =
                std::abs(static_cast<double>(x[i]) - static_cast<double>(row.values[i]));
            sum += off * off;
            row.largest_error = std::max(row.largest_error, off);
        }
        row.mean_squared_error = sum / static_cast<double>(x.size());
        // Also where there is no signal either: zeros that stay zeros.
        row.signal_to_noise = row.mean_squared_error == 0.0
                                  ? std::numeric_limits<double>::infinity()
                                  : 10.0 * std::log10(power_ / row.mean_squared_error);
    }

    std::span<const float> x_;
    extent columns_;
    double power_ = 0.0;
};

}  // namespace tare::tool
