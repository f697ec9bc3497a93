// SPDX-License-Identifier: MIT
// Learns to translate from two texts, then quantizes the model stage by stage as DAQ does, and says
// before and after each stage what it weighs and how well it translates.
//     33_daq_translation --help
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <tare/io/product_file.hpp>
#include <tare/io/text_file.hpp>
#include <tare/micronet/rules.hpp>
#include <tare/micronet/weigh_products.hpp>
#include <tare/models/product_weight.hpp>
#include <tare/search/translate.hpp>
#include <tare/text/bleu.hpp>
#include <tare/text/byte_pair_learner.hpp>
#include <tare/train/peak_schedule.hpp>
#include <tare/train/staged_translation.hpp>

namespace {

using namespace tare;

struct options {
    std::vector<std::string> files;
    extent updates = 1400;
    extent stage_updates = 100;
    extent buckets = 16;
    std::size_t tokens = 2048;
    std::size_t sentences = 200;
    std::uint64_t seed = 1;
    int threads = 1;
    double noise = 0.1;
    bool shared = false;
    std::string save;

    explicit options(CLI::App& app) {
        app.add_option("texts", files,
                       "source and target to learn from, source and target of the test: a sentence "
                       "a line, words one space apart, plain or gzip")
            ->required()
            ->expected(4)
            ->check(CLI::ExistingFile);
        const auto count = [&app](const char* name, auto& value, const char* help) {
            app.add_option(name, value, help)->capture_default_str()->check(CLI::PositiveNumber);
        };
        count("--updates", updates, "before the first stage, with quantization noise");
        count("--stage-updates", stage_updates, "after each stage");
        count("--buckets", buckets, "with a codebook each, of every matrix: a power of two");
        count("--tokens", tokens, "of a batch's longer side");
        count("--sentences", sentences, "of the test that are translated after each stage");
        count("--seed", seed, "of weights, batches, noise, dropout and codebooks");
        count("--threads", threads, "");
        app.add_option("--noise", noise, "probability that a block is dropped while training")
            ->capture_default_str()
            ->check(CLI::Range(0.0, 0.9));
        app.add_flag("--shared", shared, "one codebook for a stage's layers, undivided");
        app.add_option("--save", save, "the quantized model (safetensors)");
    }
};

/// The texts as ids.
struct corpora {
    text::vocabulary from;
    text::vocabulary to;
    text::parallel_corpus learnt;
    text::parallel_corpus test;
    std::vector<std::string> references;

    explicit corpora(const options& o) {
        text::byte_pair_learner learner;
        learner.add_text(io::text_file(o.files[0]));
        learner.add_text(io::text_file(o.files[1]));
        const text::byte_pair_encoding codes = learner.learn(8000);
        const auto pieces = [&](std::size_t first) {
            return text::read_parallel_text(io::text_file(o.files[first]),
                                            io::text_file(o.files[first + 1]),
                                            [&](std::string_view l) { return codes.encode(l); });
        };
        const text::parallel_text lines = pieces(0);
        from = text::build_dictionary(lines.source);
        to = text::build_dictionary(lines.target);
        learnt = {text::to_ids(lines.source, from), text::to_ids(lines.target, to)};
        text::parallel_text some = pieces(2);
        some.source.resize(std::min(some.source.size(), o.sentences));
        some.target.resize(some.source.size());
        test = {text::to_ids(some.source, from), text::to_ids(some.target, to)};
        for (const std::string& line : some.target)
            references.push_back(text::join_pieces(line));
    }
};

/// Batches without end, and what each update lost.
class training {
  public:
    training(train::staged_translation<>& model, const corpora& texts, const options& o)
        : model_(&model), texts_(&texts), options_(&o) {}

    void run(extent updates, const train::peaked_inverse_root& rate) {
        for (extent u = 0; u < updates; ++u, ++next_) {
            if (next_ == batches_.size()) {
                batches_ = text::epoch_batches(texts_->learnt, {options_->tokens, 8},
                                               options_->seed, epoch_++);
                next_ = 0;
            }
            const auto batch = text::make_batch(texts_->learnt, batches_[next_]);
            loss_.add(model_->step(batch, rate(u)).hard_loss,
                      static_cast<extent>(batch.target_tokens));
        }
    }
    /// Mean loss of the updates since it was last asked for.
    double take_loss() { return std::exchange(loss_, {}).loss(); }

