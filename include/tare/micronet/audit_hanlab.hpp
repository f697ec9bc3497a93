#pragma once
// SPDX-License-Identifier: MIT
// Where the published tally of MIT-HAN-Lab's WikiText-103 entry departs from the rules as written,
// item by item, computed from the lines of the ledger. Positive: missing from the published count.
// The items are complete: published + items = strict is an identity that a test holds.

#include <algorithm>
#include <string_view>
#include <vector>

#include <tare/micronet/published_hanlab.hpp>
#include <tare/micronet/rules.hpp>
#include <tare/nn/parameter_names.hpp>

namespace tare::micronet {

/// One departure, in 32-bit operations per token or 32-bit parameters.
struct deviation {
    std::string_view group;  ///< "operations/rule", "operations/overcounted", ...
    std::string_view item;
    double delta = 0.0;
};

/// Group of operations that the model executes and no published audit lists.
inline constexpr std::string_view unlisted_group = "operations/unlisted";

/// All departures for a ledger of one representative token per bin (weigh with bin counts).
class audit_hanlab {
  public:
    constexpr audit_hanlab(const ledger& book, int bits) : book_(book), bits_(bits) {
        heads_and_positions();
        tails();
        softmax_and_cache();
        constants();
        overcounted();
        conventions();
        parameters();
    }

    [[nodiscard]] constexpr std::span<const deviation> items() const { return items_; }
    /// Sum of a group.
    [[nodiscard]] constexpr double sum(std::string_view group) const {
        double total = 0.0;
        for (const deviation& d : items_)
            if (d.group == group) total += d.delta;
        return total;
    }

  private:
    static constexpr std::string_view rule = "operations/rule";

    constexpr void enter(std::string_view group, std::string_view item, double delta) {
        items_.push_back({group, item, delta});
    }
    [[nodiscard]] constexpr double per_token(extent count) const {
        return static_cast<double>(count) / static_cast<double>(book_.tokens());
    }

    /// Sum over all entries of an operation of f(module, entry, line).
    template <class F>
    [[nodiscard]] constexpr double over_lines(std::string_view operation, F&& f) const {
        double total = 0.0;
        for (const ledger_module& m : book_.modules())
            for (const ledger_entry& e : m.entries)
                if (e.operation == operation)
                    for (const charge& line : e.charges)
                        total += f(m, e, line);
        return total;
    }
    /// Operations per token of one role and kind of an operation.
    [[nodiscard]] constexpr double lines(std::string_view operation, std::string_view role,
                                         math kind) const {
        return over_lines(operation, [&](const auto&, const auto&, const charge& line) {
            return line.role == role && line.kind == kind ? per_token(line.count) : 0.0;
        });
    }
    /// The part that is left out when one head stands for all.
    static constexpr double other_heads(const ledger_entry& e) {
        return 1.0 - 1.0 / static_cast<double>(e.groups);
    }

    constexpr void heads_and_positions() {
        const auto is = [](const charge& line, std::string_view role, math kind) {
            return line.role == role && line.kind == kind;
        };
        constexpr std::string_view attention = "segment_attention";
        enter(rule, "q*pos_emb: one head counted, 8 executed - multiplications (at 9 bits)",
              over_lines(attention, [&](const auto&, const auto& e, const charge& line) {
                  return is(line, "position", math::multiplication)
                             ? other_heads(e) * per_token(line.count) * bits_ / 32.0
                             : 0.0;
              }));
        enter(rule,
              "q*pos_emb: one head counted, 8 executed - additions (dot products and the sum "
              "with q*k)",
              over_lines(attention, [&](const auto&, const auto& e, const charge& line) {
                  return is(line, "position", math::addition) ||
                                 is(line, "position sum", math::addition)
                             ? other_heads(e) * per_token(line.count)
                             : 0.0;
              }));
        enter(rule,
              "q*pos_emb: pos_emb is a 32-bit tensor, so all its multiplications count at 32 bits",
              over_lines(attention, [&](const auto&, const auto&, const charge& line) {
                  return is(line, "position", math::multiplication)
                             ? per_token(line.count) * (line.input_bits - bits_) / 32.0
                             : 0.0;
              }));
    }

    constexpr void tails() {
        enter(rule,
              "tail logits: inputs of the second and third output layers are not quantized, so "
              "their multiplications count at 32 bits",
              over_lines("linear", [&](const ledger_module& m, const auto&, const charge& line) {
                  return m.label.view().starts_with("loss.layers.") &&
                                 line.kind == math::multiplication
                             ? per_token(line.count) * (line.input_bits - bits_) / 32.0
                             : 0.0;
              }));
    }

    constexpr void softmax_and_cache() {
        enter(rule, "attention softmax counted once per layer, executed once per head",
              over_lines("segment_attention", [&](const auto&, const auto& e, const charge& line) {
                  return line.role == softmax_exponential || line.role == softmax_sum ||
                                 line.role == softmax_division
                             ? other_heads(e) * per_token(line.count)
                             : 0.0;
              }));
        constexpr std::string_view mix = "adaptive_distribution";
        enter(rule, "cache mixture: adding the cache's mass to the vocabulary distribution",
              lines(mix, "cache mass", math::addition));
        enter(rule, "cluster probability times tail probability, folded into the tail normalisers",
              lines(mix, "cluster factor", math::other));
        enter(unlisted_group, "cache mixture: lambda and 1 - lambda folded into the normalisers",
              lines(mix, "mixture factors", math::addition) +
                  lines(mix, "mixture factors", math::other));
    }

