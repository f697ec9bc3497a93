// SPDX-License-Identifier: MIT
#include <limits>

#include <tare/kernels/top_k.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

void check_against_sort(std::span<const float> x, extent rows, extent columns, extent k) {
    const auto count = static_cast<std::size_t>(rows * k);
    std::vector<float> values(count);
    std::vector<float> want_values(count);
    std::vector<std::int32_t> indices(count);
    std::vector<std::int32_t> want(count);
    const matrix_view<const float> view(x.data(), rows, columns);
    kernels::top_k(view, {values.data(), rows, k}, {indices.data(), rows, k});
    kernels::plain::top_k(view, {want_values.data(), rows, k},
                          matrix_view<std::int32_t>(want.data(), rows, k));
    CAPTURE(columns);
    CAPTURE(k);
    CHECK(indices == want);
    CHECK(same_bits(values, want_values));
}

}  // namespace

TEST_CASE("top-k is the head of a stable sort") {
    for (const extent columns : {1, 5, 16, 17, 64, 100, 1000, 3502, 20'011}) {
        const auto x = uniform_values(3 * columns, 91);
        for (const extent k : {1, 2, 30, 64, 300}) {
            if (k <= columns) check_against_sort(x, 3, columns, k);
        }
        check_against_sort(x, 3, columns, std::min<extent>(columns, 700));
    }
}

TEST_CASE("ties go to the lower position, rising and constant rows work") {
    std::vector<float> x(5000);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>(i);
    check_against_sort(x, 1, 5000, 30);
    std::fill(x.begin(), x.end(), 1.0F);
    check_against_sort(x, 1, 5000, 30);
    std::fill(x.begin(), x.end(), -std::numeric_limits<float>::infinity());
    check_against_sort(x, 1, 5000, 30);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>(i % 7);
    check_against_sort(x, 1, 5000, 30);
}

TEST_CASE("NaN and infinities come first") {
    auto x = uniform_values(4000, 92);
    x[3999] = std::numeric_limits<float>::quiet_NaN();
    x[17] = std::numeric_limits<float>::infinity();
    x[18] = -std::numeric_limits<float>::infinity();
    check_against_sort(x, 1, 4000, 10);
    for (std::size_t i = 0; i < x.size(); i += 2)
        x[i] = std::numeric_limits<float>::quiet_NaN();
    check_against_sort(x, 1, 4000, 30);
}

TEST_CASE("zeros of both signs are equal, and so are NaN of both signs") {
    // Few values above, so that the last places go to ties of either kind.
    for (const extent columns : {40, 3000}) {
        auto x = uniform_values(columns, 94, -3.0F, -1.0F);
        for (std::size_t i = 1; i < x.size(); i += 3)
            x[i] = i % 2 == 0 ? 0.0F : -0.0F;
        check_against_sort(x, 1, columns, 10);
        for (std::size_t i = 2; i < x.size(); i += 4)
            x[i] = std::copysign(std::numeric_limits<float>::quiet_NaN(), i % 8 < 4 ? 1.0F : -1.0F);
        check_against_sort(x, 1, columns, 8);
        check_against_sort(x, 1, columns, 30);
    }
}

TEST_CASE("special values are ordered too, in rows that begin anywhere and lie apart") {
    for (const extent columns : {18, 63, 64, 65, 1000, 3001}) {
        const auto x = special_values(columns);
        check_against_sort(x, 1, columns, 9);
        check_against_sort(x, 1, columns, columns);
        const auto memory = uniform_values(3 * (columns + 5) + 1, 95);
        const matrix_view<const float> apart(memory.data() + 1, 3, columns, columns + 5);
        std::vector<std::int32_t> indices(30), want(30);
        kernels::top_k(apart, {}, {indices.data(), 3, 10});
        kernels::plain::top_k(apart, {}, matrix_view<std::int32_t>(want.data(), 3, 10));
        CHECK(indices == want);
    }
    std::vector<std::int32_t> none;
    CHECK_NOTHROW(kernels::top_k({nullptr, 0, 5}, {}, {none.data(), 0, 3}));
}

TEST_CASE("any number of threads gives the same positions, and values may be left out") {
    const auto x = uniform_values(40 * 10'007, 93);
    CHECK(same_for_any_threads([&] {
        std::vector<std::int32_t> indices(40 * 30);
        kernels::top_k({x.data(), 40, 10'007}, {}, {indices.data(), 40, 30});
        return std::vector<float>(indices.begin(), indices.end());
    }));
}

TEST_CASE("a k that does not fit is an error") {
    const std::vector<float> x(10);
    std::vector<std::int32_t> indices(11);
    CHECK_THROWS_AS(kernels::top_k({x.data(), 1, 10}, {}, {indices.data(), 1, 11}), error);
    CHECK_THROWS_AS(kernels::top_k({x.data(), 1, 10}, {}, {indices.data(), 1, 0}), error);
    CHECK_THROWS_AS(kernels::top_k({x.data(), 1, 10}, {}, {indices.data(), 2, 3}), error);
}
