#pragma once
// SPDX-License-Identifier: MIT
// What the benches share: names, thread counts, buffers.
//
// A bench is called kernel/who/size/threads; bench/report.sh puts all `who` of one kernel, size and
// thread count into one row and gives the time of each as a ratio to `tare`. A limit of the machine
// (bench/peak.hpp) is a `who` like any other, so that "90 % of the read bandwidth" is read off a
// row.

#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>
#include <omp.h>

#include <tare/core/aligned.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/pool.hpp>
#include <tare/core/random.hpp>

#ifdef TARE_BENCH_PEERS
extern "C" {
void openblas_set_num_threads(int count);
char* openblas_get_corename(void);
}
#endif

namespace bench {

/// Thread counts worth a row here: 1, and 4 where the machine has them.
inline std::vector<int> thread_counts() {
    return std::thread::hardware_concurrency() >= 4 ? std::vector<int>{1, 4} : std::vector<int>{1};
}

/// Gives the library and every peer `count` threads.
inline void set_all_threads(int count) {
    tare::set_threads(count);
    omp_set_num_threads(count);  // oneDNN and Eigen ask OpenMP
#ifdef TARE_BENCH_PEERS
    openblas_set_num_threads(count);
#endif
}

/// Memory as a tensor's, on large pages where the system gives them. What is measured beside a copy
/// lies there, the copy's too: on pages of 4 KiB passes of 64 MiB that follow each other wait for
/// the look-ups of those pages, by 10 to 50 % and as the neighbours on the machine have it.
template <class T>
using pooled = std::vector<T, tare::pool_allocator<T>>;

/// `count` reproducible values in [low, high), on a cache line. They repeat after a prime number of
/// values: drawing all of them anew for each repetition would take longer than the bench.
template <class Values = tare::aligned_vector<float>>
Values values(tare::extent count, std::uint64_t seed, float low = -1.0F, float high = 1.0F) {
    constexpr std::size_t period = 65521;
    Values out(static_cast<std::size_t>(count));
    const tare::random_stream stream(seed, 0);
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = i < period ? low + (high - low) * stream.uniform(i) : out[i - period];
    return out;
}

/// `count` reproducible codes from `low` to `high`, repeating in the same way.
template <class T>
tare::aligned_vector<T> codes(tare::extent count, std::int32_t low, std::int32_t high,
                              std::uint64_t seed) {
    constexpr std::size_t period = 65521;
    tare::aligned_vector<T> out(static_cast<std::size_t>(count));
    const tare::random_stream stream(seed, 0);
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = i < period
                     ? static_cast<T>(low + static_cast<std::int32_t>(stream.below(
                                                i, static_cast<std::uint32_t>(high - low + 1))))
                     : out[i - period];
    return out;
}

/// K.._N.._M..: sizes of a product y (M,N) = x (M,K) W (N,K)^T.
inline std::string product_label(tare::extent k, tare::extent n, tare::extent m) {
    return tare::message("K", k, "_N", n, "_M", m);
}

/// How long threads of OpenMP and OpenBLAS go on spinning after their last loop: 13 and 29 ms at
/// 2.3 GHz with the settings they come with.
inline constexpr std::chrono::milliseconds peers_fall_asleep{50};

/// Registers kernel/who/size/threads. `prepare(threads)` runs outside the timing and returns what
/// is timed; `ops` and `bytes` are what one call does and touches.
template <class Prepare>
void add(const std::string& kernel, const std::string& who, const std::string& size, int threads,
         double ops, double bytes, Prepare prepare) {
    const std::string name = tare::message(kernel, '/', who, '/', size, '/', threads);
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
        set_all_threads(threads);
        // The threads of the last bench would hold the cores of this one.
        if (threads > 1) std::this_thread::sleep_for(peers_fall_asleep);
        auto run = prepare();
        run();  // warm: pages are mapped, caches hold what they can
        for (auto _ : state) {
            run();
            benchmark::ClobberMemory();
        }
        set_all_threads(1);
        const auto calls = static_cast<double>(state.iterations());
        state.SetItemsProcessed(static_cast<std::int64_t>(calls * ops));
        state.SetBytesProcessed(static_cast<std::int64_t>(calls * bytes));
    })->UseRealTime();
}

/// Tells report.sh which kernels OpenBLAS chose: without a word it falls back to old ones on
/// processors it does not know.
inline void describe_peers() {
#ifdef TARE_BENCH_PEERS
    benchmark::AddCustomContext("openblas_core", openblas_get_corename());
#endif
}

}  // namespace bench
