// SPDX-License-Identifier: MIT
#include "pipeline_run.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include <tare/io/packed.hpp>
#include <tare/io/text_corpus.hpp>

#include "command.hpp"
#include "input_key.hpp"
#include "kept_search.hpp"
#include "labelling.hpp"
#include "make_folder.hpp"
#include "pipeline_texts.hpp"
#include "progress.hpp"
#include "pruning_rules.hpp"
#include "quantization_run.hpp"

namespace tare::tool {

pipeline_run::pipeline_run(pipeline_config config, const std::string& folder)
    : config_(std::move(config)),
      sizes_(sizes_of(model_config(config_.prune))),
      plan_rules_(rules_of(io::load_pruning_plan(config_.plan), sizes_)),
      plan_share_(final_share(plan_rules_, sizes_)),
      texts_(read_texts(config_)),
      folder_(folder),
      files_(folder_),
      table_(folder_, model_config(config_.core), texts_.test) {
    base_ = input_key()
                .add(texts_.train)
                .add(texts_.valid)
                .add(texts_.test)
                .add(message(config_.seed, ' ', config_.n_cache, ' ', config_.top_k))
                .text();
    io::save_vocabulary(folder_.file("vocabulary.txt"), texts_.words);
}

std::vector<table_row> pipeline_run::run() {
    trained("core", config_.core, base_);
    table_.add("core", "base", model_config(config_.core), "core", false);
    trained("cache", config_.cache, base_);
    table_.add("core", "+ trained cache", model_config(config_.cache), "cache", true);
    const std::string hebbian = trained("hebbian", config_.hebbian, base_);
    table_.add("core", "+ Hebbian softmax", model_config(config_.hebbian), "hebbian", true);
    searched("hebbian_cache", "hebbian", config_.hebbian, hebbian);
    table_.add_searched("core", "hebbian", "hebbian_cache");

    const std::string labels = soft_labels(trained("teacher", config_.teacher, base_));
    table_.add("compressed", "teacher", model_config(config_.teacher), "teacher", false);
    distil_ = trained("distil", config_.distil, labels);
    table_.add("compressed", "distilled", model_config(config_.distil), "distil", false);
    const std::string prune = pruned("prune", plan_rules_);
    table_.add("compressed", message("+ pruned ", formatted("%.3f", plan_share_)),
               model_config(config_.prune), "prune", true);
    search_ = searched("prune_cache", "prune", config_.prune, prune);
    table_.add_searched("compressed", "prune", "prune_cache");
    const auto bits = static_cast<int>(*config_.quantize.bits);
    quantized("quantize_after", "prune", search_, bits, 0);
    table_.add_packed(message("+ ", bits, " bits after training"), "quantize_after", true);
    quantized("quantize", "prune", search_, bits, config_.quantize.steps);
    table_.add_packed(message("+ ", bits, " bits in training"), "quantize", false);
    return table_.rows();
}

std::vector<frontier_point> pipeline_run::frontier() {
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
            const table_row row = table_.packed_row("", stage, false);
            out.push_back({share, static_cast<int>(bits), row.parameters, row.operations, row.score,
                           row.validation, row.test, false});
        }
    }
    mark_frontier(out);
    return out;
}

std::unique_ptr<const running_model>
pipeline_run::floats_of(const std::string& name, const transformer_xl_config& config) const {
    const weights values = load_weights(files_.weights_of(name));
    return running_dense(config, named_weights{&values});
}

nlohmann::ordered_json pipeline_run::measure(const running_model& model) {
    const auto on = [&](const char* name, std::span<const token> words) {
        return folder_.part(name, [&]() -> nlohmann::ordered_json {
            const interruption stop;
            progress_bar bar(name);
            const double perplexity = model.perplexity(
                words, {.chunk = config_.core.eval_chunk, .progress = [&](extent at, extent of) {
                            bar.show(at, of);
                            if (stop.wanted()) throw stage_ended{interrupted};
                        }});
            require(std::isfinite(perplexity), folder_.stage(), ": perplexity ", perplexity,
                    " on the ", name,
                    " text; this stage's training has lost the model. Lower "
                    "the learning rate of its configuration");
            return perplexity;
        });
    };
    nlohmann::ordered_json out;
    out["validation"] = on("validation", texts_.valid);
    out["test"] = on("test", texts_.test);
    return out;
}

std::string pipeline_run::key_of(const std::string& name, const std::string& inputs,
                                 const io::entry_config& how) const {
    return input_key().add(name).add(inputs).add(io::to_yaml(how)).text();
}

