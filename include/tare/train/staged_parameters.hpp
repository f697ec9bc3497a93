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

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/formats/convert.hpp>
#include <tare/kernels/codebook_weights.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/decode_codebook.hpp>
#include <tare/ops/quantization_noise.hpp>
#include <tare/quantize/product_quantizer.hpp>
#include <tare/quantize/shared_product.hpp>
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
                tape_->parameter(values_.parameter(label, extents, start)), extents, {}, {}, {}};
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

    /// Quantizes the weights of a stage that are still floats, as they are now; returns the layers.
    /// Their leaves become codebooks, one for each bucket or one for all.
    /// **Throws** tare::error where no rule fits a layer, or its rows are no blocks.
    std::vector<std::string> quantize(const product_stage& stage) {
        std::vector<std::string> done;
        std::map<std::string, std::vector<member>> groups;  // by rule, for a shared codebook
        for (auto& [label, one] : entries_) {
            // What has codes keeps them; vectors are never quantized.
            if (one.codes || one.weight.rank() < 2) continue;
            const std::vector<std::string> layer = stage_layers(stage.pattern, {label});
            if (layer.empty()) continue;
            const product_rule& rule = rule_for(layer.front(), options_.rules);
            if (stage.shared)
                groups[rule.part].push_back({label, &one, &rule});
            else
                take(one, label,
                     encode_layer(layer.front(), one.leaf.value(), rule, options_.search,
                                  stage.buckets));
            done.push_back(layer.front());
        }
        for (const auto& [part, members] : groups)
            share(members);
        return done;
    }
    /// The same with a codebook for each layer.
    std::vector<std::string> quantize(const std::string& pattern) {
        return quantize(product_stage{pattern});
    }

    /// Calls visit(name, leaf) for everything that learns: floats under their names, codebooks as
    /// NAME.codebooks, shared ones once, by their first weight. Optimizer state begins anew where a
    /// name is new.
    template <class Visit>
    void visit(Visit&& visit) {
        for (auto& [label, one] : entries_)
            if (!one.codes)
                visit(label, one.leaf);
            else if (one.owner == label)
                visit(label + ".codebooks", one.leaf);
    }

    /// Rounds all entries to what a file stores, fp16.
    void round_codebooks() {
        visit([](std::string_view label, variable& leaf) {
            const std::span<float> values = leaf.mutable_value().mutable_values();
            if (label.ends_with(".codebooks")) round_trip<saturated_fp16>(values, values);
        });
    }

    /// A weight as codes and its codebooks of now. **Throws** tare::error where it is not
    /// quantized.
    [[nodiscard]] product_matrix product(std::string_view label) const {
        const auto found = entries_.find(label);
        require(found != entries_.end() && found->second.codes != nullptr,
                "staged_parameters: ", label, " is no quantized weight");
        const entry& one = found->second;
        const bucket_grid& grid = one.coded;
        const std::span<const float> book = one.leaf.value().values();
        product_matrix out{grid, one.leaf.shape()[0] / grid.buckets(), {}, {}};
        out.codebooks.assign(book.begin(), book.end());
        out.codes.reserve(one.codes->size());
        const extent blocks = grid.columns / grid.block;
        for (extent bucket = 0; bucket < grid.buckets(); ++bucket)
            grid.for_each_column(bucket, [&](extent row, extent column) {
                const extent at = row * blocks + column / grid.block;
                const extent code = (*one.codes)[static_cast<std::size_t>(at)];
                // Kept as rows of all codebooks, stored as entries of one.
                out.codes.push_back(static_cast<codebook_entry>(code - bucket * out.entries));
            });
        return out;
    }
    /// Calls visit(name, owner) for every quantized weight: whose codebooks it reads, its own or
    /// those of the first weight that it shares them with.
    template <class Visit>
    void visit_products(Visit&& visit) const {
        for (const auto& [label, one] : entries_)
            if (one.codes) visit(label, one.owner);
    }

    /// What a parameter takes: codes, and fp16 codebooks where it owns them, or floats of 32 bits.
    /// **Throws** tare::error where there is no such parameter.
    [[nodiscard]] storage_cost storage(std::string_view label) const {
        const auto found = entries_.find(label);
        require(found != entries_.end(), "staged_parameters: no parameter ", label);
        return storage_of(found->first, found->second);
    }
    /// How a quantized weight is cut. **Throws** tare::error where it is not quantized.
    [[nodiscard]] kernels::codebook_layout layout(std::string_view label) const {
        const auto found = entries_.find(label);
        require(found != entries_.end() && found->second.codes != nullptr,
                "staged_parameters: ", label, " is no quantized weight");
        const bucket_grid& g = found->second.coded;
        return {g.rows, g.columns, g.block,
                g.down, g.across,  found->second.leaf.shape()[0] / g.buckets()};
    }
    /// Exact bits of all parameters.
    [[nodiscard]] std::int64_t storage_bits() const {
        std::int64_t bits = 0;
        for (const auto& [label, one] : entries_)
            bits += storage_of(label, one).total_bits();
        return bits;
    }

  private:
    struct entry {
        variable leaf;  ///< the weight, or its codebook
        shape weight;
        block_codes codes;  ///< none before its stage
        bucket_grid coded;
        std::string owner;  ///< the weight that its codebooks are stored with
    };
    struct member {
        std::string label;
        entry* one;
        const product_rule* rule;
    };

    static storage_cost storage_of(const std::string& label, const entry& one) {
        if (!one.codes) return {.value_bits = 32 * one.weight.size()};
        const extent entries = one.leaf.shape()[0] / one.coded.buckets();
        storage_cost cost = product_storage(one.coded, entries, 16);
        if (one.owner != label) cost.codebook_bits = 0;  // stored with another weight
        return cost;
    }
    /// A weight becomes its codes and the leaf of its codebooks.
    void take(entry& one, const std::string& label, const product_matrix& coded) {
        one.codes = std::make_shared<const std::vector<token>>(coded.row_codes());
        one.coded = coded.grid;
        one.owner = label;
        // A new leaf: an optimizer that knew the weight knows nothing of its codebooks.
        one.leaf = tape_->parameter(tensor({coded.grid.buckets() * coded.entries, coded.grid.block},
                                           std::span<const float>(coded.codebooks)));
    }
    /// Weights become codes of one codebook, whose gradient is then the sum of all of theirs.
    void share(const std::vector<member>& members) {
        std::vector<matrix_view<const float>> weights;
        extent columns = 0;
        extent block = members.front().rule->block;
        for (const member& m : members) {
            const extent rows = m.one->weight[0];
            const std::span<const float> values = m.one->leaf.value().values();
            weights.emplace_back(values.data(), rows, m.one->weight.size() / rows);
            block = fitting_block(weights.back().columns, block);
            columns += m.one->weight.size() / block;
        }
        k_means_options search = options_.search;
        search.entries = std::min(members.front().rule->entries, columns);
        // Draws follow from the first name, as a single layer's do from its own.
        search.seed = seed_of_call(search.seed, stream_of_name(members.front().label));
        const shared_product found = encode_shared(weights, block, search);
        for (std::size_t i = 0; i < members.size(); ++i) {
            const shared_product::member& coded = found.members[i];
            take(*members[i].one, members.front().label,
                 {coded.grid, found.entries, coded.codes, found.codebook});
            // The same leaf in all of them: the tape then adds up their gradients.
            members[i].one->leaf = members.front().one->leaf;
        }
    }

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
