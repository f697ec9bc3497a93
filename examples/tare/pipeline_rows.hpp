#pragma once
// SPDX-License-Identifier: MIT
// The files that the stages of a pipeline leave, and the rows of its table: what each of them
// weighs, beside the perplexities and the time in its record.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tare/io/yaml_config.hpp>
#include <tare/io/yaml_pruning.hpp>

#include "language_model.hpp"
#include "pipeline_stages.hpp"
#include "pipeline_table.hpp"
#include "training_run.hpp"

namespace tare::tool {

/// Where a stage's results lie.
class pipeline_files {
  public:
    explicit pipeline_files(const stage_folder& folder) : folder_(&folder) {}

    [[nodiscard]] std::string weights_of(const std::string& stage) const {
        return run_folder{folder_->file(stage)}.checkpoint();
    }
    [[nodiscard]] std::string packed(const std::string& stage) const {
        return folder_->file(stage + ".packed.safetensors");
    }
    [[nodiscard]] std::string labels() const { return folder_->file("labels/soft_labels.bin"); }
    /// The configuration with the constants that a search has found.
    [[nodiscard]] transformer_xl_config
    with_found_cache(const std::string& search, const transformer_xl_config& config) const {
        const io::cache_constants found = io::load_cache_constants(folder_->file(search + ".yaml"));
        return with_cache(config, found.n_cache, found.cache_lambda, found.cache_theta);
    }

  private:
    const stage_folder* folder_;
};

/// Rows in the order in which stages end. Folder and words must stay as long as this.
class pipeline_rows {
  public:
    /// `core` is the model of the stages that search; operations are a mean over `test`.
    pipeline_rows(const stage_folder& folder, transformer_xl_config core,
                  std::span<const token> test)
        : folder_(&folder), files_(folder), core_(std::move(core)), test_(test) {}

    /// Weighs the model of stage `of` at 32 bits; `follows`: it is compared with the row above.
    void add(const std::string& branch, const std::string& step,
             const transformer_xl_config& config, const std::string& of, bool follows) {
        add_measured(branch, step, config, of, of, follows);
    }
    /// The same model with the cache that stage `search` has found and measured.
    void add_searched(const std::string& branch, const std::string& of, const std::string& search) {
        add_measured(branch, "+ searched cache", files_.with_found_cache(search, core_), of, search,
                     true);
    }
    void add_packed(const std::string& step, const std::string& stage, bool follows) {
        rows_.push_back(packed_row(step, stage, follows));
    }
    /// A packed file as it weighs.
    [[nodiscard]] table_row packed_row(const std::string& step, const std::string& stage,
                                       bool follows) const;
    [[nodiscard]] const std::vector<table_row>& rows() const noexcept { return rows_; }

  private:
    void add_measured(const std::string& branch, const std::string& step,
                      const transformer_xl_config& config, const std::string& of,
                      const std::string& measured, bool follows);
    [[nodiscard]] table_row row_of(const std::string& branch, const std::string& step,
                                   const transformer_xl_config& config,
                                   const micronet::compression& how, const std::string& measured,
                                   bool follows) const;

    const stage_folder* folder_;
    pipeline_files files_;
    transformer_xl_config core_;
    std::span<const token> test_;
    std::vector<table_row> rows_;
};

}  // namespace tare::tool
