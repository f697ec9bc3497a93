#pragma once
// SPDX-License-Identifier: MIT
// Iterative product quantization: the layers of a network are quantized stage by stage, and after
// each stage training goes on with what is left as floats and with the codebooks of what is not.
// A stage is a regular expression; block length and number of entries follow from the layer's name.
//
//     for each stage:  quantize its layers (encode_layer);  train their codebooks
//                      (ops/decode_codebook.hpp), biases, norms and the layers of later stages
//
// Source: Stock, Joulin, Gribonval, Graham, Jegou 2020, "And the bit goes down"; Fan et al. 2020,
// "Training with quantization noise for extreme model compression".

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/random.hpp>
#include <tare/core/tensor.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/quantize/bucket_grid.hpp>
#include <tare/quantize/daq.hpp>
#include <tare/quantize/product.hpp>
#include <tare/text/name_pattern.hpp>

namespace tare::train {

/// A regular expression as Python writes it in the C library's syntax: \d, \w and \s become their
/// sets of characters.
[[nodiscard]] inline std::string posix_pattern(std::string_view python) {
    std::string out;
    bool in_set = false;
    for (std::size_t i = 0; i < python.size(); ++i) {
        const char c = python[i];
        if (c == '\\' && i + 1 < python.size()) {
            const char next = python[++i];
            const std::string_view set = next == 'd'   ? "0-9"
                                         : next == 'w' ? "A-Za-z0-9_"
                                         : next == 's' ? " \t\n\r\f\v"
                                                       : "";
            if (set.empty() && in_set) {
                out += next;
            } else if (set.empty()) {
                out += c;
                out += next;
            } else {
                if (!in_set) out += '[';
                out += set;
                if (!in_set) out += ']';
            }
            continue;
        }
        if (c == '[') in_set = true;
        if (c == ']') in_set = false;
        out += c;
    }
    return out;
}

/// The layer that a parameter belongs to: its name without ".weight". Empty for biases, which are
/// never quantized.
[[nodiscard]] inline std::string layer_of(std::string_view parameter) {
    constexpr std::string_view weight = ".weight";
    if (parameter.find("bias") != std::string_view::npos) return {};
    if (parameter.ends_with(weight)) parameter.remove_suffix(weight.size());
    return std::string(parameter);
}

/// Layers of a stage, in the order of the parameters: those whose name begins with what the pattern
/// matches, behind "module." or not.
/// **Throws** tare::error on a pattern that is none (text/name_pattern.hpp).
[[nodiscard]] inline std::vector<std::string>
stage_layers(const std::string& pattern, const std::vector<std::string>& parameters) {
    const text::name_pattern matches(message("(module\\.)?(", posix_pattern(pattern), ").*"));
    std::vector<std::string> out;
    for (const std::string& parameter : parameters) {
        std::string layer = layer_of(parameter);
        if (!layer.empty() && matches.matches(layer)) out.push_back(std::move(layer));
    }
    return out;
}

/// Block length and entries of the layers whose name contains `part`.
struct product_rule {
    std::string part;
    extent block = 8;
    extent entries = 256;
};

/// The usual rules of a Transformer: 256 entries, of 8 values for feed-forward layers and
/// embeddings and of 4 for attention.
[[nodiscard]] inline std::vector<product_rule> usual_product_rules() {
    return {{"fc", 8, 256}, {"attn", 4, 256}, {"emb", 8, 256}};
}

/// The first rule that fits a layer. **Throws** tare::error where none does.
[[nodiscard]] inline const product_rule& rule_for(std::string_view layer,
                                                  const std::vector<product_rule>& rules) {
    for (const product_rule& rule : rules)
        if (layer.find(rule.part) != std::string_view::npos) return rule;
    fail("rule_for: no rule says how to quantize ", layer,
         "; add one whose part is in that name (\"\" fits every layer)");
}

/// Layers that are quantized together, and how.
struct product_stage {
    std::string pattern;  ///< of layers' names (stage_layers)
    extent buckets = 1;   ///< DAQ's division of each weight; fewer where it cannot be divided so
    bool shared = false;  ///< one codebook for all the stage's layers of a rule; then undivided
};

/// DAQ's six stages for a translation Transformer: of the encoder, then of the decoder, inner
/// layers, embedding and attention.
[[nodiscard]] inline std::vector<product_stage> daq_stages(extent buckets) {
    return {{R"(encoder\.layers\.\d+\.fc[12])", buckets},
            {R"(encoder\.embed_tokens)", buckets},
            {R"(encoder\.layers\.\d+\.self_attn\.(q|k|v|out)_proj)", buckets},
            {R"(decoder\.layers\.\d+\.fc[12])", buckets},
            {R"(decoder\.embed_tokens)", buckets},
            {R"(decoder\.layers\.\d+\.(self_attn|encoder_attn)\.(q|k|v|out)_proj)", buckets}};
}

/// A layer's weight as codes and codebooks: (out, in), or (out, in, kh, kw) read as (out, in kh
/// kw). `options.entries` and the block come from the rule, fewer entries where the weight has
/// fewer columns; a layer's draws come from its name, so that they do not depend on the stage or on
/// other layers. `buckets` as in product_stage.
[[nodiscard]] inline product_matrix encode_layer(std::string_view layer, const tensor& weight,
                                                 const product_rule& rule, k_means_options options,
                                                 extent buckets = 1) {
    require(weight.shape().rank() >= 2, "encode_layer: ", layer, " has shape ", weight.shape(),
            "; a weight has two axes or more");
    const extent rows = weight.shape()[0];
    const matrix_view<const float> w(weight.values().data(), rows, weight.size() / rows);
    options.entries = rule.entries;
    const product_plan plan =
        daq_buckets{buckets, true}.divide(rows, w.columns, {rule.block, options});
    options.entries = plan.entries;
    options.seed = seed_of_call(options.seed, stream_of_name(layer));
    return encode_product(plan.grid, w, options);
}

/// Bytes of a network that is quantized in stages.
struct product_sizes {
    double codes = 0.0;
    double codebooks = 0.0;
    double floats = 0.0;  ///< of what is not quantized, four bytes each
    [[nodiscard]] double total() const noexcept { return codes + codebooks + floats; }

    /// One layer's weight goes from floats to codes and fp16 codebooks, all of them.
    void quantize(const bucket_grid& grid, extent entries) {
        const storage_cost cost = product_storage(grid, entries, 16);
        codes += static_cast<double>(cost.value_bits) / 8.0;
        codebooks += static_cast<double>(cost.codebook_bits) / 8.0;
        floats -= 4.0 * static_cast<double>(grid.rows * grid.columns);
    }
};

}  // namespace tare::train
