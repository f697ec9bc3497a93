#pragma once
// SPDX-License-Identifier: MIT
// What makes a model out of text: training, pruning, search.

#include <tare/prune/gradual.hpp>
#include <tare/prune/mask.hpp>
#include <tare/prune/sensitivity.hpp>
#include <tare/prune/srp_counts.hpp>
#include <tare/prune/srp_selection.hpp>
#include <tare/prune/srp_shrinking.hpp>
#include <tare/search/cache_search.hpp>
#include <tare/search/cached_hidden_states.hpp>
#include <tare/text/batching.hpp>
#include <tare/text/corpus.hpp>
#include <tare/text/edit_distance.hpp>
#include <tare/text/name_pattern.hpp>
#include <tare/text/perplexity.hpp>
#include <tare/text/utf8.hpp>
#include <tare/text/vocabulary.hpp>
#include <tare/train/adam.hpp>
#include <tare/train/adamw.hpp>
#include <tare/train/clip.hpp>
#include <tare/train/compressor.hpp>
#include <tare/train/distillation.hpp>
#include <tare/train/evaluate.hpp>
#include <tare/train/hebbian.hpp>
#include <tare/train/optimizer.hpp>
#include <tare/train/precision.hpp>
#include <tare/train/quantization_aware.hpp>
#include <tare/train/quantization_options.hpp>
#include <tare/train/sample_streams.hpp>
#include <tare/train/schedule.hpp>
#include <tare/train/sgd.hpp>
#include <tare/train/soft_labels.hpp>
#include <tare/train/trainer.hpp>
#include <tare/train/trainer_options.hpp>
#include <tare/train/training_source.hpp>
