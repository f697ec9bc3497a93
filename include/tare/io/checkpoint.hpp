#pragma once
// SPDX-License-Identifier: MIT
// Checkpoints of the trainer: one safetensors file, written whole or not at all, checked by CRC.
// Parameters stand under their own names, so the file is also the model for everyone who only wants
// weights; what training needs beyond them has names of its own:
//     state.<moment>.<parameter>  moments of the optimizer      state.mask.<parameter>  1: kept
//     state.master.<parameter>    float32 weights, where the precision keeps them apart
//     state.counter.<bin>         Hebbian counts                state.cache.<n>.keys, .words
// The metadata hold the format, the model's sizes, the optimizer, the steps done (random offsets
// are functions of seed and step: no generator state exists) and the caller's own facts.

#include <charconv>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/io/safetensors.hpp>
#include <tare/models/transformer_xl_config.hpp>
#include <tare/nn/parameter_names.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/gather.hpp>
#include <tare/prune/mask.hpp>
#include <tare/train/optimizer.hpp>
#include <tare/train/precision.hpp>

// Whoever has a trainer has included it: this header alone need not compile a model.
namespace tare::train {
template <optimizer Optimizer, class Precision>
class trainer;
}  // namespace tare::train

namespace tare::io {

using checkpoint_facts = std::map<std::string, std::string>;

/// Everything that decides which tensors a model has, as one line.
[[nodiscard]] inline std::string describe(const transformer_xl_config& c) {
    const auto list = [](const size_list& sizes) { return shape(sizes.span()).to_string(); };
    return message("transformer_xl layers ", c.layers, " width ", c.width, " heads ", c.heads,
                   " key ", c.key_width, " value ", c.value_width, " inner ", c.inner, " window ",
                   c.window, " vocabulary ", c.vocabulary, " cutoffs ", list(c.cutoffs), " widths ",
                   list(c.widths), " cache ", c.cache.capacity,
                   c.cache.trained ? " trained" : " fixed");
}

/// A parameter source that reads a safetensors file by the parameters' names. The two scalars of a
/// cache may be missing: they start as configured.
class safetensors_parameters {
  public:
    explicit safetensors_parameters(const safetensors_archive& archive) : archive_(&archive) {}

    /// **Throws** tare::file_error on a missing tensor or another shape.
    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        if (is_cache_scalar(label) && !archive_->tensors.contains(label))
            return tensor(extents, static_cast<float>(start.constant));
        return tensor(extents, archive_->view<float>(label, extents));
    }

  private:
    const safetensors_archive* archive_;
};

namespace detail {

inline constexpr std::string_view checkpoint_format = "tare-checkpoint 1";

/// `model` is the description of its sizes.
template <class Optimizer>
checkpoint_facts identity_facts(std::string model, const checkpoint_facts& own) {
    checkpoint_facts out;
    for (const auto& [key, value] : own)
        out["run." + key] = value;
    out["format"] = std::string(checkpoint_format);
    out["model"] = std::move(model);
    out["optimizer"] = std::string(Optimizer::name);
    return out;
}

/// **Throws** tare::file_error naming the first fact that is missing or another one.
inline void require_same_run(const safetensors_archive& archive, const checkpoint_facts& facts) {
    for (const auto& [key, expected] : facts) {
        const auto found = archive.metadata.find(key);
        if (found == archive.metadata.end())
            throw file_error(message(archive.path, ": no \"", key,
                                     "\" in its metadata: not a checkpoint of this kind of run"));
        if (found->second != expected)
            throw file_error(message(archive.path, ": ", key, " is \"", found->second,
                                     "\", this run has \"", expected,
                                     "\"; go on with the options the run began with"));
    }
}

/// A count from the metadata. **Throws** tare::file_error where there is none.
inline extent count_in(const safetensors_archive& archive, const std::string& key) {
    const auto digits = archive.metadata.find(key);
    extent out = -1;
    if (digits != archive.metadata.end())
        std::from_chars(digits->second.data(), digits->second.data() + digits->second.size(), out);
    if (out < 0)
        throw file_error(message(archive.path, ": no number of ", key, " in its metadata"));
    return out;
}

}  // namespace detail

