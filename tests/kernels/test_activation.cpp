// SPDX-License-Identifier: MIT
#include <limits>

#include <tare/kernels/activation.hpp>
#include <tare/kernels/exponential.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;
using namespace tare::kernels;

namespace {

// Central differences in double with step h err by h^2 f'''/6 + 2^-52 f / h: below 1e-8 at 1e-5.
constexpr double step = 1e-5;
constexpr double derivative_tolerance = 1e-8;
// Worst is 1 - tanh^2, where the 6 ulp of tanh count twice; the others err by less.
constexpr double float_derivative_tolerance = 14 * 0x1p-24;

template <class A>
void check_derivative() {
    const auto x = uniform_values(1000, 11, -8.0F, 8.0F);
    const std::vector<float> ones(x.size(), 1.0F);
    std::vector<float> fast(x.size());
    activate_backward<A>(x, ones, fast);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const auto v = static_cast<double>(x[i]);
        const double slope = (A::value(v + step) - A::value(v - step)) / (2 * step);
        const double exact = A::derivative(v);
        REQUIRE(std::abs(slope - exact) <= derivative_tolerance);
        REQUIRE(std::abs(static_cast<double>(fast[i]) - exact) <= float_derivative_tolerance);
    }
}

}  // namespace

TEST_CASE("the derivative of each activation is the slope of its value") {
    check_derivative<relu>();
    check_derivative<gelu>();
    check_derivative<gelu_tanh>();
    check_derivative<swish>();
    check_derivative<kernels::softplus>();
    check_derivative<logistic>();
    check_derivative<hyperbolic_tangent>();
}

TEST_CASE("an array may start anywhere and have any size") {
    for (const extent n : awkward_sizes) {
        const auto x = uniform_values(n, 3);
        std::vector<float> want(x.size());
        for (std::size_t i = 0; i < x.size(); ++i)
            kernels::tanh(std::span(x).subspan(i, 1), std::span(want).subspan(i, 1));
        for (const extent shift : {0, 1, 5}) {
            std::vector<float> from(x.size() + 8, 99.0F);
            std::vector<float> to(x.size() + 8, 99.0F);
            std::copy(x.begin(), x.end(), from.begin() + shift);
            const auto at = static_cast<std::size_t>(shift);
            kernels::tanh(std::span(from).subspan(at, x.size()),
                          std::span(to).subspan(at, x.size()));
            CHECK(same_bits(std::span(to).subspan(at, x.size()), want));
            CHECK(std::count(to.begin(), to.end(), 99.0F) == 8);
            kernels::tanh(std::span(from).subspan(at, x.size()),
                          std::span(from).subspan(at, x.size()));
            CHECK(same_bits(std::span(from).subspan(at, x.size()), want));
        }
    }
}

TEST_CASE("streamed results are those of the caches") {
    const auto count = static_cast<extent>(streaming_bytes / sizeof(float)) + 37;
    const std::vector<float> x(static_cast<std::size_t>(count), 0.75F);
    std::vector<float> y(x.size() + 3, 0.0F);
    const std::span<float> out = std::span(y).subspan(1, x.size());
    activate<relu>(x, out);
    CHECK(std::equal(x.begin(), x.end(), out.begin()));
    CHECK(y.front() == 0.0F);
    CHECK(y.back() == 0.0F);
}

TEST_CASE("any number of threads gives the same bits") {
    const auto x = uniform_values(300'007, 5, -20.0F, 20.0F);
    CHECK(same_for_any_threads([&] {
        std::vector<float> y(x.size());
        activate<gelu>(x, y);
        activate_backward<swish>(x, y, y);
        return y;
    }));
    for (const auto f : {kernels::exp, kernels::log, kernels::tanh, kernels::sigmoid, kernels::erf})
        CHECK(same_for_any_threads([&] {
            std::vector<float> y(x.size());
            f(x, y);
            return y;
        }));
}

TEST_CASE("sizes that differ and half overlapping memory are errors") {
    std::vector<float> x(64);
    std::vector<float> y(63);
    CHECK_THROWS_AS(activate<relu>(x, y), error);
    CHECK_THROWS_AS(kernels::exp(std::span(x).first(32), std::span(x).subspan(1, 32)), error);
}
