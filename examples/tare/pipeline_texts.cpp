// SPDX-License-Identifier: MIT
#include "pipeline_texts.hpp"

namespace tare::tool {

run_texts read_texts(const pipeline_config& config) {
    const auto size = static_cast<std::size_t>(config.core.n_vocab);
    const auto held = static_cast<std::uint64_t>(config.validation_tokens);
    const auto ignore = [](std::string_view, std::uint64_t) {};
    const std::uint64_t tokens = text::for_each_token(io::text_file(config.train), ignore).tokens;
    require(held + 2 <= tokens, config.train, ": holds ", tokens, " tokens, of which ", held,
            " should serve as validation text; nothing is left to train on. Lower "
            "validation_tokens");
    text::vocabulary_counter counter;
    std::uint64_t seen = 0;
    bool has_unknown = false;
    text::for_each_token(io::text_file(config.train), [&](std::string_view word, std::uint64_t) {
        if (seen++ >= tokens - held) return;
        has_unknown = has_unknown || word == text::unknown_word;
        counter.add(word);
    });
    // Text without <unk> gets one, so that a word seen for the first time in the test has a place.
    if (!has_unknown) counter.add(text::unknown_word);
    run_texts out;
    out.words = counter.finish(size, size);
    out.train = io::read_corpus(config.train, out.words, text::unknown_words::replace);
    out.test = io::read_corpus(config.test, out.words, text::unknown_words::replace);
    require(out.test.size() >= 2, config.test, ": holds ", out.test.size(),
            " tokens; at least two are needed, for the first is only a context");
    const auto split = out.train.end() - static_cast<std::ptrdiff_t>(held);
    out.valid.assign(split, out.train.end());
    out.train.erase(split, out.train.end());
    for (const auto& [key, stage] : detail::trained_stages(config))
        require(stage->train_chunk < static_cast<extent>(out.train.size()), config.path, ": ", key,
                ": samples of ", stage->train_chunk, " tokens (train_chunk) from a text of ",
                out.train.size(), "; give more text or shorter samples");
    return out;
}

}  // namespace tare::tool
