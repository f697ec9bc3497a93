#pragma once
// SPDX-License-Identifier: MIT
// Memory-bound kernels are judged by a copy of the same tensor on the same number of threads, timed
// in turns with the kernel, so that other load on the machine strikes both. Counters: GB/s of the
// kernel's input, GB/s of the copy, and `of_copy`, the first by the second; all from the best run.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <span>

#include <benchmark/benchmark.h>

#include <tare/core/parallel.hpp>

namespace bench {

inline void copy(std::span<const float> from, std::span<float> to) {
    tare::parallel_for(static_cast<tare::extent>(from.size()), 1024, 4,
                       [&](tare::extent begin, tare::extent end) {
                           std::memcpy(to.data() + begin, from.data() + begin,
                                       static_cast<std::size_t>(end - begin) * sizeof(float));
                       });
}

/// Times `run()` and a copy of x to y in turns, on state.range(0) threads.
template <class Run>
void against_copy(benchmark::State& state, std::span<const float> x, std::span<float> y,
                  const Run& run) {
    using clock = std::chrono::steady_clock;
    tare::set_threads(static_cast<int>(state.range(0)));
    double best_copy = 1e30;
    double best_run = 1e30;
    const auto seconds = [](clock::time_point since) {
        return std::chrono::duration<double>(clock::now() - since).count();
    };
    for (auto _ : state) {
        const clock::time_point start = clock::now();
        copy(x, y);
        benchmark::ClobberMemory();
        best_copy = std::min(best_copy, seconds(start));
        const clock::time_point middle = clock::now();
        run();
        benchmark::ClobberMemory();
        const double took = seconds(middle);
        best_run = std::min(best_run, took);
        state.SetIterationTime(took);
    }
    const double gigabytes = static_cast<double>(x.size_bytes()) * 1e-9;
    state.counters["GB/s"] = gigabytes / best_run;
    state.counters["copy_GB/s"] = gigabytes / best_copy;
    state.counters["of_copy"] = best_copy / best_run;
    tare::set_threads(1);
}

}  // namespace bench
