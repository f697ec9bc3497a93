// SPDX-License-Identifier: MIT
#include <limits>

#include <tare/kernels/elementwise.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

/// Sums, differences, products and multiples of arrays beside the plain ones.
template <class Same>
void check_arithmetic(const std::vector<float>& a, const std::vector<float>& b, Same same) {
    std::vector<float> y(a.size());
    std::vector<float> want(a.size());
    const std::span<float> out(want);
    kernels::add(a, b, y);
    kernels::plain::add(a, b, out);
    CHECK(same(y, want));
    kernels::subtract(a, b, y);
    kernels::plain::subtract(a, b, out);
    CHECK(same(y, want));
    kernels::multiply(a, b, y);
    kernels::plain::multiply(a, b, out);
    CHECK(same(y, want));
    kernels::scale(a, 0.3F, y);
    kernels::plain::scale(a, 0.3F, out);
    CHECK(same(y, want));
}

}  // namespace

TEST_CASE("arithmetic of arrays is the plain arithmetic bit by bit") {
    for (const extent n : awkward_sizes) {
        const auto a = uniform_values(n, 131);
        const auto b = uniform_values(n, 132);
        check_arithmetic(a, b, same_bits);
        std::vector<float> want(a.size());
        const std::span<float> out(want);
        std::vector<float> in_place = a;
        kernels::add(in_place, b, in_place);
        kernels::plain::add(a, b, out);
        CHECK(same_bits(in_place, want));

        kernels::axpy(0.7F, a, in_place);
        kernels::plain::axpy(0.7F, a, out);
        // fma rounds once, product and sum twice: apart by the rounding of a product below 2.1.
        for (std::size_t i = 0; i < want.size(); ++i)
            CHECK(std::abs(in_place[i] - want[i]) <= 4 * 0x1p-23F);
    }
}

TEST_CASE("subnormals, infinities and NaN add up as single floats do") {
    // Bits but for those of a NaN, whose sign and payload the machine may choose.
    const auto same = [](std::span<const float> a, std::span<const float> b) {
        for (std::size_t i = 0; i < a.size(); ++i)
            if (!(std::isnan(a[i]) && std::isnan(b[i])) && !same_bits({&a[i], 1}, {&b[i], 1}))
                return false;
        return true;
    };
    constexpr extent count = 18 * 19 + 1;
    const auto a = special_values(count);
    std::vector<float> b;
    for (std::size_t i = 0; i < a.size(); ++i)
        b.push_back(special_values(1, i / 18 + i)[0]);
    check_arithmetic(a, b, same);
    // One column of a sum is spoilt by its own NaN alone.
    std::vector<float> x(70 * 37, 0x1p-149F);
    x[5 * 37 + 20] = std::numeric_limits<float>::quiet_NaN();
    x[6 * 37 + 21] = std::numeric_limits<float>::infinity();
    std::vector<float> sums(37);
    kernels::column_sums({x.data(), 70, 37}, sums);
    for (std::size_t c = 0; c < sums.size(); ++c) {
        if (c == 20) CHECK(std::isnan(sums[c]));
        if (c == 21) CHECK(sums[c] == std::numeric_limits<float>::infinity());
        if (c < 20 || c > 21) CHECK(sums[c] == 70 * 0x1p-149F);
    }
}

TEST_CASE("a bias is added to every row and column sums take it back") {
    for (const extent columns : {0, 1, 15, 16, 17, 64, 65, 97, 200}) {
        for (const extent rows : {0, 1, 5, 64, 65, 200}) {
            const auto x = uniform_values(rows * columns, 133);
            const auto bias = uniform_values(columns, 134);
            guarded_matrix m(rows, columns);
            m.fill(x);
            std::vector<float> want(x.size());
            kernels::plain::add_to_rows({x.data(), rows, columns}, bias,
                                        matrix_view<float>(want.data(), rows, columns));
            kernels::add_to_rows(m.view(), bias, m.view());
            CHECK(same_bits(m.dense(), want));

            std::vector<float> sums(bias.size(), 7.0F);
            kernels::column_sums(m.view(), sums);
            const auto wide = widen(want);
            std::vector<double> exact(bias.size());
            kernels::plain::column_sums({wide.data(), rows, columns}, std::span<double>(exact));
            // |values| <= 6: the stated bound on the sum of sizes.
            const double bound =
                (64 + static_cast<double>(rows) / 64) * 0x1p-24 * 6 * static_cast<double>(rows);
            for (std::size_t c = 0; c < sums.size(); ++c)
                REQUIRE(std::abs(static_cast<double>(sums[c]) - exact[c]) <= bound);
            std::vector<float> twice = sums;
            kernels::column_sums(m.view(), twice, true);
            for (std::size_t c = 0; c < sums.size(); ++c)
                REQUIRE(std::abs(static_cast<double>(twice[c]) - 2 * exact[c]) <= 3 * bound);
            CHECK(m.intact());
        }
    }
}

TEST_CASE("any number of threads gives the same arithmetic") {
    constexpr extent count = 200'003;
    const auto a = uniform_values(count, 136);
    const auto b = uniform_values(count, 137);
    CHECK(same_for_any_threads([&] {
        std::vector<float> out(6 * a.size());
        const auto part = [&](std::size_t i) {
            return std::span(out).subspan(i * a.size(), a.size());
        };
        kernels::add(a, b, part(0));
        kernels::subtract(a, b, part(1));
        kernels::multiply(a, b, part(2));
        kernels::scale(a, 0.3F, part(3));
        kernels::axpy(0.7F, a, part(4));
        kernels::add_to_rows({a.data(), 547, 365}, std::span(b).first(365),
                             {part(5).data(), 547, 365});
        return out;
    }));
}

TEST_CASE("any number of threads gives the same column sums") {
    const auto x = uniform_values(2000 * 300, 135);
    CHECK(same_for_any_threads([&] {
        std::vector<float> out(300);
        kernels::column_sums({x.data(), 2000, 300}, out);
        return out;
    }));
}

TEST_CASE("shapes that do not fit are errors") {
    std::vector<float> x(12);
    std::vector<float> y(12);
    CHECK_THROWS_AS(kernels::add(x, std::span(y).first(3), y), error);
    CHECK_THROWS_AS(kernels::add_to_rows({x.data(), 3, 4}, y, {y.data(), 3, 4}), error);
    const auto four = std::span<const float>(y).first(4);
    const auto three = std::span<const float>(y).first(3);
    CHECK_THROWS_AS(kernels::add_to_rows({x.data(), 3, 4}, three, {x.data(), 3, 4}), error);
    CHECK_THROWS_AS(kernels::add_to_rows({x.data(), 2, 4}, four, {x.data(), 3, 4}), error);
    CHECK_THROWS_AS(kernels::column_sums({x.data(), 3, 4}, std::span(y).first(3)), error);
    CHECK_THROWS_AS(kernels::column_sums({x.data(), 3, 4, 2}, std::span(y).first(4)), error);
    CHECK_THROWS_AS(kernels::column_sums({x.data(), -1, 4}, std::span(y).first(4)), error);
}
