// SPDX-License-Identifier: MIT
#include <algorithm>

#include <doctest/doctest.h>

#include <tare/kernels/packed_product.hpp>

#include "product_cases.hpp"

namespace {

using namespace product_cases;
namespace kernels = tare::kernels;

std::int32_t largest_code(int bits) {
    return (1 << (bits - 1)) - 1;
}

template <class Activation>
void check_product(const matrix<Activation>& x, const matrix<std::int16_t>& w, int bits,
                   bool fits = true) {
    CAPTURE(bits);
    CAPTURE(x.rows);
    CAPTURE(w.rows);
    CAPTURE(w.columns);
    matrix<std::int64_t> want(x.rows, w.rows);
    kernels::plain::integer_product(x.view(), w.view(), want.view());
    const kernels::packed_weights packed(w.view(), bits);

    matrix<std::int64_t> wide(x.rows, w.rows, 2, -7);
    kernels::packed_product(x.view(), packed, wide.view());
    CHECK(equal(wide.view(), want.view()));
    if (fits) {
        matrix<std::int32_t> narrow(x.rows, w.rows, 3, -7);
        kernels::packed_product(x.view(), packed, narrow.view());
        CHECK(equal(narrow.view(), want.view()));
        CHECK(std::count(narrow.memory.begin(), narrow.memory.end(), -7) >= 1 + 3 * x.rows);
    } else {
        matrix<std::int32_t> narrow(x.rows, w.rows);
        CHECK_THROWS_AS(kernels::packed_product(x.view(), packed, narrow.view()), tare::error);
    }

    const std::vector<float> scale(static_cast<std::size_t>(w.rows), 0.37F);
    matrix<float> y(x.rows, w.rows);
    kernels::packed_product(x.view(), packed, y.view(), {scale, 0.0123F}, kernels::apply_relu());
    for (extent m = 0; m < x.rows; ++m) {
        for (extent n = 0; n < w.rows; ++n) {
            const float value = static_cast<float>(want.view()(m, n)) * 0.37F * 0.0123F;
            REQUIRE(y.view()(m, n) == std::max(value, 0.0F));
        }
    }
}

}  // namespace

TEST_CASE("every code of every width comes back from the planes") {
    for (int bits = 2; bits <= 16; ++bits) {
        CAPTURE(bits);
        const extent codes = extent{1} << bits;
        // 67 inputs: neither the strips nor the blocks of any plane are full.
        matrix<std::int16_t> w((codes + 66) / 67, 67);
        for (extent i = 0; i < w.rows * 67; ++i)
            w.view()(i / 67, i % 67) = static_cast<std::int16_t>(i % codes - codes / 2);
        const kernels::packed_weights packed(w.view(), bits);
        bool same = packed.bits() == bits;
        for (extent n = 0; n < w.rows; ++n)
            for (extent k = 0; k < 67; ++k)
                same = same && packed.code(n, k) == w.view()(n, k);
        CHECK(same);
    }
}

TEST_CASE("packed weights take their bits and no more where strips and blocks are full") {
    for (int bits = 2; bits <= 16; ++bits) {
        const matrix<std::int16_t> w(96, 256);
        const kernels::packed_weights packed(w.view(), bits);
        CHECK(packed.bytes() == static_cast<std::size_t>(96 * 256 * bits / 8));
    }
}

TEST_CASE("packed products equal the definition for every width and shape") {
    std::uint64_t seed = 1;
    for (int bits = 2; bits <= 16; ++bits) {
        const std::int32_t most = largest_code(bits);
        for (const auto& [m, n, k] : shapes) {
            // Every width meets a third of the shapes and all of them meet every field.
            if ((n + k + m) % 3 != bits % 3) continue;
            const auto w = random_codes<std::int16_t>(n, k, -most - 1, most, ++seed, 3);
            check_product(random_codes<std::int8_t>(m, k, -128, 127, ++seed, 5), w, bits);
            check_product(random_codes<std::int16_t>(m, k, -100, 127, ++seed, 5), w, bits);
            check_product(random_codes<std::int16_t>(m, k, -511, 511, ++seed, 5), w, bits,
                          extent{511} * (most + 1) * k < (1LL << 31) || m * n * k == 0);
        }
    }
}

TEST_CASE("packed products are exact at the extremes of the codes") {
    for (const int bits : {2, 3, 4, 7, 8, 9, 10, 15, 16}) {
        for (const std::int32_t w_code : {largest_code(bits), -largest_code(bits) - 1}) {
            const auto w = random_codes<std::int16_t>(35, 67, w_code, w_code, 1);
            for (const std::int32_t x_code : {-128, 127, 255, -511, 32639, 32640, 32767, -32768}) {
                const auto x = random_codes<std::int16_t>(3, 67, x_code, x_code, 1);
                const bool fits = std::abs(x_code) * (std::int64_t{1} << (bits - 1)) * 67 <
                                  (std::int64_t{1} << 31);
                check_product(x, w, bits, fits);
            }
        }
    }
}

