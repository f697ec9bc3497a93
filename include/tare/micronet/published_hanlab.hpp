#pragma once
// SPDX-License-Identifier: MIT
// The tally that MIT-HAN-Lab published with its WikiText-103 entry (NeurIPS 2019 MicroNet
// Challenge, score 0.0387), as a rule set: the formula of the entry's notebook, in double precision
// and in its order of summation, fed with the ledger's stored tensors; and, line by line, where it
// departs from the rules as written.
//
// The formula takes one row of the model's tables at a time:
//     matmul(in, out, wd, bd):  muls += wd in out,  adds += wd (in - 1) out + bd out
//     softmax(n): others += n + (n - 1) + n      layer norm: others += 6 d      ReLU: n_inner
// with wd, bd the densities of weight and bias; all multiplications count at `bits`, everything
// stored too, layer norms are left out, and every tensor has a mask.

#include <span>
#include <string_view>

#include <tare/core/short_text.hpp>
#include <tare/micronet/ledger.hpp>
#include <tare/micronet/rules.hpp>
#include <tare/nn/parameter_names.hpp>

namespace tare::micronet {

/// Sums of the published tally, named as its notebook names them.
struct published_totals {
    double nonzeros = 0.0;  ///< of all parameters but layer norms
    double elements = 0.0;
    double mask_size = 0.0;  ///< 32-bit parameters
    double quantization_size = 0.0;
    double parameter_size = 0.0;
    double multiplications = 0.0;  ///< per token, unscaled
    double additions = 0.0;
    double others = 0.0;
    int bits = 32;

    [[nodiscard]] constexpr double total_size() const {
        return parameter_size + mask_size + quantization_size;
    }
    [[nodiscard]] constexpr double quantized_multiplications() const {
        return multiplications * bits / 32;
    }
    [[nodiscard]] constexpr double operations() const {
        return quantized_multiplications() + additions + others;
    }
    [[nodiscard]] constexpr double score() const {
        return total_size() / wikitext103.parameters + operations() / wikitext103.operations;
    }
};

/// Non-zeros of a tensor as a plan gives them: a density times a size.
struct nominal_nonzeros {
    short_text label;
    double count = 0.0;
};

/// The published tally of a ledger that holds a Transformer-XL (micronet/weigh.hpp).
class published_hanlab {
  public:
    static constexpr std::string_view name = "hanlab_published";

    /// `bits`: width of the quantized entry, 32 for none. `trained_cache`: theta and lambda count
    /// as two parameters only where they are trained.
    /// `dense_operations` reproduces the slip of the entry's first submissions: operations counted
    /// as if nothing were pruned.
    /// `nominal`: numbers of non-zeros that replace the ledger's where a plan's target densities
    /// are tallied before any weight was pruned; they need not be whole.
    constexpr explicit published_hanlab(int bits, bool dense_operations = false,
                                        std::span<const nominal_nonzeros> nominal = {})
        : bits_(bits), dense_operations_(dense_operations), nominal_(nominal) {}

    /// Throws on a ledger without the tensors of a Transformer-XL.
    [[nodiscard]] constexpr published_totals tally(const ledger& book) const {
        published_totals t;
        t.bits = bits_;
        add_operations(book, t);
        add_storage(book, t);
        return t;
    }

  private:
    static constexpr const ledger_item& item(const ledger& book, std::string_view label) {
        const ledger_item* found = book.find_item(label);
        require(found != nullptr, published_hanlab::name, ": the ledger stores no ", label,
                "; this tally is for Transformer-XL language models");
        return *found;
    }
    [[nodiscard]] constexpr double density(const ledger& book, std::string_view label) const {
        if (dense_operations_) return 1.0;
        const ledger_item& stored = item(book, label);
        return nonzeros(stored) / static_cast<double>(stored.what.extents.size());
    }
    [[nodiscard]] constexpr double nonzeros(const ledger_item& stored) const {
        for (const nominal_nonzeros& n : nominal_)
            if (n.label == stored.label) return n.count;
        return static_cast<double>(stored.what.nonzeros);
    }
    static constexpr void matmul(published_totals& t, extent in, extent out, double wd, double bd,
                                 double share = 1.0) {
        const double i = static_cast<double>(in);
        const double o = static_cast<double>(out);
        t.multiplications += share * (wd * i * o);
        t.additions += share * (wd * (i - 1) * o + bd * o);
    }
    static constexpr void softmax(published_totals& t, extent n) {
        t.others += static_cast<double>(n + (n - 1) + n);
    }

