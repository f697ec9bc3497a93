// SPDX-License-Identifier: MIT
#include "language_model.hpp"

#include <algorithm>
#include <limits>
#include <sstream>

#include <tare/io/safetensors.hpp>
#include <tare/io/text_corpus.hpp>

namespace tare::tool {

transformer_xl<tensor> model_of(const transformer_xl_config& config, const weights& from) {
    named_weights source{&from};
    return transformer_xl<tensor>(source, config);
}

std::vector<token> read_words(const std::string& path, const text::vocabulary& words) {
    return io::read_corpus(path, words,
                           words.find(text::unknown_word) >= 0 ? text::unknown_words::replace
                                                               : text::unknown_words::refuse);
}

weights load_weights(const std::string& path) {
    const io::safetensors_archive archive = io::load_safetensors(path);
    weights out;
    for (const auto& [label, found] : archive.tensors)
        if (!label.starts_with("state."))
            out.emplace(label, tensor(found.extents, archive.view<float>(label, found.extents)));
    return out;
}

transformer_xl_config with_cache(transformer_xl_config config, extent capacity, double lambda,
                                 double theta) {
    config.cache = {capacity, false, theta, lambda, false};
    return config;
}

std::vector<micronet::remaining> remaining_of(const weights& from) {
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

micronet::bin_counts count_bins(const transformer_xl_config& config, std::span<const token> words) {
    micronet::bin_counts out(config.bins());
    for (const token w : words)
        ++out[config.bin_of(w)];
    return out;
}

std::string cache_yaml(const cache_config& cache) {
    std::ostringstream out;
    out.precision(std::numeric_limits<double>::max_digits10);
    out << "cache_lambda: " << cache.lambda << "\ncache_theta: " << cache.theta
        << "\nn_cache: " << cache.capacity << "\nuse_cache: true\n";
    return out.str();
}

double perplexity_of(const transformer_xl<tensor>& model, std::span<const token> words,
                     const train::evaluation_options& options) {
    return train::evaluate(model, words, options).meter.perplexity();
}

ledger weigh(const transformer_xl_config& config, const micronet::compression& how,
             const micronet::bin_counts& bins) {
    return micronet::weigh(config, how, bins);
}
ledger weigh(const transformer_xl_config& config, const micronet::compression& how,
             std::span<const token> words) {
    return micronet::weigh(config, how, words);
}

}  // namespace tare::tool
