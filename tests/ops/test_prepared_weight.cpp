// SPDX-License-Identifier: MIT
// A packed weight does what the tensor it was made of does.
#include <vector>

#include <doctest/doctest.h>

#include <tare/nn/parameters.hpp>
#include <tare/ops/linear.hpp>
#include <tare/ops/pick_log_softmax.hpp>
#include <tare/ops/prepared_weight.hpp>

using namespace tare;

namespace {

tensor values(const char* name, const shape& extents) {
    return random_parameters<float>(4).parameter(name, extents, initial::uniform(1.0));
}

/// Two sums of K products below 1, each within (K + 2) 2^-24 K of the exact one.
double bound_of(extent depth) {
    const auto k = static_cast<double>(depth);
    return 2.0 * (k + 2.0) * k / 16777216.0;
}

void check_close(const tensor& a, const tensor& b, double bound) {
    REQUIRE(a.shape() == b.shape());
    for (std::size_t i = 0; i < a.values().size(); ++i)
        REQUIRE(std::abs(static_cast<double>(a.values()[i]) - static_cast<double>(b.values()[i])) <=
                bound);
}

}  // namespace

TEST_CASE("products, rows and losses of a packed weight are those of the tensor") {
    for (const extent out : {1, 31, 32, 33, 100})
        for (const extent in : {1, 4, 65}) {
            const tensor w = values("w", {out, in});
            const tensor b = values("b", {out});
            const prepared_weight packed(w);
            CHECK(packed.shape() == w.shape());
            const tensor back = packed.unpacked();
            CHECK(std::equal(w.values().begin(), w.values().end(), back.values().begin()));
            for (const extent rows : {1, 13}) {
                const tensor x = values("x", {rows, in});
                check_close(linear(x, packed, b), linear(x, w, b), bound_of(in));
                check_close(linear(x, packed), linear(x, w), bound_of(in));
                std::vector<token> index;
                for (extent r = 0; r < rows; ++r)
                    index.push_back(static_cast<token>(r * 17 % out));
                check_close(gather(packed, index), gather(w, index), 0.0);
                const tensor logits = linear(x, w, b);
                // A difference of a picked logit and of their mean: twice the bound of one, and 50
                // roundings of results below 2 + ln 100.
                const double bound = 2.0 * bound_of(in) + 50.0 * 8.0 / 16777216.0;
                const tensor loss = pick_log_softmax(std::span<const tensor>(&logits, 1), index);
                check_close(linear_log_softmax(x, packed, b, {}, index), loss, bound);
                check_close(linear_log_softmax(x, w, b, {}, index), loss, bound);
            }
        }
}

TEST_CASE("a packed weight refuses what a tensor refuses") {
    const prepared_weight packed(values("w", {5, 3}));
    CHECK_THROWS_AS((void)linear(values("x", {2, 4}), packed), error);
    CHECK_THROWS_AS((void)linear(values("x", {2, 3}), packed, values("b", {4})), error);
    CHECK_THROWS_AS((void)gather(packed, std::vector<token>{5}), error);
    CHECK_THROWS_AS((void)gather(packed, std::vector<token>{-1}), error);
    CHECK_THROWS_AS(prepared_weight{values("v", {5})}, error);
}
