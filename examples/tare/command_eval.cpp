// SPDX-License-Identifier: MIT
// tare eval: run a model on text: perplexity, tokens per second, and what the rules say it weighs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <set>

#include <CLI/CLI.hpp>

#include <tare/io/checkpoint.hpp>
#include <tare/io/packed.hpp>
#include <tare/io/safetensors.hpp>
#include <tare/io/text_corpus.hpp>
#include <tare/micronet/report.hpp>
#include <tare/text/perplexity.hpp>

#include "../command_line_checks.hpp"
#include "command.hpp"
#include "input_key.hpp"
#include "kept_evaluation.hpp"
#include "language_model.hpp"
#include "model_options.hpp"
#include "report_files.hpp"
#include "resumable.hpp"
#include "running_model.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

struct options {
    model_options model;
    std::string tokens;
    std::string vocabulary;
    std::string weights;
    std::string json;
    std::string work;
    std::optional<std::uint64_t> seed;
    extent chunk = 4032;
    extent limit = 0;
    int threads = 1;
    bool online = false;
};

/// Parameters by name from a file. Remembers which were asked for and how many zeros they hold.
class file_parameters {
  public:
    file_parameters(const std::string& path, micronet::compression& how)
        : archive_(io::load_safetensors(path)), how_(&how) {}

    tensor parameter(std::string_view label, const shape& extents, const initial& start) {
        asked_.insert(std::string(label));
        if (is_cache_scalar(label) && !archive_.tensors.contains(label))
            return tensor(extents, static_cast<float>(start.constant));
        tensor out(extents, archive_.view<float>(label, extents));
        const auto zeros = std::count(out.values().begin(), out.values().end(), 0.0F);
        if (zeros > 0) how_->sparse.push_back({short_text(label), out.size() - zeros, -1});
        return out;
    }
    /// Throws if the file holds a tensor that the model has no place for. What a checkpoint keeps
    /// for training alone ("state.") is passed over, and the scalars of a cache that is not used.
    void require_all_used() const {
        for (const auto& [name, stored] : archive_.tensors)
            require(asked_.contains(name) || name.starts_with("state.") || is_cache_scalar(name),
                    archive_.path, ": the tensor ", name,
                    " is no parameter of this model; check --config or --preset");
    }

  private:
    io::safetensors_archive archive_;
    micronet::compression* how_;
    std::set<std::string> asked_;
};

/// The model, and in `how` what is left of its tensors.
std::unique_ptr<const running_model>
load_model(const options& o, const transformer_xl_config& config, micronet::compression& how) {
    require(o.seed.has_value() != !o.weights.empty(),
            "tare eval: give --packed FILE, --weights FILE.safetensors or --random SEED");
    if (o.seed) {
        return running_dense(config, random_parameters<float>(*o.seed));
    }
    file_parameters source(o.weights, how);
    auto model = running_dense(config, source);
    source.require_all_used();
    return model;
}

nlohmann::json to_json(const text::perplexity_meter& meter, const std::string& signature,
                       double seconds, double rate, const micronet::report& weight) {
    return {{"schema", 1},
            {"signature", signature},
            {"loss_nats", meter.loss()},
            {"perplexity", meter.perplexity()},
            {"targets", meter.targets()},
            {"seconds", seconds},
            {"tokens_per_second", rate},
            {"threads", threads()},
            {"rules", weight.rules},
            {"params", weight.sums.parameters()},
            {"ops_per_token", weight.sums.operations()},
            {"score", weight.score()}};
}

/// The text as word numbers of --vocabulary, or of its own words, most frequent first.
std::vector<token> read_stream(const options& o, const transformer_xl_config& config) {
    std::vector<token> out;
    if (o.vocabulary.empty()) {
        out = io::read_corpus(
            o.tokens,
            io::build_vocabulary({o.tokens}, 0, static_cast<std::size_t>(config.vocabulary)));
    } else {
        const text::vocabulary words = io::load_vocabulary(o.vocabulary);
        require(static_cast<extent>(words.size()) <= config.vocabulary, o.vocabulary, ": holds ",
                words.size(), " words, the model knows ", config.vocabulary);
        out = read_words(o.tokens, words);
    }
    if (o.limit > 0 && o.limit < static_cast<extent>(out.size()))
        out.resize(static_cast<std::size_t>(o.limit));
    require(out.size() >= 2, o.tokens, ": ", out.size(),
            " tokens; at least two are needed, for the first is only a context");
    return out;
}

