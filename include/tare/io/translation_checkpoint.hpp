#pragma once
// SPDX-License-Identifier: MIT
// Checkpoints of translation training, in the form of io/checkpoint.hpp: parameters under their
// names, moments as state.<moment>.<parameter>, what a method keeps as state.method.<name>.
// Batches, rates and dropout are functions of seed and step, so the number of updates done is all
// the rest: a training that is interrupted anywhere and goes on ends with the bits of one that was
// not.

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/io/checkpoint.hpp>
#include <tare/models/translation_transformer_config.hpp>

namespace tare::train {
template <optimizer Optimizer, class Precision, class Method>
class translation_trainer;
}  // namespace tare::train

namespace tare::io {

/// Everything that decides what tensors a model has and what they do, as one line.
[[nodiscard]] inline std::string describe(const translation_transformer_config& c) {
    std::string out = "translation";
    const auto add = [&out](const auto&... parts) { out.append(message(' ', parts...)); };
    const auto add_side = [&](const char* name, const translation_side& side) {
        add(name, ' ', side.vocabulary, 'x', side.width, " scale ", side.scale(), " positions ",
            side.table_of_positions());
        for (const token column : side.position_columns)
            add(column);
    };
    const auto add_attention = [&](const attention_sizes& a) {
        add(a.heads, ':', a.key_width, ':', a.value_width, ':', a.factor());
    };
    const auto add_passes = [&](const char* name, const auto& passes) {
        add(name);
        for (const attention_roles& r : passes)
            for (const auto role : {r.query, r.key, r.value})
                out.push_back("qkv"[static_cast<int>(role)]);
    };
    add_side("encoder", c.encoder);
    for (const encoder_layer_sizes& layer : c.encoder_layers) {
        add_attention(layer.self);
        add(layer.inner);
    }
    add_passes("passes", c.encoder_passes);
    add_side("decoder", c.decoder);
    for (const decoder_layer_sizes& layer : c.decoder_layers) {
        add_attention(layer.self);
        add_attention(layer.cross);
        add(layer.inner, '+', layer.earlier_states);
    }
    add_passes("passes", c.decoder_passes);
    add("switches ", c.share_queries, c.pre_norm, c.decoder_final_norm, c.share_embeddings,
        c.tie_output, c.mask_target_padding, " states ", c.states(), " special ", c.padding, ' ',
        c.end);
    return out;
}

/// Writes everything a later update depends on. `facts` are what the run is (seed, texts,
/// schedule): they must be the same when it goes on. **Throws** tare::file_error when the disk
/// refuses; the old checkpoint then stays.
template <class Optimizer, class Precision, class Method>
void save_checkpoint(const std::string& path,
                     train::translation_trainer<Optimizer, Precision, Method>& t,
                     const checkpoint_facts& facts) {
    std::vector<tensor_ref> tensors;
    t.visit_state([&](std::string_view name, const shape& extents, std::span<float> values) {
        tensors.push_back(
            tensor_ref::of(std::string(name), extents, std::span<const float>(values)));
    });
    checkpoint_facts metadata = detail::identity_facts<Optimizer>(describe(t.config()), facts);
    metadata["steps"] = message(t.steps());
    if constexpr (train::compresses_updates<Precision>)
        metadata["precision_calls"] = message(t.precision().calls());
    save_safetensors(path, tensors, metadata);
}

/// Puts a trainer where the checkpoint was. **Throws** tare::file_error on damage, on a checkpoint
/// of another model or run (naming what differs) and on missing tensors; the trainer is then
/// unchanged.
template <class Optimizer, class Precision, class Method>
void load_checkpoint(const std::string& path,
                     train::translation_trainer<Optimizer, Precision, Method>& t,
                     const checkpoint_facts& facts) {
    const safetensors_archive archive = load_safetensors(path);
    detail::require_same_run(archive,
                             detail::identity_facts<Optimizer>(describe(t.config()), facts));
    const extent steps = detail::count_in(archive, "steps");
    extent calls = 0;
    if constexpr (train::compresses_updates<Precision>)
        calls = detail::count_in(archive, "precision_calls");
    // All is found before anything is changed.
    std::vector<std::pair<std::span<const float>, std::span<float>>> copies;
    t.visit_state([&](std::string_view name, const shape& extents, std::span<float> values) {
        copies.emplace_back(archive.view<float>(std::string(name), extents), values);
    });
    for (const auto& [from, to] : copies)
        std::copy(from.begin(), from.end(), to.begin());
    if constexpr (train::compresses_updates<Precision>)
        t.precision().set_calls(static_cast<std::uint64_t>(calls));
    t.set_steps(steps);
}

/// Weights of a checkpoint (or of any safetensors file with a model's names) put into a trainer;
/// moments and steps stay. **Throws** tare::file_error as load_checkpoint().
template <class Optimizer, class Precision, class Method>
void load_weights(const std::string& path,
                  train::translation_trainer<Optimizer, Precision, Method>& t) {
    const safetensors_archive archive = load_safetensors(path);
    for (auto& p : t.parameters()) {
        const auto from = archive.view<float>(p.label, p.value.shape());
        std::copy(from.begin(), from.end(), p.value.mutable_value().mutable_values().begin());
        if (p.master.exists())
            std::copy(from.begin(), from.end(), p.master.mutable_values().begin());
    }
}

}  // namespace tare::io
