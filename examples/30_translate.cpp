// SPDX-License-Identifier: MIT
// Learns to translate from two texts and shows how well: byte pairs, training, beam search, BLEU.
//     30_translate --help
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>

#include <tare/io/atomic_file.hpp>
#include <tare/io/safetensors.hpp>
#include <tare/io/text_file.hpp>
#include <tare/search/translate.hpp>
#include <tare/text/bleu.hpp>
#include <tare/text/byte_pair_learner.hpp>
#include <tare/train/peak_schedule.hpp>
#include <tare/train/translation_trainer.hpp>

namespace {

using namespace tare;
using clock_type = std::chrono::steady_clock;

double seconds_since(clock_type::time_point begin) {
    return std::chrono::duration<double>(clock_type::now() - begin).count();
}

constexpr const char* help =
    R"(30_translate SOURCE TARGET TEST_SOURCE TEST_TARGET [options]
Trains a Transformer (3 + 3 layers, width 256) on two texts, one sentence a line and its words one
space apart, plain or gzip; translates TEST_SOURCE and compares with TEST_TARGET.
  --updates N   of training (1400)      --threads N  (all)
  --tokens N    a batch, longer side (2048)   --merges N   of byte pairs (8000)
  --seed N      (1)                     --every N    updates between reports (100)
  --output F    write the translations  --save F     write the weights (safetensors)
)";

struct options {
    std::vector<std::string> files;
    std::map<std::string, std::string> given{
        {"--updates", "1400"}, {"--threads", "0"}, {"--tokens", "2048"}, {"--merges", "8000"},
        {"--seed", "1"},       {"--every", "100"}, {"--output", ""},     {"--save", ""}};

    options(int count, char** words) {
        for (int i = 1; i < count; ++i) {
            if (words[i][0] != '-') {
                files.emplace_back(words[i]);
                continue;
            }
            require(given.contains(words[i]) && i + 1 < count, "30_translate: ", words[i],
                    " is no option, or has no value; see --help");
            given[words[i]] = words[i + 1];
            ++i;
        }
        require(files.size() == 4, "30_translate: ", files.size(),
                " files, expected 4; see --help");
    }
    long number(const std::string& name) const { return std::stol(given.at(name)); }
};

/// Two texts cut into pieces.
text::parallel_text pieces(const options& o, std::size_t first,
                           const text::byte_pair_encoding& codes) {
    return text::read_parallel_text(io::text_file(o.files[first]),
                                    io::text_file(o.files[first + 1]),
                                    [&](std::string_view line) { return codes.encode(line); });
}

text::byte_pair_encoding learn_codes(const options& o) {
    text::byte_pair_learner learner;
    learner.add_text(io::text_file(o.files[0]));
    learner.add_text(io::text_file(o.files[1]));
    return learner.learn(static_cast<std::size_t>(o.number("--merges")));
}

void run(const options& o) {
    if (o.number("--threads") > 0) set_threads(static_cast<int>(o.number("--threads")));
    const text::byte_pair_encoding codes = learn_codes(o);
    const text::parallel_text lines = pieces(o, 0, codes);
    const text::vocabulary from = text::build_dictionary(lines.source);
    const text::vocabulary to = text::build_dictionary(lines.target);
    const text::parallel_corpus corpus{text::to_ids(lines.source, from),
                                       text::to_ids(lines.target, to)};
    std::printf("%zu pairs, %zu + %zu pieces, dictionaries of %zu and %zu\n", corpus.size(),
                corpus.source.total(), corpus.target.total(), from.size(), to.size());

    const auto config = translation_transformer_config::uniform(
        static_cast<extent>(from.size()), static_cast<extent>(to.size()), 3, 256, 512, 4);
    const auto seed = static_cast<std::uint64_t>(o.number("--seed"));
    train::translation_trainer<> trainer(config, random_parameters<float>(seed),
                                         {.dropout = 0.3, .smoothing = 0.1, .seed = seed},
                                         train::translation_adam());
    const train::peaked_inverse_root rate{1e-3, {1000}};
    const text::batch_options size{static_cast<std::size_t>(o.number("--tokens")), 8};

    const extent updates = o.number("--updates");
    const extent every = o.number("--every");
    double nats = 0.0;
    std::size_t targets = 0;
    std::size_t seen = 0;
    auto begin = clock_type::now();
    double spent = 0.0;
    for (std::uint64_t epoch = 0; trainer.steps() < updates; ++epoch) {
        for (const auto& pairs : text::epoch_batches(corpus, size, seed, epoch)) {
            const text::translation_batch batch = text::make_batch(corpus, pairs);
            const auto report = trainer.step(batch, rate(trainer.steps()));
            nats += report.hard_loss * static_cast<double>(batch.target_tokens);
            targets += batch.target_tokens;
            seen += batch.source_tokens + batch.target_tokens;
            if (trainer.steps() % every == 0 || trainer.steps() == updates) {
                const double seconds = seconds_since(begin);
                spent += seconds;
                std::printf("update %ld  epoch %llu  nll %.3f  %.0f pieces/s  %.1f min\n",
                            static_cast<long>(trainer.steps()),
                            static_cast<unsigned long long>(epoch),
                            nats / static_cast<double>(targets),
                            static_cast<double>(seen) / seconds, spent / 60.0);
                std::fflush(stdout);
                nats = 0.0;
                targets = seen = 0;
                begin = clock_type::now();
            }
            if (trainer.steps() == updates) break;
        }
    }
    if (!o.given.at("--save").empty()) {
        std::vector<io::tensor_ref> tensors;
        for (const auto& p : trainer.parameters())
            tensors.push_back(
                io::tensor_ref::of(p.label, p.value.shape(), p.value.value().values()));
        io::save_safetensors(o.given.at("--save"), tensors, {});
    }

    const text::parallel_text test = pieces(o, 2, codes);
    const auto model = trainer.plain_model();
    const text::parallel_corpus test_ids{text::to_ids(test.source, from),
                                         text::to_ids(test.target, to)};
    std::printf("test perplexity %.2f\n", train::translation_loss(model, test_ids).perplexity());
    begin = clock_type::now();
    text::bleu_counts counts;
    std::string output;
    const auto translations = search::translate_all(model, test_ids.source);
    for (std::size_t i = 0; i < translations.size(); ++i) {
        const std::string line = text::join_pieces(text::to_words(translations[i], to));
        counts += text::count_bleu<std::string>(
            text::bleu_words(line), text::bleu_words(text::join_pieces(test.target[i])));
        output.append(line).push_back('\n');
    }
    std::printf("%zu sentences in %.1f s\n%s\n", translations.size(), seconds_since(begin),
                text::corpus_bleu(counts).to_string().c_str());
    if (!o.given.at("--output").empty()) io::write_text(o.given.at("--output"), output);
}

}  // namespace

int main(int count, char** words) {
    try {
        if (count > 1 && std::strcmp(words[1], "--help") == 0)
            std::fputs(help, stdout);
        else
            run(options(count, words));
    } catch (const std::exception& caught) {
        std::cerr << caught.what() << '\n';
        return 1;
    }
    return 0;
}