void pipeline_run::train(const std::string& name, const std::string& key,
                         const io::entry_config& how, const std::string& from,
                         const std::function<void(training_run&)>& prepare) {
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

std::string pipeline_run::trained(const std::string& name, const io::entry_config& how,
                                  const std::string& inputs) {
    const std::string key = key_of(name, inputs, how);
    folder_.run(name, key, [&] {
        train(name, key, how, {}, [&](training_run& training) {
            if (!how.distill) return;
            auto labels = std::make_unique<io::soft_label_reader>(files_.labels());
            labels->require_complete();
            training.teach_with(std::move(labels));
        });
        return measure(*floats_of(name, model_config(how)));
    });
    return key;
}

std::string pipeline_run::pruned(const std::string& name,
                                 const std::vector<prune::gradual_rule>& rules) {
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
        return measure(*floats_of(name, model_config(config_.prune)));
    });
    return key;
}

std::string pipeline_run::searched(const std::string& name, const std::string& of,
                                   const io::entry_config& how, const std::string& inputs) {
    const std::string key = input_key().add(name).add(inputs).text();
    folder_.run(name, key, [&] {
        const weights values = load_weights(files_.weights_of(of));
        kept_search search(folder_.file(name), key);
        search::cached_hidden_states states =
            search.states(model_of(with_cache(model_config(how), 0, 0.07, 0.016), values),
                          texts_.valid, config_.n_cache, config_.core.eval_chunk);
        const search::cache_search_result found =
            search.run(states, start_of(values), [](const search::cache_trial&) {});
        const transformer_xl_config config =
            with_cache(model_config(how), config_.n_cache, found.best.lambda, found.best.theta);
        io::write_text(folder_.file(name + ".yaml"), cache_yaml(config.cache));
        nlohmann::ordered_json out = measure(*running_dense(config, named_weights{&values}));
        out["trials"] = found.trace.size();
        out["lambda"] = found.best.lambda;
        out["theta"] = found.best.theta;
        std::filesystem::remove_all(folder_.file(name));  // as large as a text's hidden states
        return out;
    });
    return key;
}

void pipeline_run::quantized(const std::string& name, const std::string& of,
                             const std::string& inputs, int bits, extent steps) {
    const std::string key = key_of(name, inputs + message(' ', bits, ' ', steps), config_.quantize);
    folder_.run(name, key, [&] {
        folder_.part("packed", [&]() -> nlohmann::ordered_json {
            const io::entry_config& how = config_.quantize;
            const bool learns = steps > 0;
            const quantization_run stage{
                .how = {bits, {}, {}},
                .options = {},
                .samples = text::chunk_sampler(texts_.train, how.train_chunk, how.train_batch,
                                               random_stream(config_.seed, 0x7175616E74)),
                .passes =
                    learns ? steps : (observed_samples + how.train_batch - 1) / how.train_batch,
                .rate = learns ? learning_rate(how) : nullptr,
                .folder = folder_.file(name),
                .key = key,
                .saves_every = how.step_save,
                .told = {},
                .saved = [this] { folder_.keep_time(); }};
            io::save_packed(
                files_.packed(name),
                stage.run(load_weights(files_.weights_of(of)),
                          files_.with_found_cache("prune_cache", model_config(config_.core))));
            return true;
        });
        const io::packed_file packed = io::load_packed(files_.packed(name));
        nlohmann::ordered_json out = measure(*running_packed(packed.model));
        out["payload_bits"] = packed.payload_bits;
        return out;
    });
}

search::cache_scalars pipeline_run::start_of(const weights& values) {
    search::cache_scalars out;
    const auto lambda = values.find("loss.cache_lambda_inv_sigmoid");
    const auto theta = values.find("loss.cache_theta_inv_softplus");
    if (lambda == values.end() || theta == values.end()) return out;
    const auto raw = [](const tensor& t) { return static_cast<double>(t.values()[0]); };
    out.lambda = 1.0 / (1.0 + std::exp(-raw(lambda->second)));
    out.theta = std::log1p(std::exp(raw(theta->second)));
    return out;
}

std::string pipeline_run::soft_labels(const std::string& inputs) {
    const std::string key = input_key().add("labels").add(inputs).text();
    folder_.run("labels", key, [&]() -> nlohmann::ordered_json {
        make_folder(folder_.file("labels"));
        const bool whole = label_text(
            files_.labels(),
            model_of(model_config(config_.teacher), load_weights(files_.weights_of("teacher"))),
            texts_.train, config_.teacher.eval_chunk, config_.top_k, input_key().add(key).value());
        if (!whole) throw stage_ended{interrupted};
        return {{"kept", config_.top_k}};
    });
    return key;
}

}  // namespace tare::tool
