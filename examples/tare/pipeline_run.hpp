#pragma once
// SPDX-License-Identifier: MIT
// The stages of a champion's pipeline, each from the files of the ones before:
//     core -> its cache searched
//     teacher -> soft labels -> distilled core -> pruned -> its cache searched -> quantized, packed

#include <algorithm>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <tare/io/packed.hpp>
#include <tare/io/text_corpus.hpp>
#include <tare/micronet/report.hpp>
#include <tare/search/cached_hidden_states.hpp>
#include <tare/train/quantization_aware.hpp>

#include "pipeline_config.hpp"
#include "pipeline_stages.hpp"
#include "pipeline_table.hpp"
#include "pipeline_training.hpp"

namespace tare::tool {

/// The texts of a pipeline as word numbers of one vocabulary.
struct pipeline_texts {
    text::vocabulary words;
    std::vector<token> train;
    std::vector<token> validation;
    std::vector<token> test;
};

/// Words of what is trained on by frequency, at most n_vocab; all others become <unk>. Words of
/// the validation part alone are not among them: nothing would train their vectors.
[[nodiscard]] inline pipeline_texts read_texts(const pipeline_config& config) {
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
    pipeline_texts out;
    out.words = counter.finish(size, size);
    out.train = io::read_corpus(config.train, out.words, text::unknown_words::replace);
    out.test = io::read_corpus(config.test, out.words, text::unknown_words::replace);
    const auto split = out.train.end() - static_cast<std::ptrdiff_t>(held);
    out.validation.assign(split, out.train.end());
    out.train.erase(split, out.train.end());
    return out;
}

class pipeline_run {
  public:
    pipeline_run(pipeline_config config, const std::string& folder)
        : config_(std::move(config)), texts_(read_texts(config_)), folder_(folder) {
        base_ = input_key()
                    .add(texts_.train)
                    .add(texts_.validation)
                    .add(texts_.test)
                    .add(message(config_.seed, ' ', config_.n_cache, ' ', config_.top_k))
                    .text();
        io::save_vocabulary(folder_.file("vocabulary.txt"), texts_.words);
    }

    /// Runs what is not done yet and returns the table.
    std::vector<table_row> run() {
        const std::string core = trained("core", config_.core, base_, {}, {});
        add_row("core", "base", core_config(), "core", false);
        searched("core_cache", "core", core);
        add_row("core", "+ searched cache", with_found_cache("core_cache"), "core", true,
                "core_cache");

        const std::string teacher = trained("teacher", config_.teacher, base_, {}, {});
        add_row("compressed", "teacher", model_config(config_.teacher), "teacher", false);
        const std::string labels = soft_labels(teacher);
        const std::string distil =
            trained("distil", config_.distil, labels, {}, folder_.file("soft_labels.safetensors"));
        add_row("compressed", "distilled", core_config(), "distil", false);
        const std::string prune = trained("prune", config_.prune, distil, "distil", {});
        add_row("compressed", "+ pruned", core_config(), "prune", true);
        const std::string prune_searched = searched("prune_cache", "prune", prune);
        add_row("compressed", "+ searched cache", with_found_cache("prune_cache"), "prune", true,
                "prune_cache");
        quantized(prune_searched);
        const io::packed_file packed = io::load_packed(packed_path());
        add_row("compressed", message("+ ", packed.model.how.bits, " bits, packed"),
                micronet::weigh(packed.model.config, packed.model.how,
                                count_bins(packed.model.config, texts_.test)),
                "quantize", true);
        return rows_;
    }

    [[nodiscard]] const pipeline_texts& texts() const noexcept { return texts_; }
    [[nodiscard]] stage_folder& folder() noexcept { return folder_; }

  private:
    [[nodiscard]] transformer_xl_config core_config() const { return model_config(config_.core); }
    [[nodiscard]] std::string weights_file(const std::string& stage) const {
        return folder_.file(stage + ".safetensors");
    }
    [[nodiscard]] std::string packed_path() const { return folder_.file("packed.safetensors"); }
    [[nodiscard]] nlohmann::ordered_json facts(const std::string& stage) const {
        return nlohmann::ordered_json::parse(
            io::read_text(folder_.file(stage + ".json"), std::uint64_t{1} << 20));
    }
    [[nodiscard]] transformer_xl_config with_found_cache(const std::string& stage) const {
        const io::cache_constants found = io::load_cache_constants(folder_.file(stage + ".yaml"));
        return with_cache(core_config(), found.n_cache, found.cache_lambda, found.cache_theta);
    }
    /// Perplexities of a model on both texts.
    [[nodiscard]] nlohmann::ordered_json measure(const transformer_xl<tensor>& model) const {
        const extent chunk = config_.core.eval_chunk;
        return {{"validation", perplexity_of(model, texts_.validation, chunk)},
                {"test", perplexity_of(model, texts_.test, chunk)}};
    }

    /// A stage that trains; returns its key.
    std::string trained(const std::string& name, const io::entry_config& how,
                        const std::string& inputs, const std::string& from,
                        const std::string& labels) {
        const std::string plan = from.empty() ? std::string() : config_.plan;
        input_key key;
        key.add(name).add(inputs).add(io::to_yaml(how));
        if (!plan.empty()) key.add(io::read_text(plan, std::uint64_t{4} << 20));
        folder_.run(name, key.text(), [&] {
            const weights start = from.empty() ? weights{} : load_weights(weights_file(from));
            const soft_label_table soft = labels.empty() ? soft_label_table{} : load_labels(labels);
            const weights made =
                train_stage(how, texts_.train, config_.seed, from.empty() ? nullptr : &start,
                            labels.empty() ? nullptr : &soft, plan,
                            [&](extent step, extent steps, double loss) {
                                folder_.report(name, step, steps, loss);
                            });
            save_weights(weights_file(name), made);
            return measure(model_of(model_config(how), made));
        });
        return key.text();
    }

