#pragma once
// SPDX-License-Identifier: MIT
// The texts of a pipeline: what is trained on, its end as validation text, what is evaluated on.

#include <cstdint>
#include <string_view>

#include <tare/io/text_corpus.hpp>

#include "pipeline_config.hpp"
#include "training_run.hpp"

namespace tare::tool {

/// Words of what is trained on by frequency, at most n_vocab; all others become <unk>. Words of
/// the validation part alone are not among them: nothing would train their vectors.
/// **Throws** tare::error on texts too short for the configuration, naming them.
[[nodiscard]] run_texts read_texts(const pipeline_config& config);

}  // namespace tare::tool
