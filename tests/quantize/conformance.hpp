#pragma once
// SPDX-License-Identifier: MIT
// The conformance check as a doctest assertion, and comparison of arrays.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/testing/check_quantizer.hpp>

namespace tare::testing {

template <class Q>
void conforms(const Q& q, quantizer_promises promises = {}) {
    for (const std::string& violation : check_quantizer(q, promises))
        FAIL_CHECK(violation);
}

/// x with the parameters that q finds in it.
template <class Q>
std::vector<float> fitted(const Q& q, const std::vector<float>& x) {
    std::vector<float> y(x.size());
    q.fake_quantize(x, q.fit(x), y);
    return y;
}

/// Elements that differ; -0 equals +0 and NaN equals NaN.
template <class T, class U>
std::size_t differences(const std::vector<T>& a, const std::vector<U>& b) {
    REQUIRE(a.size() == b.size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (!(a[i] == static_cast<T>(b[i])) && !(a[i] != a[i] && b[i] != b[i])) ++count;
    return count;
}

}  // namespace tare::testing
