#pragma once
// SPDX-License-Identifier: MIT
// How a token stream becomes batches. Training: chunks at uniformly random offsets, independent of
// each other, each draw a function of (seed, stream, step, row) alone, so that a resumed run and
// any number of threads see the same samples. Evaluation: contiguous spans, one per row, cut in
// chunks whose labels are the tokens one place further on. Source: the sampling and evaluation of
// the MicroNet language-model entry; Salmon et al. 2011 for the counter-based draws.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/random.hpp>
#include <tare/core/shape.hpp>

namespace tare::text {

/// Random training chunks of `chunk` + 1 tokens (inputs and labels overlap in all but one).
class chunk_sampler {
  public:
    /// The tokens must outlive the sampler.
    /// Throws tare::error when chunk or batch is below 1 or no offset is left: N > chunk is needed.
    chunk_sampler(std::span<const std::int32_t> tokens, extent chunk, extent batch,
                  random_stream stream)
        : tokens_(tokens), chunk_(chunk), batch_(batch), stream_(stream) {
        const auto count = static_cast<extent>(tokens.size());
        require(chunk >= 1 && batch >= 1, "chunk_sampler: chunk ", chunk, " and batch ", batch,
                "; both must be at least 1");
        require(count > chunk, "chunk_sampler: a corpus of ", count, " tokens has no chunk of ",
                chunk, " tokens and their labels; give more text or a shorter chunk (at most ",
                count - 1, ')');
        require(count - chunk <= std::numeric_limits<std::uint32_t>::max(),
                "chunk_sampler: ", count, " tokens are more than 32-bit offsets reach");
    }

    /// First token of row `row` at step `step` (both from 0): uniform in [0, N - chunk).
    [[nodiscard]] extent offset(extent step, extent row) const {
        TARE_ASSERT(step >= 0 && row >= 0 && row < batch_);
        const auto bound = static_cast<std::uint32_t>(static_cast<extent>(tokens_.size()) - chunk_);
        return stream_.below(static_cast<std::uint64_t>(step * batch_ + row), bound);
    }

    /// The samples of a step. **Shapes** inputs (batch, chunk), labels (batch, chunk), row-major;
    /// labels[b][t] = inputs[b][t + 1]. Throws tare::error on spans of another size.
    void sample(extent step, std::span<std::int32_t> inputs, std::span<std::int32_t> labels) const {
        const auto expected = static_cast<std::size_t>(batch_ * chunk_);
        require(step >= 0, "chunk_sampler: step ", step, " is negative");
        require(inputs.size() == expected && labels.size() == expected,
                "chunk_sampler: ", inputs.size(), " inputs and ", labels.size(),
                " labels, expected ", expected, " (batch ", batch_, " times chunk ", chunk_, ')');
        for (extent row = 0; row < batch_; ++row) {
            const auto* from = tokens_.data() + offset(step, row);
            std::copy_n(from, chunk_, inputs.begin() + row * chunk_);
            std::copy_n(from + 1, chunk_, labels.begin() + row * chunk_);
        }
    }

    [[nodiscard]] extent chunk() const noexcept { return chunk_; }
    [[nodiscard]] extent batch() const noexcept { return batch_; }

  private:
    std::span<const std::int32_t> tokens_;
    extent chunk_;
    extent batch_;
    random_stream stream_;
};

/// The tokens of a stream as an evaluation sees them: `batch` rows, row b starting at token
/// b * span, all cut into the same chunks.
class evaluation_batches {
  public:
    /// With batch 1 the whole stream is one row of N - 1 predictions, the last chunk shorter. With
    /// more rows each holds floor(N / batch / chunk) * chunk tokens and the rest is dropped; if the
    /// last row then ends with the stream, its last token has no label, and every row goes without
    /// that prediction. The tokens must outlive the object.
    /// Throws tare::error when there is nothing to predict.
    evaluation_batches(std::span<const std::int32_t> tokens, extent batch, extent chunk)
        : tokens_(tokens), batch_(batch), chunk_(chunk) {
        const auto count = static_cast<extent>(tokens.size());
        require(chunk >= 1 && batch >= 1, "evaluation_batches: chunk ", chunk, " and batch ", batch,
                "; both must be at least 1");
        require(count >= 2, "evaluation_batches: a corpus of ", count,
                " tokens predicts nothing; at least 2 are needed");
        span_ = batch == 1 ? count : count / batch / chunk * chunk;
        require(span_ >= 1, "evaluation_batches: ", count, " tokens do not fill ", batch,
                " rows of a chunk of ", chunk, "; use fewer rows or shorter chunks");
        predictions_ = batch * span_ == count ? span_ - 1 : span_;
        require(predictions_ >= 1, "evaluation_batches: rows of one token predict nothing");
    }

    [[nodiscard]] extent batch() const noexcept { return batch_; }
    /// Chunks per row.
    [[nodiscard]] extent chunks() const noexcept { return (predictions_ + chunk_ - 1) / chunk_; }
    /// Predictions of all rows together.
    [[nodiscard]] extent targets() const noexcept { return batch_ * predictions_; }
    /// First token of a row.
    [[nodiscard]] extent start(extent row) const noexcept { return row * span_; }
    /// Predictions per row in chunk `index`: `chunk`, or fewer in the last one.
    [[nodiscard]] extent length(extent index) const {
        require(index >= 0 && index < chunks(), "evaluation_batches: chunk ", index, " of ",
                chunks());
        return std::min(chunk_, predictions_ - index * chunk_);
    }

    /// The tokens of chunk `index`. **Shapes** inputs and labels (batch, length(index)), row-major.
    /// Throws tare::error on spans of another size.
    void fill(extent index, std::span<std::int32_t> inputs, std::span<std::int32_t> labels) const {
        const extent columns = length(index);
        const auto expected = static_cast<std::size_t>(batch_ * columns);
        require(inputs.size() == expected && labels.size() == expected,
                "evaluation_batches: ", inputs.size(), " inputs and ", labels.size(),
                " labels, expected ", expected);
        for (extent row = 0; row < batch_; ++row) {
            const auto* from = tokens_.data() + start(row) + index * chunk_;
            std::copy_n(from, columns, inputs.begin() + row * columns);
            std::copy_n(from + 1, columns, labels.begin() + row * columns);
        }
    }

  private:
    std::span<const std::int32_t> tokens_;
    extent batch_;
    extent chunk_;
    extent span_ = 0;         // tokens from one row to the next
    extent predictions_ = 0;  // per row
};

}  // namespace tare::text
