#pragma once
// SPDX-License-Identifier: MIT
// The conformance suite of formats as a doctest assertion that names everything it finds.

#include <string>

#include <doctest/doctest.h>

#include <tare/testing/check_format.hpp>

namespace tare::testing {

template <numeric_format F>
void conforms() {
    INFO(std::string(F::name));
    std::string text;
    for (const std::string& failure : format_failures<F>())
        text += failure + "\n";
    CHECK(text == "");
}

}  // namespace tare::testing
