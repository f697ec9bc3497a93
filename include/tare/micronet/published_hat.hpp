#pragma once
// SPDX-License-Identifier: MIT
// The tally that HAT publishes with its translation networks, as a rule set: parameters without
// embeddings and output layer, and FLOPs as twice the multiply-accumulates that a tracer of
// operators sees in one forward pass over a sentence, the output layer left out. It counts
//     linear layers     one multiply-accumulate for each weight and row; biases are free
//     attention         both products over all pairs of positions, those behind a causal mask too
//     layer norms       one an element
//     multiplications   the scaling of queries and embeddings, the masking of positions (one a
//                       word), and three for each attention that are shapes, not tensors
// and takes additions, softmax and ReLU for free. No MicroNet count: the difference to one is what
// difference() lists. Source: Wang et al. 2020, table 2; its counting script and tracer.

#include <string_view>

#include <tare/micronet/ledger.hpp>
#include <tare/micronet/rules.hpp>

namespace tare::micronet {

/// For ledgers of translation models (micronet/weigh_translation.hpp): totals::operations() times
/// the words are the FLOPs of a sentence, totals::parameters() the parameters.
struct published_hat {
    static constexpr std::string_view name = "hat_published";

    bool count_output = false;  ///< the output layer's products too

    [[nodiscard]] constexpr extent operation_bits(const ledger_module& module,
                                                  const ledger_entry& entry,
                                                  const charge& line) const {
        return bits_of_flops(macs(module.label, entry, line));
    }
    [[nodiscard]] constexpr extent storage_bits(const ledger_item& item) const {
        const std::string_view label = item.label;
        if (label.ends_with("embed_tokens.weight") || label == "decoder.output_projection.weight")
            return 0;
        return item.what.extents.size() * 32;
    }

  private:
    static constexpr extent bits_of_flops(extent macs) { return 2 * 32 * macs; }

    /// Multiply-accumulates of a line.
    [[nodiscard]] constexpr extent macs(std::string_view module, const ledger_entry& entry,
                                        const charge& line) const {
        const std::string_view operation = entry.operation;
        if (operation == "linear" && line.role == "product")
            return module == "decoder.output_projection" && !count_output ? 0 : line.count;
        if (operation == "multi_head_attention" && line.kind == math::multiplication) {
            if (line.role != "content" && line.role != "values") return 0;
            // Of n keys a causal mask leaves (n + 1) / 2 on average.
            const bool causal = module.starts_with("decoder.") && module.ends_with(".self_attn");
            const extent all =
                causal ? 2 * line.count / (entry.outer + 1) * entry.outer : line.count;
            return line.role == "content" ? all + traced_shapes * entry.executions : all;
        }
        if (operation == "layer_norm" && line.role == "normalise") return line.count;
        if (operation == "scale") return line.count;
        if (operation == "add_sinusoids") return entry.outer * entry.executions;
        return 0;
    }
    /// Multiplications of sizes in the traced graph of one attention.
    static constexpr extent traced_shapes = 3;
};

static_assert(rule_set<published_hat>);

}  // namespace tare::micronet
