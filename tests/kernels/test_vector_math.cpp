// SPDX-License-Identifier: MIT
// Sweeps over all floats: zeros, subnormals, infinities and NaN of both signs are in the stride.
#include <bit>
#include <functional>
#include <limits>

#include <tare/kernels/activation.hpp>
#include <tare/kernels/exponential.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

using array_function = std::function<void(std::span<const float>, std::span<float>)>;
using double_function = std::function<double(double)>;

/// A stride that is prime and visits 2^32 / stride floats; the skipped cases use the finer one.
constexpr std::uint64_t default_stride = 20011;
constexpr std::uint64_t fine_stride = 97;

/// Calls check(x, y) for every stride-th float and the special values.
template <class Check>
void sweep(std::uint64_t stride, const array_function& f, Check check) {
    std::vector<float> x = {0.0F, -0.0F, 1.0F, -1.0F, 0x1p-149F, -0x1p-149F, 0x1p-126F};
    const float infinity = std::numeric_limits<float>::infinity();
    x.insert(x.end(), {infinity, -infinity, std::numeric_limits<float>::max(),
                       -std::numeric_limits<float>::max(), std::bit_cast<float>(0x7F800001U),
                       std::bit_cast<float>(0xFFC12345U)});
    std::vector<float> y;
    const auto run = [&] {
        y.assign(x.size(), 0.0F);
        f(x, y);
        for (std::size_t i = 0; i < x.size(); ++i)
            check(x[i], y[i]);
        x.clear();
    };
    for (std::uint64_t bits = 1; bits < (std::uint64_t{1} << 32); bits += stride) {
        x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
        if (x.size() == 4096) run();
    }
    run();
}

/// Worst error in ulp of the result; `least` is the magnitude below which results may be 0.
double worst_ulp(std::uint64_t stride, const array_function& f, const double_function& truth,
                 double least) {
    double worst = 0;
    sweep(stride, f, [&](float x, float y) {
        const double want = truth(static_cast<double>(x));
        double error = 0;
        if (std::isnan(want) || std::isinf(static_cast<float>(want)))
            error = std::isnan(want) == std::isnan(y) &&
                            (std::isnan(want) || y == static_cast<float>(want))
                        ? 0
                        : 1e9;
        else if (std::abs(want) >= least)
            error = ulp_error(y, want);
        else if (y != 0.0F)
            error = std::abs(static_cast<double>(y)) <= 2 * least ? 0 : 1e9;
        // NaN compares false: count it as worst.
        if (!(error <= worst)) worst = error;
    });
    return worst;
}

struct function_case {
    const char* name;
    array_function fast;
    double_function truth;
    double least;    ///< results below may be flushed to zero
    double max_ulp;  ///< measured over every 97th float on all builds, rounded up
};

double stable_sigmoid(double x) {
    return 1 / (1 + std::exp(-x));
}
double stable_softplus(double x) {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

const std::vector<function_case>& cases() {
    static const std::vector<function_case> all = {
        {"exp", [](auto x, auto y) { kernels::exp(x, y); }, [](double x) { return std::exp(x); },
         0.0, 1.2},
        {"log", [](auto x, auto y) { kernels::log(x, y); }, [](double x) { return std::log(x); },
         0.0, 0.9},
        {"tanh", [](auto x, auto y) { kernels::tanh(x, y); }, [](double x) { return std::tanh(x); },
         0.0, 6.0},
        {"erf", [](auto x, auto y) { kernels::erf(x, y); }, [](double x) { return std::erf(x); },
         0.0, 6.3},
        {"sigmoid", [](auto x, auto y) { kernels::sigmoid(x, y); }, stable_sigmoid, 0x1.001p-126,
         2.5},
        {"softplus", [](auto x, auto y) { kernels::activate<kernels::softplus>(x, y); },
         stable_softplus, 0x1.001p-126, 3.0},
        // Flushed with its sigmoid: 88 times the smallest normal number.
        {"swish", [](auto x, auto y) { kernels::activate<kernels::swish>(x, y); },
         [](double x) { return kernels::swish::value(x); }, 0x1.6p-120, 3.2},
        {"the slope of sigmoid",
         [](auto x, auto y) {
             const std::vector<float> ones(x.size(), 1.0F);
             kernels::activate_backward<kernels::logistic>(x, ones, y);
         },
         [](double x) { return stable_sigmoid(x) * stable_sigmoid(-x); }, 0x1.001p-126, 5.0},
        {"relu", [](auto x, auto y) { kernels::activate<kernels::relu>(x, y); },
         [](double x) { return x < 0 ? 0 : x; }, 0.0, 0.0},
    };
    return all;
}

void check_all(std::uint64_t stride) {
    for (const function_case& c : cases()) {
        const double worst = worst_ulp(stride, c.fast, c.truth, c.least);
        CAPTURE(std::string(c.name));
        CHECK(worst <= c.max_ulp);
    }
}

/// The gates multiply x by a share of absolute error 2^-24 or so: errors count in ulp of x.
template <kernels::activation A>
double worst_gate_error(std::uint64_t stride) {
    double worst = 0;
    sweep(
        stride, [](auto x, auto y) { kernels::activate<A>(x, y); },
        [&](float x, float y) {
            const double want = A::value(static_cast<double>(x));
            if (std::isnan(want) || std::isinf(static_cast<float>(want))) {
                if (std::isnan(want) != std::isnan(y)) worst = 1e9;
                return;
            }
            int exponent = 0;
            std::frexp(static_cast<double>(x), &exponent);
            const double unit = std::ldexp(1.0, std::max(exponent - 24, -149));
            const double error = std::abs(static_cast<double>(y) - want) / unit;
            if (!(error <= worst)) worst = error;
        });
    return worst;
}
/// f of packs as a function of arrays.
template <class F>
array_function by_packs(F f) {
    return [f](std::span<const float> x, std::span<float> y) {
        constexpr std::size_t lanes = simd::pack_lanes;
        for (std::size_t i = 0; i < x.size(); i += lanes) {
            const std::size_t count = std::min(lanes, x.size() - i);
            store(y.data() + i, f(simd::load_pack(x.data() + i, count)), count);
        }
    };
}

/// Worst absolute error in units of 2^-24; inputs whose true result is no finite number are left
/// out.
double worst_absolute(std::uint64_t stride, const array_function& f, const double_function& truth) {
    double worst = 0;
    sweep(stride, f, [&](float x, float y) {
        const double want = truth(static_cast<double>(x));
        if (!std::isfinite(want)) return;
        const double error = std::abs(static_cast<double>(y) - want) * 0x1p24;
        if (!(error <= worst)) worst = error;
    });
    return worst;
}
template <kernels::activation A>
double worst_slope_error(std::uint64_t stride) {
    const auto slopes = [](std::span<const float> x, std::span<float> y) {
        const std::vector<float> ones(x.size(), 1.0F);
        kernels::activate_backward<A>(x, ones, y);
    };
    return worst_absolute(stride, slopes, [](double x) { return A::derivative(x); });
}

// Half an ulp of rounding, the stated absolute error of the gate (2^-24 is 2 ulp of x at worst),
// and the rounding of the gate itself.
constexpr double gate_max_ulp = 4.0;

}  // namespace

