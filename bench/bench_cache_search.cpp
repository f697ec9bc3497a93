// SPDX-License-Identifier: MIT
// One trial of the cache's local search at the size of a published language model (8 layers of 256,
// cache of 3000) on a slice of a stream: evaluating the network with the cache, against scoring its
// stored hidden states again. A search makes 4 trials a round: 2 change theta, 2 lambda alone.

#include <vector>

#include <benchmark/benchmark.h>

#include <tare/core/random.hpp>
#include <tare/search/cached_hidden_states.hpp>

namespace {

using namespace tare;

constexpr extent slice = 4032;
constexpr extent capacity = 3000;

/// Words with the frequencies of natural text: word k with a probability like 1 / k.
std::vector<token> stream(extent count) {
    const random_stream random(1, 0);
    std::vector<token> out;
    for (extent i = 0; i < count; ++i)
        out.push_back(static_cast<token>(
            std::exp(std::log(267735.0) *
                     static_cast<double>(random.uniform(static_cast<std::uint64_t>(i)))) -
            1.0));
    return out;
}

transformer_xl<tensor> champion(bool with_cache) {
    transformer_xl_config config;
    if (with_cache) config.cache = {capacity, false, 0.02, 0.15, false};
    random_parameters<float> source(1);
    return transformer_xl<tensor>(source, config);
}

/// A full cache's worth of words before the slice, so that every row sees all its entries.
void network(benchmark::State& state) {
    set_threads(static_cast<int>(state.range(0)));
    const transformer_xl<tensor> model = champion(true);
    const std::vector<token> words = stream(2 * slice + 1);
    const std::span<const token> all(words);
    neural_cache<tensor> cache(capacity);
    transformer_xl_state<tensor> memory;
    cache.push(model.hidden(all.first(slice), 1, memory), all.subspan(1, slice));
    for (auto _ : state) {
        transformer_xl_state<tensor> now = memory;
        const tensor h = model.hidden(all.subspan(slice, slice), 1, now);
        benchmark::DoNotOptimize(
            model.softmax().log_probability(h, all.subspan(slice + 1, slice), &cache));
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * slice);
    set_threads(1);
}

void rescored(benchmark::State& state, bool keep, bool theta_too) {
    set_threads(static_cast<int>(state.range(0)));
    const std::vector<token> words = stream(2 * slice + 1);
    search::cached_hidden_states states(champion(false), words, capacity,
                                        {slice, keep ? std::size_t{1} << 30 : 0});
    double theta = 0.02;
    double lambda = 0.15;
    for (auto _ : state) {
        if (theta_too) theta *= 1.0001;
        lambda *= 1.0001;
        if (lambda > 0.5) lambda = 0.15;
        benchmark::DoNotOptimize(states.loss({lambda, theta}));
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 2 * slice);
    set_threads(1);
}

}  // namespace

BENCHMARK(network)->Name("cache_trial/network/champion")->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(rescored, kept, true, true)
    ->Name("cache_trial/theta_kept/champion")
    ->Arg(1)
    ->UseRealTime();
BENCHMARK_CAPTURE(rescored, fresh, false, true)
    ->Name("cache_trial/theta_fresh/champion")
    ->Arg(1)
    ->UseRealTime();
BENCHMARK_CAPTURE(rescored, lambda, true, false)
    ->Name("cache_trial/lambda/champion")
    ->Arg(1)
    ->UseRealTime();
