#pragma once
// SPDX-License-Identifier: MIT
// One thread count, chosen at run time, and one loop. The default is 1 thread: a library must not
// take a machine that nobody offered. Results never depend on the count: a loop hands out disjoint
// outputs, and reductions have a shape fixed by their size alone.
//
// A parallel region costs 0.5 us on a quiet machine and milliseconds on one with more busy
// processes than cores (threads that spin wait for the scheduler); below `region_min_work` a loop
// therefore stays on the calling thread.

#include <cstdint>

#include <omp.h>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare {

namespace detail {
inline int& thread_count() {
    static int count = 1;
    return count;
}
}  // namespace detail

/// Number of threads that loops may use.
[[nodiscard]] inline int threads() noexcept {
    return detail::thread_count();
}

/// Sets the number of threads. Throws on a count below 1. Not to be called while a loop runs.
inline void set_threads(int count) {
    require(count >= 1, "set_threads: ", count, " threads asked for; the least is 1");
    detail::thread_count() = count;
}

/// Work, in elementary operations (about 0.1 ns each), below which a region does not pay.
inline constexpr extent region_min_work = 300'000;

/// Threads worth starting for `work` elementary operations: 1 inside a region or below
/// region_min_work.
[[nodiscard]] inline extent threads_for(extent work) noexcept {
    return work < region_min_work || omp_in_parallel() ? 1 : static_cast<extent>(threads());
}

/// Calls `body(begin, end)` on disjoint ranges that cover [0, count), at most one range a thread,
/// each boundary a multiple of `grain`. `work` estimates the elementary operations of one index.
/// `body` must not throw.
template <class Body>
void parallel_for(extent count, extent grain, extent work, Body&& body) {
    const extent blocks = (count + grain - 1) / grain;
    const extent wanted = blocks < threads() ? blocks : static_cast<extent>(threads());
    if (wanted <= 1 || omp_in_parallel() || count < region_min_work / (work > 0 ? work : 1)) {
        if (count > 0) body(extent{0}, count);
        return;
    }
#pragma omp parallel num_threads(static_cast <int>(wanted))
    {
        const extent team = omp_get_num_threads();
        const extent me = omp_get_thread_num();
        const extent begin = blocks * me / team * grain;
        const extent end = blocks * (me + 1) / team * grain;
        if (begin < count && begin < end) body(begin, end < count ? end : count);
    }
}

}  // namespace tare
