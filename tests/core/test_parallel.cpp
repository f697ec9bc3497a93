// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>

using tare::extent;

namespace {

/// Adds 1 to each of `hits` in a loop that is long enough to be shared.
void hit_all(std::vector<int>& hits, extent grain = 1) {
    tare::parallel_for(static_cast<extent>(hits.size()), grain, tare::region_min_work,
                       [&](extent begin, extent end) {
                           CHECK(begin % grain == 0);
                           for (extent i = begin; i < end; ++i)
                               ++hits[static_cast<std::size_t>(i)];
                       });
}

bool all_are(const std::vector<int>& hits, int value) {
    return std::all_of(hits.begin(), hits.end(), [value](int h) { return h == value; });
}

}  // namespace

TEST_CASE("thousands of loops in a row each run every index once") {
    for (const int threads : {2, 4, 3, 1, 9}) {
        tare::set_threads(threads);
        std::vector<int> hits(257);
        for (int call = 0; call < 500; ++call)
            hit_all(hits, 1 + call % 7);
        CHECK(all_are(hits, 500));
    }
    tare::set_threads(1);
}

TEST_CASE("more threads than shares, and fewer ranges than threads, leave nothing out") {
    constexpr int many = tare::detail::thread_team::most_shares + 6;
    tare::set_threads(many);
    for (const std::size_t count : {1U, 2U, 5U, 63U, 64U, 65U, 1000U}) {
        std::vector<int> hits(count);
        hit_all(hits);
        CHECK(all_are(hits, 1));
    }
    tare::set_threads(1);
}

TEST_CASE("helpers take part, and the loop does not end before they have finished") {
    tare::set_threads(2);
    const std::thread::id here = std::this_thread::get_id();
    int helped = 0;
    // A helper may come too late for a loop, so there are as many as it takes.
    for (int attempt = 0; attempt < 10'000 && helped < 3; ++attempt) {
        std::atomic<int> finished{0};
        std::atomic<bool> by_helper{false};
        tare::parallel_for(8, 1, tare::region_min_work, [&](extent begin, extent end) {
            if (std::this_thread::get_id() != here) {
                by_helper = true;
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            } else {
                std::this_thread::sleep_for(std::chrono::microseconds(50));
            }
            finished += static_cast<int>(end - begin);
        });
        CHECK(finished == 8);
        if (by_helper) ++helped;
    }
    CHECK(helped == 3);
    tare::set_threads(1);
}

TEST_CASE("a loop inside a loop stays on its thread") {
    tare::set_threads(4);
    std::vector<int> hits(4 * 100);
    tare::parallel_for(4, 1, tare::region_min_work, [&](extent begin, extent end) {
        for (extent i = begin; i < end; ++i) {
            const std::thread::id here = std::this_thread::get_id();
            tare::parallel_for(100, 1, tare::region_min_work, [&](extent b, extent e) {
                CHECK(std::this_thread::get_id() == here);
                for (extent j = b; j < e; ++j)
                    ++hits[static_cast<std::size_t>(i * 100 + j)];
            });
        }
    });
    CHECK(all_are(hits, 1));
    tare::set_threads(1);
}

TEST_CASE("loops of several threads at a time do not disturb each other") {
    tare::set_threads(3);
    std::vector<std::vector<int>> hits(4, std::vector<int>(100));
    std::vector<std::thread> callers;
    for (auto& mine : hits)
        callers.emplace_back([&mine] {
            for (int call = 0; call < 300; ++call)
                hit_all(mine);
        });
    for (std::thread& caller : callers)
        caller.join();
    for (const auto& mine : hits)
        CHECK(all_are(mine, 300));
    tare::set_threads(1);
}

TEST_CASE("an empty loop calls nothing, a short one stays here, odd arguments do no harm") {
    tare::set_threads(4);
    int calls = 0;
    const auto count_calls = [&](extent, extent) { ++calls; };
    tare::parallel_for(0, 1, tare::region_min_work, count_calls);
    tare::parallel_for(-5, 1, tare::region_min_work, count_calls);
    CHECK(calls == 0);
    tare::parallel_for(1000, 1, 1, count_calls);
    CHECK(calls == 1);
    std::vector<int> hits(10);
    tare::parallel_for(10, 0, std::numeric_limits<extent>::max(), [&](extent begin, extent end) {
        for (extent i = begin; i < end; ++i)
            ++hits[static_cast<std::size_t>(i)];
    });
    CHECK(all_are(hits, 1));
    tare::set_threads(1);
    CHECK_THROWS_AS(tare::set_threads(-1), tare::error);
    CHECK_THROWS_AS(tare::set_threads(tare::max_threads + 1), tare::error);
    CHECK(tare::threads() == 1);
}
