// SPDX-License-Identifier: MIT
#include <cmath>

#include <doctest/doctest.h>

#include <tare/kernels/index_product.hpp>
#include <tare/kernels/sparse_product.hpp>

#include "product_cases.hpp"

namespace {

using namespace product_cases;
namespace kernels = tare::kernels;

matrix<float> transposed(const matrix<float>& a, extent gap = 0) {
    matrix<float> out(a.columns, a.rows, gap, -7.0F);
    for (extent r = 0; r < a.rows; ++r)
        for (extent c = 0; c < a.columns; ++c)
            out.view()(c, r) = a.view()(r, c);
    return out;
}

/// Drops whole blocks of 32 outputs by `inputs` inputs.
void drop_blocks(matrix<float>& w, extent inputs, float share) {
    const tare::random_stream draw(99, 0);
    for (extent n = 0; n < w.rows; ++n) {
        for (extent k = 0; k < w.columns; ++k) {
            const auto block = static_cast<std::uint64_t>(n / 32 * 1000 + k / inputs);
            if (draw.uniform(block) < share) w.view()(n, k) = 0.0F;
        }
    }
}

/// All three forms against the definition: every output is the same chain of fma.
void check_forms(const matrix<float>& x, const matrix<float>& w, extent block) {
    CAPTURE(x.rows);
    CAPTURE(w.rows);
    CAPTURE(w.columns);
    matrix<float> want(x.rows, w.rows);
    kernels::plain::sparse_product(x.view(), w.view(), want.view());

    matrix<float> y(x.rows, w.rows, 2, -7.0F);
    const kernels::bitmask_weights bits(w.view());
    kernels::sparse_product(x.view(), bits, y.view());
    CHECK(equal(y.view(), want.view()));
    for (extent r = 0; r < x.rows; ++r)
        CHECK(y.view().data[r * y.stride + w.rows] == -7.0F);

    matrix<float> z(x.rows, w.rows, 2, -7.0F);
    kernels::sparse_product(x.view(), kernels::block_weights(w.view(), block), z.view());
    CHECK(equal(z.view(), want.view()));

    const auto xt = transposed(x, 3);
    matrix<float> yt(w.rows, x.rows, 1, -7.0F);
    const kernels::index_weights lists(w.view());
    kernels::index_product(xt.view(), lists, yt.view());
    CHECK(equal(transposed(yt).view(), want.view()));
    CHECK(lists.nonzeros() == bits.nonzeros());

    std::vector<float> bias(static_cast<std::size_t>(w.rows), 0.25F);
    matrix<float> finished(x.rows, w.rows);
    kernels::sparse_product(x.view(), bits, finished.view(),
                            kernels::add_bias(bias) | kernels::apply_relu());
    for (extent m = 0; m < x.rows; ++m)
        for (extent n = 0; n < w.rows; ++n)
            REQUIRE(finished.view()(m, n) == std::max(want.view()(m, n) + 0.25F, 0.0F));
}

}  // namespace

TEST_CASE("sparse products equal the definition for every shape and density") {
    std::uint64_t seed = 1;
    for (const auto& [m, n, k] : shapes) {
        for (const float zeros : {0.0F, 0.358F, 0.9F, 1.1F}) {
            const auto x = random_floats(m, k, ++seed, 0.0F, 5);
            const auto w = random_floats(n, k, ++seed, zeros, 3);
            check_forms(x, w, 1 + n % 9);
        }
    }
}

TEST_CASE("many rows share an expanded strip") {
    const auto x = random_floats(131, 97, 5);
    check_forms(x, random_floats(161, 97, 6, 0.5F), 16);
    auto w = random_floats(161, 97, 7);
    drop_blocks(w, 8, 0.6F);
    check_forms(x, w, 8);
    const kernels::block_weights blocks(w.view(), 8);
    CHECK(blocks.density() < 0.6);
    CHECK(blocks.density() > 0.2);
}

TEST_CASE("sums longer than a slab stay within the bound") {
    const extent k = 2500;
    const auto x = random_floats(17, k, 5);
    const auto w = random_floats(33, k, 6, 0.5F);
    matrix<float> y(17, 33);
    kernels::sparse_product(x.view(), kernels::bitmask_weights(w.view()), y.view());
    for (extent m = 0; m < 17; ++m) {
        for (extent n = 0; n < 33; ++n) {
            double sum = 0.0;
            double size = 0.0;
            for (extent i = 0; i < k; ++i) {
                const double product = double{x.view()(m, i)} * double{w.view()(n, i)};
                sum += product;
                size += std::abs(product);
            }
            // Two roundings a product without fma, 2^-24 each.
            const double bound = 2.0 * static_cast<double>(k) * 0x1p-24 * size;
            REQUIRE(std::abs(static_cast<double>(y.view()(m, n)) - sum) <= bound);
        }
    }
}

