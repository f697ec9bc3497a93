#pragma once
// SPDX-License-Identifier: MIT
// Perplexity with everything that must be said beside the number. Formula: the means of the chunks,
// weighted by their lengths, give the loss in nats per token; perplexity = e^loss.
// Source: Merity et al. 2016; what a figure must state: unit, number of targets, context, cache,
// vocabulary.

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare::text {

/// Sums up the losses of an evaluation, in double.
class perplexity_meter {
  public:
    perplexity_meter() = default;
    /// One that goes on from another's sum() and targets(). Throws on targets < 0.
    perplexity_meter(double sum, extent targets) : sum_(sum), targets_(targets) {
        require(targets >= 0, "perplexity_meter: ", targets, " predictions cannot have been made");
    }

    /// A chunk (or batch of chunks) of `targets` predictions with mean loss `mean` in nats. NaN and
    /// infinity are kept: one bad chunk makes the whole figure bad. Throws on targets < 1.
    void add(double mean, extent targets) {
        require(targets >= 1, "perplexity_meter: a chunk of ", targets,
                " predictions, expected at least 1");
        sum_ += mean * static_cast<double>(targets);
        targets_ += targets;
    }

    [[nodiscard]] extent targets() const noexcept { return targets_; }
    /// Nats of all predictions.
    [[nodiscard]] double sum() const noexcept { return sum_; }
    /// Nats per token. Throws tare::error before the first add().
    [[nodiscard]] double loss() const {
        require(targets_ > 0, "perplexity_meter: no prediction was added yet");
        return sum_ / static_cast<double>(targets_);
    }
    /// e^loss.
    [[nodiscard]] double perplexity() const { return std::exp(loss()); }
    /// e^loss as the MicroNet entry's code reports it: NaN above a loss of 5 (perplexity 148.4).
    [[nodiscard]] double perplexity_nan_above_5() const {
        return loss() > 5 ? std::numeric_limits<double>::quiet_NaN() : perplexity();
    }

  private:
    double sum_ = 0;
    extent targets_ = 0;
};

/// What a perplexity depends on besides the model. Two figures compare only if their signatures are
/// equal (but for the cache, when that is what is compared).
struct evaluation_signature {
    std::string unit =
        "word+eos";      ///< what is predicted; word-level text includes one <eos> a line
    extent targets = 0;  ///< number of predictions
    extent context = 0;  ///< tokens that attention sees, the current one included: S + 1
    extent cache = 0;    ///< entries of the non-parametric cache, 0 for none
    extent n_vocab = 0;  ///< words the model distributes probability over
    extent chunk = 0;    ///< tokens per evaluation call with carried state; 1: online
    extent rows = 1;     ///< contiguous spans evaluated side by side

    bool operator==(const evaluation_signature&) const = default;

    /// "unit:word+eos|targets:245568|context:97|cache:2000|vocab:267735|chunk:4032|rows:1"
    [[nodiscard]] std::string to_string() const {
        return message("unit:", unit, "|targets:", targets, "|context:", context,
                       "|cache:", cache > 0 ? std::to_string(cache) : std::string("none"),
                       "|vocab:", n_vocab, "|chunk:", chunk, "|rows:", rows);
    }
};

}  // namespace tare::text