/// Writes everything a later step depends on. `facts` are what the run is (seed, text, schedule):
/// they must be the same when it goes on. **Throws** tare::file_error when the disk refuses; the
/// old checkpoint then stays.
template <class Optimizer, class Precision>
void save_checkpoint(const std::string& path, train::trainer<Optimizer, Precision>& t,
                     const checkpoint_facts& facts) {
    std::vector<tensor_ref> tensors;
    const auto add = [&tensors](std::string name, const shape& extents, auto values) {
        tensors.push_back(tensor_ref::of(std::move(name), extents, values));
    };
    for (auto& p : t.parameters()) {
        add(p.label, p.value.shape(), p.value.value().values());
        for (std::size_t i = 0; i < p.moments.size(); ++i)
            add(message("state.", Optimizer::moments[i], '.', p.label), p.value.shape(),
                std::span<const float>(p.moments[i].values()));
        if (p.master.exists())
            add("state.master." + p.label, p.value.shape(),
                std::span<const float>(p.master.values()));
    }
    const auto rules = t.pruner().rules();
    for (std::size_t i = 0; i < rules.size(); ++i) {
        const prune::mask& keep = t.pruner().masks()[i];
        if (!keep.empty())
            add("state.mask." + rules[i].tensor, shape{static_cast<extent>(keep.size())},
                std::span<const std::uint8_t>(keep));
    }
    for (std::size_t bin = 0; bin < t.counters().size(); ++bin)
        add(message("state.counter.", bin), shape{static_cast<extent>(t.counters()[bin].size())},
            std::span<const std::int64_t>(t.counters()[bin]));
    for (std::size_t c = 0; c < t.caches().size(); ++c) {
        const auto& cache = t.caches()[c];
        if (cache.empty()) continue;
        add(message("state.cache.", c, ".keys"), cache.keys().shape(),
            cache.keys().value().values());
        add(message("state.cache.", c, ".words"), shape{static_cast<extent>(cache.words().size())},
            std::span<const token>(cache.words()));
    }
    checkpoint_facts metadata = detail::identity_facts<Optimizer>(describe(t.config()), facts);
    metadata["steps"] = message(t.steps());
    if constexpr (train::compresses_updates<Precision>)
        metadata["precision_calls"] = message(t.precision().calls());
    save_safetensors(path, tensors, metadata);
}

/// Puts a trainer where the checkpoint was. **Throws** tare::file_error on damage, on a checkpoint
/// of another model or run (naming what differs) and on missing tensors; the trainer is then
/// unchanged or unusable, never silently half-restored: nothing is returned.
template <class Optimizer, class Precision>
void load_checkpoint(const std::string& path, train::trainer<Optimizer, Precision>& t,
                     const checkpoint_facts& facts) {
    const safetensors_archive archive = load_safetensors(path);
    detail::require_same_run(archive,
                             detail::identity_facts<Optimizer>(describe(t.config()), facts));
    const extent steps = detail::count_in(archive, "steps");
    const auto copy = [&archive](const std::string& name, const shape& extents, auto to) {
        const auto from = archive.template view<typename decltype(to)::value_type>(name, extents);
        std::copy(from.begin(), from.end(), to.begin());
    };
    for (auto& p : t.parameters()) {
        copy(p.label, p.value.shape(), p.value.mutable_value().mutable_values());
        for (std::size_t i = 0; i < p.moments.size(); ++i)
            copy(message("state.", Optimizer::moments[i], '.', p.label), p.value.shape(),
                 p.moments[i].mutable_values());
        if (p.master.exists())
            copy("state.master." + p.label, p.value.shape(), p.master.mutable_values());
    }
    if constexpr (train::compresses_updates<Precision>)
        t.precision().set_calls(
            static_cast<std::uint64_t>(detail::count_in(archive, "precision_calls")));
    const auto rules = t.pruner().rules();
    for (std::size_t i = 0; i < rules.size(); ++i) {
        const std::string name = "state.mask." + rules[i].tensor;
        if (!archive.tensors.contains(name)) continue;
        prune::mask keep(t.values_of(rules[i].tensor).size());
        copy(name, shape{static_cast<extent>(keep.size())}, std::span<std::uint8_t>(keep));
        t.pruner().restore(i, std::move(keep));
    }
    for (std::size_t bin = 0; bin < t.counters().size(); ++bin) {
        std::vector<std::int64_t>& counter = t.counters()[bin];
        copy(message("state.counter.", bin), shape{static_cast<extent>(counter.size())},
             std::span<std::int64_t>(counter));
    }
    for (std::size_t c = 0; c < t.caches().size(); ++c) {
        t.caches()[c].clear();
        const std::string head = message("state.cache.", c);
        if (!archive.tensors.contains(head + ".keys")) continue;
        const shape extents = archive.at(head + ".keys").extents;
        if (extents.rank() != 2 || extents[1] != t.config().width ||
            extents[0] > t.config().cache.capacity)
            throw file_error(message(path, ": ", head, ".keys has shape ", extents));
        const auto words = archive.view<token>(head + ".words", shape{extents[0]});
        t.caches()[c].push(
            t.constant(tensor(extents, archive.view<float>(head + ".keys", extents))), words);
    }
    t.set_steps(steps);
}

}  // namespace tare::io