TEST_CASE("sparse products do not depend on the number of threads") {
    for (const extent m : {1, 7, 200}) {
        const auto x = random_floats(m, 301, 3);
        const auto w = random_floats(m == 1 ? 4099 : 1031, 301, 4, 0.5F);
        matrix<float> want(m, w.rows);
        kernels::plain::sparse_product(x.view(), w.view(), want.view());
        const kernels::bitmask_weights bits(w.view());
        const kernels::block_weights blocks(w.view(), 4);
        const kernels::index_weights lists(w.view());
        const auto xt = transposed(x);
        for (const int threads : {1, 2, 3, 4}) {
            const with_threads scope(threads);
            matrix<float> y(m, w.rows);
            kernels::sparse_product(x.view(), bits, y.view());
            CHECK(equal(y.view(), want.view()));
            kernels::sparse_product(x.view(), blocks, y.view());
            CHECK(equal(y.view(), want.view()));
            matrix<float> yt(w.rows, m);
            kernels::index_product(xt.view(), lists, yt.view());
            CHECK(equal(transposed(yt).view(), want.view()));
        }
    }
}

TEST_CASE("sparse weights keep NaN, drop both zeros and count their bytes") {
    matrix<float> w(33, 4);
    w.view()(0, 0) = NAN;
    w.view()(32, 3) = -0.0F;
    w.view()(32, 2) = 2.0F;
    const kernels::bitmask_weights bits(w.view());
    CHECK(bits.nonzeros() == 2);
    CHECK(bits.bytes() == 2 * 4 * 4 + 2 * 4);
    CHECK(kernels::index_weights(w.view()).bytes() == 2 * 8);
    const kernels::block_weights blocks(w.view(), 2);
    CHECK(blocks.runs(0).size() == 1);
    CHECK(blocks.runs(0)[0].first == 0);
    CHECK(blocks.runs(0)[0].last == 2);
    CHECK(blocks.runs(1)[0].first == 2);
    CHECK(blocks.density() == 0.5);
}

TEST_CASE("sparse products refuse what does not fit") {
    const matrix<float> w(6, 8);
    const kernels::bitmask_weights bits(w.view());
    const kernels::block_weights blocks(w.view(), 3);
    const kernels::index_weights lists(w.view());
    matrix<float> y(2, 6);
    matrix<float> yt(6, 2);
    const auto x = random_floats(2, 7, 1);
    CHECK_THROWS_AS(kernels::sparse_product(x.view(), bits, y.view()), tare::error);
    CHECK_THROWS_AS(kernels::sparse_product(x.view(), blocks, y.view()), tare::error);
    CHECK_THROWS_WITH_AS(
        kernels::index_product(x.view(), lists, yt.view()),
        "index_product: xt is (2,7), but the weights are (6,8); xt needs a row for "
        "each input of the weights. Is it transposed?",
        tare::error);
    CHECK_THROWS_AS(kernels::block_weights(w.view(), 0), tare::error);
    CHECK_THROWS_AS(kernels::bitmask_weights({nullptr, 2, 8}), tare::error);
    const auto good = random_floats(2, 8, 1);
    // The view is within reach, the masks of whole strips are not.
    const tare::matrix_view<const float> long_row(good.memory.data(), 1, extent{1} << 58);
    CHECK_THROWS_AS(kernels::bitmask_weights{long_row}, tare::error);
    CHECK_THROWS_AS(kernels::block_weights(long_row, 4), tare::error);
    CHECK_THROWS_AS(kernels::sparse_product({nullptr, 2, 8}, bits, matrix<float>(2, 6).view()),
                    tare::error);
    CHECK_THROWS_AS(kernels::sparse_product(good.view(), bits, {nullptr, 2, 6}), tare::error);
    CHECK_THROWS_AS(kernels::sparse_product(good.view(), blocks, {nullptr, 2, 6}), tare::error);
    CHECK_THROWS_AS(
        kernels::index_product(matrix<float>(8, 2).view(), lists, matrix<float>(6, 3).view()),
        tare::error);
    CHECK_THROWS_AS(kernels::index_product({nullptr, 8, 2}, lists, matrix<float>(6, 2).view()),
                    tare::error);
    CHECK_THROWS_AS(kernels::sparse_product(good.view(), bits, matrix<float>(2, 5).view()),
                    tare::error);
    const tare::matrix_view<float> same(const_cast<float*>(good.memory.data()), 2, 6, 8);
    CHECK_THROWS_AS(kernels::sparse_product(good.view(), bits, same), tare::error);
}
