#pragma once
// SPDX-License-Identifier: MIT
// What a ledger's lines are worth. A rule set is a small type; the official rules of the NeurIPS
// 2019 MicroNet Challenge are here, and what they leave open is a named option of theirs.
//
// Unit: one 32-bit parameter, one 32-bit operation. Values of fewer bits count as the fraction
// bits / 32; a multiplication at the width of its widest input, an addition at the width of its
// accumulator. Conversions that float32 represents exactly are free. Operations are a mean per
// token. Source: the challenge's scoring page.

#include <concepts>
#include <string_view>

#include <tare/micronet/baseline.hpp>
#include <tare/micronet/ledger.hpp>
#include <tare/ops/conversion_price.hpp>
#include <tare/ops/softmax_price.hpp>

namespace tare::micronet {

/// A rule set says what one line is worth, in bits: count times width for operations, bits for
/// stored items. Division by 32 and by the tokens happens once, at the end.
template <class R>
concept rule_set = requires(const R& rules, const ledger_module& module, const ledger_entry& entry,
                            const charge& line, const ledger_item& item) {
    { rules.name } -> std::convertible_to<std::string_view>;
    { rules.operation_bits(module, entry, line) } -> std::convertible_to<double>;
    { rules.storage_bits(item) } -> std::convertible_to<double>;
};

/// The rules as they are written.
struct official {
    static constexpr std::string_view name = "micronet_2019";

    /// Finding and subtracting the maximum in a softmax: every stable softmax does it, the rules do
    /// not mention it.
    bool count_softmax_maximum = false;
    /// Conversions to and from quantized formats: free by the rules.
    bool count_conversions = false;

    [[nodiscard]] constexpr bool counts(const charge& line) const {
        if (line.role == conversion_role) return count_conversions;
        if (line.role == softmax_maximum || line.role == softmax_shift)
            return count_softmax_maximum;
        return true;
    }
    [[nodiscard]] constexpr extent operation_bits(const ledger_module&, const ledger_entry&,
                                                  const charge& line) const {
        if (!counts(line)) return 0;
        return line.count * (line.kind == math::addition ? line.accumulator_bits : line.input_bits);
    }
    [[nodiscard]] constexpr extent storage_bits(const ledger_item& item) const {
        return item.cost.total_bits();
    }
};

/// The rules with their gift to entries that quantize nothing: parameters and multiplications
/// count as 16 bits wide, additions stay at 32. It is refused to a ledger with anything below 16.
struct official_16_bit {
    static constexpr std::string_view name = "micronet_2019_16bit";
    official strict{};

    [[nodiscard]] constexpr extent operation_bits(const ledger_module& module,
                                                  const ledger_entry& entry,
                                                  const charge& line) const {
        require(line.input_bits >= 16, name, ": ", entry.operation, " works on ", line.input_bits,
                " bits; the 16-bit rule is for entries that quantize nothing below 16. Use ",
                official::name);
        const extent bits = strict.operation_bits(module, entry, line);
        return line.kind == math::multiplication && line.input_bits > 16
                   ? bits / line.input_bits * 16
                   : bits;
    }
    [[nodiscard]] constexpr extent storage_bits(const ledger_item& item) const {
        require(item.what.bits >= 16, name, ": ", item.label.view(), " is stored at ",
                item.what.bits,
                " bits; the 16-bit rule is for entries that quantize nothing "
                "below 16. Use ",
                official::name);
        const extent values = item.cost.value_bits;
        return strict.storage_bits(item) - values +
               (item.what.bits > 16 ? values / item.what.bits * 16 : values);
    }
};

/// Sums of one ledger under one rule set, per token where operations are meant.
struct totals {
    double storage_bits = 0.0;
    double multiplication_bits = 0.0;
    double addition_bits = 0.0;
    double other_bits = 0.0;
    extent tokens = 1;

    /// 32-bit parameters.
    [[nodiscard]] constexpr double parameters() const { return storage_bits / 32.0; }
    [[nodiscard]] constexpr double multiplications() const {
        return per_token(multiplication_bits);
    }
    [[nodiscard]] constexpr double additions() const { return per_token(addition_bits); }
    [[nodiscard]] constexpr double others() const { return per_token(other_bits); }
    /// 32-bit operations per token.
    [[nodiscard]] constexpr double operations() const {
        return per_token(multiplication_bits + addition_bits + other_bits);
    }
    [[nodiscard]] constexpr double score(const baseline& task) const {
        return parameters() / task.parameters + operations() / task.operations;
    }

  private:
    [[nodiscard]] constexpr double per_token(double bits) const {
        return bits / 32.0 / static_cast<double>(tokens);
    }
};

/// Adds up a ledger. Bits of integer-valued rule sets stay exact (sums below 2^53).
/// **Throws** tare::error on a ledger without tokens and what the rule set throws.
template <rule_set Rules>
[[nodiscard]] constexpr totals tally(const ledger& book, const Rules& rules) {
    require(book.tokens() > 0, "tally: no token was counted");
    totals sum;
    sum.tokens = book.tokens();
    for (const ledger_module& module : book.modules())
        for (const ledger_entry& entry : module.entries)
            for (const charge& line : entry.charges) {
                const double bits = static_cast<double>(rules.operation_bits(module, entry, line));
                if (line.kind == math::multiplication) sum.multiplication_bits += bits;
                if (line.kind == math::addition) sum.addition_bits += bits;
                if (line.kind == math::other) sum.other_bits += bits;
            }
    for (const ledger_item& item : book.items())
        sum.storage_bits += static_cast<double>(rules.storage_bits(item));
    return sum;
}

}  // namespace tare::micronet
