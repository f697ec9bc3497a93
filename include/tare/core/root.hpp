#pragma once
// SPDX-License-Identifier: MIT
// A square root for constant expressions (std::sqrt is none in C++20).

namespace tare {

/// Square root of a non-negative number by Newton's iteration, to the last bit or the one before.
[[nodiscard]] constexpr double square_root(double x) {
    if (x <= 0.0) return 0.0;
    double root = x > 1.0 ? x : 1.0;
    for (int i = 0; i < 2000; ++i) {
        const double next = 0.5 * (root + x / root);
        if (next >= root) break;  // from above, the sequence falls until it has arrived
        root = next;
    }
    return root;
}

}  // namespace tare
