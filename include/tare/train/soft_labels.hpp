#pragma once
// SPDX-License-Identifier: MIT
// Soft labels from a teacher: for every token of a stream the K most probable words and their
// probabilities, falling, not renormalised. The teacher has no cache and carries no state from one
// chunk to the next, so chunks are independent: they can be made in any order and anywhere.
// Row k is the prediction OF token k; row 0, which nothing predicts, is a copy of row 1.

#include <algorithm>
#include <span>
#include <vector>

#include <tare/kernels/top_k.hpp>
#include <tare/models/transformer_xl.hpp>

namespace tare::train {

/// Teacher pairs of consecutive tokens. **Shapes** words, probabilities (rows, kept).
struct soft_label_rows {
    extent first = 0;  ///< token of the first row
    std::vector<token> words;
    std::vector<float> probabilities;
};

/// Chunks of the teacher in a stream of `tokens`: the last token is predicted, not read.
[[nodiscard]] inline extent teacher_chunks(extent tokens, extent chunk) {
    require(tokens >= 2 && chunk >= 1, "teacher_chunks: ", tokens, " tokens in chunks of ", chunk,
            "; at least 2 tokens and chunks of 1 are needed");
    return (tokens - 1 + chunk - 1) / chunk;
}

/// Pairs of the tokens that chunk `index` predicts (chunk 0 also gives row 0).
/// Distributions are held for a few rows at a time: memory stays far below chunk * vocabulary.
/// **Throws** tare::error on sizes that do not fit and on a teacher that uses a cache.
template <class T, class Weight>
[[nodiscard]] soft_label_rows teach(const transformer_xl<T, Weight>& teacher,
                                    std::span<const token> tokens, extent index, extent chunk,
                                    extent kept) {
    const auto count = static_cast<extent>(tokens.size());
    require(index >= 0 && index < teacher_chunks(count, chunk), "teach: chunk ", index, " of ",
            teacher_chunks(count, chunk));
    require(kept >= 1 && kept <= teacher.config().vocabulary, "teach: ", kept,
            " words of a vocabulary of ", teacher.config().vocabulary);
    require(
        teacher.config().cache.capacity == 0,
        "teach: soft labels come from the network alone; set the teacher's cache capacity to 0");
    const extent begin = index * chunk;
    const extent length = std::min(chunk, count - 1 - begin);
    typename transformer_xl<T, Weight>::state_type state;
    const T h = teacher.hidden(
        tokens.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(length)), 1,
        state);
    soft_label_rows out;
    out.first = begin == 0 ? 0 : begin + 1;
    const auto size = static_cast<std::size_t>(length * kept);
    out.words.resize(size);
    out.probabilities.resize(size);
    constexpr extent rows_at_once = 16;
    for (extent r = 0; r < length; r += rows_at_once) {
        const extent rows = std::min(rows_at_once, length - r);
        const T p = teacher.softmax().distribution(h.slice(r, r + rows));
        kernels::top_k(p.view().matrix(), {out.probabilities.data() + r * kept, rows, kept},
                       {out.words.data() + r * kept, rows, kept});
    }
    if (begin == 0) {
        const std::vector<token> words(out.words.begin(), out.words.begin() + kept);
        const std::vector<float> shares(out.probabilities.begin(),
                                        out.probabilities.begin() + kept);
        out.words.insert(out.words.begin(), words.begin(), words.end());
        out.probabilities.insert(out.probabilities.begin(), shares.begin(), shares.end());
    }
    return out;
}

}  // namespace tare::train
