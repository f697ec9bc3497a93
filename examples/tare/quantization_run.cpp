// SPDX-License-Identifier: MIT
#include "quantization_run.hpp"

#include <filesystem>
#include <span>
#include <vector>

#include <tare/io/quantization_checkpoint.hpp>
#include <tare/train/quantization_aware.hpp>

#include "command.hpp"
#include "make_folder.hpp"
#include "progress.hpp"
#include "resumable.hpp"
#include "training_run.hpp"

namespace tare::tool {

namespace {

using trainer_type = train::quantization_aware<>;

[[nodiscard]] bool is_of_key(const std::string& checkpoint, const std::string& key) {
    if (!std::filesystem::exists(checkpoint)) return false;
    const auto metadata = io::load_safetensors(checkpoint).metadata;
    const auto found = metadata.find("run.inputs");
    return found != metadata.end() && found->second == key;
}

/// Samples that the ranges have seen.
[[nodiscard]] extent observed(const trainer_type& trainer) {
    return trainer.widths().bits == 32 ? 0 : trainer.range("final").tracker.steps();
}

/// Calls use(inputs, labels) for each sample of a step.
template <class Use>
void each_sample(const text::chunk_sampler& samples, extent step, const Use& use) {
    const auto chunk = static_cast<std::size_t>(samples.chunk());
    std::vector<token> inputs(chunk * static_cast<std::size_t>(samples.batch()));
    std::vector<token> labels(inputs.size());
    samples.sample(step, inputs, labels);
    for (std::size_t at = 0; at < inputs.size(); at += chunk)
        use(std::span<const token>(inputs).subspan(at, chunk),
            std::span<const token>(labels).subspan(at, chunk));
}

}  // namespace

stored_model quantization_run::run(const weights& values,
                                   const transformer_xl_config& config) const {
    trainer_type trainer(named_weights{&values}, config, how, options);
    if (passes == 0) return trainer.store();
    require(samples.has_value(), "quantization_run: ", passes, " passes, but no samples");
    const bool learns = rate != nullptr;
    const auto parts = learns ? io::quantization_parts::everything : io::quantization_parts::ranges;
    const io::checkpoint_facts facts{{"inputs", key}};
    const std::string checkpoint = run_folder{folder}.checkpoint();
    if (!folder.empty()) {
        make_folder(folder);
        if (is_of_key(checkpoint, key)) io::load_checkpoint(checkpoint, trainer, facts, parts);
    }
    const interruption stop;
    progress_bar bar("quantize");
    for (extent at = learns ? trainer.updates() : observed(trainer) / samples->batch(); at < passes;
         ++at) {
        double loss = 0.0;
        each_sample(*samples, at, [&](auto inputs, auto labels) {
            loss = learns ? trainer.accumulate(inputs, labels) : trainer.observe(inputs, labels);
        });
        if (learns) trainer.update(rate(at));
        if (told) told(at, loss);
        bar.show(at + 1, passes);
        const bool due = !learns || (at + 1) % saves_every == 0 || stop.wanted();
        if (due && !folder.empty()) {
            io::save_checkpoint(checkpoint, trainer, facts, parts);
            if (saved) saved();
        }
        if (stop.wanted()) throw stage_ended{interrupted};
    }
    return trainer.store();
}

}  // namespace tare::tool
