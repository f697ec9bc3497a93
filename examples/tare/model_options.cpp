// SPDX-License-Identifier: MIT
#include "model_options.hpp"

#include <CLI/CLI.hpp>

#include <tare/io/packed.hpp>
#include <tare/io/yaml_pruning.hpp>
#include <tare/micronet/compressed_parameters.hpp>

namespace tare::tool {

transformer_xl_config model_config(const io::entry_config& e) {
    transformer_xl_config c;
    c.layers = e.n_layers;
    c.width = e.n_embed;
    c.heads = e.n_head;
    c.key_width = e.n_k;
    c.value_width = e.n_v;
    c.inner = e.n_inner;
    c.window = e.n_seq;
    c.vocabulary = e.n_vocab;
    c.cutoffs = size_list(std::span<const extent>(e.cutoffs));
    c.widths = size_list(std::span<const extent>(e.n_embeds));
    if (e.use_cache) {
        c.cache.capacity = e.n_cache;
        c.cache.trained = e.cache_theta_init.has_value();
        c.cache.theta = e.cache_theta.value_or(e.cache_theta_init.value_or(0.016));
        c.cache.lambda = e.cache_lambda.value_or(e.cache_lambda_init.value_or(0.07));
    }
    return c;
}

parameter_sizes sizes_of(const transformer_xl_config& config) {
    ledger book;
    const micronet::compression dense{};
    micronet::compressed_parameters source(book, dense);
    const transformer_xl<cost> model(source, config);
    parameter_sizes out;
    for (const ledger_item& item : book.items())
        out.emplace(item.label.view(), item.what.extents.size());
    return out;
}

namespace {

/// The published champion: 8 layers of 256, cache of 3000.
transformer_xl_config champion_config() {
    transformer_xl_config c;
    c.cache = {3000, false, 0.02021162425847724, 0.15391452339546033, false};
    return c;
}

/// Final sparsity of its plan, tensor by tensor: 0.358 in all.
const std::map<std::string, double>& champion_plan() {
    static const std::map<std::string, double> plan = [] {
        std::map<std::string, double> p{
            {"embed.layers.0.weight", 0.165},     {"embed.layers.1.weight", 0.3},
            {"embed.layers.2.weight", 0.3375},    {"embed.projections.0.weight", 0.4425},
            {"loss.layers.1.bias", 0.75},         {"loss.layers.2.bias", 0.75},
            {"loss.projections.0.weight", 0.3375}};
        // fc.0, fc.3, out, qkv of each layer.
        constexpr double layers[8][4] = {
            {0.3, 0.255, 0.4425, 0.3375},     {0.375, 0.375, 0.6, 0.4125},
            {0.4125, 0.4725, 0.5325, 0.3375}, {0.4125, 0.5025, 0.5775, 0.4425},
            {0.4125, 0.4425, 0.555, 0.4125},  {0.4125, 0.4125, 0.5325, 0.4125},
            {0.375, 0.375, 0.6, 0.4425},      {0.255, 0.3, 0.4425, 0.3375}};
        constexpr const char* parts[4] = {".fc.0.weight", ".fc.3.weight", ".out.weight",
                                          ".qkv.weight"};
        for (int l = 0; l < 8; ++l)
            for (int i = 0; i < 4; ++i)
                p["layers." + std::to_string(l) + parts[i]] = layers[l][i];
        return p;
    }();
    return plan;
}

}  // namespace

void model_options::add(CLI::App& app) {
    add_sizes(app);
    app.add_option("--plan", plan_, "Pruning plan (YAML), taken at its final sparsity")
        ->check(CLI::ExistingFile);
    app.add_option("--packed", packed_, "Packed model file, weighed as it is")
        ->check(CLI::ExistingFile)
        ->excludes("--config");
}

void model_options::add_sizes(CLI::App& app) {
    app.add_option("--config", config_, "YAML configuration of an entry")->check(CLI::ExistingFile);
    app.add_option("--preset", preset_, "Named model: champion, champion_dense, tiny")
        ->capture_default_str();
    app.add_option("--bits", bits_, "Width of weights, biases and activations; 32 for none");
    app.add_option("--cache", cache_, "Entries of the cache; 0 for none");
}

described_model model_options::describe() const {
    described_model m;
    if (!packed_.empty()) {
        require(!bits_ && !cache_ && plan_.empty(),
                "--packed: the file says its bits, cache and zeros itself");
        const io::packed_file file = io::load_packed(packed_);
        return {packed_, file.model.config, file.model.how, file.payload_bits};
    }
    std::map<std::string, double> sparsity;
    if (!config_.empty()) {
        const io::entry_config entry = io::load_entry_config(config_);
        m.origin = config_;
        m.config = model_config(entry);
        m.how.bits = static_cast<int>(entry.bits.value_or(32));
    } else {
        m.origin = "preset " + preset_;
        m.config = champion_config();
        if (preset_ == "champion") {
            m.how.bits = 9;
            if (plan_.empty()) sparsity = champion_plan();
        } else if (preset_ == "tiny") {
            m.config.layers = 2;
            m.config.width = 64;
            m.config.heads = 4;
            m.config.key_width = m.config.value_width = 16;
            m.config.inner = 128;
            m.config.window = 32;
            m.config.vocabulary = 20000;
            m.config.cutoffs = {1000, 5000};
            m.config.widths = {64, 16, 4};
            m.config.cache = {};
        } else if (preset_ != "champion_dense") {
            fail("--preset ", preset_, " is unknown; there are champion, champion_dense, tiny");
        }
    }
    if (bits_) m.how.bits = *bits_;
    if (cache_) {
        m.config.cache.capacity = *cache_;
    }
    m.config.check();
    const parameter_sizes sizes = sizes_of(m.config);
    if (!plan_.empty()) {
        std::vector<std::string> names;
        for (const auto& [label, size] : sizes)
            names.push_back(label);
        for (const auto& [label, rule] : io::assign_rules(io::load_pruning_plan(plan_), names))
            sparsity[label] = rule.final_sparsity;
    }
    for (const auto& [label, share] : sparsity) {
        const extent size = sizes.find(label)->second;
        m.how.sparse.push_back(
            {short_text(label), size - static_cast<extent>(share * static_cast<double>(size)), -1});
    }
    return m;
}

}  // namespace tare::tool
