// SPDX-License-Identifier: MIT
// tare search: lambda and theta of a trained model's cache, from its hidden states.
#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include <tare/io/text_corpus.hpp>
#include <tare/search/cached_hidden_states.hpp>

#include "command.hpp"
#include "input_key.hpp"
#include "kept_search.hpp"
#include "language_model.hpp"
#include "model_options.hpp"
#include "report_files.hpp"
#include "resumable.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

struct options {
    std::string config;
    std::string weights;
    std::string tokens;
    std::string vocabulary;
    std::string out;
    std::string work;
    extent cache = 2000;
    search::cache_scalars start;
    int threads = 1;
};

int run(const options& o) {
    set_threads(o.threads);
    const io::entry_config entry = io::load_entry_config(o.config);
    const transformer_xl_config config = with_cache(model_config(entry), 0, 0.07, 0.016);
    const text::vocabulary words = io::load_vocabulary(o.vocabulary);
    const std::vector<token> stream = read_words(o.tokens, words);
    const tool::weights values = load_weights(o.weights);
    const std::string key = input_key()
                                .add(io::to_yaml(entry))
                                .add(values)
                                .add(stream)
                                .add(message(o.cache, ' ', o.start.lambda, ' ', o.start.theta))
                                .text();
    kept_search search(o.work, key);
    search::cached_hidden_states states =
        search.states(model_of(config, values), stream, o.cache, entry.eval_chunk);
    std::printf("without a cache: perplexity %.6f over %lld tokens\n%5s %12s %12s %14s\n",
                states.perplexity_without_cache(), static_cast<long long>(states.targets()),
                "trial", "lambda", "theta", "perplexity");
    int trial = 0;
    const search::cache_search_result found =
        search.run(states, o.start, [&trial](const search::cache_trial& t) {
            std::printf("%5d %12.8f %12.8f %14.8f\n", trial++, t.at.lambda, t.at.theta,
                        t.perplexity);
        });
    cache_config cache;
    cache.capacity = o.cache;
    cache.lambda = found.best.lambda;
    cache.theta = found.best.theta;
    tool::write_text(o.out, cache_yaml(cache));
    return done;
}

const registration search_verb{
    {"search", [](CLI::App& app) {
         auto o = std::make_shared<options>();
         CLI::App* sub = app.add_subcommand("search", "Search lambda and theta of a cache");
         sub->add_option("--config", o->config, "YAML configuration of the model")
             ->required()
             ->check(CLI::ExistingFile);
         sub->add_option("--weights", o->weights, "Its weights, a safetensors file")
             ->required()
             ->check(CLI::ExistingFile);
         sub->add_option("--tokens", o->tokens, "Validation text (.gz too)")
             ->required()
             ->check(CLI::ExistingFile);
         sub->add_option("--vocabulary", o->vocabulary, "Vocabulary file of the model")
             ->required()
             ->check(CLI::ExistingFile);
         sub->add_option("--cache", o->cache, "Entries of the cache")->capture_default_str();
         sub->add_option("--lambda", o->start.lambda, "Where the search starts")
             ->capture_default_str();
         sub->add_option("--theta", o->start.theta, "Where the search starts")
             ->capture_default_str();
         sub->add_option("--out", o->out, "YAML file for the result; - for standard output")
             ->default_val("-");
         sub->add_option("--work", o->work,
                         "Folder for hidden states and evaluations: a search that was killed goes "
                         "on from there");
         sub->add_option("--threads", o->threads, "Threads; the results do not depend on them");
         return resumable(o->work, [o] { return run(*o); });
     }}};

}  // namespace
