#pragma once
// SPDX-License-Identifier: MIT
// How long a translation network takes on this machine, measured as HAT measures it: the encoder
// reads one sentence; the decoder says as many words, one at a time, for every hypothesis of a beam
// at once, output layer included. A few runs first that nobody times, then some that are; the
// middle 80 % of them count, so that a run that another job disturbed does not.
// Source: Wang et al. 2020, "HAT: Hardware-Aware Transformers", section 4.1; the cut is that of its
// released program.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/models/translation_stream.hpp>

namespace tare::search {

struct latency_protocol {
    extent words = 30;  ///< of the source and of the translation; HAT has 23 for IWSLT
    extent beam = 4;    ///< hypotheses; HAT has 5 for IWSLT
    std::size_t dry_runs = 5;
    std::size_t runs = 20;
};

/// Mean and standard deviation of some runs.
struct run_times {
    double mean = 0.0;
    double deviation = 0.0;
};

/// Milliseconds of one network.
struct measured_latency {
    run_times encoder;
    run_times decoder;
    [[nodiscard]] double total() const noexcept { return encoder.mean + decoder.mean; }
};

/// Milliseconds since some moment, by the clock that is never set back.
struct steady_milliseconds {
    [[nodiscard]] double operator()() const {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        return std::chrono::duration<double, std::milli>(now).count();
    }
};

/// Sorted times without the lowest floor(n / 10) and the highest max(1, floor(n / 10)).
/// **Throws** tare::error on fewer than two.
[[nodiscard]] inline run_times middle_of(std::vector<double> times) {
    require(times.size() >= 2, "middle_of: ", times.size(),
            " runs; the slowest is left out, so two are needed");
    std::ranges::sort(times);
    // The slowest always goes: it is the one that something else delayed.
    const std::size_t low = times.size() / 10;
    const std::size_t high = std::max<std::size_t>(1, low);
    const auto kept = std::span(times).subspan(low, times.size() - low - high);
    const auto count = static_cast<double>(kept.size());
    const double mean = std::accumulate(kept.begin(), kept.end(), 0.0) / count;
    double squares = 0.0;
    for (const double t : kept)
        squares += (t - mean) * (t - mean);
    return {mean, std::sqrt(squares / count)};
}

/// Times of `run()`. `clock()` gives milliseconds and is asked before and after each timed run.
template <std::invocable Run, class Clock>
[[nodiscard]] run_times time_runs(const latency_protocol& how, Run&& run, Clock&& clock) {
    // Pages are mapped, caches filled and clocks up before anything counts.
    for (std::size_t i = 0; i < how.dry_runs; ++i)
        run();
    std::vector<double> times;
    for (std::size_t i = 0; i < how.runs; ++i) {
        const double begin = clock();
        run();
        times.push_back(clock() - begin);
    }
    return middle_of(std::move(times));
}

/// How long a model takes. Which words it reads does not matter: nothing stops at </s>.
/// **Throws** tare::error on a protocol without words, hypotheses or two runs.
/// **Complexity/threads** those of the model; a search wants one thread and a quiet machine.
template <class Weight, class Norm, class Clock = steady_milliseconds>
[[nodiscard]] measured_latency
measure_latency(const translation_transformer<tensor, Weight, Norm>& model,
                const latency_protocol& how = {}, Clock clock = {}) {
    require(how.words >= 1 && how.beam >= 1 && how.runs >= 2, "measure_latency: ", how.words,
            " words, a beam of ", how.beam, ", ", how.runs, " runs; expected at least 1, 1 and 2");
    const std::vector<token> source(static_cast<std::size_t>(how.words), model.config().end);
    encoded_source<tensor> encoded;
    measured_latency out;
    out.encoder = time_runs(
        how, [&] { encoded = model.encode(source, 1); }, clock);
    const std::vector<token> said(static_cast<std::size_t>(how.beam), model.config().end);
    const std::vector<token> of_the_sentence(said.size(), 0);
    std::vector<token> going_on(said.size());
    std::iota(going_on.begin(), going_on.end(), token{0});
    out.decoder = time_runs(
        how,
        [&] {
            translation_stream<Weight, Norm> stream(model, encoded);
            for (extent t = 0; t < how.words; ++t)
                static_cast<void>(
                    model.logits(stream.step(said, t == 0 ? of_the_sentence : going_on)));
        },
        clock);
    return out;
}

}  // namespace tare::search