TEST_CASE("long packed sums are cut into segments") {
    // Two segments of 65,536 and some more, with every field at its largest.
    const auto x = random_codes<std::int8_t>(1, 131'111, -128, -128, 1);
    for (const int bits : {4, 8, 9, 15}) {
        const auto w = random_codes<std::int16_t>(3, 131'111, -largest_code(bits) - 1,
                                                  -largest_code(bits) - 1, 1);
        check_product(x, w, bits, bits < 8);
    }
}

TEST_CASE("packed products do not depend on the number of threads") {
    const auto x = random_codes<std::int16_t>(3, 1021, -255, 255, 3);
    const auto w = random_codes<std::int16_t>(2053, 1021, -255, 255, 4);
    const kernels::packed_weights packed(w.view(), 9);
    matrix<std::int32_t> want(3, 2053);
    kernels::packed_product(x.view(), packed, want.view());
    for (const int threads : {2, 3, 4}) {
        const with_threads scope(threads);
        matrix<std::int32_t> y(3, 2053);
        kernels::packed_product(x.view(), packed, y.view());
        CHECK(equal(y.view(), want.view()));
    }
}

TEST_CASE("packed products refuse what does not fit") {
    auto w = random_codes<std::int16_t>(6, 8, -7, 7, 1);
    CHECK_THROWS_AS(kernels::packed_weights(w.view(), 1), tare::error);
    CHECK_THROWS_AS(kernels::packed_weights(w.view(), 17), tare::error);
    CHECK_THROWS_AS(kernels::packed_weights({nullptr, 2, 8}, 4), tare::error);
    CHECK_THROWS_AS(kernels::packed_weights({w.memory.data(), 1, extent{1} << 60}, 16),
                    tare::error);
    w.view()(5, 7) = 8;
    CHECK_THROWS_WITH_AS(
        kernels::packed_weights(w.view(), 4),
        "packed_weights: row 5 holds the code 8, which needs more than 4 bits; pass a larger width",
        tare::error);
    const kernels::packed_weights packed(w.view(), 5);
    matrix<std::int8_t> x(2, 8);
    matrix<std::int32_t> y(2, 6);
    kernels::packed_product(x.view(), packed, y.view());
    CHECK_THROWS_AS(kernels::packed_product(matrix<std::int8_t>(2, 7).view(), packed, y.view()),
                    tare::error);
    CHECK_THROWS_AS(kernels::packed_product(x.view(), packed, matrix<std::int32_t>(1, 6).view()),
                    tare::error);
    CHECK_THROWS_AS(kernels::packed_product(tare::matrix_view<const std::int8_t>(nullptr, 2, 8),
                                            packed, y.view()),
                    tare::error);
    CHECK_THROWS_AS(
        kernels::packed_product(x.view(), packed, tare::matrix_view<std::int32_t>(nullptr, 2, 6)),
        tare::error);
    const std::vector<float> scale(5);
    matrix<float> f(2, 6);
    CHECK_THROWS_AS(kernels::packed_product(x.view(), packed, f.view(), {scale, 1.0F}),
                    tare::error);
    // y over x, and y over the scales.
    const kernels::packed_weights one(w.view().rows_between(0, 1), 5);
    CHECK_THROWS_AS(
        kernels::packed_product(x.view(), one,
                                tare::matrix_view<std::int32_t>(
                                    reinterpret_cast<std::int32_t*>(x.memory.data()), 2, 1)),
        tare::error);
    CHECK_THROWS_AS(kernels::packed_product(x.view(), packed, f.view(),
                                            {std::span<const float>(f.memory.data(), 6), 1.0F}),
                    tare::error);
    const std::span<const float> nowhere(static_cast<const float*>(nullptr), 6);
    CHECK_THROWS_AS(kernels::packed_product(x.view(), packed, f.view(), {nowhere, 1.0F}),
                    tare::error);
    // The same of the products into 64 bits and into floats.
    matrix<std::int64_t> wide(1, 6);
    matrix<float> narrow(2, 5);
    const std::vector<float> six(6);
    CHECK_THROWS_AS(kernels::packed_product(x.view(), packed, wide.view()), tare::error);
    CHECK_THROWS_AS(kernels::packed_product(x.view(), packed, narrow.view(), {scale, 1.0F}),
                    tare::error);
    CHECK_THROWS_AS(
        kernels::packed_product(x.view(), packed, f.view(), {six, 1.0F}, kernels::add_bias(scale)),
        tare::error);
}
