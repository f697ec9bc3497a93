// SPDX-License-Identifier: MIT
#include "pipeline_quantize.hpp"

#include <filesystem>
#include <vector>

#include <tare/io/quantization_checkpoint.hpp>
#include <tare/text/batching.hpp>
#include <tare/train/quantization_aware.hpp>

#include "command.hpp"
#include "pipeline_stages.hpp"
#include "progress.hpp"
#include "training_options.hpp"
#include "training_run.hpp"

namespace tare::tool {

namespace {

/// Passes that the ranges have seen.
extent observed(const quantization_stage& stage, const train::quantization_aware<>& trainer) {
    return stage.bits == 32 ? 0 : trainer.range("final").tracker.steps() / stage.how.train_batch;
}

}  // namespace

stored_model quantization_stage::run(const weights& values, const transformer_xl_config& config,
                                     std::span<const token> text,
                                     const std::function<void()>& saved) const {
    train::quantization_aware<> trainer(named_weights{&values}, config, {bits, {}, {}});
    const text::chunk_sampler sampler(text, how.train_chunk, how.train_batch,
                                      random_stream(seed, 0x7175616E74));
    const auto chunk = static_cast<std::size_t>(how.train_chunk);
    std::vector<token> inputs(chunk * static_cast<std::size_t>(how.train_batch));
    std::vector<token> targets(inputs.size());
    const auto each_sample = [&](extent step, auto&& use) {
        sampler.sample(step, inputs, targets);
        for (std::size_t row = 0; row < inputs.size(); row += chunk)
            use(std::span<const token>(inputs).subspan(row, chunk),
                std::span<const token>(targets).subspan(row, chunk));
    };
    const bool learns = steps > 0;
    const extent passes =
        learns ? steps : (observed_samples + how.train_batch - 1) / how.train_batch;
    const auto parts = learns ? io::quantization_parts::everything : io::quantization_parts::ranges;
    std::filesystem::create_directories(folder);
    const std::string checkpoint = run_folder{folder}.checkpoint();
    const io::checkpoint_facts facts{{"inputs", key}};
    if (std::filesystem::exists(checkpoint)) io::load_checkpoint(checkpoint, trainer, facts, parts);
    const auto rate = learning_rate(how);
    const interruption stop;
    progress_bar bar("quantize");
    for (extent pass = learns ? trainer.updates() : observed(*this, trainer); pass < passes;
         ++pass) {
        if (learns) {
            each_sample(pass, [&](auto x, auto y) { trainer.accumulate(x, y); });
            trainer.update(rate(pass));
        } else {
            each_sample(pass, [&](auto x, auto y) { trainer.observe(x, y); });
        }
        bar.show(pass + 1, passes);
        if (!learns || (pass + 1) % how.step_save == 0 || stop.wanted()) {
            io::save_checkpoint(checkpoint, trainer, facts, parts);
            saved();
        }
        if (stop.wanted()) throw stage_ended{interrupted};
    }
    return trainer.store();
}

}  // namespace tare::tool
