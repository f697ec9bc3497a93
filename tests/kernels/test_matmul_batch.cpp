// SPDX-License-Identifier: MIT
#include <cstring>

#include <tare/kernels/matmul_batch.hpp>

#include "matmul_cases.hpp"

namespace tk = tare::kernels;
using tare::extent;
using tare::testing::framed_matrix;

TEST_CASE("a batch gives what its products give one by one, on any number of threads") {
    // Scores of attention: 7 heads of width 24 side by side in rows of 168, 230 positions, so that
    // the batch is work for several threads.
    const extent heads = 7;
    const extent width = 24;
    const extent rows = 230;
    const framed_matrix q(rows, heads * width, 0, 1, 1);
    const framed_matrix k(rows, heads * width, 0, 2, 2);
    framed_matrix one_by_one(heads * rows, rows, 0, 0, 3);
    const auto head = [&](const framed_matrix& m, extent h) {
        return m.view().columns_between(h * width, (h + 1) * width);
    };
    for (extent h = 0; h < heads; ++h)
        tk::matmul(head(q, h), head(k, h), one_by_one.view().rows_between(h * rows, (h + 1) * rows),
                   {.transpose_b = true}, tk::scale_by(0.25F));
    for (const int threads : {1, 2, 3, 4}) {
        tare::set_threads(threads);
        framed_matrix scores(heads * rows, rows, 0, 0, 4);
        tk::matmul_batch({head(q, 0), heads, width}, {head(k, 0), heads, width},
                         {scores.view().rows_between(0, rows), heads, rows * rows},
                         {.transpose_b = true}, tk::scale_by(0.25F));
        CHECK(std::memcmp(scores.view().data, one_by_one.view().data,
                          sizeof(float) * static_cast<std::size_t>(heads * rows * rows)) == 0);
    }
    tare::set_threads(1);
}

TEST_CASE("a batch may repeat an operand, interleave its outputs, and be large or empty") {
    const extent count = 300;
    const framed_matrix a(count * 8, 40, 0, 0, 1);
    const framed_matrix w(40, 4, 0, 0, 2);
    framed_matrix expected(count * 8, 4, 0, 0, 3);
    tk::matmul(a.view(), w.view(), expected.view());
    for (const int threads : {1, 4}) {
        tare::set_threads(threads);
        // Output i is the columns [4 i, 4 i + 4) of a matrix of 8 rows.
        framed_matrix c(8, count * 4, 0, 0, 4);
        tk::matmul_batch({a.view().rows_between(0, 8), count, 8 * 40}, {w.view(), count, 0},
                         {c.view().columns_between(0, 4), count, 4});
        extent wrong = 0;
        for (extent i = 0; i < count; ++i)
            for (extent r = 0; r < 8; ++r)
                for (extent j = 0; j < 4; ++j)
                    if (c.view()(r, 4 * i + j) != expected.view()(8 * i + r, j)) ++wrong;
        CHECK(wrong == 0);
    }
    tare::set_threads(1);
    CHECK_NOTHROW(tk::matmul_batch({}, {}, {}));
}

TEST_CASE("a batch refuses different counts, negative steps and overlapping outputs") {
    std::vector<float> memory(1000);
    float* const p = memory.data();
    std::vector<float> out(1000);
    const tk::matrix_batch<const float> a({p, 3, 4}, 5, 12);
    const tk::matrix_batch<const float> b({p + 100, 4, 2}, 5, 8);
    CHECK_NOTHROW(tk::matmul_batch(a, b, {{out.data(), 3, 2}, 5, 6}));
    CHECK_THROWS_AS(tk::matmul_batch(a, b, {{out.data(), 3, 2}, 4, 6}), tare::error);
    CHECK_THROWS_AS(tk::matmul_batch(a, b, {{out.data(), 3, 2}, 5, 5}), tare::error);
    CHECK_THROWS_AS(tk::matmul_batch(a, b, {{out.data(), 3, 2}, 5, 0}), tare::error);
    CHECK_THROWS_AS(tk::matmul_batch(a, b, {{out.data(), 3, 2}, 5, -6}), tare::error);
    CHECK_THROWS_AS(tk::matmul_batch(a, b, {{p + 130, 3, 2}, 5, 6}), tare::error);
    CHECK_THROWS_AS(tk::matmul_batch(a, b, {{out.data(), 3, 2}, 5, extent{1} << 62}), tare::error);
    // Each operand by itself: steps backwards and beyond a 64-bit offset, too few, a bias too
    // short.
    const tk::matrix_batch<float> c({out.data(), 3, 2}, 5, 6);
    CHECK_THROWS_AS(tk::matmul_batch({{p + 200, 3, 4}, 5, -12}, b, c), tare::error);
    CHECK_THROWS_AS(tk::matmul_batch(a, {{p + 200, 4, 2}, 5, -8}, c), tare::error);
    CHECK_THROWS_AS(tk::matmul_batch({{p, 3, 4}, 5, extent{1} << 61}, b, c), tare::error);
    CHECK_THROWS_AS(tk::matmul_batch(a, {{p, 4, 2}, 4, 8}, c), tare::error);
    CHECK_THROWS_AS(tk::matmul_batch({{p, 3, 4}, 4, 12}, b, c), tare::error);
    CHECK_THROWS_AS(
        tk::matmul_batch({{p, 3, 4}, -1, 12}, {{p, 4, 2}, -1, 8}, {{out.data(), 3, 2}, -1, 6}),
        tare::error);
    const std::vector<float> one(1);
    CHECK_THROWS_AS(tk::matmul_batch(a, b, c, {}, tk::add_bias(one)), tare::error);
    // The third output lies on the first matrix of b.
    CHECK_THROWS_AS(tk::matmul_batch(a, {{out.data() + 12, 4, 2}, 5, 0}, c), tare::error);
}
