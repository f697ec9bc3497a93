// SPDX-License-Identifier: MIT
// One row times shallow strips against the formula and against the product by tiles.
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/kernels/prepared_matrix.hpp>
#include <tare/kernels/thin_row.hpp>

using namespace tare;

namespace {

std::vector<float> values(std::size_t count, float phase) {
    std::vector<float> v(count);
    for (std::size_t i = 0; i < count; ++i)
        v[i] = std::sin(0.7F * static_cast<float>(i) + phase);
    return v;
}

/// A row, packed weights and a bias; `shift` floats are left in front of bias and outputs.
struct operands {
    std::vector<float> x;
    std::vector<float> weights;
    kernels::prepared_matrix packed;
    std::vector<float> bias;
    std::size_t shift;

    operands(extent depth, extent outputs, std::size_t shift_)
        : x(values(static_cast<std::size_t>(depth), 0.1F)),
          weights(values(static_cast<std::size_t>(depth * outputs), 0.3F)),
          packed(matrix_view<const float>(weights.data(), outputs, depth), true),
          bias(values(static_cast<std::size_t>(outputs) + shift_, 0.9F)),
          shift(shift_) {}

    [[nodiscard]] std::span<const float> biases() const {
        return std::span<const float>(bias).subspan(shift);
    }
    /// Outputs of one of the kernels, behind `shift` floats.
    template <class Kernel>
    [[nodiscard]] std::vector<float> run(const Kernel& kernel) const {
        std::vector<float> y(bias.size(), -7.0F);
        kernel(std::span<const float>(x), packed.strips().data(), biases(),
               std::span(y).subspan(shift));
        return y;
    }
    [[nodiscard]] std::vector<float> fast() const {
        return run([](auto... a) { kernels::thin_row(a...); });
    }
    [[nodiscard]] std::vector<float> plain() const {
        return run([](auto... a) { kernels::plain::thin_row(a...); });
    }
};

}  // namespace

TEST_CASE("thin rows equal the formula and the product by tiles, bit for bit") {
    for (const extent depth : {1, 2, 3, 4, 5, 15, 16})
        for (const extent outputs : {1, 15, 16, 17, 31, 32, 33, 127, 128, 129, 1009})
            for (const std::size_t shift : {0U, 3U}) {
                const operands o(depth, outputs, shift);
                CAPTURE(depth);
                CAPTURE(outputs);
                const std::vector<float> got = o.fast();
                REQUIRE(got == o.plain());
                std::vector<float> tiles(static_cast<std::size_t>(outputs));
                kernels::matmul(matrix_view<const float>(o.x.data(), 1, depth), o.packed,
                                matrix_view<float>(tiles.data(), 1, outputs), {},
                                kernels::add_bias(o.biases()));
                REQUIRE(std::equal(tiles.begin(), tiles.end(),
                                   got.begin() + static_cast<std::ptrdiff_t>(shift)));
            }
}

TEST_CASE("what is not a number, or infinite, reaches its own outputs alone") {
    operands o(4, 131, 0);
    o.bias[7] = std::numeric_limits<float>::quiet_NaN();
    o.bias[130] = std::numeric_limits<float>::infinity();
    const std::vector<float> y = o.fast();
    for (std::size_t n = 0; n < y.size(); ++n) {
        CHECK(std::isnan(y[n]) == (n == 7));
        CHECK(std::isinf(y[n]) == (n == 130));
    }
    o.x[2] = std::numeric_limits<float>::quiet_NaN();
    for (const float v : o.fast())
        CHECK(std::isnan(v));
}

TEST_CASE("no outputs, or no depth, are the bias alone") {
    CHECK(operands(4, 0, 3).fast() == std::vector<float>(3, -7.0F));
    const operands o(0, 40, 0);
    CHECK(o.fast() == o.bias);
}
