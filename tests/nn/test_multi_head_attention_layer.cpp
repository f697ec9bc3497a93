// SPDX-License-Identifier: MIT
// The attention layer against fairseq's: results, weights of every head and gradients, under every
// mask; and the parts of it.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/io/npz_parameters.hpp>
#include <tare/nn/multi_head_attention_layer.hpp>
#include <tare/nn/sinusoidal_positions.hpp>
#include <tare/ops/weighted_sum.hpp>

#include "translation_arrays.hpp"

using namespace tare;

namespace {

tensor tensor_of(const io::npz_archive& golden, const std::string& name) {
    const io::npy_array& stored = testing::array(golden, name);
    return tensor(stored.extents, std::span<const float>(stored.as<float>()));
}

void run_case(const io::npz_archive& golden, const std::string& name) {
    INFO(name);
    const auto has = [&](const char* what) { return golden.contains(name + what); };
    const tensor query = tensor_of(golden, name + ".query");
    const tensor key = has(".key") ? tensor_of(golden, name + ".key") : query;
    const shape weights = testing::array(golden, name + ".weights").extents;
    const extent width = query.shape()[2];
    attention_mask mask;
    mask.causal = testing::values<std::int64_t>(golden, name + ".causal")[0] != 0;
    if (has(".key_padding_mask"))
        for (const std::int64_t p :
             testing::values<std::int64_t>(golden, name + ".key_padding_mask"))
            mask.padding.push_back(p != 0 ? 1 : 0);

    tape record;
    using source_type = io::npz_parameters<float>;
    tape_parameters<source_type, float> source(record, source_type(golden, name + ".w"));
    // The arrays' names have no module before the projections: "<case>.w" + ".q_proj.weight".
    const attention_sizes sizes{weights[0], width, width};
    const multi_head_attention_layer<variable> layer(source, sizes, "", width, key.shape()[2], {});
    const variable x = record.parameter(query);
    const variable y = has(".key") ? record.parameter(key) : x;
    const variable out = layer(x, y, mask);
    testing::check_array(golden, name + ".out", out.value().values(), testing::forward_tolerance);

    // The mean over the heads, (Tq, B, Tk), of weights stored (H, B, Tq, Tk).
    const op::multi_head_attention<> attention{sizes.heads, 1.0, mask, {}};
    const tensor mean = attention.mean_weights(layer.queries(x).value(), layer.k_proj(y).value());
    const auto of_heads = testing::values<float>(golden, name + ".weights");
    const extent heads = weights[0], batch = weights[1], rows = weights[2], keys = weights[3];
    for (extent b = 0; b < batch; ++b)
        for (extent i = 0; i < rows; ++i)
            for (extent j = 0; j < keys; ++j) {
                double want = 0.0;
                for (extent h = 0; h < heads; ++h)
                    want += static_cast<double>(of_heads[static_cast<std::size_t>(
                        ((h * batch + b) * rows + i) * keys + j)]);
                const auto at = static_cast<std::size_t>((i * batch + b) * keys + j);
                REQUIRE(static_cast<double>(mean.values()[at]) ==
                        doctest::Approx(want / static_cast<double>(heads))
                            .epsilon(testing::forward_tolerance));
            }

    const auto shares = testing::values<float>(golden, name + ".out_weight");
    record.backward(weighted_sum(out, std::vector<double>(shares.begin(), shares.end())));
    const auto gradient = [&](const std::string& label, const variable& of) {
        testing::check_array(golden, name + ".g." + label, of.gradient().values(),
                             testing::gradient_tolerance);
    };
    gradient("query", x);
    if (has(".key")) gradient("key", y);
    multi_head_attention_layer<variable> visited = layer;
    visited.visit([&](std::string_view label, const variable& parameter) {
        gradient(std::string(label.substr(1)), parameter);
    });
}

}  // namespace

TEST_CASE("results, weights and gradients are those of fairseq, under every mask") {
    const io::npz_archive golden = testing::golden("pet/attention.npz");
    int cases = 0;
    for (const auto& [name, unused] : golden)
        if (name.ends_with(".query") && !name.ends_with(".g.query")) {
            run_case(golden, name.substr(0, name.size() - 6));
            ++cases;
        }
    CHECK(cases >= 2);
}

TEST_CASE("widths of keys and values are independent, and a scale of one's own holds") {
    const random_parameters<float> values(5);
    const attention_sizes sizes{3, 6, 15, 0.25};
    const multi_head_attention_layer<tensor> layer(values, sizes, "attn", 7, 5, {});
    const tensor x = values.parameter("x", shape{4, 2, 7}, initial::normal(1.0));
    const tensor y = values.parameter("y", shape{6, 2, 5}, initial::normal(1.0));
    CHECK(layer.out_proj.weight.shape() == shape{7, 15});
    CHECK(layer.heads(x, y, {}).shape() == shape{4, 2, 15});
    const tensor plain = scale_by(layer.q_proj(x), 0.25);
    CHECK(std::ranges::equal(layer.queries(x).values(), plain.values()));
}

TEST_CASE("positions lie in halves, count words and skip padding") {
    const std::vector<token> words{1, 9, 7, 8, 6, 1};  // streams "_ 7 6" and "9 8 _"
    CHECK(token_positions(words, 2, 1) == std::vector<token>{1, 2, 2, 3, 3, 1});
    const io::npz_archive golden = testing::golden("pet/transformer.npz");
    const shape table = testing::array(golden, "positions").extents;
    std::vector<token> all(static_cast<std::size_t>(table[0]));
    for (std::size_t p = 0; p < all.size(); ++p)
        all[p] = static_cast<token>(p);
    const tensor zeros(table, 0.0F);
    // The reference rounds frequencies to float32: an angle p w is off by p 2^-24 at most.
    const double tolerance = static_cast<double>(table[0]) * 6e-8 + 1e-7;
    testing::check_array(golden, "positions", add_sinusoids(zeros, all, {table[1]}).values(),
                         tolerance);
    // Columns by number are the same columns.
    const tensor few = add_sinusoids(tensor(shape{1, 2}, 0.0F), {5}, {table[1], {3, 0}});
    const tensor whole = add_sinusoids(tensor(shape{1, table[1]}, 0.0F), {5}, {table[1]});
    CHECK(few.values()[0] == whole.values()[3]);
    CHECK(few.values()[1] == whole.values()[0]);
    // An odd width ends in a column of zeros.
    CHECK(add_sinusoids(tensor(shape{1, 7}, 0.0F), {4}, {7}).values()[6] == 0.0F);
    CHECK_THROWS_WITH_AS(static_cast<void>(add_sinusoids(tensor(shape{2, 4}, 0.0F), {1}, {4})),
                         doctest::Contains("for 1 positions"), error);
}
