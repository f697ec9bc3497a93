// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <tare/kernels/integer_product.hpp>

#include "product_cases.hpp"

namespace {

using namespace product_cases;
namespace kernels = tare::kernels;

template <class Activation>
using weight_of = typename kernels::integer_weights<Activation>::code_type;

/// The product by definition.
template <class Activation>
matrix<std::int64_t> expected(const matrix<Activation>& x, const matrix<weight_of<Activation>>& w) {
    matrix<std::int64_t> y(x.rows, w.rows);
    kernels::plain::integer_product(x.view(), w.view(), y.view());
    return y;
}

/// Compares all three kinds of output; guards behind the rows must survive.
template <class Activation>
void check_product(const matrix<Activation>& x, const matrix<weight_of<Activation>>& w,
                   bool fits = true) {
    CAPTURE(x.rows);
    CAPTURE(w.rows);
    CAPTURE(w.columns);
    const auto want = expected(x, w);
    const kernels::integer_weights<Activation> packed(w.view());
    REQUIRE(packed.outputs() == w.rows);
    REQUIRE(packed.inputs() == w.columns);

    matrix<std::int64_t> wide(x.rows, w.rows, 2, -7);
    kernels::integer_product(x.view(), packed, wide.view());
    CHECK(equal(wide.view(), want.view()));
    if (fits) {
        matrix<std::int32_t> narrow(x.rows, w.rows, 3, -7);
        kernels::integer_product(x.view(), packed, narrow.view());
        CHECK(equal(narrow.view(), want.view()));
        const auto guards = std::count(narrow.memory.begin(), narrow.memory.end(), -7);
        CHECK(guards >= 1 + 3 * x.rows);
    }

    std::vector<float> scale(static_cast<std::size_t>(w.rows));
    std::vector<float> bias(scale.size());
    for (std::size_t n = 0; n < scale.size(); ++n) {
        scale[n] = 1.0F / static_cast<float>(n + 3);
        bias[n] = static_cast<float>(n) - 17.3F;
    }
    const float step = 0.0123F;
    matrix<float> y(x.rows, w.rows, 1, -7.0F);
    kernels::integer_product(x.view(), packed, y.view(), {scale, step},
                             kernels::add_bias(bias) | kernels::apply_relu());
    for (extent m = 0; m < x.rows; ++m) {
        for (extent n = 0; n < w.rows; ++n) {
            const auto i = static_cast<std::size_t>(n);
            const float value = static_cast<float>(want.view()(m, n)) * scale[i];
            const float sum = value * step + bias[i];
            REQUIRE(y.view()(m, n) == std::max(sum, 0.0F));
        }
    }
}

template <class Activation>
void check_shapes(std::int32_t low, std::int32_t high, std::int32_t weight) {
    std::uint64_t seed = 1;
    for (const auto& [m, n, k] : shapes) {
        const auto x = random_codes<Activation>(m, k, low, high, ++seed, 5);
        const auto w = random_codes<weight_of<Activation>>(n, k, -weight, weight, ++seed, 3);
        check_product<Activation>(x, w);
    }
}

/// Constant codes, where saturation on the way would show at once.
template <class Activation>
void check_constant(extent k, std::int32_t x_code, std::int32_t w_code, bool fits = true) {
    auto x = random_codes<Activation>(3, k, x_code, x_code, 1);
    auto w = random_codes<weight_of<Activation>>(35, k, w_code, w_code, 1);
    check_product<Activation>(x, w, fits);
}

}  // namespace

TEST_CASE("integer products equal the definition for every shape") {
    check_shapes<std::uint8_t>(0, 255, 128 - 1);
    check_shapes<std::int8_t>(-128, 127, 128 - 1);
    check_shapes<std::int16_t>(-255, 255, 255);
    check_shapes<std::int16_t>(-511, 511, 511);
    check_shapes<std::int16_t>(-2047, 2047, 2047);
}

TEST_CASE("nothing saturates at the extremes of the codes") {
    for (const extent k : {1, 4, 7, 64, 1031}) {
        check_constant<std::uint8_t>(k, 255, -128);
        check_constant<std::uint8_t>(k, 255, 127);
        check_constant<std::int8_t>(k, -128, -128);
        check_constant<std::int8_t>(k, -128, 127);
        check_constant<std::int8_t>(k, 127, -128);
        check_constant<std::int16_t>(k, -255, 255);
        check_constant<std::int16_t>(k, 32767, -32768, k == 1);
        check_constant<std::int16_t>(k, -32768, -32768, false);
        check_constant<std::int16_t>(k, 32767, 32767, false);
    }
}

