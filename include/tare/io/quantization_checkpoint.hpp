#pragma once
// SPDX-License-Identifier: MIT
// Checkpoints of quantization-aware training, in the form of io/checkpoint.hpp: float copies under
// the parameters' names, the moments as state.<moment>.<parameter>, and of each activation point
//     state.range.<point>        the averages of minimum and maximum, before the bias correction
//     state.range_steps.<point>  how many samples they have seen
// Its samples begin with empty caches, so no cache is kept.

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include <tare/io/checkpoint.hpp>
#include <tare/quantize/range.hpp>

namespace tare::train {
template <optimizer Optimizer, class Variable>
class quantization_aware;
}  // namespace tare::train

namespace tare::io {

namespace detail {

template <class Optimizer, class Variable>
checkpoint_facts quantization_facts(const train::quantization_aware<Optimizer, Variable>& t,
                                    const checkpoint_facts& own) {
    require(!t.options().keep_cache, "checkpoint: a cache that is kept from sample to sample is "
                                     "not stored; train with keep_cache false");
    checkpoint_facts out = identity_facts<Optimizer>(describe(t.config()), own);
    std::string widths = message(t.widths().bits);
    for (const auto& w : t.widths().widths)
        widths += message(' ', w.label.view(), ' ', w.bits);
    out["bits"] = widths;
    return out;
}

}  // namespace detail

/// What a checkpoint holds: everything a later update depends on, or the ranges alone, which is all
/// that passes without an update change.
enum class quantization_parts { everything, ranges };

/// Writes everything a later update depends on; call it between update() and the next sample.
/// `facts` as in save_checkpoint of a trainer. **Throws** tare::file_error when the disk refuses;
/// the old checkpoint then stays.
template <class Optimizer, class Variable>
void save_checkpoint(const std::string& path, train::quantization_aware<Optimizer, Variable>& t,
                     const checkpoint_facts& facts,
                     quantization_parts parts = quantization_parts::everything) {
    struct range_record {
        std::array<float, 2> biased;
        std::array<std::int64_t, 1> steps;
    };
    std::vector<tensor_ref> tensors;
    std::deque<range_record> records;  // a deque: references into it stay
    t.visit_state(
        [&](const std::string& name, tensor& values) {
            if (parts == quantization_parts::ranges) return;
            tensors.push_back(tensor_ref::of(name, values.shape(),
                                             std::span<const float>(values.mutable_values())));
        },
        [&](const std::string& name, const moving_average_tracker& range) {
            const range_record& r = records.emplace_back(
                range_record{{range.biased().low, range.biased().high}, {range.steps()}});
            tensors.push_back(
                tensor_ref::of("state.range." + name, shape{2}, std::span<const float>(r.biased)));
            tensors.push_back(tensor_ref::of("state.range_steps." + name, shape{1},
                                             std::span<const std::int64_t>(r.steps)));
        });
    checkpoint_facts metadata = detail::quantization_facts(t, facts);
    metadata["steps"] = message(t.updates());
    save_safetensors(path, tensors, metadata);
}

/// Puts the training where the checkpoint was. **Throws** tare::file_error on damage, on a
/// checkpoint of another model or run (naming what differs) and on missing tensors.
template <class Optimizer, class Variable>
void load_checkpoint(const std::string& path, train::quantization_aware<Optimizer, Variable>& t,
                     const checkpoint_facts& facts,
                     quantization_parts parts = quantization_parts::everything) {
    const safetensors_archive archive = load_safetensors(path);
    detail::require_same_run(archive, detail::quantization_facts(t, facts));
    const extent updates = detail::count_in(archive, "steps");
    t.visit_state(
        [&](const std::string& name, tensor& values) {
            if (parts == quantization_parts::ranges) return;
            const auto from = archive.view<float>(name, values.shape());
            std::copy(from.begin(), from.end(), values.mutable_values().begin());
        },
        [&](const std::string& name, moving_average_tracker& range) {
            const auto biased = archive.view<float>("state.range." + name, shape{2});
            const auto steps = archive.view<std::int64_t>("state.range_steps." + name, shape{1});
            range.restore({biased[0], biased[1]}, steps[0]);
        });
    t.set_updates(updates);
}

}  // namespace tare::io
