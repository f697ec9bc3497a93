#pragma once
// SPDX-License-Identifier: MIT
// The rows of a training step, sorted by the cache that they share: all of them, or those of one
// sample of the batch.

#include <span>
#include <vector>

#include <tare/nn/neural_cache.hpp>
#include <tare/ops/gather.hpp>
#include <tare/train/evaluate.hpp>
#include <tare/train/soft_labels.hpp>

namespace tare::train {

/// Rows that share a cache, with the words that they predict and, from a teacher, `kept` words and
/// probabilities for each.
template <class Variable>
struct sample_stream {
    Variable rows;
    std::vector<token> words;
    std::vector<token> soft_words;
    std::vector<float> soft_probabilities;
    extent kept = 0;
    neural_cache<Variable>* cache = nullptr;

    /// Takes the teacher's labels of `numbers`, rows counted with time outermost; the teacher's are
    /// counted with samples outermost. **Throws** tare::error unless they are `batch` samples.
    void add_teacher(std::span<const token> numbers, const soft_labels& teacher, extent samples) {
        const auto batch = static_cast<std::size_t>(samples);
        require(teacher.kept >= 1 &&
                    teacher.words.size() % (batch * static_cast<std::size_t>(teacher.kept)) == 0,
                "trainer: ", teacher.words.size(), " soft labels of ", teacher.kept,
                " pairs are not ", batch, " samples");
        const std::size_t length =
            teacher.words.size() / batch / static_cast<std::size_t>(teacher.kept);
        kept = teacher.kept;
        for (const token row : numbers) {
            const auto r = static_cast<std::size_t>(row);
            const std::size_t from = r % batch * length + r / batch;
            const auto likely = teacher.words_of(from);
            const auto shares = teacher.probabilities_of(from);
            soft_words.insert(soft_words.end(), likely.begin(), likely.end());
            soft_probabilities.insert(soft_probabilities.end(), shares.begin(), shares.end());
        }
    }
};

/// One stream for each cache. **Shapes** h (T * batch, d) and words, time outermost; `teacher` null
/// or of the same rows.
template <class Variable>
[[nodiscard]] std::vector<sample_stream<Variable>>
split_by_cache(const Variable& h, std::span<const token> words, const soft_labels* teacher,
               extent batch, std::span<neural_cache<Variable>> caches) {
    const auto count = static_cast<extent>(caches.size());
    std::vector<sample_stream<Variable>> out;
    for (extent b = 0; b < count; ++b) {
        sample_stream<Variable> s;
        s.cache = &caches[static_cast<std::size_t>(b)];
        const std::vector<token> rows =
            detail::rows_of_stream(static_cast<extent>(words.size()), count, b);
        s.rows = count == 1 ? h : gather(h, std::span<const token>(rows));
        for (const token r : rows)
            s.words.push_back(words[static_cast<std::size_t>(r)]);
        if (teacher != nullptr) s.add_teacher(rows, *teacher, batch);
        out.push_back(std::move(s));
    }
    return out;
}

}  // namespace tare::train
