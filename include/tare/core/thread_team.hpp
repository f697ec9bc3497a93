#pragma once
// SPDX-License-Identifier: MIT
// The helpers behind parallel_for. A call is cut into chunks, and each thread has a share of
// neighbouring ones. The calling thread takes chunks from the first instant on, helpers when they
// arrive; whoever is through with its own share goes on with those of the others, and the call
// returns as soon as no chunk is unfinished. It never waits for a helper that has not begun.
// Shares rather than one queue: what a thread read in one chunk, or in the last call of the same
// kind, is still in the cache of its core.
//
// Why not an OpenMP region: its end is a barrier of all its threads, so on a machine with more busy
// processes than cores it costs whole scheduler ticks (4 to 12 ms measured), and the remedies
// (OMP_WAIT_POLICY, GOMP_SPINCOUNT) are read when libgomp is loaded, before any header could act.
// Here a busy machine costs no more than doing the work alone.
//
// Waiting: a helper looks for the next call for `helper_patience` without giving up its core, then
// sleeps in the kernel. It must not yield before: on a busy machine a thread that yields gets its
// core back a scheduler slice later (milliseconds), one that wakes from sleep after tens of
// microseconds. Threads are started at the first call that needs them and are never joined: the
// team outlives main, and a child made by fork() simply works alone.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <thread>

namespace tare::detail {

/// How long a helper stays awake after its last chunk.
inline constexpr std::chrono::microseconds helper_patience{100};

/// How many times as long it does while the caller is still at work.
inline constexpr int late_patience = 20;

/// How long a caller that has nothing left to do waits for the chunks of others before it offers
/// them its core.
inline constexpr std::chrono::microseconds caller_patience{200};

/// Calls `done()` until it holds or `patience` is over, with short pauses of the core; whether it
/// held. The clock is read rarely: it costs as much as the look.
template <class Done>
bool spin_until(std::chrono::microseconds patience, const Done& done) {
    using clock = std::chrono::steady_clock;
    const clock::time_point until = clock::now() + patience;
    do {
        for (int tries = 0; tries < 16; ++tries) {
            if (done()) return true;
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#endif
        }
    } while (clock::now() < until);
    return false;
}

class thread_team {
  public:
    /// With more threads than this, several begin with the same share.
    static constexpr int most_shares = 64;

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
        sharers_ = threads < most_shares ? threads : most_shares;
        helpers_wanted_ = threads - 1;
        for (int i = 0; i < sharers_; ++i) {
            shares_[i].next.store(chunks * i / sharers_, std::memory_order_relaxed);
            shares_[i].end = chunks * (i + 1) / sharers_;
        }
        open_.store(true);
        calls_.fetch_add(1, std::memory_order_release);
        calls_.notify_all();  // no system call when nobody sleeps
        take_chunks(0);
        // From here on no helper can enter: either it sees the call closed, or it is seen inside.
        open_.store(false);
        const auto alone = [this] { return inside_.load() == 0; };
        while (!spin_until(caller_patience, alone))
            std::this_thread::yield();
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

    /// Takes the chunks of share `first`, then what is left of the others. A body that throws ends
    /// the program: half a result must not be taken for a whole one.
    void take_chunks(int first) noexcept {
        working() = true;
        for (int i = 0; i < sharers_; ++i) {
            share& from = shares_[(first + i) % sharers_];
            for (;;) {
                const std::int64_t chunk = from.next.fetch_add(1, std::memory_order_relaxed);
                if (chunk >= from.end) break;
                function_(body_, chunk);
            }
        }
        working() = false;
    }

    [[noreturn]] void help(int index) noexcept {
        std::uint32_t seen = 0;
        for (;;) {
            seen = wait_for_call(seen);
            inside_.fetch_add(1);
            if (open_.load() && index < helpers_wanted_) take_chunks((index + 1) % sharers_);
            inside_.fetch_sub(1, std::memory_order_release);
        }
    }

    std::uint32_t wait_for_call(std::uint32_t seen) {
        const auto called = [&] { return calls_.load(std::memory_order_acquire) != seen; };
        // A call that goes on without this helper, which woke too late for a chunk, may soon be
        // followed by the next. Asleep at its start, the helper would come too late again, and so
        // to every call of a series.
        bool here = spin_until(helper_patience, called);
        for (int more = 0; !here && more < late_patience && busy_.load(std::memory_order_relaxed);
             ++more)
            here = spin_until(helper_patience, called);
        if (!here) calls_.wait(seen, std::memory_order_acquire);
        return calls_.load(std::memory_order_acquire);
    }

    /// Chunks [next, end) of a thread, on a cache line of its own.
    struct alignas(64) share {
        std::atomic<std::int64_t> next{0};
        std::int64_t end = 0;
    };
    // Written by the caller while the call is closed, read by helpers inside an open one.
    chunk_function function_ = nullptr;
    const void* body_ = nullptr;
    int sharers_ = 0;
    int helpers_wanted_ = 0;
    int helpers_ = 0;
    share shares_[most_shares];
    // What threads contend for, each on a line of its own.
    alignas(64) std::atomic<bool> busy_{false};
    alignas(64) std::atomic<std::uint32_t> calls_{0};
    alignas(64) std::atomic<bool> open_{false};
    alignas(64) std::atomic<int> inside_{0};
};

}  // namespace tare::detail