  private:
    text::perplexity_meter loss_;
    train::staged_translation<>* model_;
    const corpora* texts_;
    const options* options_;
    text::batch_list batches_;
    std::size_t next_ = 0;
    std::uint64_t epoch_ = 0;
};

template <class Weight>
double bleu_of(const translation_transformer<tensor, Weight>& model, const corpora& texts) {
    std::vector<std::string> translations;
    for (const std::vector<token>& ids : search::translate_all(model, texts.test.source))
        translations.push_back(text::join_pieces(text::to_words(ids, texts.to)));
    return text::corpus_bleu(translations, texts.references).bleu;
}

/// What the model weighs by the MicroNet rules and how it translates now.
void report(const std::string& when, train::staged_translation<>& model, const corpora& texts,
            double train_loss) {
    micronet::stored_products stored;
    model.weights().visit_products([&](const std::string& label, const std::string&) {
        stored.emplace(label, micronet::stored_product{model.weights().layout(label),
                                                       model.weights().storage(label)});
    });
    constexpr extent words = 30;
    const ledger book = micronet::weigh_products(model.config(), stored, true, words, words);
    const micronet::totals sum = micronet::tally(book, micronet::official{});
    const auto plain = model.plain_model();
    std::printf("%-28s %8.3f %10.0f %10.0f %8.3f %10.2f %6.2f\n", when.c_str(),
                sum.storage_bits / 8e6, sum.parameters(), sum.operations(), train_loss,
                train::translation_loss(plain, texts.test).perplexity(), bleu_of(plain, texts));
    std::fflush(stdout);
}

/// Writes the model, reads it again and translates by codes.
void save(const std::string& path, train::staged_translation<>& model, const corpora& texts) {
    io::product_file file;
    model.weights().visit_products([&](const std::string& label, const std::string& owner) {
        file.products.emplace(label, model.weights().product(label));
        if (owner != label) file.shared.emplace(label, owner);
    });
    model.weights().visit([&](const std::string& label, const variable& leaf) {
        if (!label.ends_with(".codebooks")) file.floats.emplace(label, leaf.value());
    });
    io::save_products(path, file);
    const io::product_file read = io::load_products(path);
    product_source source(read.products, read.floats);
    const translation_transformer<tensor, product_weight> coded(source, model.config());
    std::printf("%s: %lld bits of payload; read again and multiplied by codes: BLEU %.2f\n",
                path.c_str(), static_cast<long long>(read.payload_bits()), bleu_of(coded, texts));
}

void run(const options& o) {
    set_threads(o.threads);
    const corpora texts(o);
    const auto config = translation_transformer_config::uniform(
        static_cast<extent>(texts.from.size()), static_cast<extent>(texts.to.size()), 3, 256, 512,
        4);
    train::staged_options how;
    how.noise = static_cast<float>(o.noise);
    how.noise_seed = how.search.seed = o.seed;
    how.search.iterations = 5;
    train::staged_translation<> model(config, random_parameters<float>(o.seed),
                                      {.smoothing = 0.1, .seed = o.seed}, how,
                                      train::translation_adam());
    training teacher(model, texts, o);
    std::printf("%-28s %8s %10s %10s %8s %10s %6s\n", "", "MB", "parameters", "operations",
                "train nll", "perplexity", "BLEU");
    teacher.run(o.updates, {1e-3, {1000}});
    report("floats", model, texts, teacher.take_loss());
    int number = 0;
    for (train::product_stage stage : train::daq_stages(o.buckets)) {
        stage.shared = o.shared;
        const std::size_t layers = model.quantize(stage).size();
        const std::string name = message("stage ", ++number, ", ", layers, " matrices");
        report(message(name, ": codes"), model, texts, 0.0);
        teacher.run(o.stage_updates, {3e-4, {20}});
        report(message(name, ": trained"), model, texts, teacher.take_loss());
    }
    model.finish();
    report("codebooks in fp16", model, texts, 0.0);
    if (!o.save.empty()) save(o.save, model, texts);
}

}  // namespace

int main(int count, char** words) {
    CLI::App app("Trains a Transformer (3 + 3 layers, width 256) on two texts with quantization "
                 "noise and quantizes it in DAQ's six stages. Columns: stored bytes, MicroNet "
                 "parameters and operations (32-bit, of a word in a sentence of 30), loss of the "
                 "updates since, perplexity and BLEU of the test.");
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
