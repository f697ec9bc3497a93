#pragma once
// SPDX-License-Identifier: MIT
// How far computed values are from a fixture's, by the tolerances that the fixtures of golden/daq
// state.

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include <doctest/doctest.h>

namespace tare::testing {

/// The relative tolerances of values and of gradients, and the absolute one of both.
inline constexpr double value_relative = 1e-5;
inline constexpr double gradient_relative = 1e-4;
inline constexpr double stated_absolute = 1e-6;

/// Values farther from the fixture's than the tolerance, or NaN.
inline std::size_t far_apart(std::span<const float> got, const std::vector<float>& want,
                             double relative = value_relative, double absolute = stated_absolute) {
    REQUIRE(got.size() == want.size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < want.size(); ++i)
        if (!(std::fabs(double(got[i]) - double(want[i])) <=
              relative * std::fabs(double(want[i])) + absolute))
            ++count;
    return count;
}

}  // namespace tare::testing
