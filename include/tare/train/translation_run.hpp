#pragma once
// SPDX-License-Identifier: MIT
// A training of many updates over a corpus: the loop, and what is worth saying about it on the way.

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include <tare/text/batch_walk.hpp>
#include <tare/text/perplexity.hpp>
#include <tare/train/trainer_options.hpp>

namespace tare::train {

/// Trains until `updates` are done, from wherever the trainer is: update n learns from walk[n] at
/// learning rate rate(n), n counted from 0. tell(batch, report) is called after each.
/// **Throws** as translation_trainer::step() and what rate and tell throw.
template <class Trainer, class Rate, class Tell>
void train_until(extent updates, Trainer& trainer, text::batch_walk& walk, const Rate& rate,
                 Tell&& tell) {
    while (trainer.steps() < updates) {
        const text::translation_batch batch = walk[trainer.steps()];
        const step_report report = trainer.step(batch, rate(trainer.steps()));
        tell(batch, report);
    }
}

/// Loss and speed since the last line.
class training_progress {
  public:
    /// One more update.
    void add(const text::translation_batch& batch, const step_report& report) {
        meter_.add(report.hard_loss, static_cast<extent>(batch.target_tokens));
        pieces_ += batch.source_tokens + batch.target_tokens;
    }
    /// "update 100, epoch 1: nll 7.203, 3402 pieces/s, 1.8 min": the mean loss (without smoothing
    /// or teacher, nats a target piece) and the pieces of both sides since the last line, minutes
    /// since the beginning. **Throws** tare::error where there was no update since.
    [[nodiscard]] std::string line(extent updates, std::uint64_t epoch) {
        const auto now = clock::now();
        std::array<char, 160> out;
        const int size = std::snprintf(
            out.data(), out.size(), "update %lld, epoch %llu: nll %.3f, %.0f pieces/s, %.1f min",
            static_cast<long long>(updates), static_cast<unsigned long long>(epoch + 1),
            meter_.loss(), static_cast<double>(pieces_) / seconds(last_, now),
            seconds(begin_, now) / 60.0);
        meter_ = {};
        pieces_ = 0;
        last_ = now;
        return {out.data(), static_cast<std::size_t>(size)};
    }

  private:
    using clock = std::chrono::steady_clock;

    static double seconds(clock::time_point from, clock::time_point to) {
        return std::chrono::duration<double>(to - from).count();
    }

    text::perplexity_meter meter_;
    std::size_t pieces_ = 0;
    clock::time_point begin_ = clock::now();
    clock::time_point last_ = begin_;
};

}  // namespace tare::train
