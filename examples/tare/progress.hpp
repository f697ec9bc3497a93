#pragma once
// SPDX-License-Identifier: MIT
// Progress on standard error, only where that is a terminal; and interruption by SIGINT, SIGTERM.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>

#include <unistd.h>

#include <tare/core/shape.hpp>

namespace tare::tool {

/// "train  [#####.....]  512/1000  loss 5.1  2400 tokens/s"
class progress_bar {
  public:
    explicit progress_bar(std::string stage)
        : stage_(std::move(stage)), on_(::isatty(STDERR_FILENO) == 1) {}
    progress_bar(const progress_bar&) = delete;
    progress_bar& operator=(const progress_bar&) = delete;
    ~progress_bar() {
        if (on_ && drawn_) std::fputc('\n', stderr);
    }

    void show(extent at, extent of, const std::string& text = {}) {
        const auto now = std::chrono::steady_clock::now();
        // Ten times a second is enough for eyes.
        if (!on_ || (at < of && drawn_ && now - last_ < std::chrono::milliseconds(100))) return;
        constexpr int width = 24;
        const int full = of > 0 ? static_cast<int>(at * width / of) : 0;
        const std::string bar = std::string(static_cast<std::size_t>(full), '#') +
                                std::string(static_cast<std::size_t>(width - full), '.');
        std::fprintf(stderr, "\r%-10s [%s] %lld/%lld  %s\033[K", stage_.c_str(), bar.c_str(),
                     static_cast<long long>(at), static_cast<long long>(of), text.c_str());
        std::fflush(stderr);
        last_ = now;
        drawn_ = true;
    }

  private:
    std::string stage_;
    bool on_;
    bool drawn_ = false;
    std::chrono::steady_clock::time_point last_{};
};

/// Asked between steps: whether the user wants an end. A second signal ends at once.
class interruption {
  public:
    interruption() {
        flag() = 0;
        std::signal(SIGINT, note);
        std::signal(SIGTERM, note);
    }
    interruption(const interruption&) = delete;
    interruption& operator=(const interruption&) = delete;
    ~interruption() {
        std::signal(SIGINT, SIG_DFL);
        std::signal(SIGTERM, SIG_DFL);
    }
    [[nodiscard]] bool wanted() const noexcept { return flag() != 0; }

  private:
    static volatile std::sig_atomic_t& flag() {
        static volatile std::sig_atomic_t value = 0;
        return value;
    }
    static void note(int signal) {
        flag() = 1;
        std::signal(signal, SIG_DFL);
    }
};

}  // namespace tare::tool
