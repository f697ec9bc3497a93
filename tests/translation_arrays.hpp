#pragma once
// SPDX-License-Identifier: MIT
// What tests of translation models share: words as the models take them, and the comparison with
// arrays that another implementation computed in single precision.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/ops/gather.hpp>

#include "golden.hpp"

namespace tare::testing {

/// The manifests' own tolerances: 1e-5 of a value (gradients 1e-4). Taken of the largest value of
/// the array, because a small one may be a difference of large ones, plus 1e-6 for arrays that are
/// zero but for rounding.
inline constexpr double forward_tolerance = 1e-5;
inline constexpr double gradient_tolerance = 1e-4;
inline constexpr double absolute_tolerance = 1e-6;

/// Checks that two arrays agree to `tolerance` of the largest wanted value.
inline void check_close(std::span<const float> got, std::span<const float> want, double tolerance) {
    REQUIRE(got.size() == want.size());
    double largest = 0.0;
    double distance = 0.0;
    for (std::size_t i = 0; i < want.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(want[i])));
        const double d = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
        distance = d == d ? std::max(distance, d) : HUGE_VAL;
    }
    CHECK(distance <= tolerance * largest + absolute_tolerance);
}

/// Checks an array against the golden one of that name.
inline void check_array(const io::npz_archive& golden, const std::string& name,
                        std::span<const float> got, double tolerance) {
    INFO(name);
    check_close(got, values<float>(golden, name), tolerance);
}

/// Words stored (sentences, length) as models take them: time outermost.
inline std::vector<token> words_by_time(const io::npz_archive& golden, const std::string& name) {
    const io::npy_array& stored = array(golden, name);
    const auto all = stored.as<std::int64_t>();
    const auto batch = static_cast<std::size_t>(stored.extents[0]);
    const std::size_t length = all.size() / batch;
    std::vector<token> out(all.size());
    for (std::size_t b = 0; b < batch; ++b)
        for (std::size_t t = 0; t < length; ++t)
            out[t * batch + b] = static_cast<token>(all[b * length + t]);
    return out;
}

/// Rows stored (sentences, length, columns), time outermost.
inline std::vector<float> rows_by_time(const io::npz_archive& golden, const std::string& name) {
    const io::npy_array& stored = array(golden, name);
    const auto all = stored.as<float>();
    const auto batch = static_cast<std::size_t>(stored.extents[0]);
    const auto length = static_cast<std::size_t>(stored.extents[1]);
    const std::size_t width = all.size() / batch / length;
    std::vector<float> out(all.size());
    for (std::size_t b = 0; b < batch; ++b)
        for (std::size_t t = 0; t < length; ++t)
            std::copy_n(&all[(b * length + t) * width], width, &out[(t * batch + b) * width]);
    return out;
}

}  // namespace tare::testing