    /// A linear layer by its module's name.
    constexpr void linear(const ledger& book, published_totals& t, std::string_view module,
                          double share = 1.0) const {
        const operand& w = item(book, join(module, ".weight")).what;
        const bool biased = book.find_item(join(module, ".bias")) != nullptr;
        matmul(t, w.extents[1], w.extents[0], density(book, join(module, ".weight")),
               biased ? density(book, join(module, ".bias")) : 0.0, share);
    }

    constexpr void add_operations(const ledger& book, published_totals& t) const {
        std::size_t bins = 0;
        while (book.find_item(join("embed.layers.", bins, ".weight")) != nullptr)
            ++bins;
        const extent d = item(book, "embed.layers.0.weight").what.extents[1];
        for (std::size_t i = 0; i + 1 < bins; ++i) {
            const short_text module = join("embed.projections.", i);
            // The share of the bin among the test tokens.
            extent executions = 0;
            if (book.executed(module)) executions = book.module(module).entries.front().executions;
            linear(book, t, module,
                   static_cast<double>(executions) / static_cast<double>(book.tokens()));
        }
        for (std::size_t l = 0; book.find_item(join("layers.", l, ".pos_emb")) != nullptr; ++l) {
            const short_text layer = join("layers.", l);
            const shape& positions = item(book, join(layer, ".pos_emb")).what.extents;
            const shape& qkv = item(book, join(layer, ".qkv.weight")).what.extents;
            const shape& out = item(book, join(layer, ".out.weight")).what.extents;
            const extent nk = positions[0];
            const extent window = positions[1];
            const extent heads = (qkv[0] - out[1]) / (2 * nk);
            t.others += static_cast<double>(6 * d);
            linear(book, t, join(layer, ".qkv"));
            matmul(t, nk, window * heads, 1.0, 0.0);  // q . k
            matmul(t, nk, window, 1.0, 1.0);          // q . P, one head
            softmax(t, window);                       // one head
            matmul(t, window, out[1], 1.0, 0.0);      // p v
            linear(book, t, join(layer, ".out"));
            t.additions += static_cast<double>(d);
            t.others += static_cast<double>(6 * d);
            linear(book, t, join(layer, ".fc.0"));
            t.others +=
                static_cast<double>(item(book, join(layer, ".fc.0.weight")).what.extents[0]);
            linear(book, t, join(layer, ".fc.3"));
            t.additions += static_cast<double>(d);
        }
        if (bins > 1) linear(book, t, "loss.clusters");
        for (std::size_t i = 0; i < bins; ++i) {
            const operand& table = item(book, join("embed.layers.", i, ".weight")).what;
            matmul(t, table.extents[1], table.extents[0],
                   density(book, join("embed.layers.", i, ".weight")),
                   density(book, join("loss.layers.", i, ".bias")));
        }
        for (std::size_t i = 0; i + 1 < bins; ++i)
            linear(book, t, join("loss.projections.", i));
        for (std::size_t i = 0; i < bins; ++i) {
            const extent words = item(book, join("embed.layers.", i, ".weight")).what.extents[0];
            softmax(t, i == 0 ? words + static_cast<extent>(bins) - 1 : words);
        }
        const extent entries = cache_entries(book);
        matmul(t, d, entries, 1.0, 0.0);
        softmax(t, entries);  // -1 without a cache: the notebook does the same
    }

    static constexpr extent cache_entries(const ledger& book) {
        if (!book.executed("loss.cache")) return 0;
        for (const ledger_entry& entry : book.module("loss.cache").entries)
            if (entry.operation == "linear") return entry.outer;
        return 0;
    }

    constexpr void add_storage(const ledger& book, published_totals& t) const {
        extent points = 0;
        double unmasked = 0.0;
        for (const ledger_item& stored : book.items()) {
            const std::string_view label = stored.label;
            if (is_normalization(label) || is_cache_constant(label)) continue;
            if (is_range(label)) {
                ++points;
                continue;
            }
            t.nonzeros += nonzeros(stored);
            t.elements += static_cast<double>(stored.what.extents.size());
            if (is_cache_scalar(label)) unmasked += 1.0;
        }
        t.parameter_size = t.nonzeros * bits_ / 32;
        t.mask_size = (t.elements - unmasked) / 32;
        t.quantization_size = static_cast<double>(points) * (1.0 + (32.0 - bits_) / 32.0);
    }

    int bits_;
    bool dense_operations_;
    std::span<const nominal_nonzeros> nominal_;
};

}  // namespace tare::micronet
