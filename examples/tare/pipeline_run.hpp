#pragma once
// SPDX-License-Identifier: MIT
// The stages of a champion's pipeline, each from the files of the ones before:
//     core; with a trained cache; with Hebbian updates; its cache searched
//     teacher -> soft labels -> distilled core -> pruned -> its cache searched
//       -> quantized after training, quantized in training: packed files, read by packed kernels

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <tare/io/packed.hpp>
#include <tare/io/text_corpus.hpp>
#include <tare/micronet/report.hpp>
#include <tare/models/packed_model.hpp>
#include <tare/search/cached_hidden_states.hpp>

#include "kept_search.hpp"
#include "labelling.hpp"
#include "pipeline_config.hpp"
#include "pipeline_quantize.hpp"
#include "pipeline_stages.hpp"
#include "pipeline_table.hpp"
#include "training_run.hpp"

namespace tare::tool {

/// Words of what is trained on by frequency, at most n_vocab; all others become <unk>. Words of
/// the validation part alone are not among them: nothing would train their vectors.
[[nodiscard]] inline run_texts read_texts(const pipeline_config& config) {
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
    return out;
}

class pipeline_run {
  public:
    pipeline_run(pipeline_config config, const std::string& folder)
        : config_(std::move(config)),
          sizes_(sizes_of(model_config(config_.prune))),
          plan_rules_(rules_of(io::load_pruning_plan(config_.plan), sizes_)),
          plan_share_(final_share(plan_rules_, sizes_)),
          texts_(read_texts(config_)),
          folder_(folder) {
        base_ = input_key()
                    .add(texts_.train)
                    .add(texts_.valid)
                    .add(texts_.test)
                    .add(message(config_.seed, ' ', config_.n_cache, ' ', config_.top_k))
                    .text();
        io::save_vocabulary(folder_.file("vocabulary.txt"), texts_.words);
    }

    /// Runs what is not done yet and returns the table. **Throws** stage_ended when a signal or a
    /// loss without value has ended a stage; its last checkpoint stands.
    std::vector<table_row> run() {
        trained("core", config_.core, base_);
        add_row("core", "base", config_.core, "core", false);
        trained("cache", config_.cache, base_);
        add_row("core", "+ trained cache", config_.cache, "cache", true);
        const std::string hebbian = trained("hebbian", config_.hebbian, base_);
        add_row("core", "+ Hebbian softmax", config_.hebbian, "hebbian", true);
        searched("hebbian_cache", "hebbian", config_.hebbian, hebbian);
        add_searched_row("core", "hebbian", "hebbian_cache");

        const std::string labels = soft_labels(trained("teacher", config_.teacher, base_));
        add_row("compressed", "teacher", config_.teacher, "teacher", false);
        distil_ = trained("distil", config_.distil, labels);
        add_row("compressed", "distilled", config_.distil, "distil", false);
        const std::string prune = pruned("prune", plan_rules_);
        add_row("compressed", message("+ pruned ", formatted("%.3f", plan_share_)), config_.prune,
                "prune", true);
        search_ = searched("prune_cache", "prune", config_.prune, prune);
        add_searched_row("compressed", "prune", "prune_cache");
        const auto bits = static_cast<int>(*config_.quantize.bits);
        quantized("quantize_after", "prune", search_, bits, 0);
        add_packed_row(message("+ ", bits, " bits after training"), "quantize_after", true);
        quantized("quantize", "prune", search_, bits, config_.quantize.steps);
        add_packed_row(message("+ ", bits, " bits in training"), "quantize", false);
        return rows_;
    }

    /// Every width at every sparsity, from the distilled model and the searched cache; call run()
    /// first.
    std::vector<frontier_point> frontier() {
        std::vector<frontier_point> out;
        for (const double share : config_.frontier_sparsities) {
            const std::string name = formatted("frontier_%.3f", share);
            // The pipeline's own plan is done already.
            const bool own = formatted("%.3f", share) == formatted("%.3f", plan_share_);
            const std::string key =
                own ? pruned("prune", plan_rules_)
                    : pruned(name, share > 0.0 ? scaled_to(plan_rules_, sizes_, share)
                                               : std::vector<prune::gradual_rule>{});
            for (const extent bits : config_.frontier_bits) {
                const std::string stage = message(name, "_", bits, "_bits");
                quantized(stage, own ? "prune" : name, key + search_, static_cast<int>(bits), 0);
                const table_row row = packed_row("", stage, false);
                out.push_back({share, static_cast<int>(bits), row.parameters, row.operations,
                               row.score, row.validation, row.test, false});
            }
        }
        mark_frontier(out);
        return out;
    }

    [[nodiscard]] const run_texts& texts() const noexcept { return texts_; }
    [[nodiscard]] stage_folder& folder() noexcept { return folder_; }

