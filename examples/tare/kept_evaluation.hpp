#pragma once
// SPDX-License-Identifier: MIT
// Perplexity of a stream, in chunks or token by token, that goes on where it was killed. Kept are
// only the sums of the losses (evaluation.jsonl): what the model remembers at a place depends on no
// more than the last L S + C tokens (L layers that each see S positions back, C entries of the
// cache), so it is computed again from there, with the same bits.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <span>
#include <string>

#include <tare/text/perplexity.hpp>

#include "command.hpp"
#include "keyed_log.hpp"
#include "make_folder.hpp"
#include "progress.hpp"
#include "resumable.hpp"
#include "running_model.hpp"

namespace tare::tool {

/// The sums so far. An empty folder keeps nothing.
class kept_evaluation {
  public:
    kept_evaluation() = default;
    /// `key` names model, text and options; sums of another key are forgotten.
    kept_evaluation(const std::string& folder, const std::string& key) {
        if (folder.empty()) return;
        make_folder(folder);
        log_ = keyed_log(folder + "/evaluation.jsonl", key);
    }

    /// What is known of a stream of so many predictions.
    [[nodiscard]] text::perplexity_meter meter(std::size_t targets) const {
        if (log_.known().empty()) return {};
        const nlohmann::ordered_json& last = log_.known().back();
        const double made = number_in(last, "targets");
        // The key says that it is this stream; a record that does not fit is damage.
        if (!(made >= 0.0 && made <= static_cast<double>(targets))) return {};
        return {number_in(last, "sum"), static_cast<extent>(made)};
    }
    /// Keeps the sums, and says how far the work is, every five seconds.
    /// **Throws** stage_ended on a signal.
    void note(const text::perplexity_meter& meter, std::size_t targets) {
        log_.append({{"targets", meter.targets()}, {"sum", meter.sum()}});
        if (stop_.wanted()) throw stage_ended{interrupted};
        const auto now = std::chrono::steady_clock::now();
        if (now - said_ < std::chrono::seconds(5)) return;
        said_ = now;
        std::cerr << message("tare eval: ", meter.targets(), " of ", targets, " tokens\n");
    }

  private:
    keyed_log log_;
    interruption stop_;
    std::chrono::steady_clock::time_point said_ = std::chrono::steady_clock::now();
};

/// Where to begin so that memory and cache at `place` are those of a run from 0 on.
[[nodiscard]] inline std::size_t replayed_from(const transformer_xl_config& config,
                                               std::size_t place) {
    const auto seen =
        static_cast<std::size_t>(config.layers * config.window + config.cache.capacity);
    return place - std::min(place, seen);
}

/// Losses of a stream in chunks; the state is carried from one to the next.
[[nodiscard]] inline text::perplexity_meter evaluate_chunks(const running_model& model,
                                                            std::span<const token> stream,
                                                            extent chunk, kept_evaluation& kept) {
    transformer_xl_state<tensor> state;
    neural_cache<tensor> cache(model.config().cache.capacity);
    const std::size_t targets = stream.size() - 1;
    const auto step = static_cast<std::size_t>(chunk);
    text::perplexity_meter meter = kept.meter(targets);
    const auto known = static_cast<std::size_t>(meter.targets());
    if (known == targets) return meter;  // nothing to compute again for
    for (std::size_t at = replayed_from(model.config(), known) / step * step; at < targets;
         at += step) {
        const std::size_t count = std::min(step, targets - at);
        const auto next = stream.subspan(at + 1, count);
        const tensor hidden = model.hidden(stream.subspan(at, count), state);
        if (at >= known) {
            const tensor log_p = model.log_probability(hidden, next, &cache);
            double sum = 0.0;
            for (const float v : log_p.values())
                sum -= static_cast<double>(v);
            meter.add(sum / static_cast<double>(count), static_cast<extent>(count));
            kept.note(meter, targets);
        }
        if (cache.capacity() > 0) cache.push(hidden, next);
    }
    return meter;
}

/// One token at a time, with the whole distribution before the next word is seen.
[[nodiscard]] inline text::perplexity_meter
evaluate_online(const running_model& model, std::span<const token> stream, kept_evaluation& kept) {
    constexpr std::size_t kept_every = 256;  // a record is dearer than a token of a small model
    transformer_xl_stream state;
    neural_cache<tensor> cache(model.config().cache.capacity);
    const bool cached = cache.capacity() > 0;
    const std::size_t targets = stream.size() - 1;
    text::perplexity_meter meter = kept.meter(targets);
    const auto known = static_cast<std::size_t>(meter.targets());
    if (known == targets) return meter;  // nothing to compute again for
    for (std::size_t t = replayed_from(model.config(), known); t < targets; ++t) {
        const tensor hidden = model.hidden(stream[t], state);
        if (t >= known) {
            const tensor p = model.distribution(hidden, cached ? &cache : nullptr);
            const auto next = static_cast<std::size_t>(stream[t + 1]);
            meter.add(-std::log(static_cast<double>(p.values()[next])), 1);
            if ((t + 1) % kept_every == 0 || t + 1 == targets) kept.note(meter, targets);
        }
        if (cached) cache.push(hidden, stream.subspan(t + 1, 1));
    }
    return meter;
}

}  // namespace tare::tool
