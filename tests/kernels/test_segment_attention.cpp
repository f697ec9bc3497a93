// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <tare/kernels/segment_attention_backward.hpp>

#include "attention_cases.hpp"

using namespace tare::testing;
using tare::extent;

TEST_CASE("fast") {
    for (const bool mem : {false, true})
        for (const extent t : {1, 7, 8, 9, 40, 600})
            for (const extent s : {1, 3, 6, 7, 8, 16, 31, 96}) {
                segment_case<float> c({t, 2, 2, 5, 3, s}, mem);
                segment_case<double> d(c);
                tare::kernels::segment_attention_forward(c.layout, c.inputs(), c.out_like(c.out),
                                                         c.probabilities_view());
                tare::kernels::segment_attention_forward_plain(
                    d.layout, d.inputs(), d.out_like(d.out), d.probabilities_view());
                tare::kernels::segment_attention_backward(c.layout, c.inputs(),
                                                          c.probabilities_view(),
                                                          c.out_like(c.d_out), c.gradients());
                tare::kernels::segment_attention_backward_plain<double>(
                    d.layout, d.inputs(), d.probabilities_view(), d.out_like(d.d_out),
                    d.gradients());
                CAPTURE(t);
                CAPTURE(mem);
                CHECK(distance(c.d_qkv, d.d_qkv) < 1e-4);
                CHECK(distance(c.d_positions, d.d_positions) < 1e-3);
                CHECK(distance(c.d_memory, d.d_memory) < 1e-4);

                CAPTURE(s);
                CHECK(distance(c.out, d.out) < 1e-5);
                CHECK(distance(c.probabilities, d.probabilities) < 1e-5);
            }
}
