// SPDX-License-Identifier: MIT
// The organisers' counter on EfficientNet B0 to B7 and on single operations, every row.
#include <cmath>
#include <cstdlib>
#include <fstream>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <tare/micronet/official_counter.hpp>
#include <tare/micronet/weigh.hpp>
#include <tare/ops/convolution.hpp>
#include <tare/ops/image.hpp>
#include <tare/ops/relu.hpp>
#include <tare/ops/sigmoid.hpp>

#include "csv.hpp"

using namespace tare;
using json = nlohmann::json;

namespace {

struct builder {
    ledger& book;

    cost parameter(const std::string& label, const shape& extents) {
        const operand what = operand::dense(extents);
        book.store({short_text(label), what, {extents.size() * 32, 0, 0, 0}, {}});
        return cost(book, what);
    }
    void activation(const cost& x, const json& kind) {
        if (kind == "relu") static_cast<void>(apply(op::relu{}, x));
        if (kind == "swish") static_cast<void>(apply(op::swish{}, x));
        if (kind == "sigmoid") static_cast<void>(apply(op::sigmoid{}, x));
    }
    /// One operation of the list, on an activation of its own.
    void run(const std::string& label, const json& o) {
        const std::string kind = o["op"];
        const extent size = o.value("input_size", 1);
        const cost_scope here(book, label);
        if (kind == "Conv2D" || kind == "DepthWiseConv2D" || kind == "FullyConnected") {
            const auto k = o["kernel_shape"].get<std::vector<extent>>();
            const bool dense = kind == "FullyConnected";
            const extent outputs = dense ? k[1] : k[kind == "Conv2D" ? 3 : 2];
            std::vector<cost> inputs;
            inputs.emplace_back(book,
                                operand::dense(dense ? shape{1, k[0]} : shape{size, size, k[2]}));
            inputs.push_back(parameter(label + ".weight",
                                       dense ? shape{k[1], k[0]} : shape{k[0], k[1], k[2], k[3]}));
            if (o["use_bias"]) inputs.push_back(parameter(label + ".bias", shape{outputs}));
            std::vector<const cost*> views;
            for (const cost& c : inputs)
                views.push_back(&c);
            const std::span<const cost* const> all(views);
            const window_options window{o.value("strides", std::vector<extent>{1})[0],
                                        o.value("padding", "same") == "same"};
            const cost y = dense              ? apply_all(op::linear{}, all)
                           : kind == "Conv2D" ? apply_all(op::convolution{window}, all)
                                              : apply_all(op::depthwise_convolution{window}, all);
            activation(y, o["activation"]);
            return;
        }
        const extent channels = o["n_channels"];
        const cost x(book, operand::dense(shape{size, size, channels}));
        if (kind == "GlobalAvg") static_cast<void>(apply(op::global_average{}, x));
        if (kind == "Scale")
            static_cast<void>(
                apply(op::channel_scale{}, x, cost(book, operand::dense(shape{1, 1, channels}))));
        if (kind == "Add") static_cast<void>(apply(op::add{}, x, x));
    }
    void all(const json& list, const std::string& prefix) {
        for (const json& entry : list) {
            const std::string label = prefix + entry[0].get<std::string>();
            if (entry[1].is_array()) {
                all(entry[1], label);
            } else {
                run(label, entry[1]);
            }
        }
    }
};

}  // namespace

TEST_CASE("every row of the organisers' counter is reproduced") {
    std::ifstream in(testing::golden_path("micronet/counting_official_ops.json"));
    const json cases = json::parse(in);
    // Sums of hundreds of products of densities: the counter's own order of summation is not
    // known, double precision leaves 12 digits for certain; counts without sparsity are exact.
    constexpr double digits = 1e-12;
    int compared = 0;
    std::map<std::string, ledger> books;
    for (const auto& row : testing::csv("micronet/counting_official.csv")) {
        INFO(row.at("case"), " ", row.at("op"), " ", row.at("sparsity"), " ", row.at("mul_bits"));
        if (!books.contains(row.at("case")))
            builder{books[row.at("case")]}.all(cases.at(row.at("case")), "");
        const ledger& book = books[row.at("case")];
        const auto number = [&row](const char* column) {
            return std::strtod(row.at(column).c_str(), nullptr);
        };
        const micronet::official_counter counter(number("sparsity"),
                                                 static_cast<int>(number("param_bits")));
        const micronet::counter_totals t = row.at("op") == "total"
                                               ? counter.tally(book)
                                               : counter.module(book, book.module(row.at("op")));
        const bool exact = number("sparsity") == 0.0;
        const auto same = [&](double got, double want) {
            return exact ? got == want : std::abs(got - want) <= digits * std::abs(want);
        };
        CHECK(same(t.parameter_bits, number("param_count_bits")));
        CHECK(same(t.multiplications, number("mults")));
        CHECK(same(t.additions, number("adds")));
        CHECK(same(t.parameter_bits / 32, number("params_32bit")));
        CHECK(same(static_cast<double>(static_cast<extent>(t.parameter_bits)) / 8 / 1e6,
                   number("params_MB")));
        ++compared;
    }
    CHECK(compared > 100);
}
