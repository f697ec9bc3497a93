// SPDX-License-Identifier: MIT
#include "pipeline_quantize.hpp"

#include <vector>

#include <tare/text/batching.hpp>
#include <tare/train/quantization_aware.hpp>

#include "kept_quantization.hpp"
#include "training_options.hpp"

namespace tare::tool {

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
    const auto rate = learning_rate(how);
    const kept_quantization kept{
        .folder = folder,
        .key = key,
        .passes = learns ? steps : (observed_samples + how.train_batch - 1) / how.train_batch,
        .learns = learns,
        .samples_of_pass = how.train_batch,
        .saves_every = how.step_save};
    const auto pass = [&](extent at) {
        if (learns) {
            each_sample(at, [&](auto x, auto y) { trainer.accumulate(x, y); });
            trainer.update(rate(at));
        } else {
            each_sample(at, [&](auto x, auto y) { trainer.observe(x, y); });
        }
    };
    kept.run(trainer, pass, saved);
    return trainer.store();
}

}  // namespace tare::tool