    /// A stage that searches the cache of a trained one.
    std::string searched(const std::string& name, const std::string& of,
                         const std::string& inputs) {
        input_key key;
        key.add(name).add(inputs);
        folder_.run(name, key.text(), [&] {
            const weights values = load_weights(weights_file(of));
            search::cached_hidden_states states(model_of(core_config(), values), texts_.validation,
                                                config_.n_cache, {config_.core.eval_chunk});
            const search::cache_search_result found = states.search({});
            const transformer_xl_config config =
                with_cache(core_config(), config_.n_cache, found.best.lambda, found.best.theta);
            io::write_text(folder_.file(name + ".yaml"), cache_yaml(config.cache));
            nlohmann::ordered_json out = measure(model_of(config, values));
            out["trials"] = found.trace.size();
            out["lambda"] = found.best.lambda;
            out["theta"] = found.best.theta;
            return out;
        });
        return key.text();
    }

    /// Quantizes the pruned model with its cache, a few steps with quantization in the loop, packs
    /// it, and measures what the file holds.
    void quantized(const std::string& inputs) {
        input_key key;
        key.add("quantize").add(inputs).add(io::to_yaml(config_.quantize));
        folder_.run("quantize", key.text(), [&] {
            const io::entry_config& how = config_.quantize;
            const weights values = load_weights(weights_file("prune"));
            train::quantization_aware<> trainer(named_weights{&values},
                                                with_found_cache("prune_cache"),
                                                {static_cast<int>(*how.bits)});
            const text::chunk_sampler sampler(texts_.train, how.train_chunk, how.train_batch,
                                              random_stream(config_.seed, 2));
            const auto chunk = static_cast<std::size_t>(how.train_chunk);
            std::vector<token> inputs_of(chunk * static_cast<std::size_t>(how.train_batch));
            std::vector<token> targets = inputs_of;
            for (extent step = 0; step < how.steps; ++step) {
                sampler.sample(step, inputs_of, targets);
                for (std::size_t row = 0; row < inputs_of.size(); row += chunk)
                    trainer.accumulate(std::span<const token>(inputs_of).subspan(row, chunk),
                                       std::span<const token>(targets).subspan(row, chunk));
                trainer.update(rate_at(how, step));
            }
            io::save_packed(packed_path(), trainer.store());
            const io::packed_file packed = io::load_packed(packed_path());
            stored_parameters source(packed.model);
            nlohmann::ordered_json out =
                measure(transformer_xl<tensor>(source, packed.model.config));
            out["payload_bits"] = packed.payload_bits;
            return out;
        });
    }

    std::string soft_labels(const std::string& inputs) {
        input_key key;
        key.add("soft_labels").add(inputs);
        folder_.run("soft_labels", key.text(), [&] {
            const soft_label_table made = make_soft_labels(
                model_of(model_config(config_.teacher), load_weights(weights_file("teacher"))),
                texts_.train, config_.teacher.eval_chunk, config_.top_k);
            const shape extents{static_cast<extent>(texts_.train.size()), made.kept};
            const std::vector<io::tensor_ref> arrays{
                io::tensor_ref::of("words", extents, std::span<const token>(made.words)),
                io::tensor_ref::of("probabilities", extents,
                                   std::span<const float>(made.probabilities))};
            io::save_safetensors(folder_.file("soft_labels.safetensors"), arrays);
            return nlohmann::ordered_json{{"kept", made.kept}};
        });
        return key.text();
    }
    [[nodiscard]] static soft_label_table load_labels(const std::string& path) {
        const io::safetensors_archive archive = io::load_safetensors(path);
        const shape extents = archive.at("words").extents;
        const auto words = archive.view<token>("words", extents);
        const auto shares = archive.view<float>("probabilities", extents);
        return {extents[1], {words.begin(), words.end()}, {shares.begin(), shares.end()}};
    }

    /// Weighs a stage's model at 32 bits and adds its row.
    void add_row(const std::string& branch, const std::string& step,
                 const transformer_xl_config& config, const std::string& of, bool follows,
                 const std::string& measured = {}) {
        const micronet::compression how{32, remaining_of(load_weights(weights_file(of)))};
        add_row(branch, step, micronet::weigh(config, how, count_bins(config, texts_.test)),
                measured.empty() ? of : measured, follows);
    }
    void add_row(const std::string& branch, const std::string& step, const ledger& book,
                 const std::string& measured, bool follows) {
        const micronet::totals sums = micronet::tally(book, micronet::official{});
        const nlohmann::ordered_json known = facts(measured);
        rows_.push_back({branch, step, sums.parameters(), sums.operations(),
                         sums.score(micronet::wikitext103), known.at("validation"),
                         known.at("test"), known.at("seconds"), follows});
    }

    pipeline_config config_;
    pipeline_texts texts_;
    stage_folder folder_;
    std::string base_;
    std::vector<table_row> rows_;
};

}  // namespace tare::tool
