#pragma once
// SPDX-License-Identifier: MIT
// What the verbs of language models share: weights by name and their files, a model made from them,
// its perplexity and what it weighs. The models are compiled here once, not by every verb.

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tare/micronet/weigh.hpp>
#include <tare/models/transformer_xl.hpp>
#include <tare/text/vocabulary.hpp>
#include <tare/train/evaluate.hpp>

namespace tare::tool {

/// Tensors by the published names.
using weights = std::map<std::string, tensor, std::less<>>;

/// A parameter source over weights. Constants of a cache that no file holds come from the
/// configuration. **Throws** on a missing tensor and on one of another shape.
struct named_weights {
    const weights* from;

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        const auto found = from->find(label);
        if (found == from->end() && is_cache_scalar(label))
            return tensor(extents, static_cast<float>(start.constant));
        require(found != from->end(), "the weights hold no tensor ", label,
                "; are they those of another configuration?");
        require(found->second.shape() == extents, "the weights hold ", label, " as ",
                found->second.shape(), ", the configuration needs ", extents);
        return found->second;
    }
};

/// The model over weights. Its tensors share the weights' memory: do not change them meanwhile.
[[nodiscard]] transformer_xl<tensor> model_of(const transformer_xl_config& config,
                                              const weights& from);

/// A text as word numbers of a model's vocabulary. Words outside it become <unk> where there is
/// such a word. **Throws** tare::file_error naming the first word that has no place.
[[nodiscard]] std::vector<token> read_words(const std::string& path, const text::vocabulary& words);

/// All parameters of a file; what a checkpoint holds beside them ("state.") is passed over.
[[nodiscard]] weights load_weights(const std::string& path);

/// The configuration with a fixed cache; capacity 0 for none.
[[nodiscard]] transformer_xl_config with_cache(transformer_xl_config config, extent capacity,
                                               double lambda, double theta);

/// What pruning has left of each tensor that holds a zero.
[[nodiscard]] std::vector<micronet::remaining> remaining_of(const weights& from);

/// How many words of a text lie in each bin of the vocabulary.
[[nodiscard]] micronet::bin_counts count_bins(const transformer_xl_config& config,
                                              std::span<const token> words);

/// Constants of a cache in the form of the entry's cache_step files.
[[nodiscard]] std::string cache_yaml(const cache_config& cache);

/// e^loss over a text, chunk by chunk, memory and cache carried over.
[[nodiscard]] double perplexity_of(const transformer_xl<tensor>& model,
                                   std::span<const token> words,
                                   const train::evaluation_options& options);

/// What a model weighs: on average over the bins' tokens, or each token of a text where it stands.
[[nodiscard]] ledger weigh(const transformer_xl_config& config, const micronet::compression& how,
                           const micronet::bin_counts& bins);
[[nodiscard]] ledger weigh(const transformer_xl_config& config, const micronet::compression& how,
                           std::span<const token> words);

}  // namespace tare::tool
