// SPDX-License-Identifier: MIT
// tare generate: text from a model, one word at a time, its cache filled as it goes.
//     p_k ~ p^(1/temperature) over the k most probable words
// Source: Fan, Lewis, Dauphin 2018, section 5.1 (top-k sampling).
#include <cmath>
#include <iostream>
#include <memory>
#include <numeric>
#include <sstream>

#include <CLI/CLI.hpp>

#include <tare/io/packed.hpp>
#include <tare/io/text_corpus.hpp>
#include <tare/io/yaml_pruning.hpp>
#include <tare/kernels/top_k.hpp>

#include "command.hpp"
#include "language_model.hpp"
#include "model_options.hpp"
#include "running_model.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

struct options {
    std::string packed;
    std::string config;
    std::string weights;
    std::string cache;
    std::string vocabulary;
    std::string prompt = "<eos>";
    extent words = 100;
    extent top = 40;
    double temperature = 1.0;
    std::uint64_t seed = 1;
    int threads = 1;
};

std::unique_ptr<const running_model> load_model(const options& o) {
    if (!o.packed.empty()) return running_packed(io::load_packed(o.packed).model);
    require(!o.config.empty() && !o.weights.empty(),
            "tare generate: give --packed FILE, or --config FILE and --weights FILE");
    io::entry_config entry = io::load_entry_config(o.config);
    if (!o.cache.empty()) entry = io::with_cache(entry, io::load_cache_constants(o.cache));
    const tool::weights values = load_weights(o.weights);
    return running_dense(model_config(entry), named_weights{&values});
}

/// A word from one distribution; `draw` is uniform in [0, 1).
token sample(const tensor& distribution, const options& o, float draw) {
    const extent kept = std::min(o.top, distribution.size());
    std::vector<float> shares(static_cast<std::size_t>(kept));
    std::vector<std::int32_t> words(shares.size());
    kernels::top_k(matrix_view<const float>(distribution.values().data(), 1, distribution.size()),
                   matrix_view<float>(shares.data(), 1, kept),
                   matrix_view<std::int32_t>(words.data(), 1, kept));
    std::vector<double> weight;
    for (const float share : shares)
        weight.push_back(std::pow(static_cast<double>(share / shares[0]), 1.0 / o.temperature));
    double left = static_cast<double>(draw) * std::accumulate(weight.begin(), weight.end(), 0.0);
    std::size_t i = 0;
    while (i + 1 < weight.size() && left >= weight[i])
        left -= weight[i++];
    return words[i];
}

int run(const options& o) {
    set_threads(o.threads);
    require(o.temperature > 0.0, "--temperature ", o.temperature, "; it must be positive");
    require(o.top >= 1 && o.words >= 1, "--top-k and --words must be at least 1");
    const text::vocabulary names = io::load_vocabulary(o.vocabulary);
    const std::unique_ptr<const running_model> model = load_model(o);
    std::vector<token> text;
    std::istringstream prompt(o.prompt);
    for (std::string word; prompt >> word;) {
        const token known = names.find(word);
        const token instead = known >= 0 ? known : names.find(text::unknown_word);
        require(instead >= 0, "--prompt: the vocabulary knows neither ", word, " nor ",
                text::unknown_word, "; give words of ", o.vocabulary);
        text.push_back(instead);
    }
    require(!text.empty(), "--prompt holds no word");
    const random_stream random(o.seed, 0);
    transformer_xl_stream state;
    neural_cache<tensor> cache(model->config().cache.capacity);
    const bool cached = cache.capacity() > 0;
    for (std::size_t t = 0; t + 1 < text.size() + static_cast<std::size_t>(o.words); ++t) {
        const tensor h = model->hidden(text[t], state);
        const bool given = t + 1 < text.size();
        if (!given) {
            if (text.size() >= static_cast<std::size_t>(o.words)) break;
            text.push_back(
                sample(model->distribution(h, cached ? &cache : nullptr), o, random.uniform(t)));
        }
        if (cached) cache.push(h, std::vector<token>{text[t + 1]});
    }
    for (const token word : text)
        std::cout << (static_cast<std::size_t>(word) >= names.words() ? std::string("<unk>")
                      : names.word(word) == text::end_of_line         ? std::string("\n")
                                                                      : names.word(word))
                  << ' ';
    std::cout << '\n';
    return done;
}

const registration generate{
    {"generate", [](CLI::App& app) {
         auto o = std::make_shared<options>();
         CLI::App* sub = app.add_subcommand("generate", "Write text with a model");
         sub->add_option("--packed", o->packed, "Packed model file")->check(CLI::ExistingFile);
         sub->add_option("--config", o->config, "YAML configuration")->check(CLI::ExistingFile);
         sub->add_option("--weights", o->weights, "Weights, safetensors")->check(CLI::ExistingFile);
         sub->add_option("--cache", o->cache, "YAML file of a searched cache")
             ->check(CLI::ExistingFile);
         sub->add_option("--vocabulary", o->vocabulary, "Vocabulary file of the model")
             ->required()
             ->check(CLI::ExistingFile);
         sub->add_option("--prompt", o->prompt, "First words")->capture_default_str();
         sub->add_option("--words", o->words, "Words in all, the prompt's included")
             ->capture_default_str();
         sub->add_option("--top-k", o->top, "Words to choose among")->capture_default_str();
         sub->add_option("--temperature", o->temperature, "Below 1: likelier words")
             ->capture_default_str();
         sub->add_option("--seed", o->seed, "Same seed, same text")->capture_default_str();
         sub->add_option("--threads", o->threads, "Threads; the text does not depend on them")
             ->capture_default_str();
         return std::function<int()>([o] { return run(*o); });
     }}};

}  // namespace
