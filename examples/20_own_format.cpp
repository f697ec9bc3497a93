// A number format of one's own in one file: six bits, one sign, four exponent bits, one mantissa
// bit, no specials. The conformance suite checks it, and everything that takes a format takes it.

#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <tare/core/random.hpp>
#include <tare/formats/convert.hpp>
#include <tare/formats/minifloat.hpp>
#include <tare/testing/check_format.hpp>

namespace {

struct fp6_e4m1 : tare::minifloat<4, 1, 7, tare::specials::none> {
    static constexpr std::string_view name = "fp6_e4m1";
};
static_assert(tare::numeric_format<fp6_e4m1>);

/// The same bits with a mistake: negative numbers lose their sign.
struct fp6_broken : fp6_e4m1 {
    static constexpr std::string_view name = "fp6_broken";
    static code_type encode(float x) { return fp6_e4m1::encode(x < 0 ? -x : x); }
    static float round(float x) { return decode(encode(x)); }
};

}  // namespace

int main() {
    try {
        tare::testing::check_format<fp6_e4m1>();
        std::printf("fp6_e4m1 conforms: largest value %g, smallest %g\n",
                    double{fp6_e4m1::max_value()}, double{fp6_e4m1::min_positive()});

        const std::vector<float> x{0.1F, -1.0F, 2.6F, 100.0F, 1e6F};
        std::vector<float> y(x.size());
        tare::round_trip<fp6_e4m1>(x, y);
        for (std::size_t i = 0; i < x.size(); ++i)
            std::printf("%g -> %g\n", double{x[i]}, double{y[i]});

        // The same layout, rounded at random but without bias: 2.6 lies 0.6 of the way from 2 to 3.
        using stochastic = fp6_e4m1::with_rounding<tare::stochastic>;
        std::vector<float> many(10'000, 2.6F);
        tare::round_trip<stochastic>(many, many, tare::random_stream(1, 0));
        double sum = 0;
        for (const float v : many)
            sum += double{v};
        std::printf("mean of 10000 stochastic roundings of 2.6: %.2f\n", sum / 10'000);

        for (const std::string& failure : tare::testing::format_failures<fp6_broken>()) {
            std::printf("fp6_broken: %s\n", failure.c_str());
            break;
        }
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