  private:
    [[nodiscard]] std::string weights_file(const std::string& stage) const {
        return run_folder{folder_.file(stage)}.checkpoint();
    }
    [[nodiscard]] std::string packed_path(const std::string& stage) const {
        return folder_.file(stage + ".packed.safetensors");
    }
    [[nodiscard]] transformer_xl_config with_found_cache(const std::string& stage) const {
        const io::cache_constants found = io::load_cache_constants(folder_.file(stage + ".yaml"));
        return with_cache(model_config(config_.core), found.n_cache, found.cache_lambda,
                          found.cache_theta);
    }
    /// Perplexities of a model on both texts, each kept as soon as it is known.
    /// **Throws** stage_ended on a signal.
    template <class Weight>
    [[nodiscard]] nlohmann::ordered_json measure(const transformer_xl<tensor, Weight>& model) {
        const auto on = [&](const char* name, std::span<const token> words) {
            return folder_.part(name, [&]() -> nlohmann::ordered_json {
                const interruption stop;
                progress_bar bar(name);
                return perplexity_of(model, words, config_.core.eval_chunk,
                                     [&](extent at, extent of) {
                                         bar.show(at, of);
                                         if (stop.wanted()) throw stage_ended{interrupted};
                                     });
            });
        };
        nlohmann::ordered_json out;
        out["validation"] = on("validation", texts_.valid);
        out["test"] = on("test", texts_.test);
        return out;
    }
    [[nodiscard]] std::string key_of(const std::string& name, const std::string& inputs,
                                     const io::entry_config& how) const {
        return input_key().add(name).add(inputs).add(io::to_yaml(how)).text();
    }

    /// Runs a training to its end, from its checkpoint if it has one.
    void train(const std::string& name, const std::string& key, const io::entry_config& how,
               const std::string& from, const std::function<void(training_run&)>& prepare) {
        training_options o;
        o.out = folder_.file(name);
        o.from = from.empty() ? std::string() : folder_.file(from);
        o.log = folder_.file("steps.jsonl");
        o.seed = config_.seed;
        o.resume = true;
        run_texts own;
        own.words = texts_.words;
        own.train = texts_.train;
        training_run training(o, how, std::move(own), name);
        training.add_fact("inputs", key);
        training.on_save([this] { folder_.keep_time(); });
        prepare(training);
        if (const int code = training.run(); code != done) throw stage_ended{code};
    }
    /// The stages that train from random weights; `inputs` of a distilled one are its labels.
    std::string trained(const std::string& name, const io::entry_config& how,
                        const std::string& inputs) {
        const std::string key = key_of(name, inputs, how);
        folder_.run(name, key, [&] {
            train(name, key, how, {}, [&](training_run& training) {
                if (!how.distill) return;
                auto labels = std::make_unique<io::soft_label_reader>(labels_path());
                labels->require_complete();
                training.teach_with(std::move(labels));
            });
            return measure(model_of(model_config(how), load_weights(weights_file(name))));
        });
        return key;
    }
    /// The distilled model, pruned along `rules`.
    std::string pruned(const std::string& name, const std::vector<prune::gradual_rule>& rules) {
        std::string inputs = distil_;
        for (const prune::gradual_rule& r : rules)
            inputs += message(' ', r.tensor, ' ', r.schedule.initial_sparsity, ' ',
                              r.schedule.final_sparsity, ' ', r.schedule.starting_epoch, ' ',
                              r.schedule.ending_epoch, ' ', r.schedule.frequency);
        const std::string key = key_of(name, inputs, config_.prune);
        folder_.run(name, key, [&] {
            train(name, key, config_.prune, "distil", [&](training_run& training) {
                if (!rules.empty()) training.prune(rules);
            });
            return measure(model_of(model_config(config_.prune), load_weights(weights_file(name))));
        });
        return key;
    }

    /// Searches the cache of a trained model, from its trained scalars if it has such.
    std::string searched(const std::string& name, const std::string& of,
                         const io::entry_config& how, const std::string& inputs) {
        const std::string key = input_key().add(name).add(inputs).text();
        folder_.run(name, key, [&] {
            const weights values = load_weights(weights_file(of));
            kept_search search(folder_.file(name), key);
            const auto without_cache = [&](search::cached_states_options options) {
                return search::cached_hidden_states(
                    model_of(with_cache(model_config(how), 0, 0.07, 0.016), values), texts_.valid,
                    config_.n_cache, std::move(options));
            };
            search::cached_hidden_states states =
                search.states(config_.n_cache, config_.core.eval_chunk, without_cache);
            const search::cache_search_result found =
                search.run(states, start_of(values), [](const search::cache_trial&) {});
            const transformer_xl_config config =
                with_cache(model_config(how), config_.n_cache, found.best.lambda, found.best.theta);
            io::write_text(folder_.file(name + ".yaml"), cache_yaml(config.cache));
            nlohmann::ordered_json out = measure(model_of(config, values));
            out["trials"] = found.trace.size();
            out["lambda"] = found.best.lambda;
            out["theta"] = found.best.theta;
            std::filesystem::remove_all(folder_.file(name));  // as large as a text's hidden states
            return out;
        });
        return key;
    }

