#pragma once
// SPDX-License-Identifier: MIT
// The helpers behind parallel_for. A call is cut into chunks; the calling thread takes chunks from
// the first instant on, helpers take what is left when they arrive, and the call returns as soon as
// no chunk is unfinished. It never waits for a helper that has not begun.
//
// Why not an OpenMP region: its end is a barrier of all its threads, so on a machine with more busy
// processes than cores it costs whole scheduler ticks (4 to 12 ms measured), and the remedies
// (OMP_WAIT_POLICY, GOMP_SPINCOUNT) are read when libgomp is loaded, before any header could act.
// Here a busy machine costs no more than doing the work alone.
//
// Waiting: a helper looks for the next call for `helper_patience`, giving its core to whoever wants
// it, then sleeps in the kernel. Threads are started at the first call that needs them and are
// never joined: the team outlives main, and a child made by fork() simply works alone.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <thread>

namespace tare::detail {

/// How long a helper stays awake after its last chunk.
inline constexpr std::chrono::microseconds helper_patience{100};

/// One try of a waiting loop: a few pauses of the core, from time to time a word to the scheduler.
inline void wait_a_little(std::uint32_t& tries) {
    if (++tries % 32 == 0) {
        std::this_thread::yield();
    } else {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
}

class thread_team {
  public:
    using chunk_function = void (*)(const void* body, std::int64_t chunk);

    /// The one team of the process.
    static thread_team& instance() {
        static thread_team& team = *new thread_team;  // reachable for ever: see above
        return team;
    }

    /// Calls run(body, chunk) once for each chunk in [0, chunks), on at most `threads` threads of
    /// which the caller is one. False, and nothing done, when another thread is using the team.
    bool run(chunk_function function, const void* body, std::int64_t chunks, int threads) {
        if (busy_.exchange(true, std::memory_order_acquire)) return false;
        hire(threads - 1);
        function_ = function;
        body_ = body;
        chunks_ = chunks;
        helpers_wanted_ = threads - 1;
        next_.store(0, std::memory_order_relaxed);
        open_.store(true);
        calls_.fetch_add(1, std::memory_order_release);
        calls_.notify_all();  // no system call when nobody sleeps
        take_chunks();
        // From here on no helper can enter: either it sees the call closed, or it is seen inside.
        open_.store(false);
        std::uint32_t tries = 0;
        while (inside_.load() != 0)
            wait_a_little(tries);
        busy_.store(false, std::memory_order_release);
        return true;
    }

    /// Whether this thread is working on a chunk: calls made from there stay on it.
    static bool& working() {
        static thread_local bool here = false;
        return here;
    }

  private:
    thread_team() = default;

    /// Starts helpers until there are `wanted`, or as many as the system allows.
    void hire(int wanted) {
        while (helpers_ < wanted) {
            try {
                std::thread([this, index = helpers_] { help(index); }).detach();
            } catch (const std::system_error&) {
                return;
            }
            ++helpers_;
        }
    }

    /// A body that throws ends the program: half a result must not be taken for a whole one.
    void take_chunks() noexcept {
        working() = true;
        for (;;) {
            const std::int64_t chunk = next_.fetch_add(1, std::memory_order_relaxed);
            if (chunk >= chunks_) break;
            function_(body_, chunk);
        }
        working() = false;
    }

    [[noreturn]] void help(int index) noexcept {
        std::uint32_t seen = 0;
        for (;;) {
            seen = wait_for_call(seen);
            inside_.fetch_add(1);
            if (open_.load() && index < helpers_wanted_) take_chunks();
            inside_.fetch_sub(1, std::memory_order_release);
        }
    }

    std::uint32_t wait_for_call(std::uint32_t seen) {
        using clock = std::chrono::steady_clock;
        const clock::time_point until = clock::now() + helper_patience;
        for (std::uint32_t tries = 0; tries % 16 != 15 || clock::now() < until;) {
            const std::uint32_t calls = calls_.load(std::memory_order_acquire);
            if (calls != seen) return calls;
            wait_a_little(tries);
        }
        calls_.wait(seen, std::memory_order_acquire);
        return calls_.load(std::memory_order_acquire);
    }

    // Written by the caller while the call is closed, read by helpers inside an open one.
    chunk_function function_ = nullptr;
    const void* body_ = nullptr;
    std::int64_t chunks_ = 0;
    int helpers_wanted_ = 0;
    int helpers_ = 0;
    // What threads contend for, each on a line of its own.
    alignas(64) std::atomic<bool> busy_{false};
    alignas(64) std::atomic<std::uint32_t> calls_{0};
    alignas(64) std::atomic<std::int64_t> next_{0};
    alignas(64) std::atomic<bool> open_{false};
    alignas(64) std::atomic<int> inside_{0};
};

}  // namespace tare::detail
