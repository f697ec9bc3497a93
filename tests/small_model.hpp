#pragma once
// SPDX-License-Identifier: MIT
// A language model of two layers for tests that need one and no fixture: no size is a multiple of
// another or of a register.

#include <tare/models/transformer_xl_config.hpp>

namespace tare::testing {

inline transformer_xl_config small_model_config() {
    transformer_xl_config c;
    c.layers = 2;
    c.width = 20;
    c.heads = 3;
    c.key_width = 5;
    c.value_width = 4;
    c.inner = 27;
    c.window = 6;
    c.vocabulary = 53;
    c.cutoffs = {11, 29};
    c.widths = {20, 9, 3};
    return c;
}

}  // namespace tare::testing
