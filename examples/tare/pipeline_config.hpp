#pragma once
// SPDX-License-Identifier: MIT
// The file that names a whole pipeline: texts, and one configuration of the entry's kind for each
// stage that trains. Paths are relative to the file.

#include <filesystem>
#include <string>

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
    io::entry_config teacher;   ///< the larger model
    io::entry_config distil;    ///< the model again, from the teacher's soft labels
    io::entry_config prune;     ///< goes on from `distil`; `compress` names its plan
    io::entry_config quantize;  ///< goes on from `prune`; `bits` wide
    std::string plan;           ///< path of the pruning plan
};

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
    out.train = beside(map.text("train"));
    out.test = beside(map.text("test"));
    out.validation_tokens = map.integer("validation_tokens", 2, extent{1} << 40);
    out.n_cache = map.integer("n_cache", 1, extent{1} << 24);
    if (map.has("top_k")) out.top_k = map.integer("top_k", 1, 1000);
    if (map.has("seed"))
        out.seed = static_cast<std::uint64_t>(map.integer("seed", 0, extent{1} << 62));
    const auto stage = [&](const char* key) { return beside(map.text(key)); };
    const std::string core = stage("core");
    const std::string teacher = stage("teacher");
    const std::string distil = stage("distil");
    const std::string prune = stage("prune");
    const std::string quantize = stage("quantize");
    map.finish();
    out.core = io::load_entry_config(core);
    out.teacher = io::load_entry_config(teacher);
    out.distil = io::load_entry_config(distil);
    out.prune = io::load_entry_config(prune);
    out.quantize = io::load_entry_config(quantize);
    for (const io::entry_config* c : {&out.teacher, &out.distil, &out.prune, &out.quantize})
        if (c->n_vocab != out.core.n_vocab)
            map.refuse("core", "its n_vocab is ", out.core.n_vocab, ", another stage's ",
                       c->n_vocab, "; all stages share one vocabulary");
    if (!out.prune.compress) map.refuse("prune", "names no plan (key compress)");
    if (!out.quantize.bits) map.refuse("quantize", "names no width (key bits)");
    if (out.core.use_cache || out.distil.use_cache || out.prune.use_cache)
        map.refuse("n_cache", "the stages train without a cache, and it is searched afterwards; "
                              "take use_cache out of their configurations");
    out.plan = (fs::path(prune).parent_path() / *out.prune.compress).string();
    // Read again when its turn comes; a mistake in it must not wait until then.
    static_cast<void>(io::load_pruning_plan(out.plan));
    return out;
}

}  // namespace tare::tool
