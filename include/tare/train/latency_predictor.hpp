#pragma once
// SPDX-License-Identifier: MIT
// Learning how long networks take from some that were timed, so that a search need not time every
// network it looks at: the network of models/latency_network.hpp, mean squared error of scaled
// latencies, Adam, batches drawn without replacement.
// Source: Wang et al. 2020, "HAT: Hardware-Aware Transformers", section 3.3 and appendix; numbers
// of the defaults as released. Order of draws: our own (core/random.hpp).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <tare/models/latency_network.hpp>
#include <tare/ops/mean_squared_error.hpp>
#include <tare/train/adam.hpp>
#include <tare/train/trained_parameters.hpp>

namespace tare::train {

/// A network that was timed: what describes it, and its latency.
struct latency_sample {
    network_features features{};
    double milliseconds = 0.0;
};

/// How far predictions are from what was measured.
struct latency_error {
    double root_mean_square = 0.0;  ///< milliseconds
    double mean_relative = 0.0;     ///< mean of |predicted - measured| / measured
};

/// A latency network with what its training keeps. Neither copied nor moved: the tape knows where
/// its parameters are.
class latency_predictor {
  public:
    /// Parameters start as `source` hands them out. **Throws** tare::error on sizes below 1 and a
    /// scale that is not positive.
    template <class Source = random_parameters<float>>
    explicit latency_predictor(Source source = random_parameters<float>(1),
                               const latency_network_sizes& sizes = {}, latency_scale scale = {})
        : sizes_(sizes), scale_(scale), network_(make(tape_, std::move(source), sizes)) {
        require(scale.milliseconds > 0.0, "latency_predictor: a scale of ", scale.milliseconds,
                " ms; it must be positive");
        network_.visit(
            [this](std::string_view label, variable& value) { parameters_.add(label, value); });
    }
    latency_predictor(const latency_predictor&) = delete;
    latency_predictor& operator=(const latency_predictor&) = delete;

    /// One update of Adam; returns the mean squared error before it.
    /// **Shapes** x (B, features), y (B), both scaled. **Throws** tare::error on other shapes.
    double step(const tensor& x, const tensor& y, double rate) {
        // A prediction (B, 1) against (B) would be no mistake to see, were shapes broadcast.
        require(x.shape().rank() == 2 && y.shape() == shape{x.shape()[0]},
                "latency_predictor: features ", x.shape(), " and latencies ", y.shape(),
                "; expected (B, features) and (B)");
        const variable out = network_(tape_.constant(x));
        const variable loss = mean_squared_error(out, tape_.constant(y.reshaped(out.shape())));
        const auto value = static_cast<double>(loss.value().values()[0]);
        tape_.backward(loss);
        parameters_.update(how_, tape_.precision(), ++updates_, rate, 0.0, [](double) {});
        return value;
    }
    /// The same on samples, which are scaled first. **Throws** tare::error without a sample.
    double step(std::span<const latency_sample> batch, double rate) {
        require(!batch.empty(), "latency_predictor: a batch without samples");
        const auto rows = static_cast<extent>(batch.size());
        tensor y(shape{rows});
        std::vector<network_features> features;
        for (std::size_t i = 0; i < batch.size(); ++i) {
            y.mutable_values()[i] = static_cast<float>(batch[i].milliseconds / scale_.milliseconds);
            features.push_back(batch[i].features);
        }
        return step(rows_of(features), y, rate);
    }

    /// Milliseconds that networks will take. **Throws** tare::error without one.
    [[nodiscard]] std::vector<double> predict(std::span<const network_features> networks) const {
        require(!networks.empty(), "latency_predictor: no network to predict");
        // Made for each question, without a copy of a weight: no second model to keep in step.
        auto source = parameters_.shared();
        const tensor scaled = latency_network<tensor>(source, sizes_)(rows_of(networks));
        std::vector<double> out;
        for (const float y : scaled.values())
            out.push_back(static_cast<double>(y) * scale_.milliseconds);
        return out;
    }
    /// Milliseconds that one network will take.
    [[nodiscard]] double operator()(const network_features& network) const {
        return predict(std::span(&network, 1)).front();
    }

