#pragma once
// SPDX-License-Identifier: MIT
// The tally of the challenge organisers' own counter for vision networks: one sparsity and one set
// of widths for the whole model, applied to a dense ledger.
//     convolution, dense layer: v = fan_in (1 - sparsity), N outputs: v N multiplications,
//                               (v - 1) N additions, N more with a bias
//     per output: ReLU 1 multiplication; swish 3 and 1 addition; sigmoid 2 and 1
//     mean of p pixels: 1 multiplication and p - 1 additions a channel
// A sparse weight stores (1 - sparsity) of its values and one bit for each; biases are dense.

#include <string_view>

#include <tare/micronet/ledger.hpp>

namespace tare::micronet {

/// Counts of one ledger, or of one module of it.
struct counter_totals {
    double parameter_bits = 0.0;
    double multiplications = 0.0;
    double additions = 0.0;

    constexpr counter_totals& operator+=(const counter_totals& other) {
        parameter_bits += other.parameter_bits;
        multiplications += other.multiplications;
        additions += other.additions;
        return *this;
    }
};

class official_counter {
  public:
    static constexpr std::string_view name = "micronet_counter";

    /// `sparsity` in [0, 1) of every weight; widths in bits.
    constexpr official_counter(double sparsity, int parameter_bits)
        : sparsity_(sparsity), bits_(parameter_bits) {
        require(sparsity >= 0.0 && sparsity < 1.0, name, ": sparsity ", sparsity,
                "; it must be at least 0 and below 1");
    }

    /// One module: its operations and the tensors stored under its name.
    /// Throws on an operation that the counter does not know.
    [[nodiscard]] constexpr counter_totals module(const ledger& book,
                                                  const ledger_module& m) const {
        counter_totals t;
        for (const ledger_entry& e : m.entries)
            t += entry(e);
        for (const ledger_item& item : book.items()) {
            const std::string_view label = item.label;
            const double n = static_cast<double>(item.what.extents.size());
            if (label == join(m.label, ".weight").view())
                t.parameter_bits += n * bits_ * (1.0 - sparsity_) + (sparsity_ > 0.0 ? n : 0.0);
            if (label == join(m.label, ".bias").view()) t.parameter_bits += n * bits_;
        }
        return t;
    }
    /// The whole ledger, module by module in order of execution.
    [[nodiscard]] constexpr counter_totals tally(const ledger& book) const {
        counter_totals t;
        for (const ledger_module& m : book.modules())
            t += module(book, m);
        return t;
    }

  private:
    [[nodiscard]] constexpr counter_totals entry(const ledger_entry& e) const {
        const std::string_view op = e.operation;
        counter_totals t;
        const auto elements = [&e](std::string_view role, math kind, extent each) {
            const charge* found = e.find(role, kind);
            return found == nullptr ? 0.0 : static_cast<double>(found->count / each);
        };
        if (op == "convolution" || op == "depthwise_convolution" || op == "linear") {
            const double v = static_cast<double>(e.inner) * (1.0 - sparsity_);
            const double n = static_cast<double>(e.outer * e.groups);
            t.multiplications = v * n;
            t.additions = (v - 1.0) * n;
            if (e.find("bias", math::addition) != nullptr) t.additions += n;
        } else if (op == "relu") {
            t.multiplications = elements("comparison", math::other, 1);
        } else if (op == "swish") {
            t.multiplications = 3.0 * elements("function", math::other, 2);
            t.additions = elements("function", math::other, 2);
        } else if (op == "sigmoid") {
            t.multiplications = 2.0 * elements("function", math::other, 2);
            t.additions = elements("function", math::other, 2);
        } else if (op == "global_average") {
            t.multiplications = static_cast<double>(e.outer);
            t.additions = static_cast<double>((e.inner - 1) * e.outer);
        } else if (op == "channel_scale") {
            t.multiplications = elements("scale", math::multiplication, 1);
        } else if (op == "add") {
            t.additions = elements("sum", math::addition, 1);
        } else {
            require(e.charges.empty(), name, ": does not know the operation ", op,
                    "; use the rules of micronet/rules.hpp");
        }
        return t;
    }

    double sparsity_;
    int bits_;
};

}  // namespace tare::micronet
