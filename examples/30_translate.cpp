// SPDX-License-Identifier: MIT
// Learns to translate from two texts and shows how well: byte pairs, training, beam search, BLEU.
//     30_translate --help
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

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

struct options {
    std::vector<std::string> files;
    extent updates = 1400;
    extent every = 100;
    std::size_t tokens = 2048;
    std::size_t merges = 8000;
    std::uint64_t seed = 1;
    int threads = 1;
    std::string load;
    std::string save;
    std::string output;

    explicit options(CLI::App& app) {
        app.add_option("texts", files,
                       "source and target to learn from, source and target of the test: a sentence "
                       "a line, words one space apart, plain or gzip")
            ->required()
            ->expected(4)
            ->check(CLI::ExistingFile);
        app.add_option("--updates", updates, "of training")
            ->capture_default_str()
            ->check(CLI::NonNegativeNumber);
        app.add_option("--every", every, "updates between reports")
            ->capture_default_str()
            ->check(CLI::PositiveNumber);
        app.add_option("--tokens", tokens, "of a batch's longer side")->capture_default_str();
        app.add_option("--merges", merges, "of byte pairs")->capture_default_str();
        app.add_option("--seed", seed, "of weights, batches and dropout")->capture_default_str();
        app.add_option("--threads", threads)->capture_default_str()->check(CLI::PositiveNumber);
        app.add_option("--load", load, "weights to begin with (safetensors)");
        app.add_option("--save", save, "the weights afterwards");
        app.add_option("--output", output, "the translations");
    }
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
    return learner.learn(o.merges);
}

/// Trains and says how it goes.
void train_on(const text::parallel_corpus& corpus, train::translation_trainer<>& trainer,
              const options& o) {
    const train::peaked_inverse_root rate{1e-3, {1000}};
    const text::batch_options size{o.tokens, 8};
    text::perplexity_meter meter;
    std::size_t pieces = 0;
    const auto begin = clock_type::now();
    auto last = begin;
    for (std::uint64_t epoch = 0; trainer.steps() < o.updates; ++epoch)
        for (const auto& pairs : text::epoch_batches(corpus, size, o.seed, epoch)) {
            if (trainer.steps() == o.updates) break;
            const text::translation_batch batch = text::make_batch(corpus, pairs);
            const train::step_report report = trainer.step(batch, rate(trainer.steps()));
            meter.add(report.hard_loss, static_cast<extent>(batch.target_tokens));
            pieces += batch.source_tokens + batch.target_tokens;
            if (trainer.steps() % o.every != 0 && trainer.steps() != o.updates) continue;
            std::printf("update %lld, epoch %llu: nll %.3f, %.0f pieces/s, %.1f min\n",
                        static_cast<long long>(trainer.steps()),
                        static_cast<unsigned long long>(epoch + 1), meter.loss(),
                        static_cast<double>(pieces) / seconds_since(last),
                        seconds_since(begin) / 60.0);
            std::fflush(stdout);
            meter = {};
            pieces = 0;
            last = clock_type::now();
        }
}

/// Translates the test's source and says how well.
void test_on(const text::parallel_text& lines, const text::parallel_corpus& test,
             const text::vocabulary& words, const translation_transformer<tensor>& model,
             const options& o) {
    std::printf("test perplexity %.2f\n", train::translation_loss(model, test).perplexity());
    const auto begin = clock_type::now();
    std::vector<std::string> translations;
    for (const std::vector<token>& ids : search::translate_all(model, test.source))
        translations.push_back(text::join_pieces(text::to_words(ids, words)));
    std::printf("%zu sentences in %.1f s\n", translations.size(), seconds_since(begin));
    std::vector<std::string> references;
    for (const std::string& line : lines.target)
        references.push_back(text::join_pieces(line));
    std::printf("%s\n", text::corpus_bleu(translations, references).to_string().c_str());
    if (o.output.empty()) return;
    std::string output;
    for (const std::string& line : translations)
        output.append(line).push_back('\n');
    io::write_text(o.output, output);
}

void run(const options& o) {
    set_threads(o.threads);
    const text::byte_pair_encoding codes = learn_codes(o);
    const text::parallel_text lines = pieces(o, 0, codes);
    const text::vocabulary from = text::build_dictionary(lines.source);
    const text::vocabulary to = text::build_dictionary(lines.target);
    const auto ids_of = [&](const text::parallel_text& of) {
        return text::parallel_corpus{text::to_ids(of.source, from), text::to_ids(of.target, to)};
    };
    const text::parallel_corpus corpus = ids_of(lines);
    std::printf("%zu pairs, %zu + %zu pieces, dictionaries of %zu and %zu\n", corpus.size(),
                corpus.source.total(), corpus.target.total(), from.size(), to.size());

    const auto config = translation_transformer_config::uniform(
        static_cast<extent>(from.size()), static_cast<extent>(to.size()), 3, 256, 512, 4);
    train::translation_trainer<> trainer(config, random_parameters<float>(o.seed),
                                         {.smoothing = 0.1, .seed = o.seed},
                                         train::translation_adam());
    if (!o.load.empty()) {
        const io::safetensors_archive archive = io::load_safetensors(o.load);
        for (auto& p : trainer.parameters())
            std::ranges::copy(archive.view<float>(p.label, p.value.shape()),
                              p.value.mutable_value().mutable_values().begin());
    }
    train_on(corpus, trainer, o);
    if (!o.save.empty()) {
        std::vector<io::tensor_ref> tensors;
        for (const auto& p : trainer.parameters())
            tensors.push_back(
                io::tensor_ref::of(p.label, p.value.shape(), p.value.value().values()));
        io::save_safetensors(o.save, tensors, {});
    }
    const text::parallel_text test = pieces(o, 2, codes);
    test_on(test, ids_of(test), to, trainer.plain_model(), o);
}

}  // namespace

int main(int count, char** words) {
    CLI::App app(
        "Trains a Transformer (3 + 3 layers, width 256) on two texts, translates a third and "
        "says how well: byte pairs, training, beam search, BLEU.");
    const options o(app);
    CLI11_PARSE(app, count, words);
    try {
        run(o);
    } catch (const std::exception& caught) {
        std::cerr << caught.what() << '\n';
        return 1;
    }
    return 0;
}
