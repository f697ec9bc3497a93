// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>

#include <doctest/doctest.h>

#include <tare/kernels/bf16_product.hpp>

#include "product_cases.hpp"

namespace {

using namespace product_cases;
namespace kernels = tare::kernels;

/// The upper halves of normal numbers.
matrix<std::uint16_t> random_bf16(extent rows, extent columns, std::uint64_t seed, extent gap = 0) {
    const auto values = random_floats(rows, columns, seed, 0.1F, gap);
    matrix<std::uint16_t> out(rows, columns, gap, 0x7FC0);  // NaN behind the rows: must not be read
    for (extent r = 0; r < rows; ++r)
        for (extent c = 0; c < columns; ++c)
            out.view()(r, c) =
                static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values.view()(r, c)) >> 16);
    return out;
}

double widen(std::uint16_t code) {
    return static_cast<double>(std::bit_cast<float>(std::uint32_t{code} << 16));
}

}  // namespace

TEST_CASE("bf16 products stay within the bound of K roundings for every shape") {
    std::uint64_t seed = 1;
    for (const auto& [m, n, k] : shapes) {
        const auto x = random_bf16(m, k, ++seed, 5);
        const auto w = random_bf16(n, k, ++seed, 3);
        matrix<float> want(m, n);
        matrix<float> y(m, n, 2, -7.0F);
        kernels::plain::bf16_product(x.view(), w.view(), want.view());
        kernels::bf16_product(x.view(), kernels::bf16_weights(w.view()), y.view());
        for (extent r = 0; r < m; ++r) {
            for (extent c = 0; c < n; ++c) {
                double size = 0.0;
                for (extent i = 0; i < k; ++i)
                    size += std::abs(widen(x.view()(r, i)) * widen(w.view()(c, i)));
                // K additions in fp32 and one rounding of the reference, 2^-24 each.
                const double bound = static_cast<double>(k + 1) * 0x1p-24 * size;
                REQUIRE(std::abs(static_cast<double>(y.view()(r, c) - want.view()(r, c))) <= bound);
            }
            for (extent c = n; c < n + 2; ++c)
                REQUIRE(y.view().data[r * y.stride + c] == -7.0F);
        }
    }
}

TEST_CASE("bf16 products of small integers are exact") {
    // Products and sums below 2^24: no addition rounds, whatever its order.
    matrix<std::uint16_t> x(7, 129);
    matrix<std::uint16_t> w(65, 129);
    const auto code = [](int value) {
        return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >>
                                          16);
    };
    for (extent i = 0; i < 7 * 129; ++i)
        x.view()(i / 129, i % 129) = code(static_cast<int>(i * 7 % 255) - 127);
    for (extent i = 0; i < 65 * 129; ++i)
        w.view()(i / 129, i % 129) = code(static_cast<int>(i * 11 % 253) - 126);
    matrix<float> want(7, 65);
    matrix<float> y(7, 65);
    kernels::plain::bf16_product(x.view(), w.view(), want.view());
    kernels::bf16_product(x.view(), kernels::bf16_weights(w.view()), y.view());
    CHECK(equal(y.view(), want.view()));
}

TEST_CASE("bf16 products neither depend on threads nor on the number of rows") {
    const auto x = random_bf16(37, 500, 3);
    const auto w = random_bf16(1031, 500, 4);
    const kernels::bf16_weights packed(w.view());
    const std::vector<float> bias(1031, 0.5F);
    matrix<float> want(37, 1031);
    for (extent m = 0; m < 37; ++m)
        kernels::bf16_product(x.view().rows_between(m, m + 1), packed,
                              want.view().rows_between(m, m + 1),
                              kernels::add_bias(bias) | kernels::apply_relu());
    for (const int threads : {1, 2, 3, 4}) {
        const with_threads scope(threads);
        matrix<float> y(37, 1031);
        kernels::bf16_product(x.view(), packed, y.view(),
                              kernels::add_bias(bias) | kernels::apply_relu());
        CHECK(equal(y.view(), want.view()));
    }
}

TEST_CASE("bf16 products pass infinities and NaN and refuse what does not fit") {
    matrix<std::uint16_t> x(1, 2);
    matrix<std::uint16_t> w(2, 2);
    x.view()(0, 0) = 0x7F80;  // infinity
    x.view()(0, 1) = 0x3F80;  // one
    w.view()(0, 0) = 0xBF80;  // minus one, and infinity times zero below it
    matrix<float> y(1, 2);
    const kernels::bf16_weights packed(w.view());
    kernels::bf16_product(x.view(), packed, y.view());
    CHECK(y.view()(0, 0) == -INFINITY);
    CHECK(std::isnan(y.view()(0, 1)));
    CHECK_THROWS_AS(kernels::bf16_product(matrix<std::uint16_t>(1, 3).view(), packed, y.view()),
                    tare::error);
    CHECK_THROWS_AS(kernels::bf16_product(x.view(), packed, matrix<float>(2, 2).view()),
                    tare::error);
    CHECK_THROWS_AS(kernels::bf16_weights({nullptr, 2, 2}), tare::error);
    CHECK_THROWS_AS(kernels::bf16_weights({w.memory.data(), 1, extent{1} << 60}), tare::error);
    CHECK_THROWS_AS(kernels::bf16_product({nullptr, 1, 2}, packed, y.view()), tare::error);
    CHECK_THROWS_AS(kernels::bf16_product(x.view(), packed, {nullptr, 1, 2}), tare::error);
    const std::vector<float> short_bias(1);
    CHECK_THROWS_AS(
        kernels::bf16_product(x.view(), packed, y.view(), kernels::add_bias(short_bias)),
        tare::error);
}
