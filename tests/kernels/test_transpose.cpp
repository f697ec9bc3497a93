// SPDX-License-Identifier: MIT
#include <tare/kernels/transpose.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

TEST_CASE("transpose moves every element to its place and touches no other") {
    for (const extent rows : {0, 1, 15, 16, 17, 64, 65, 130}) {
        for (const extent columns : {0, 1, 16, 31, 64, 97}) {
            const auto x = uniform_values(rows * columns, 121);
            guarded_matrix in(rows, columns);
            guarded_matrix out(columns, rows, 5);
            in.fill(x);
            kernels::transpose(in.view(), out.view());
            std::vector<float> want(x.size());
            kernels::plain::transpose({x.data(), rows, columns},
                                      matrix_view<float>(want.data(), columns, rows));
            CHECK(same_bits(out.dense(), want));
            CHECK(out.intact());
        }
    }
}

TEST_CASE("transposing keeps every bit of subnormals, infinities and NaN") {
    const auto x = special_values(37 * 53);
    std::vector<float> y(x.size()), back(x.size());
    kernels::transpose({x.data(), 37, 53}, {y.data(), 53, 37});
    kernels::transpose({y.data(), 53, 37}, {back.data(), 37, 53});
    CHECK(same_bits(back, x));
    CHECK(same_bits({&y[1], 1}, {&x[53], 1}));
}

TEST_CASE("any number of threads transposes alike") {
    const auto x = uniform_values(700 * 500, 122);
    CHECK(same_for_any_threads([&] {
        std::vector<float> y(x.size());
        kernels::transpose({x.data(), 700, 500}, {y.data(), 500, 700});
        return y;
    }));
}

TEST_CASE("an output of the wrong shape or shared memory is an error") {
    std::vector<float> x(12);
    std::vector<float> y(12);
    CHECK_THROWS_AS(kernels::transpose({x.data(), 3, 4}, {y.data(), 3, 4}), error);
    CHECK_THROWS_AS(kernels::transpose({x.data(), 3, 4}, {x.data(), 4, 3}), error);
}
