// SPDX-License-Identifier: MIT
#include <cstring>
#include <tuple>

#include <tare/kernels/prepared_matrix.hpp>

#include "matmul_cases.hpp"

namespace tk = tare::kernels;
using tare::extent;
using tare::testing::framed_matrix;

TEST_CASE("a product with a prepared matrix is the product with the matrix") {
    const extent lanes = static_cast<extent>(tare::simd::lanes);
    for (const extent m : {0, 1, 2, 3, 7, 12, 13, 50})
        for (const extent n : {extent{0}, extent{1}, lanes, 2 * lanes + 1, extent{131}})
            for (const extent k : {0, 1, 4, 67, 1031})
                for (const bool stored_transposed : {false, true})
                    for (const bool ta : {false, true}) {
                        CAPTURE(m);
                        CAPTURE(n);
                        CAPTURE(k);
                        const framed_matrix a(ta ? k : m, ta ? m : k, 1, 3, 1);
                        const framed_matrix b(stored_transposed ? n : k, stored_transposed ? k : n,
                                              2, 1, 2);
                        framed_matrix c(m, n, 1, 1, 3);
                        const tk::prepared_matrix prepared(b.view(), stored_transposed);
                        CHECK(prepared.depth() == k);
                        CHECK(prepared.columns() == n);
                        tk::matmul(a.view(), prepared, c.view(), {.transpose_a = ta});
                        const auto expected = tare::testing::exact(
                            a.view(), b.view(), m, n,
                            {.transpose_a = ta, .transpose_b = stored_transposed});
                        extent wrong = 0;
                        for (extent i = 0; i < m; ++i)
                            for (extent j = 0; j < n; ++j) {
                                const auto at = static_cast<std::size_t>(i * n + j);
                                const double bound =
                                    tare::testing::sum_bound(k, expected.magnitude[at]);
                                if (!(std::fabs(c.view()(i, j) - expected.value[at]) <= bound))
                                    ++wrong;
                            }
                        CHECK(wrong == 0);
                        CHECK(c.frame_is_whole());
                    }
}

TEST_CASE("a prepared product has the same bits on 1, 2, 3 and 4 threads, for any rows") {
    for (const auto& [m, n, k] : {std::tuple<extent, extent, extent>{1, 4001, 1201},
                                  {9, 1500, 700},
                                  {700, 70, 300},
                                  {33, 9000, 4}}) {
        const framed_matrix a(m, k, 0, 0, 1);
        const framed_matrix b(n, k, 0, 0, 2);
        const framed_matrix bias(1, n, 0, 0, 5);
        const tk::prepared_matrix w(b.view(), true);
        framed_matrix one(m, n, 0, 0, 3);
        const auto finish = tk::add_bias(bias.view().row(0)) | tk::apply_relu();
        tk::matmul(a.view(), w, one.view(), {.accumulate = true}, finish);
        for (const int threads : {2, 3, 4}) {
            tare::set_threads(threads);
            framed_matrix many(m, n, 0, 0, 3);
            tk::matmul(a.view(), w, many.view(), {.accumulate = true}, finish);
            CHECK(std::memcmp(one.view().data, many.view().data,
                              sizeof(float) * static_cast<std::size_t>(m * n)) == 0);
        }
        tare::set_threads(1);
        // Decoding token by token gives what the whole batch gives.
        framed_matrix rows(m, n, 0, 0, 3);
        for (extent i = 0; i < m; ++i)
            tk::matmul(a.view().rows_between(i, i + 1), w, rows.view().rows_between(i, i + 1),
                       {.accumulate = true}, finish);
        CHECK(std::memcmp(one.view().data, rows.view().data,
                          sizeof(float) * static_cast<std::size_t>(m * n)) == 0);
    }
}

TEST_CASE("a prepared matrix refuses transpose_b and sizes that do not fit") {
    const framed_matrix b(5, 4, 0, 0, 2);
    framed_matrix c(3, 5, 0, 0, 3);
    const framed_matrix a(3, 4, 0, 0, 1);
    const tk::prepared_matrix w(b.view(), true);
    CHECK_THROWS_AS(tk::matmul(a.view(), w, c.view(), {.transpose_b = true}), tare::error);
    CHECK_THROWS_AS(tk::matmul(c.view(), w, c.view()), tare::error);
    CHECK_THROWS_AS(tk::prepared_matrix({nullptr, 3, 3}), tare::error);
    CHECK_THROWS_AS(tk::matmul(a.view(), w, {nullptr, 3, 5}), tare::error);
    // A square one, where transposing changes no size; then each epilogue with what does not fit.
    const framed_matrix square(4, 4, 0, 0, 4);
    framed_matrix y(4, 4, 0, 0, 5);
    const tk::prepared_matrix v(square.view());
    CHECK_THROWS_AS(tk::matmul(square.view(), v, y.view(), {.transpose_b = true}), tare::error);
    const auto refuses = [&](const auto& finish) {
        CHECK_THROWS_AS(tk::matmul(square.view(), v, y.view(), {}, finish), tare::error);
    };
    const std::span<const float> values(square.view().data, 16);
    const float* const nowhere = nullptr;
    refuses(tk::add_bias(values.first(3)));
    refuses(tk::add_bias(std::span(nowhere, std::size_t{4})));
    refuses(tk::add_bias(std::span<const float>(y.view().data, 4)));
    refuses(tk::add_residual({values.data(), 4, 3, 4}));
    refuses(tk::add_residual({nowhere, 4, 4}));
    refuses(tk::add_residual(y.view()));
    refuses(tk::apply_relu() | tk::add_bias(values.first(3)));
    refuses(tk::add_bias(values.first(3)) | tk::apply_relu());
    CHECK_THROWS_AS(tk::matmul(square.view(), v, tare::matrix_view<float>(y.view().data, 4, 3, 4)),
                    tare::error);
    // The view is within reach, the columns rounded up to a strip are not.
    const float one = 1.0F;
    CHECK_THROWS_AS(tk::prepared_matrix({&one, extent{1} << 60, 1}), tare::error);
    CHECK_THROWS_AS(tk::prepared_matrix({&one, 1, extent{1} << 60}, true), tare::error);
}