TEST_CASE("elementary functions keep their stated error over the whole range") {
    check_all(default_stride);
}
TEST_CASE("elementary functions keep their stated error on every 97th float" * doctest::skip()) {
    check_all(fine_stride);
}

TEST_CASE("GELU and swish stay within units in the last place of x") {
    CHECK(worst_gate_error<kernels::gelu>(default_stride) <= gate_max_ulp);
    CHECK(worst_gate_error<kernels::gelu_tanh>(default_stride) <= gate_max_ulp);
    CHECK(worst_gate_error<kernels::swish>(default_stride) <= gate_max_ulp);
}

TEST_CASE("slopes of activations keep their stated absolute error") {
    // Measured over every 97th float with and without fma, rounded up.
    CHECK(worst_slope_error<kernels::gelu>(default_stride) <= 4.0);
    CHECK(worst_slope_error<kernels::gelu_tanh>(default_stride) <= 4.0);
    CHECK(worst_slope_error<kernels::swish>(default_stride) <= 3.5);
    CHECK(worst_slope_error<kernels::softplus>(default_stride) <= 1.6);
    CHECK(worst_slope_error<kernels::hyperbolic_tangent>(default_stride) <= 12.0);
}

TEST_CASE("gates keep their stated absolute error, the exponential of softmax that of exp") {
    using namespace kernels::vector_math;
    const auto normal =
        by_packs([](const simd::pack& x) { return gate_minus_half<normal_gate>(x); });
    CHECK(worst_absolute(default_stride, normal, [](double x) {
              return 0.5 * std::erf(x * 0.7071067811865475244);
          }) <= 3.0);
    const auto cubic =
        by_packs([](const simd::pack& x) { return gate_minus_half<cubic_tanh_gate>(x); });
    CHECK(worst_absolute(default_stride, cubic, [](double x) {
              return 0.5 * std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
          }) <= 3.0);
    const auto falling =
        by_packs([](const simd::pack& x) { return exp_nonpositive(negative_abs(x)); });
    CHECK(worst_ulp(
              default_stride, falling, [](double x) { return std::exp(-std::abs(x)); },
              0x1.001p-126) <= 1.2);
}

TEST_CASE("an activation far out is exactly its limit") {
    const std::vector<float> x = {-1e30F, -200.0F, 200.0F, 1e30F};
    std::vector<float> y(4);
    kernels::activate<kernels::gelu>(x, y);
    CHECK(y == std::vector<float>{0.0F, 0.0F, 200.0F, 1e30F});
    kernels::activate<kernels::gelu_tanh>(x, y);
    CHECK(y == std::vector<float>{0.0F, 0.0F, 200.0F, 1e30F});
    kernels::tanh(x, y);
    CHECK(y == std::vector<float>{-1.0F, -1.0F, 1.0F, 1.0F});
    kernels::sigmoid(x, y);
    CHECK(y == std::vector<float>{0.0F, 0.0F, 1.0F, 1.0F});
}

TEST_CASE("exp keeps subnormal results and its edges") {
    const std::vector<float> x = {-87.5F, -103.0F, -104.0F, 88.72283F, 88.7229F};
    std::vector<float> y(x.size());
    kernels::exp(x, y);
    CHECK(y[0] > 0.0F);
    CHECK(y[1] == 0x1p-149F);
    CHECK(y[2] == 0.0F);
    CHECK(std::isfinite(y[3]));
    CHECK(std::isinf(y[4]));
}