    /// Errors over samples; zeros without any. **Throws** tare::error on a latency that is not
    /// positive.
    [[nodiscard]] latency_error error_over(std::span<const latency_sample> samples) const {
        latency_error sum;
        if (samples.empty()) return sum;
        std::vector<network_features> features;
        for (const latency_sample& s : samples)
            features.push_back(s.features);
        const std::vector<double> predicted = predict(features);
        for (std::size_t i = 0; i < samples.size(); ++i) {
            const double measured = samples[i].milliseconds;
            require(measured > 0.0, "latency_predictor: a measured latency of ", measured,
                    " ms; it must be positive");
            // Both errors: the squared one is what is learnt, the relative one what a search feels.
            const double off = predicted[i] - measured;
            sum.root_mean_square += off * off;
            sum.mean_relative += std::abs(off) / measured;
        }
        const auto count = static_cast<double>(samples.size());
        return {std::sqrt(sum.root_mean_square / count), sum.mean_relative / count};
    }

    /// Values of a parameter. **Throws** tare::error naming it if there is none.
    [[nodiscard]] std::span<float> values_of(std::string_view label) {
        return parameters_.values_of(label);
    }

  private:
    template <class Source>
    static latency_network<variable> make(tape& record, Source source,
                                          const latency_network_sizes& sizes) {
        tape_parameters<Source, float> leaves(record, std::move(source));
        return latency_network<variable>(leaves, sizes);
    }
    [[nodiscard]] tensor rows_of(std::span<const network_features> networks) const {
        tensor x(shape{static_cast<extent>(networks.size()), sizes_.features});
        std::size_t at = 0;
        for (const network_features& raw : networks)
            for (const double v : scale_.normalized(raw))
                x.mutable_values()[at++] = static_cast<float>(v);
        return x;
    }

    latency_network_sizes sizes_;
    latency_scale scale_;
    adam how_;
    tape tape_;
    latency_network<variable> network_;
    trained_parameters<adam, full_precision> parameters_;
    extent updates_ = 0;
};

struct latency_fit_options {
    extent steps = 5000;
    std::size_t batch = 128;  ///< fewer where fewer are there to learn from
    double rate = 1e-5;
    double learnt_share = 0.8;   ///< of the samples
    double checked_share = 0.1;  ///< of them, while one learns; the rest is the test
    std::uint64_t seed = 1;      ///< of the split and of the batches
};

/// Errors of a fit on its three parts.
struct latency_fit {
    latency_error learnt;
    latency_error checked;
    latency_error tested;
};

namespace detail {

/// The first `count` of `items` become a draw without replacement: a partial shuffle by Fisher and
/// Yates.
template <class T>
void draw_first(std::vector<T>& items, std::size_t count, const random_stream& draws) {
    for (std::size_t i = 0; i < count; ++i) {
        const auto left = static_cast<std::uint32_t>(items.size() - i);
        std::swap(items[i], items[i + draws.below(i, left)]);
    }
}

}  // namespace detail

/// Splits samples at random, learns from the first part and tells the errors of all three.
/// **Throws** tare::error on shares that leave nothing to learn from, and as step().
inline latency_fit fit_latency(latency_predictor& predictor, std::vector<latency_sample> samples,
                               const latency_fit_options& options = {}) {
    require(options.learnt_share > 0.0 && options.checked_share >= 0.0 &&
                options.learnt_share + options.checked_share <= 1.0,
            "fit_latency: shares ", options.learnt_share, " and ", options.checked_share,
            "; they must be shares of one whole, the first above 0");
    // Files of measurements are often sorted; parts must be alike.
    detail::draw_first(samples, samples.size(), random_stream(options.seed, 0));
    const auto part = [&](double share) {
        return static_cast<std::size_t>(share * static_cast<double>(samples.size()));
    };
    const std::size_t learnt = part(options.learnt_share);
    require(learnt >= 1 && options.batch >= 1, "fit_latency: ", learnt, " of ", samples.size(),
            " samples to learn from in batches of ", options.batch, "; both need one");
    // A draw without replacement cannot be larger than what there is.
    const std::size_t batch = std::min(options.batch, learnt);
    const std::span<const latency_sample> all(samples);
    const auto first = all.first(learnt);
    const auto second = all.subspan(learnt, part(options.checked_share));
    const auto third = all.subspan(learnt + second.size());
    std::vector<latency_sample> order(first.begin(), first.end());
    for (extent step = 0; step < options.steps; ++step) {
        const auto stream = static_cast<std::uint64_t>(step) + 1;  // 0 made the split
        // Goes on from the order of the step before: any order is as good a start for a draw.
        detail::draw_first(order, batch, random_stream(options.seed, stream));
        predictor.step(std::span<const latency_sample>(order).first(batch), options.rate);
    }
    return {predictor.error_over(first), predictor.error_over(second), predictor.error_over(third)};
}

}  // namespace tare::train