    /// Quantizes a pruned model with the searched cache and packs it; what is measured is the file,
    /// on packed kernels.
    void quantized(const std::string& name, const std::string& of, const std::string& inputs,
                   int bits, extent steps) {
        const std::string key =
            key_of(name, inputs + message(' ', bits, ' ', steps), config_.quantize);
        folder_.run(name, key, [&] {
            folder_.part("packed", [&]() -> nlohmann::ordered_json {
                const quantization_stage stage{config_.quantize,   config_.seed, bits, steps,
                                               folder_.file(name), key};
                const weights values = load_weights(weights_file(of));
                io::save_packed(packed_path(name),
                                stage.run(values, with_found_cache("prune_cache"), texts_.train,
                                          [this] { folder_.keep_time(); }));
                return true;
            });
            const io::packed_file packed = io::load_packed(packed_path(name));
            nlohmann::ordered_json out = measure(make_packed_model(packed.model));
            out["payload_bits"] = packed.payload_bits;
            return out;
        });
    }

    /// Where a search starts: at the trained scalars, or at the published start without such.
    [[nodiscard]] static search::cache_scalars start_of(const weights& values) {
        search::cache_scalars out;
        const auto lambda = values.find("loss.cache_lambda_inv_sigmoid");
        const auto theta = values.find("loss.cache_theta_inv_softplus");
        if (lambda == values.end() || theta == values.end()) return out;
        const auto raw = [](const tensor& t) { return static_cast<double>(t.values()[0]); };
        out.lambda = 1.0 / (1.0 + std::exp(-raw(lambda->second)));
        out.theta = std::log1p(std::exp(raw(theta->second)));
        return out;
    }

    [[nodiscard]] std::string labels_path() const { return folder_.file("labels/soft_labels.bin"); }
    std::string soft_labels(const std::string& inputs) {
        const std::string key = input_key().add("labels").add(inputs).text();
        folder_.run("labels", key, [&]() -> nlohmann::ordered_json {
            std::filesystem::create_directories(folder_.file("labels"));
            const bool whole = label_text(
                labels_path(),
                model_of(model_config(config_.teacher), load_weights(weights_file("teacher"))),
                texts_.train, config_.teacher.eval_chunk, config_.top_k,
                input_key().add(key).value());
            if (!whole) throw stage_ended{interrupted};
            return {{"kept", config_.top_k}};
        });
        return key;
    }

    /// Weighs a stage's model at 32 bits and adds its row.
    void add_row(const std::string& branch, const std::string& step, const io::entry_config& how,
                 const std::string& of, bool follows) {
        add_row(branch, step, model_config(how), of, of, follows);
    }
    void add_searched_row(const std::string& branch, const std::string& of,
                          const std::string& search) {
        add_row(branch, "+ searched cache", with_found_cache(search), of, search, true);
    }
    void add_row(const std::string& branch, const std::string& step,
                 const transformer_xl_config& config, const std::string& of,
                 const std::string& measured, bool follows) {
        const micronet::compression how{32, remaining_of(load_weights(weights_file(of)))};
        rows_.push_back(row_of(branch, step,
                               micronet::weigh(config, how, count_bins(config, texts_.test)),
                               measured, follows));
    }
    void add_packed_row(const std::string& step, const std::string& stage, bool follows) {
        rows_.push_back(packed_row(step, stage, follows));
    }
    [[nodiscard]] table_row packed_row(const std::string& step, const std::string& stage,
                                       bool follows) const {
        const io::packed_file packed = io::load_packed(packed_path(stage));
        const transformer_xl_config& config = packed.model.config;
        return row_of("compressed", step,
                      micronet::weigh(config, packed.model.how, count_bins(config, texts_.test)),
                      stage, follows);
    }
    [[nodiscard]] table_row row_of(const std::string& branch, const std::string& step,
                                   const ledger& book, const std::string& measured,
                                   bool follows) const {
        const micronet::totals sums = micronet::tally(book, micronet::official{});
        const nlohmann::ordered_json known = folder_.facts(measured);
        return {branch,
                step,
                sums.parameters(),
                sums.operations(),
                sums.score(micronet::wikitext103),
                known.at("validation"),
                known.at("test"),
                known.at("seconds"),
                follows};
    }

    pipeline_config config_;
    parameter_sizes sizes_;
    std::vector<prune::gradual_rule> plan_rules_;
    double plan_share_;  ///< of all parameters, pruned in the end
    run_texts texts_;
    stage_folder folder_;
    std::string base_;
    std::string distil_;  ///< keys of stages that others go on from
    std::string search_;
    std::vector<table_row> rows_;
};

}  // namespace tare::tool
