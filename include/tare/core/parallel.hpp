#pragma once
// SPDX-License-Identifier: MIT
// One thread count, chosen at run time, and one loop. The default is 1 thread: a library must not
// take a machine that nobody offered. Results never depend on the count: a loop hands out disjoint
// outputs, and reductions have a shape fixed by their size alone.
//
// The loop runs on helpers that the library keeps (core/thread_team.hpp), not on an OpenMP region,
// so no environment variable has to be set: with more busy processes than cores a loop costs at
// most what it would cost on one thread. Below `region_min_work` it stays on the calling thread, as
// it does inside an OpenMP region of the caller, inside another loop, or while another thread
// loops.
//
// Programs that also use OpenMP themselves, or OpenBLAS or oneDNN, should set
// OMP_WAIT_POLICY=passive on shared machines: their waiting threads otherwise hold the cores.

#include <omp.h>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/thread_team.hpp>

namespace tare {

namespace detail {
inline std::atomic<int>& thread_count() {
    static std::atomic<int> count{1};
    return count;
}
}  // namespace detail

/// Number of threads that loops may use.
[[nodiscard]] inline int threads() noexcept {
    return detail::thread_count().load(std::memory_order_relaxed);
}

/// Most threads that set_threads takes; more can only be a mistake.
inline constexpr int max_threads = 1024;

/// Sets the number of threads. **Throws** tare::error on a count below 1 or above max_threads.
inline void set_threads(int count) {
    require(count >= 1, "set_threads: ", count, " threads asked for; the least is 1");
    require(count <= max_threads, "set_threads: ", count, " threads asked for; the most is ",
            max_threads);
    detail::thread_count().store(count, std::memory_order_relaxed);
}

/// Work, in elementary operations (about 0.1 ns each), below which a region does not pay.
inline constexpr extent region_min_work = 300'000;

/// Threads worth starting for `work` elementary operations: 1 where a loop would stay on the
/// calling thread.
[[nodiscard]] inline extent threads_for(extent work) noexcept {
    if (work < region_min_work || detail::thread_team::working() || omp_in_parallel()) return 1;
    return static_cast<extent>(threads());
}

/// Calls `body(begin, end)` on disjoint ranges that cover [0, count), each boundary a multiple of
/// `grain`. `work` estimates the elementary operations of one index. Which thread runs which range,
/// and how many ranges there are, must not matter to `body`; it must not throw.
template <class Body>
void parallel_for(extent count, extent grain, extent work, const Body& body) {
    if (count <= 0) return;
    const extent step = grain > 0 ? grain : 1;
    const extent blocks = (count - 1) / step + 1;
    const extent each = work > 0 ? work : 1;
    const bool enough = count >= region_min_work / each;
    const extent team = enough ? threads_for(region_min_work) : 1;
    if (team > 1 && blocks > 1) {
        // Several ranges a thread where each is still long: a helper that comes late, or loses its
        // core, then delays the end less.
        const extent per_range = region_min_work / 2 / each + 1;
        const extent most = count / per_range > team ? count / per_range : team;
        const extent wanted = most < 4 * team ? most : 4 * team;
        const extent ranges = blocks < wanted ? blocks : wanted;
        struct loop {
            const Body& body;
            extent count, step, blocks, ranges;
        };
        const loop all{body, count, step, blocks, ranges};
        const auto run_range = [](const void* context, std::int64_t range) {
            const loop& l = *static_cast<const loop*>(context);
            const extent begin = l.blocks * range / l.ranges * l.step;
            const extent end = l.blocks * (range + 1) / l.ranges * l.step;
            l.body(begin, end < l.count ? end : l.count);
        };
        const extent threads_used = ranges < team ? ranges : team;
        if (detail::thread_team::instance().run(run_range, &all, ranges,
                                                static_cast<int>(threads_used)))
            return;
    }
    body(extent{0}, count);
}

}  // namespace tare
