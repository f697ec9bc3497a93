// SPDX-License-Identifier: MIT
// Activations as digits base 255, against the integers that they stand for.
#include <cmath>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <tare/kernels/signed_digits.hpp>

using namespace tare;
using namespace tare::kernels;

namespace {

/// What the digits of one value add up to, in units.
std::int32_t value_of(const signed_digits& digits, extent row, extent k) {
    std::int32_t value = 0;
    for (int p = digits.parts(); p-- > 0;)
        value = value * 255 + digits.digits(row, p)[k];
    return value;
}

}  // namespace

TEST_CASE("every code of two digits and the edges of three are cut right") {
    std::vector<float> x;
    for (int code = -16383; code <= 16383; ++code)
        x.push_back(static_cast<float>(code));
    const auto count = static_cast<extent>(x.size());
    const signed_digits two(matrix_view<const float>(x.data(), 1, count), 15, 1.0F);
    for (extent k = 0; k < count; ++k) {
        REQUIRE(value_of(two, 0, k) == k - 16383);
        REQUIRE(two.digits(0, 0)[k] >= -127);
        REQUIRE(two.digits(0, 1)[k] >= -127);
    }
    // Around the halves between two upper digits, with a unit of one.
    std::vector<std::int32_t> codes{1 << 22, -(1 << 22)};
    for (int high = -64; high < 64; ++high)
        for (int low = -3; low <= 3; ++low)
            codes.push_back(high * 65025 + 32512 + low);
    x.clear();
    for (const std::int32_t code : codes)
        x.push_back(static_cast<float>(code) * 0.5F);  // below 2^22 times the unit of 2^-1
    x.front() = x[1] = 0.5F;
    x.push_back(static_cast<float>((1 << 22) - 1) * 0.5F);
    codes.push_back((1 << 22) - 1);
    codes[0] = codes[1] = 1;
    const signed_digits three(matrix_view<const float>(x.data(), 1, static_cast<extent>(x.size())));
    REQUIRE(three.unit(0) == 0.5F);
    for (std::size_t k = 0; k < codes.size(); ++k) {
        REQUIRE(value_of(three, 0, static_cast<extent>(k)) == codes[k]);
        for (int p = 0; p < 3; ++p)
            REQUIRE(three.digits(0, p)[k] >= -127);
    }
}

TEST_CASE("digits of any number of values add up to their integers, with zeros behind") {
    for (const extent n : {0, 1, 2, 3, 4, 5, 63, 64, 65, 67, 127, 128, 129, 257}) {
        for (const int bits : {8, 15, 32}) {
            const float most = static_cast<float>(bits == 8 ? 127 : 16383);
            std::vector<float> x;
            for (extent k = 0; k < 2 * n; ++k)
                x.push_back(std::round(most * std::sin(static_cast<float>(3 * k + 1))));
            const matrix_view<const float> view(x.data(), 2, n);
            const signed_digits digits =
                bits == 32 ? signed_digits(view) : signed_digits(view, bits, 1.0F);
            for (extent row = 0; row < 2; ++row)
                for (extent k = 0; k < (n + 3) / 4 * 4; ++k) {
                    // Units are powers of two below one: what they count is exact.
                    const float want = k < n ? x[static_cast<std::size_t>(row * n + k)] : 0.0F;
                    REQUIRE(static_cast<float>(value_of(digits, row, k)) * digits.unit(row) ==
                            want);
                }
        }
    }
}
