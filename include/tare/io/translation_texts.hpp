#pragma once
// SPDX-License-Identifier: MIT
// Two texts of a sentence a line, one the translation of the other, as a translation model reads
// them: words one space apart are cut into pieces by byte pairs learned from both sides together,
// and each side has a dictionary of the pieces of its training text.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/io/text_file.hpp>
#include <tare/text/byte_pair_encoding.hpp>
#include <tare/text/byte_pair_learner.hpp>
#include <tare/text/parallel_corpus.hpp>

namespace tare::io {

/// Files of a text and of its translation, plain or gzip.
struct text_pair {
    std::string source;
    std::string target;
};

/// A pair of texts in pieces.
struct translation_text {
    text::parallel_corpus ids;
    std::vector<std::string> references;  ///< the target's lines as they are, words one space apart
};

/// Byte pairs and dictionaries.
class translation_pieces {
  public:
    /// Learns `merges` byte pairs and both dictionaries from a pair of texts.
    /// **Throws** tare::file_error as text::read_parallel_text() and io::text_file.
    translation_pieces(const text_pair& texts, std::size_t merges) : codes_(learn(texts, merges)) {
        const text::parallel_text lines = pieces(texts);
        source_ = text::build_dictionary(lines.source);
        target_ = text::build_dictionary(lines.target);
    }

    /// A pair of texts in these pieces; what the dictionaries do not hold becomes <unk>.
    /// **Throws** tare::file_error likewise, tare::error on a sentence beyond 1024 pieces.
    [[nodiscard]] translation_text read(const text_pair& texts) const {
        const text::parallel_text lines = pieces(texts);
        translation_text out{
            {text::to_ids(lines.source, source_), text::to_ids(lines.target, target_)}, {}};
        for (const std::string& line : lines.target)
            out.references.push_back(text::join_pieces(line));
        return out;
    }
    [[nodiscard]] const text::vocabulary& source() const noexcept { return source_; }
    [[nodiscard]] const text::vocabulary& target() const noexcept { return target_; }

  private:
    static text::byte_pair_encoding learn(const text_pair& texts, std::size_t merges) {
        text::byte_pair_learner learner;
        learner.add_text(text_file(texts.source));
        learner.add_text(text_file(texts.target));
        return learner.learn(merges);
    }
    [[nodiscard]] text::parallel_text pieces(const text_pair& texts) const {
        return text::read_parallel_text(
            text_file(texts.source), text_file(texts.target),
            [this](std::string_view line) { return codes_.encode(line); });
    }

    text::byte_pair_encoding codes_;
    text::vocabulary source_;
    text::vocabulary target_;
};

}  // namespace tare::io
