#pragma once
// SPDX-License-Identifier: MIT
// The batches of one epoch after another, by the number of the update that learns from them: a
// function of seed and number, so that a training goes on anywhere.

#include <cstdint>
#include <span>

#include <tare/text/parallel_batching.hpp>

namespace tare::text {

class batch_walk {
  public:
    /// The corpus must outlive the walk. **Throws** as epoch_batches().
    batch_walk(const parallel_corpus& corpus, const batch_options& options, std::uint64_t seed)
        : corpus_(&corpus),
          options_(options),
          seed_(seed),
          batches_(epoch_batches(corpus, options, seed, 0)) {
        require(!batches_.empty(), "batch_walk: a corpus without pairs");
    }

    /// The batch of update `number`, from 0. Numbers behind the current epoch begin anew.
    /// **Throws** tare::error on number < 0.
    [[nodiscard]] translation_batch operator[](extent number) {
        seek(number);
        return make_batch(*corpus_, batches_[static_cast<std::size_t>(number - first_)]);
    }
    /// The epoch, from 0, that update `number` belongs to.
    [[nodiscard]] std::uint64_t epoch_of(extent number) {
        seek(number);
        return epoch_;
    }
    /// Batches of the epoch that update `number` belongs to; epochs differ by a few.
    [[nodiscard]] extent epoch_length(extent number) {
        seek(number);
        return static_cast<extent>(batches_.size());
    }

  private:
    void seek(extent number) {
        require(number >= 0, "batch_walk: batch ", number, "; the first is 0");
        if (number < first_) enter(0, 0);
        while (number >= first_ + static_cast<extent>(batches_.size()))
            enter(epoch_ + 1, first_ + static_cast<extent>(batches_.size()));
    }
    void enter(std::uint64_t epoch, extent first) {
        batches_ = epoch_batches(*corpus_, options_, seed_, epoch);
        epoch_ = epoch;
        first_ = first;
    }

    const parallel_corpus* corpus_;
    batch_options options_;
    std::uint64_t seed_;
    std::uint64_t epoch_ = 0;
    extent first_ = 0;  ///< number of the epoch's first batch
    batch_list batches_;
};

}  // namespace tare::text
