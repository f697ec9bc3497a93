#pragma once
// SPDX-License-Identifier: MIT
// The file that names a whole pipeline: texts, and one configuration of the entry's kind for each
// stage that trains. Paths are relative to the file.

#include <filesystem>
#include <string>
#include <vector>

#include <tare/io/yaml_config.hpp>
#include <tare/io/yaml_map.hpp>
#include <tare/io/yaml_pruning.hpp>

namespace tare::tool {

struct pipeline_config {
    std::string path;
    std::string train;             ///< text to train on; its end serves as validation text
    std::string test;              ///< text to evaluate on
    extent validation_tokens = 0;  ///< taken from the end of the training text
    extent n_cache = 0;            ///< entries of the cache that is searched and evaluated
    extent top_k = 30;             ///< soft labels of the teacher for each token
    std::uint64_t seed = 1;

    io::entry_config core;      ///< the model alone
    io::entry_config cache;     ///< the model with its cache trained
    io::entry_config hebbian;   ///< and Hebbian updates
    io::entry_config teacher;   ///< the larger model
    io::entry_config distil;    ///< the model with its cache, from the teacher's soft labels
    io::entry_config prune;     ///< goes on from `distil`; `compress` names its plan
    io::entry_config quantize;  ///< goes on from `prune`; `bits` wide
    std::string plan;           ///< path of the pruning plan

    /// What --frontier tries: every width at every share of pruned parameters.
    std::vector<extent> frontier_bits{4, 5, 6, 7, 8, 9, 10};
    std::vector<double> frontier_sparsities{0.0, 0.239, 0.358, 0.477};
};

namespace detail {

/// Sizes that the stages of one model must agree on.
[[nodiscard]] inline bool same_sizes(const io::entry_config& a, const io::entry_config& b) {
    return a.n_layers == b.n_layers && a.n_embed == b.n_embed && a.n_head == b.n_head &&
           a.n_k == b.n_k && a.n_v == b.n_v && a.n_inner == b.n_inner && a.n_seq == b.n_seq &&
           a.cutoffs == b.cutoffs && a.n_embeds == b.n_embeds;
}

/// All stages that train, by their keys. The teacher's model is one of its own; the others are one.
template <class Config>
[[nodiscard]] auto trained_stages(Config& c) {
    return std::vector<std::pair<const char*, decltype(&c.core)>>{
        {"core", &c.core},        {"cache", &c.cache},   {"hebbian", &c.hebbian},
        {"teacher", &c.teacher},  {"distil", &c.distil}, {"prune", &c.prune},
        {"quantize", &c.quantize}};
}

/// What the file and its stages must agree on. **Throws** tare::file_error naming the key.
inline void check_pipeline(const pipeline_config& c, const io::yaml_map& map) {
    const auto stages = trained_stages(c);
    for (const auto& [key, stage] : stages) {
        if (stage == &c.teacher) continue;
        if (!same_sizes(*stage, c.core))
            map.refuse(key, "its sizes are not those of core; these stages are one model");
        if (stage->n_vocab != c.core.n_vocab)
            map.refuse(key, "n_vocab is ", stage->n_vocab, ", that of core ", c.core.n_vocab,
                       "; all stages share one vocabulary");
    }
    if (c.teacher.n_vocab != c.core.n_vocab)
        map.refuse("teacher", "n_vocab is ", c.teacher.n_vocab, ", that of core ", c.core.n_vocab,
                   "; all stages share one vocabulary");
    if (c.core.use_cache || c.teacher.use_cache)
        map.refuse(c.core.use_cache ? "core" : "teacher",
                   "trains without a cache; take use_cache out of its configuration");
    for (const auto& [key, stage] : stages)
        if (stage != &c.teacher && stage->use_cache && !stage->cache_theta_init)
            map.refuse(key, "has a cache of constants; give cache_theta_init and "
                            "cache_lambda_init, so that it is trained");
    if (!c.cache.use_cache) map.refuse("cache", "has no cache; set use_cache");
    if (!c.hebbian.hebbian) map.refuse("hebbian", "has no Hebbian updates; set hebbian");
    if (!c.distil.distill) map.refuse("distil", "does not distil; set distill");
    if (c.prune.use_cache != c.distil.use_cache)
        map.refuse("prune", "goes on from distil: both need the same use_cache");
    if (!c.prune.compress) map.refuse("prune", "names no plan (key compress)");
    if (!c.quantize.bits) map.refuse("quantize", "names no width (key bits)");
    if (*c.quantize.bits > 16 && *c.quantize.bits != 32)
        map.refuse("quantize", "is ", *c.quantize.bits,
                   " bits wide; 2 to 16 are possible, and 32 for none");
}

}  // namespace detail

/// Reads a pipeline. **Throws** tare::file_error naming file, line, key and what is wrong.
[[nodiscard]] inline pipeline_config load_pipeline(const std::string& path) {
    namespace fs = std::filesystem;
    const io::yaml_document document = io::yaml_document::load(path);
    io::yaml_map map(document, document.root);
    const auto beside = [&](const std::string& named) {
        return (fs::path(path).parent_path() / named).string();
    };
    pipeline_config out;
    out.path = path;
    const auto stages = detail::trained_stages(out);
    // First over what may be there, so that a misspelt key is reported as such.
    for (const char* key : {"train", "test", "validation_tokens", "n_cache"})
        static_cast<void>(map.has(key));
    for (const auto& [key, stage] : stages)
        static_cast<void>(map.has(key));
    if (map.has("top_k")) out.top_k = map.integer("top_k", 1, 1000);
    if (map.has("seed"))
        out.seed = static_cast<std::uint64_t>(map.integer("seed", 0, extent{1} << 62));
    if (map.has("frontier_bits")) out.frontier_bits = map.integers("frontier_bits", 2, 16);
    if (map.has("frontier_sparsities"))
        out.frontier_sparsities = map.numbers("frontier_sparsities", 0.0, 0.99);
    map.finish();
    out.train = beside(map.text("train"));
    out.test = beside(map.text("test"));
    out.validation_tokens = map.integer("validation_tokens", 2, extent{1} << 40);
    out.n_cache = map.integer("n_cache", 1, extent{1} << 24);
    for (const auto& [key, stage] : stages)
        *stage = io::load_entry_config(beside(map.text(key)));
    detail::check_pipeline(out, map);
    if (out.top_k > out.core.n_vocab)
        map.refuse("top_k", out.top_k, " exceeds the vocabulary of ", out.core.n_vocab);
    out.plan = (fs::path(beside(map.text("prune"))).parent_path() / *out.prune.compress).string();
    // Read again when its turn comes; a mistake in it must not wait until then.
    static_cast<void>(io::load_pruning_plan(out.plan));
    return out;
}

}  // namespace tare::tool