/// Everything that the losses depend on.
std::string key_of(const options& o, const described_model& m, std::span<const token> stream) {
    const cache_config& cache = m.config.cache;
    const std::string& file = m.payload_bits >= 0 ? m.origin : o.weights;
    return input_key()
        .add(file.empty() ? std::string() : io::read_text(file))
        .add(io::describe(m.config))
        .add(message(cache.lambda, ' ', cache.theta, ' ', o.seed.value_or(0), ' ',
                     o.online ? 1 : o.chunk))
        .add(stream)
        .text();
}

int run(const options& o) {
    described_model m = o.model.describe();
    const bool packed = m.payload_bits >= 0;
    require(packed || m.how.bits == 32, "tare eval: ", m.origin, " is ", m.how.bits,
            " bits wide, but its weights are computed with in float32; give --packed FILE, "
            "--bits 32 or a dense preset");
    require(!packed || (!o.seed && o.weights.empty()),
            "tare eval: a packed file holds its weights; take --weights or --random away");
    set_threads(o.threads);
    const std::vector<token> stream = read_stream(o, m.config);
    kept_evaluation kept(o.work, o.work.empty() ? "" : key_of(o, m, stream));
    const extent known = kept.meter(stream.size() - 1).targets();
    if (!packed) m.how.sparse.clear();  // what is weighed is what runs: the zeros of the weights
    const std::unique_ptr<const running_model> model =
        packed ? running_packed(io::load_packed(m.origin).model) : load_model(o, m.config, m.how);
    const auto begin = std::chrono::steady_clock::now();
    const text::perplexity_meter meter = o.online ? evaluate_online(*model, stream, kept)
                                                  : evaluate_chunks(*model, stream, o.chunk, kept);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    const double rate = static_cast<double>(meter.targets() - known) / time.count();
    const text::evaluation_signature signature{.targets = meter.targets(),
                                               .context = m.config.window + 1,
                                               .cache = m.config.cache.capacity,
                                               .n_vocab = m.config.vocabulary,
                                               .chunk = o.online ? 1 : o.chunk};

    const ledger book = tool::weigh(m.config, m.how, std::span<const token>(stream));
    const micronet::report weight =
        micronet::make_report(book, micronet::official{}, micronet::wikitext103);
    if (!o.json.empty())
        write_text(o.json,
                   to_json(meter, signature.to_string(), time.count(), rate, weight).dump(1) +
                       "\n");
    if (o.json == "-") return done;
    std::cout << m.origin << ", "
              << (packed   ? message(m.how.bits, " bits, packed kernels")
                  : o.seed ? message("random weights, seed ", *o.seed)
                           : o.weights)
              << '\n';
    std::printf("%-20s %16.4f\n", "perplexity", meter.perplexity());
    std::printf("%-20s %16.6f\n", "loss (nats/token)", meter.loss());
    std::printf("%-20s %16.1f  (%.2f s, %d threads)\n", "tokens per second", rate, time.count(),
                o.threads);
    std::printf("%-20s %16.1f\n", "parameters", weight.sums.parameters());
    std::printf("%-20s %16.1f\n", "operations/token", weight.sums.operations());
    std::printf("%-20s %16.6f  (rules %s)\n", "score", weight.score(),
                std::string(weight.rules).c_str());
    std::printf("%-20s %s\n", "signature", signature.to_string().c_str());
    return done;
}

const registration eval{
    {"eval", [](CLI::App& app) {
         auto o = std::make_shared<options>();
         CLI::App* sub = app.add_subcommand(
             "eval", "Run a model on text: perplexity, tokens per second, score");
         o->model.add(*sub);
         sub->add_option("--tokens", o->tokens, "Text file (.gz too)")
             ->required()
             ->check(CLI::ExistingFile);
         sub->add_option("--vocabulary", o->vocabulary,
                         "Vocabulary file of the model; the text's own words, most frequent "
                         "first, by default")
             ->check(CLI::ExistingFile);
         CLI::Option* weights =
             sub->add_option("--weights", o->weights, "Parameters by name (safetensors, F32)")
                 ->check(CLI::ExistingFile);
         sub->add_option("--random", o->seed, "Random parameters from this seed")
             ->excludes(weights);
         CLI::Option* online =
             sub->add_flag("--online", o->online,
                           "One token at a time, the whole distribution before each next word");
         sub->add_option("--chunk", o->chunk, "Tokens of one evaluation call")
             ->capture_default_str()
             ->check(positive_number)
             ->excludes(online);
         sub->add_option("--limit", o->limit, "Only the first so many tokens")
             ->check(positive_number);
         sub->add_option("--threads", o->threads, "Threads to compute with")->capture_default_str();
         sub->add_option("--json", o->json, "Write the figures as JSON; - for standard output");
         sub->add_option("--work", o->work,
                         "Folder for the sums so far: an evaluation that was killed goes on from "
                         "there");
         return resumable(o->work, [o] { return run(*o); });
     }}};

}  // namespace
