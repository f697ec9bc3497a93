#pragma once
// SPDX-License-Identifier: MIT
// What the verbs of language models share: weights by name and their files, a model made from them,
// and what a model weighs.

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/io/safetensors.hpp>
#include <tare/io/text_corpus.hpp>
#include <tare/micronet/rules.hpp>
#include <tare/micronet/weigh.hpp>
#include <tare/models/transformer_xl.hpp>
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
[[nodiscard]] inline transformer_xl<tensor> model_of(const transformer_xl_config& config,
                                                     const weights& from) {
    named_weights source{&from};
    return transformer_xl<tensor>(source, config);
}

/// A text as word numbers of a model's vocabulary. Words outside it become <unk> where there is
/// such a word. **Throws** tare::file_error naming the first word that has no place.
[[nodiscard]] inline std::vector<token> read_words(const std::string& path,
                                                   const text::vocabulary& words) {
    return io::read_corpus(path, words,
                           words.find(text::unknown_word) >= 0 ? text::unknown_words::replace
                                                               : text::unknown_words::refuse);
}

/// Writes weights as safetensors, whole or not at all.
inline void save_weights(const std::string& path, const weights& from,
                         const std::map<std::string, std::string>& metadata = {}) {
    std::vector<io::tensor_ref> all;
    for (const auto& [label, values] : from)
        all.push_back(io::tensor_ref::of(label, values.shape(), values.values()));
    io::save_safetensors(path, all, metadata);
}

/// All parameters of a file; what a checkpoint holds beside them ("state.") is passed over.
[[nodiscard]] inline weights load_weights(const std::string& path) {
    const io::safetensors_archive archive = io::load_safetensors(path);
    weights out;
    for (const auto& [label, found] : archive.tensors)
        if (!label.starts_with("state."))
            out.emplace(label, tensor(found.extents, archive.view<float>(label, found.extents)));
    return out;
}

/// The configuration with a fixed cache; capacity 0 for none.
[[nodiscard]] inline transformer_xl_config with_cache(transformer_xl_config config, extent capacity,
                                                      double lambda, double theta) {
    config.cache = {capacity, false, theta, lambda, false};
    return config;
}

/// What pruning has left of each tensor that holds a zero.
[[nodiscard]] inline std::vector<micronet::remaining> remaining_of(const weights& from) {
    std::vector<micronet::remaining> out;
    for (const auto& [label, values] : from) {
        if (micronet::stays_at_32_bits(label) || values.shape().rank() == 0) continue;
        const extent columns = values.shape().columns();
        extent nonzeros = 0;
        extent filled = 0;
        for (extent begin = 0; begin < values.size(); begin += columns) {
            const auto row = values.values().subspan(static_cast<std::size_t>(begin),
                                                     static_cast<std::size_t>(columns));
            const auto zeros = std::count(row.begin(), row.end(), 0.0F);
            nonzeros += columns - static_cast<extent>(zeros);
            filled += static_cast<extent>(zeros) < columns ? 1 : 0;
        }
        if (nonzeros < values.size()) out.push_back({short_text(label), nonzeros, filled});
    }
    return out;
}

/// How many words of a text lie in each bin of the vocabulary.
[[nodiscard]] inline micronet::bin_counts count_bins(const transformer_xl_config& config,
                                                     std::span<const token> words) {
    micronet::bin_counts out(config.bins());
    for (const token w : words)
        ++out[config.bin_of(w)];
    return out;
}

/// Constants of a cache in the form of the entry's cache_step files.
[[nodiscard]] inline std::string cache_yaml(const cache_config& cache) {
    std::ostringstream out;
    out.precision(std::numeric_limits<double>::max_digits10);
    out << "cache_lambda: " << cache.lambda << "\ncache_theta: " << cache.theta
        << "\nn_cache: " << cache.capacity << "\nuse_cache: true\n";
    return out.str();
}

/// e^loss over a text, chunk by chunk, memory and cache carried over. `progress` is called after
/// each chunk.
template <class Weight>
[[nodiscard]] double perplexity_of(const transformer_xl<tensor, Weight>& model,
                                   std::span<const token> words, extent chunk,
                                   std::function<void(extent done, extent of)> progress = {}) {
    train::evaluation_options options;
    options.chunk = chunk;
    options.progress = std::move(progress);
    return train::evaluate(model, words, options).meter.perplexity();
}

}  // namespace tare::tool
