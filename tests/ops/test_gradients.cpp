// SPDX-License-Identifier: MIT
// Every differentiable operation against difference quotients, in double.
#include <vector>

#include <doctest/doctest.h>

#include <tare/nn/sinusoidal_positions.hpp>
#include <tare/ops/add.hpp>
#include <tare/ops/add_at.hpp>
#include <tare/ops/block.hpp>
#include <tare/ops/cache_log_probability.hpp>
#include <tare/ops/concatenate.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/layer_norm.hpp>
#include <tare/ops/linear.hpp>
#include <tare/ops/linear_log_softmax.hpp>
#include <tare/ops/log_mixture.hpp>
#include <tare/ops/mean.hpp>
#include <tare/ops/multi_head_attention.hpp>
#include <tare/ops/multiply_columns.hpp>
#include <tare/ops/pick_log_softmax.hpp>
#include <tare/ops/relu.hpp>
#include <tare/ops/reshape.hpp>
#include <tare/ops/scale.hpp>
#include <tare/ops/segment_attention.hpp>
#include <tare/ops/sigmoid.hpp>
#include <tare/ops/softplus.hpp>
#include <tare/testing/check_gradient.hpp>

using namespace tare;
using doubles = basic_tensor<double>;

namespace {

doubles values(const shape& extents, std::uint64_t seed, double low = -1.0, double high = 1.0) {
    doubles out(extents);
    const random_stream random(seed, 5);
    std::uint64_t i = 0;
    for (double& v : out.mutable_values())
        v = low + (high - low) * static_cast<double>(random.uniform(i++));
    return out;
}

/// See gradient_error: the quotient itself is good to about 1e-9; functions with larger third
/// derivatives (1 / sqrt, exp of scores) stay below this.
constexpr double tolerance = 1e-7;

template <class Op>
void check(const Op& op, std::vector<doubles> inputs, std::size_t differentiated = 9) {
    CAPTURE(std::string(Op::name));
    CHECK(testing::gradient_error(op, std::move(inputs), differentiated) < tolerance);
}

}  // namespace

TEST_CASE("gradients equal difference quotients") {
    check(op::linear{}, {values({3, 4}, 1), values({5, 4}, 2), values({5}, 3)});
    check(op::linear{}, {values({2, 3, 4}, 1), values({5, 4}, 2)});
    check(op::add{}, {values({3, 4}, 1), values({3, 4}, 2)});
    check(op::scale_by{-0.75}, {values({3, 4}, 1)});
    check(op::scale{}, {values({3, 4}, 1), values({}, 2)});
    check(op::relu{}, {values({40}, 1)});
    check(op::mean{}, {values({7}, 1)});
    check(op::layer_norm{}, {values({3, 6}, 1), values({6}, 2), values({6}, 3)});
    check(op::softplus{}, {values({9}, 1, -3.0, 3.0)});
    check(op::sigmoid{}, {values({9}, 1, -3.0, 3.0)});
    check(op::log_mixture{},
          {values({6}, 1, -4.0, 0.0), values({6}, 2, -4.0, 0.0), values({}, 3, 0.2, 0.8)});
    check(op::gather{{2, 0, 2, 1}}, {values({3, 4}, 1)});
    check(op::merge_rows{{{1, 2}, {0}}}, {values({2, 3}, 1), values({1, 3}, 2)});
    check(op::add_at{{1, 1, 3}}, {values({5}, 1), values({3}, 2)});
    check(op::block{1, 2, 3}, {values({4, 5}, 1)});
    check(op::block{2, 3, 1}, {values({6}, 1)});
    check(op::concatenate{}, {values({1, 2, 3}, 1), values({2, 2, 3}, 2), values({1, 2, 3}, 3)});
    check(op::multiply_columns{}, {values({2, 3, 4}, 1), values({4}, 2)});
    check(op::add_sinusoids{{2, 5}, {6}}, {values({2, 5}, 1)});
    check(op::reshape{shape{4, 3}}, {values({3, 4}, 1)});
    check(op::pick_log_softmax{{0, 6, 3}}, {values({3, 4}, 1), values({3, 3}, 2)});
    check(op::linear_log_softmax{{0, 4, 3}},
          {values({3, 4}, 1), values({5, 4}, 2), values({5}, 3)});
    const std::vector<token> words{1, 2, 1, 3, 1, 1};
    // Every word is among the last eight pairs: a row without its word is a constant (-1e9).
    const op::cache_log_probability cache{8, {1, 3, 2}, words};
    check(cache, {values({6, 3}, 1), values({6, 3}, 2), values({3, 3}, 3)}, 2);
    check(op::segment_attention<>{2, 3, 2, {}}, {values({5, 2, 16}, 1), values({3, 4}, 2)});
}