    constexpr void constants() {
        const auto scales_of = [this](std::string_view module) {
            return over_lines("scale", [&](const ledger_module& m, const auto&, const charge& c) {
                return m.label.view() == module ? per_token(c.count) : 0.0;
            });
        };
        enter(rule, "theta: scaling of the cache scores, folded into the query",
              scales_of("loss.cache"));
        enter(rule, "embedding multiplied by sqrt(n_embed)", scales_of("embed"));
        enter(rule, "attention scores multiplied by n_k^-0.5",
              lines("segment_attention", "scale", math::multiplication));
        double norms = over_lines("layer_norm", [&](const auto&, const auto&, const charge& line) {
            return per_token(line.count);
        });
        for (const ledger_item& item : book_.items())  // 6 d were counted
            if (is_normalization(item.label) && item.label.view().ends_with(".weight"))
                norms -= 6.0 * static_cast<double>(item.what.extents.size());
        enter(rule,
              "layer norm: gamma, beta applied, epsilon and inverse square root counted, centred "
              "value computed once",
              norms);
    }

    constexpr void overcounted() {
        // density (in - 1) out was counted, nnz - out is needed.
        const double sums = over_lines(
            "linear", [&](const ledger_module& m, const ledger_entry& e, const charge& line) {
                if (line.role != "sum" || m.label.view() == "loss.cache") return 0.0;
                const double products =
                    static_cast<double>(e.find("product", math::multiplication)->count);
                const double in = static_cast<double>(e.inner);
                return (static_cast<double>(line.count) - products * (in - 1.0) / in) /
                       static_cast<double>(book_.tokens());
            });
        enter("operations/overcounted",
              "sparse matrix-vector additions: density*(in-1)*out counted, nnz-out needed "
              "(official counting.py)",
              sums);
        enter("operations/overcounted", "mean over the test set: caches are empty at the start",
              -missing_entries() * entry_operations());
    }
    /// Entries that the cache lacks on average while it fills: n - n (1 - n / 2N).
    [[nodiscard]] constexpr double missing_entries() const {
        const double n = static_cast<double>(cache_entries());
        return n * n / 2.0 / static_cast<double>(book_.tokens());
    }
    /// Published worth of one entry: its dot product, exponential, addition and division.
    [[nodiscard]] constexpr double entry_operations() const {
        if (!book_.executed("loss.cache")) return 0.0;
        for (const ledger_entry& e : book_.module("loss.cache").entries)
            if (e.operation == "linear") {
                const double d = static_cast<double>(e.inner);
                return d * bits_ / 32.0 + (d - 1.0) + 3.0;
            }
        return 0.0;
    }
    [[nodiscard]] constexpr extent cache_entries() const {
        if (!book_.executed("loss.cache")) return 0;
        for (const ledger_entry& e : book_.module("loss.cache").entries)
            if (e.operation == "linear") return e.outer;
        return 0;
    }

    constexpr void conventions() {
        double maxima = 0.0;
        double conversions = 0.0;
        for (const ledger_module& m : book_.modules())
            for (const ledger_entry& e : m.entries)
                for (const charge& line : e.charges) {
                    if (line.role == softmax_maximum || line.role == softmax_shift)
                        maxima += per_token(line.count);
                    if (line.role == conversion_role)
                        conversions += static_cast<double>(official{}.operation_bits(m, e, line));
                }
        enter("operations/convention",
              "subtraction of the maximum in the softmaxes (attention, three bins, cache)", maxima);
        enter("operations/convention", "clamp and round at the 57 quantization points",
              conversions);
    }

    constexpr void parameters() {
        extent scales = 0;
        extent norms = 0;
        extent positions = 0;
        double constants = 0.0;
        extent unpruned = 0;
        for (const ledger_item& item : book_.items()) {
            const std::string_view label = item.label;
            if (is_range(label)) continue;
            scales += item.cost.scale_bits;
            if (is_cache_scalar(label)) {
                if (is_cache_constant(label)) constants += 1.0;
                continue;
            }
            if (is_normalization(label)) {
                norms += item.cost.total_bits();
                continue;
            }
            if (item.cost.mask_bits == 0) unpruned += item.what.extents.size();
            if (is_position_table(label)) positions += item.what.extents.size();
        }
        enter("parameters/rule",
              "inverse scales of the weights: one per row (283165, of these 267735 rows of the "
              "tied table), 23 bits each, and one 32-bit scale per bias tensor (28)",
              static_cast<double>(scales) / 32.0);
        enter("parameters/rule", "layer norm gamma and beta left out",
              static_cast<double>(norms) / 32.0);
        enter("parameters/rule", "pos_emb counted at 9 bits, stored at 32",
              static_cast<double>(positions) * (32 - bits_) / 32.0);
        enter("parameters/rule",
              "cache theta and lambda (constants of the configuration after the search)",
              constants);
        enter("parameters/overcounted",
              "bit masks of tensors that are not pruned (pos_emb, most biases, clusters, second "
              "projections)",
              -static_cast<double>(unpruned) / 32.0);
    }

    const ledger& book_;
    int bits_;
    std::vector<deviation> items_;
};

}  // namespace tare::micronet
