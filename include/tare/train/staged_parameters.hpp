#pragma once
// SPDX-License-Identifier: MIT
// Parameters of a network that is quantized in stages while it trains: a source (nn/parameters.hpp)
// that hands out, under the same names at every step,
//     before a weight's stage   its float leaf, with block noise while training
//     after it                  its decoding from codes that stay and a codebook that learns
// The model is made anew from the source for every step, which costs no copy of a parameter.
//
//     staged_parameters weights(tape, start, {.rules = ..., .noise = 0.1F});
//     for (each stage) {
//         for (each step) { weights.begin_step(n, true); model m(weights, config); ... }
//         weights.quantize(stage);
//     }
// Source: quantize/product.hpp, ops/quantization_noise.hpp; Fan et al. 2020, section 4.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/decode_codebook.hpp>
#include <tare/ops/quantization_noise.hpp>
#include <tare/readings/gradient.hpp>
#include <tare/train/iterative_product.hpp>

namespace tare::train {

struct staged_options {
    std::vector<product_rule> rules = usual_product_rules();
    k_means_options search{};      ///< entries come from the rules
    float noise = 0.0F;            ///< probability that a block is dropped, below 1
    std::uint64_t noise_seed = 1;  ///< of the masks: a function of it, the step and the name
    entry_gradient gradient = entry_gradient::sum;
};

template <class Source, class Precision = full_precision>
class staged_parameters {
  public:
    using variable = basic_variable<float, Precision>;
    using tape_type = basic_tape<float, Precision>;

    /// Float leaves start as `values` hands them out. The tape must outlive the source.
    staged_parameters(tape_type& tape, Source values, staged_options options)
        : tape_(&tape), values_(std::move(values)), options_(std::move(options)) {
        require(options_.noise >= 0.0F && options_.noise < 1.0F, "staged_parameters: noise of ",
                options_.noise, "; a probability below 1 is needed");
    }
    staged_parameters(const staged_parameters&) = delete;
    staged_parameters& operator=(const staged_parameters&) = delete;

    /// What a model asks for. **Throws** tare::error on another shape than before.
    [[nodiscard]] variable parameter(std::string_view label, const shape& extents,
                                     const initial& start) {
        auto found = entries_.find(label);
        if (found == entries_.end()) {
            entry fresh{
                tape_->parameter(values_.parameter(label, extents, start)), extents, {}, {}};
            found = entries_.emplace(std::string(label), std::move(fresh)).first;
        }
        const entry& one = found->second;
        require(one.weight == extents, "staged_parameters: ", label, " has shape ", one.weight,
                ", the model now asks for ", extents);
        if (one.codes) return decode_codebook(one.leaf, one.codes, extents, options_.gradient);
        const product_rule* const rule = rule_of(label, extents);
        if (!training_ || options_.noise == 0.0F || rule == nullptr) return one.leaf;
        const extent block = fitting_block(extents.size() / extents[0], rule->block);
        return block_noise(
            one.leaf, block, options_.noise,
            random_stream(seed_of_call(options_.noise_seed, step_), stream_of_name(label)));
    }

    /// The number of the step whose masks are drawn next; without noise where not training.
    void begin_step(std::uint64_t number, bool training) noexcept {
        step_ = number;
        training_ = training;
    }

    /// Quantizes the weights of a stage (a pattern of layers' names, see stage_layers) that are
    /// still floats, as they are now; returns the layers. Their leaves become codebooks.
    /// **Throws** tare::error where no rule fits a layer, or its rows are no blocks.
    std::vector<std::string> quantize(const std::string& stage) {
        std::vector<std::string> done;
        for (auto& [label, one] : entries_) {
            if (one.codes || one.weight.rank() < 2) continue;
            const std::vector<std::string> layer = stage_layers(stage, {label});
            if (layer.empty()) continue;
            const product_rule& rule = rule_for(layer.front(), options_.rules);
            const product_matrix coded =
                encode_layer(layer.front(), one.leaf.value(), rule, options_.search);
            one.codes = std::make_shared<const std::vector<token>>(coded.row_codes());
            one.coded = coded.grid;
            one.leaf = tape_->parameter(
                tensor({coded.entries, coded.grid.block}, std::span<const float>(coded.codebooks)));
            done.push_back(layer.front());
        }
        return done;
    }

    /// Calls visit(name, leaf) for everything that learns: floats under their names, codebooks as
    /// NAME.codebooks. Optimizer state begins anew where a name is new.
    template <class Visit>
    void visit(Visit&& visit) {
        for (auto& [label, one] : entries_)
            visit(one.codes ? label + ".codebooks" : label, one.leaf);
    }

    /// A weight as codes and its codebook of now. **Throws** tare::error where it is not quantized.
    [[nodiscard]] product_matrix product(std::string_view label) const {
        const auto found = entries_.find(label);
        require(found != entries_.end() && found->second.codes != nullptr,
                "staged_parameters: ", label, " is no quantized weight");
        const entry& one = found->second;
        const std::span<const float> book = one.leaf.value().values();
        product_matrix out{one.coded, one.leaf.shape()[0], {}, {book.begin(), book.end()}};
        out.codes.reserve(one.codes->size());
        const extent blocks = one.coded.columns / one.coded.block;
        one.coded.for_each_column(0, [&](extent row, extent column) {
            const extent at = row * blocks + column / one.coded.block;
            out.codes.push_back(
                static_cast<codebook_entry>((*one.codes)[static_cast<std::size_t>(at)]));
        });
        return out;
    }

    /// Exact bits of all parameters: codes, fp16 codebooks, and floats of 32 bits.
    [[nodiscard]] std::int64_t storage_bits() const {
        std::int64_t bits = 0;
        for (const auto& [label, one] : entries_)
            bits += one.codes ? product_storage(one.coded, one.leaf.shape()[0], 16).total_bits()
                              : 32 * one.weight.size();
        return bits;
    }

  private:
    struct entry {
        variable leaf;  ///< the weight, or its codebook
        shape weight;
        block_codes codes;  ///< none before its stage
        bucket_grid coded;
    };

    /// The rule that a weight will be quantized by; null for what stays as floats.
    [[nodiscard]] const product_rule* rule_of(std::string_view label, const shape& extents) const {
        if (extents.rank() < 2 || layer_of(label).empty()) return nullptr;
        for (const product_rule& rule : options_.rules)
            if (label.find(rule.part) != std::string_view::npos) return &rule;
        return nullptr;
    }

    tape_type* tape_;
    Source values_;
    staged_options options_;
    std::map<std::string, entry, std::less<>> entries_;
    std::uint64_t step_ = 0;
    bool training_ = false;
};

}  // namespace tare::train
