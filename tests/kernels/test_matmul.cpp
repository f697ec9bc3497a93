// SPDX-License-Identifier: MIT
#include <vector>

#include <doctest/doctest.h>

#include <tare/kernels/matmul.hpp>

namespace tk = tare::kernels;

TEST_CASE("a product runs its epilogue") {
    std::vector<float> a{1, 2, 3, 4}, b{1, 0, 0, 1}, c(4), bias{1, -10};
    tk::matmul(tare::matrix_view<float>(a.data(), 2, 2), {b.data(), 2, 2}, {c.data(), 2, 2},
               {.transpose_b = true}, tk::add_bias(bias) | tk::apply_relu());
    CHECK(c == std::vector<float>{2, 0, 4, 0});
}