TEST_CASE("sums beyond 32 bits are exact in 64 bits and refused in 32") {
    // The largest K of the file comment, and one more.
    check_constant<std::uint8_t>(65'792, 255, -128);
    check_constant<std::uint8_t>(65'794, 255, -128, false);
    check_constant<std::int8_t>(131'068, -128, -128);
    check_constant<std::int8_t>(131'073, -128, -128, false);
    check_constant<std::int8_t>(300'001, -128, 127, false);
    check_constant<std::int16_t>(33'024, 255, -255);
    check_constant<std::int16_t>(33'027, 255, 255, false);
    check_constant<std::int16_t>(8'224, 511, 511);
    check_constant<std::int16_t>(8'225, 511, 511, false);

    const auto refuse = [](const auto& x, const auto& w) {
        matrix<std::int32_t> y(x.rows, w.outputs());
        CHECK_THROWS_AS(kernels::integer_product(x.view(), w, y.view()), tare::error);
    };
    const auto x8 = random_codes<std::uint8_t>(1, 65'796, 1, 1, 1);
    const auto w8 = random_codes<std::int8_t>(2, 65'796, 1, 1, 1);
    refuse(x8, kernels::integer_weights<std::uint8_t>(w8.view()));
    const auto x16 = random_codes<std::int16_t>(1, 8'226, 511, 511, 1);
    const auto w16 = random_codes<std::int16_t>(2, 8'226, 511, 511, 1);
    refuse(x16, kernels::integer_weights<std::int16_t>(w16.view()));
}

TEST_CASE("integer products do not depend on the number of threads") {
    const auto check = [](extent m, extent n, extent k) {
        const auto x = random_codes<std::int8_t>(m, k, -128, 127, 3);
        const auto w = random_codes<std::int8_t>(n, k, -128, 127, 4);
        const kernels::integer_weights<std::int8_t> packed(w.view());
        const auto want = expected(x, w);
        for (const int threads : {1, 2, 3, 4}) {
            const with_threads scope(threads);
            matrix<std::int32_t> y(m, n);
            kernels::integer_product(x.view(), packed, y.view());
            CHECK(equal(y.view(), want.view()));
        }
    };
    check(131, 97, 523);   // rows are dealt out
    check(5, 4099, 1021);  // strips are dealt out
    check(1, 8209, 2039);
}

TEST_CASE("integer products refuse what does not fit") {
    const auto w = random_codes<std::int8_t>(6, 8, -5, 5, 1);
    const kernels::integer_weights<std::uint8_t> packed(w.view());
    matrix<std::uint8_t> x(2, 8);
    matrix<std::int32_t> y(2, 6);
    matrix<float> f(2, 6);
    std::vector<float> scale(5);
    kernels::integer_product(x.view(), packed, y.view());
    CHECK_THROWS_WITH_AS(
        kernels::integer_product(matrix<std::uint8_t>(2, 7).view(), packed, y.view()),
        "integer_product: x is (2,7), but the weights are (6,8); x needs as many columns as the "
        "weights have inputs",
        tare::error);
    CHECK_THROWS_AS(kernels::integer_product(x.view(), packed, matrix<std::int32_t>(2, 5).view()),
                    tare::error);
    CHECK_THROWS_AS(kernels::integer_product(x.view(), packed, f.view(), {scale, 1.0F}),
                    tare::error);
    scale.resize(6);
    CHECK_THROWS_AS(
        kernels::integer_product(x.view(), packed, f.view(), {scale, 1.0F},
                                 kernels::add_bias(std::span<const float>(scale).first(3))),
        tare::error);
    CHECK_THROWS_AS(kernels::integer_product(x.view(), packed, matrix<std::int64_t>(2, 5).view()),
                    tare::error);
    CHECK_THROWS_AS(
        kernels::integer_product(x.view(), packed, matrix<float>(1, 6).view(), {scale, 1.0F}),
        tare::error);
    CHECK_THROWS_AS(kernels::integer_product({nullptr, 2, 8}, packed, y.view()), tare::error);
    const tare::matrix_view<std::int32_t> same(reinterpret_cast<std::int32_t*>(x.memory.data()), 2,
                                               1);
    const kernels::integer_weights<std::uint8_t> one(w.view().rows_between(0, 1));
    CHECK_THROWS_AS(kernels::integer_product(x.view(), one, same), tare::error);
    CHECK_THROWS_AS(kernels::integer_weights<std::uint8_t>({nullptr, 2, 8}), tare::error);
    CHECK_THROWS_AS(
        kernels::integer_product(x.view(), one, tare::matrix_view<std::int32_t>(nullptr, 2, 1)),
        tare::error);
    // The view is within reach, the outputs rounded up to a strip are not.
    const tare::matrix_view<const std::int8_t> long_row(w.memory.data(), 1, extent{1} << 60);
    CHECK_THROWS_AS(kernels::integer_weights<std::uint8_t>{long_row}, tare::error);
    CHECK_THROWS_AS(kernels::integer_weights<std::uint8_t>(
                        tare::matrix_view<const std::int8_t>(w.memory.data(), -1, 8)),
                    tare::error);
}
