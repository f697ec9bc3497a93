#pragma once
// SPDX-License-Identifier: MIT
// The stages of a champion's pipeline, each from the files of the ones before:
//     core; with a trained cache; with Hebbian updates; its cache searched
//     teacher -> soft labels -> distilled core -> pruned -> its cache searched
//       -> quantized after training, quantized in training: packed files, read by packed kernels

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <tare/prune/gradual.hpp>
#include <tare/search/cached_hidden_states.hpp>

#include "language_model.hpp"
#include "model_options.hpp"
#include "pipeline_config.hpp"
#include "pipeline_rows.hpp"
#include "pipeline_stages.hpp"
#include "pipeline_table.hpp"
#include "running_model.hpp"
#include "training_run.hpp"

namespace tare::tool {

class pipeline_run {
  public:
    pipeline_run(pipeline_config config, const std::string& folder);

    /// Runs what is not done yet and returns the table. **Throws** stage_ended when a signal or a
    /// loss without value has ended a stage; its last checkpoint stands.
    std::vector<table_row> run();

    /// Every width at every sparsity, from the distilled model and the searched cache; call run()
    /// first.
    std::vector<frontier_point> frontier();

    [[nodiscard]] const run_texts& texts() const noexcept { return texts_; }
    [[nodiscard]] stage_folder& folder() noexcept { return folder_; }

  private:
    /// The model of a trained stage.
    [[nodiscard]] std::unique_ptr<const running_model>
    floats_of(const std::string& name, const transformer_xl_config& config) const;
    /// Perplexities of a model on both texts, each kept as soon as it is known.
    /// **Throws** stage_ended on a signal.
    [[nodiscard]] nlohmann::ordered_json measure(const running_model& model);
    [[nodiscard]] std::string key_of(const std::string& name, const std::string& inputs,
                                     const io::entry_config& how) const;

    /// Runs a training to its end, from its checkpoint if it has one.
    void train(const std::string& name, const std::string& key, const io::entry_config& how,
               const std::string& from, const std::function<void(training_run&)>& prepare);
    /// The stages that train from random weights; `inputs` of a distilled one are its labels.
    std::string trained(const std::string& name, const io::entry_config& how,
                        const std::string& inputs);
    /// The distilled model, pruned along `rules`.
    std::string pruned(const std::string& name, const std::vector<prune::gradual_rule>& rules);

    /// Searches the cache of a trained model, from its trained scalars if it has such.
    std::string searched(const std::string& name, const std::string& of,
                         const io::entry_config& how, const std::string& inputs);

    /// Quantizes a pruned model with the searched cache and packs it; what is measured is the file,
    /// on packed kernels.
    void quantized(const std::string& name, const std::string& of, const std::string& inputs,
                   int bits, extent steps);

    /// Where a search starts: at the trained scalars, or at the published start without such.
    [[nodiscard]] static search::cache_scalars start_of(const weights& values);

    /// Samples that the ranges of a model without training steps are taken from.
    static constexpr extent observed_samples = 8;

    std::string soft_labels(const std::string& inputs);

    pipeline_config config_;
    parameter_sizes sizes_;
    std::vector<prune::gradual_rule> plan_rules_;
    double plan_share_;  ///< of all parameters, pruned in the end
    run_texts texts_;
    stage_folder folder_;
    pipeline_files files_;
    pipeline_rows table_;
    std::string base_;
    std::string distil_;  ///< keys of stages that others go on from
    std::string search_;
};

}  // namespace tare::tool
