// SPDX-License-Identifier: MIT
// Layer normalisation of networks that lose columns, as an operation: against the reference,
// difference quotients, what it charges, and the removal that it is made for.
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/ops/multiply_columns.hpp>
#include <tare/ops/weighted_layer_norm.hpp>
#include <tare/ops/weighted_sum.hpp>
#include <tare/testing/check_gradient.hpp>
#include <tare/testing/counted.hpp>

#include "golden.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

/// Float32 on both sides: a few roundings of values of at most about four, and sums of gradients
/// over rows that partly cancel; relative to the largest element.
constexpr double value_tolerance = 2e-6;
constexpr double gradient_tolerance = 2e-5;

double distance(std::span<const float> got, const std::vector<float>& want) {
    REQUIRE(got.size() == want.size());
    double worst = 0.0;
    double largest = 1e-30;
    for (std::size_t i = 0; i < want.size(); ++i) {
        worst =
            std::max(worst, std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])));
        largest = std::max(largest, std::abs(static_cast<double>(want[i])));
    }
    return worst / largest;
}

template <class Scalar>
basic_tensor<Scalar> some(const shape& extents, std::uint64_t seed, float low = -1.0F) {
    basic_tensor<Scalar> out(extents);
    const random_stream random(seed, 5);
    std::uint64_t i = 0;
    for (Scalar& v : out.mutable_values())
        v = Scalar(low + (1.0F - low) * random.uniform(i++));
    return out;
}

}  // namespace

TEST_CASE("both kinds, with and without connectivity, equal the reference") {
    const io::npz_archive golden = testing::golden("pet/srp.npz");
    const auto read = [&](const std::string& name) {
        const io::npy_array& a = array(golden, "ln." + name);
        return tensor(a.extents, a.as<float>());
    };
    for (const bool weighted : {true, false})
        for (const bool connected : {true, false}) {
            const std::string head =
                message(weighted ? "weighted_" : "plain_", connected ? "c." : "noc.");
            INFO(head);
            tape record;
            const variable x = record.parameter(read("x"));
            const variable c = record.parameter(read("c"));
            const variable gamma = record.parameter(read("weight"));
            const variable beta = record.parameter(read("bias"));
            const variable y = weighted && connected
                                   ? weighted_layer_norm(x, gamma, beta, c)
                                   : layer_norm_of_created(connected ? multiply_columns(x, c) : x,
                                                           gamma, beta, extent{0});
            const auto want = [&](const char* name) {
                return values<float>(golden, message("ln.", head, name));
            };
            CHECK(distance(y.value().values(), want("out")) <= value_tolerance);
            const auto r = values<float>(golden, "ln.r");
            record.backward(weighted_sum(y, {r.begin(), r.end()}));
            CHECK(distance(x.gradient().values(), want("gx")) <= gradient_tolerance);
            CHECK(distance(gamma.gradient().values(), want("gw")) <= gradient_tolerance);
            if (connected) CHECK(distance(c.gradient().values(), want("gc")) <= gradient_tolerance);
        }
}

TEST_CASE("its gradients equal difference quotients, also with removed columns") {
    // Third derivatives of 1 / deviation: see the test of all operations.
    constexpr double tolerance = 1e-7;
    using doubles = basic_tensor<double>;
    const std::vector<doubles> three{some<double>({3, 6}, 1), some<double>({6}, 2),
                                     some<double>({6}, 3)};
    std::vector<doubles> four = three;
    four.push_back(some<double>({6}, 4, 0.3F));
    CHECK(gradient_error(op::weighted_layer_norm{}, four) < tolerance);
    CHECK(gradient_error(op::weighted_layer_norm{}, three) < tolerance);
    CHECK(gradient_error(op::weighted_layer_norm{1e-5, 9}, three) < tolerance);
}

TEST_CASE("what it charges is what it executes") {
    const auto check = [](const op::weighted_layer_norm& op, const auto&... in) {
        counted::tally() = {};
        const auto out = apply(op, in...);
        const operation_tally done = counted::tally();
        const std::array<operand, sizeof...(in)> operands{operand::dense(in.shape())...};
        operation_tally priced;
        for (const charge& c : op.cost(operands, operand::dense(out.shape())).charges())
            (c.kind == math::multiplication ? priced.multiplications
             : c.kind == math::addition     ? priced.additions
                                            : priced.others) += c.count;
        CHECK(done == priced);
    };
    for (const extent d : {1, 2, 7}) {
        const auto x = some<counted>({3, d}, 1);
        const auto row = some<counted>({d}, 2, 0.5F);
        check({}, x, row, row);
        check({1e-5, d}, x, row, row);
        check({1e-5, d + 2}, x, row, row);
        check({}, x, row, row, row);
    }
}

TEST_CASE("masked columns are as good as removed ones") {
    constexpr extent d = 33;
    const tensor x = some<float>({5, d}, 1);
    const tensor gamma = some<float>({d}, 2);
    const tensor beta = some<float>({d}, 3);
    tensor c(shape{d}, 1.0F);
    std::vector<extent> kept;
    for (extent i = 0; i < d; ++i) {
        c.mutable_values()[static_cast<std::size_t>(i)] = i % 3 == 1 ? 0.0F : 1.0F;
        if (i % 3 != 1) kept.push_back(i);
    }
    const auto narrow = [&](const tensor& wide) {
        const extent rows = wide.shape().rows();
        std::vector<float> out;
        for (extent r = 0; r < rows; ++r)
            for (const extent i : kept)
                out.push_back(wide.values()[static_cast<std::size_t>(r * d + i)]);
        return tensor(wide.shape().with_columns(static_cast<extent>(kept.size())), out);
    };
    const tensor weighted = narrow(weighted_layer_norm(x, gamma, beta, c));
    const tensor present = layer_norm_of_created(narrow(x), narrow(gamma), narrow(beta), extent{0});
    CHECK(distance(present.values(), {weighted.values().begin(), weighted.values().end()}) <=
          value_tolerance);
    const tensor masked =
        narrow(layer_norm_of_created(multiply_columns(x, c), gamma, beta, extent{0}));
    const tensor removed = layer_norm_of_created(narrow(x), narrow(gamma), narrow(beta), d);
    CHECK(distance(removed.values(), {masked.values().begin(), masked.values().end()}) <=
          value_tolerance);
    CHECK_THROWS_AS(static_cast<void>(layer_norm_of_created(x, gamma, beta, d - 1)), error);
    CHECK_THROWS_AS(static_cast<void>(weighted_layer_norm(x, gamma, beta, narrow(c))), error);
}