TEST_CASE("gradients of multi-head attention equal difference quotients under every mask") {
    const auto inputs = [](extent queries, extent keys) {
        return std::vector<doubles>{values({queries, 2, 6}, 1, -2.0, 2.0),
                                    values({keys, 2, 6}, 2, -2.0, 2.0), values({keys, 2, 8}, 3)};
    };
    const attention_mask left{false, {1, 0, 0, 0, 0, 1, 1, 1, 1, 1}};
    check(op::multi_head_attention<>{2}, inputs(3, 5));
    check(op::multi_head_attention<>{2, 0.0, {true, {}}, {}}, inputs(5, 5));
    check(op::multi_head_attention<>{2, 0.7, {true, left.padding}, {}}, inputs(3, 5));
    check(op::multi_head_attention<>{1, 1.0, left, {}}, inputs(1, 5));
}

TEST_CASE("a frozen row of a table is read but learns nothing from it") {
    basic_tape<double> record;
    const auto table = record.parameter(values({3, 2}, 1));
    const std::vector<token> index{1, 2, 1, 0};
    const auto rows = gather(table, index, 1);
    CHECK(rows.value().values()[0] == table.value().values()[2]);
    // Another use of the same row does give it a gradient.
    record.backward(mean(reshape(add(rows, gather(table, index)), shape{8})));
    const double share = 1.0 / 8.0;
    const std::vector<double> want{2 * share, 2 * share, 2 * share,
                                   2 * share, 2 * share, 2 * share};
    for (std::size_t i = 0; i < want.size(); ++i)
        CHECK(table.gradient().values()[i] == doctest::Approx(want[i]));
}

TEST_CASE("multi-head attention refuses what does not fit, and says what") {
    const auto q = values({2, 1, 6}, 1);
    const auto k = values({3, 1, 6}, 2);
    CHECK_THROWS_WITH_AS(static_cast<void>(multi_head_attention(q, k, k, 4)),
                         doctest::Contains("heads must divide both widths"), error);
    CHECK_THROWS_WITH_AS(static_cast<void>(multi_head_attention(q, k, q, 2)),
                         doctest::Contains("keys and values in length"), error);
    CHECK_THROWS_WITH_AS(static_cast<void>(multi_head_attention(k, q, q, 2, {true, {}})),
                         doctest::Contains("each query needs its own key"), error);
    CHECK_THROWS_WITH_AS(static_cast<void>(multi_head_attention(q, k, k, 2, {false, {0, 1}})),
                         doctest::Contains("padding mask has 2 entries"), error);
}

TEST_CASE("a thin layer and its loss, on a tape, as one operation or as two") {
    const auto source = [](const shape& extents, std::uint64_t seed) {
        tensor out(extents);
        const doubles from = values(extents, seed);
        for (std::size_t i = 0; i < out.values().size(); ++i)
            out.mutable_values()[i] = static_cast<float>(from.values()[i]);
        return out;
    };
    const std::vector<token> target{5, 0, 299, 5};
    // W takes part twice: one gradient is started, one is added to. K = 20 is too deep for one.
    for (const extent depth : {4, 20}) {
        std::vector<float> got[2];
        for (const bool together : {true, false}) {
            tape record;
            const variable x = record.parameter(source({4, depth}, 1));
            const variable w = record.parameter(source({300, depth}, 2));
            const variable b = record.parameter(source({300}, 3));
            const auto losses = [&] {
                if (together) return linear_log_softmax(x, w, b, target);
                const variable z = linear(x, w, b);
                return pick_log_softmax(std::span(&z, 1), target);
            };
            const variable first = losses();
            record.backward(mean(add(first, losses())));
            std::vector<float>& to = got[together ? 0 : 1];
            for (const tensor& part : {first.value(), x.gradient(), w.gradient(), b.gradient()})
                to.insert(to.end(), part.values().begin(), part.values().end());
        }
        // Sums of at most 300 terms below 2 in all, and exponentials good to 2 ulp.
        for (std::size_t i = 0; i < got[0].size(); ++i)
            CHECK(std::abs(got[0][i] - got[1][i]) <= 320 * 0x1p-24F * 2);
    }
}

TEST_CASE("stored memory and stored keys take part but get no gradient") {
    const op::segment_attention<> attention{2, 3, 2, {}};
    doubles qkv = values({4, 1, 16}, 1);
    doubles positions = values({3, 4}, 2);
    basic_tape<double> record;
    const auto parameter = record.parameter(qkv);
    const auto memory = record.parameter(values({3, 1, 10}, 3));
    CHECK_THROWS_AS(
        record.backward(mean(apply(attention, parameter, record.constant(positions), memory))),
        tare::error);
    record.clear();
    record.backward(mean(apply(attention, parameter, record.constant(positions), detach(memory))));
    CHECK(parameter.gradient().size() == qkv.size());
}

TEST_CASE("a loss must be one number") {
    basic_tape<double> record;
    const auto x = record.parameter(values({2}, 1));
    CHECK_THROWS_AS(record.backward(x), tare::error);
}
