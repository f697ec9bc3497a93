// SPDX-License-Identifier: MIT
// What two rule sets value differently adds up to the difference of their sums.
#include <cmath>

#include <doctest/doctest.h>

#include <tare/micronet/rules_difference.hpp>
#include <tare/micronet/weigh.hpp>

using namespace tare;

namespace {

struct values_only {
    static constexpr std::string_view name = "values_only";
    [[nodiscard]] constexpr extent operation_bits(const ledger_module&, const ledger_entry&,
                                                  const charge& line) const {
        return line.kind == math::other ? 0 : line.count * 32;
    }
    [[nodiscard]] constexpr extent storage_bits(const ledger_item& item) const {
        return item.cost.value_bits;
    }
};

/// Sums of a few hundred doubles of one sign each: relative rounding below count * 2^-53.
constexpr double rounding = 1e-12;

}  // namespace

TEST_CASE("the differences add up") {
    const ledger book = micronet::weigh(transformer_xl_config{}, micronet::compression{9, {}},
                                        micronet::wikitext103_test_bins());
    const micronet::official strict{};
    const auto a = micronet::tally(book, strict);
    const auto b = micronet::tally(book, values_only{});
    double operations = 0.0;
    double parameters = 0.0;
    for (const micronet::rules_difference& d : micronet::difference(book, strict, values_only{})) {
        CHECK(d.delta != 0.0);
        (d.group == "operations" ? operations : parameters) += d.delta;
    }
    CHECK(std::abs(operations - (b.operations() - a.operations())) < rounding * b.operations());
    CHECK(std::abs(parameters - (b.parameters() - a.parameters())) < rounding * a.parameters());
}

TEST_CASE("a rule set does not differ from itself, and names what it values otherwise") {
    const ledger book = micronet::weigh(transformer_xl_config{}, micronet::compression{},
                                        micronet::wikitext103_test_bins());
    CHECK(micronet::difference(book, micronet::official{}, micronet::official{}).empty());
    const micronet::official with_maximum{.count_softmax_maximum = true,
                                          .count_conversions = false};
    const auto d = micronet::difference(book, micronet::official{}, with_maximum);
    REQUIRE(!d.empty());
    for (const micronet::rules_difference& one : d) {
        INFO(one.item);
        CHECK(one.group == "operations");
        CHECK((one.item.find(softmax_maximum) != std::string::npos ||
               one.item.find(softmax_shift) != std::string::npos));
    }
    CHECK_THROWS_AS(
        static_cast<void>(micronet::difference(ledger{}, micronet::official{}, values_only{})),
        error);
}
