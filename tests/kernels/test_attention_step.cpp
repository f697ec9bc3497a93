// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/kernels/attention_step.hpp>
#include <tare/kernels/segment_attention.hpp>

#include "attention_cases.hpp"
#include "kernel_test.hpp"

using namespace tare::testing;
using tare::extent;
using tare::kernels::code_values;
using tare::kernels::float_values;

namespace {

/// Outputs of the case's chunk, one token at a time, the past held as `how` says.
template <class Points = tare::kernels::no_attention_points, class Values = float_values>
std::vector<float> stepped(segment_case<float>& c, const Points& points = {},
                           const Values& how = {}) {
    const tare::kernels::position_table table(c.inputs().positions);
    tare::kernels::basic_attention_cache<Values> cache(c.layout, how);
    if (c.has_memory) cache.assign(c.inputs().memory);
    std::vector<float> out(c.out.size());
    for (extent t = 0; t < c.layout.tokens; ++t) {
        const extent b = t * c.layout.batch;
        tare::kernels::attention_step(cache, table,
                                      c.inputs().qkv.rows_between(b, b + c.layout.batch),
                                      c.out_like(out).rows_between(b, b + c.layout.batch), points);
    }
    return out;
}

}  // namespace

TEST_CASE("stepping token by token gives the bits of the chunk") {
    // More tokens than the cache has slack, so that it rolls back; heads in and out of whole tiles.
    for (const bool has_memory : {false, true})
        for (const bool empty : {false, true})
            for (const auto& layout : {segment_layout{90, 1, 8, 24, 24, 96, 0.0, empty},
                                       segment_layout{180, 2, 3, 5, 3, 7, 0.0, empty},
                                       segment_layout{40, 1, 11, 1, 70, 16, 0.3, empty},
                                       segment_layout{5, 3, 4, 17, 33, 1, 0.0, empty}}) {
                segment_case<float> c(layout, has_memory);
                tare::kernels::segment_attention_forward(layout, c.inputs(), c.out_like(c.out));
                CHECK(stepped(c) == c.out);
                const squaring_points points;
                // The policy sees the row of the chunk there and the row of the token here.
                if (layout.batch * layout.heads % 2 == 0) {
                    tare::kernels::segment_attention_forward(layout, c.inputs(), c.out_like(c.out),
                                                             {}, points);
                    CHECK(stepped(c, points) == c.out);
                }
            }
}

namespace {

/// A step as a quantization point cuts it, and a case whose keys and values are multiples of it.
constexpr float step = 0x1.5ep-6F;
segment_case<float> coded_case(const segment_layout& layout, bool has_memory) {
    segment_case<float> c(layout, has_memory);
    for (auto* const values : {&c.qkv, &c.memory})
        for (float& v : *values)
            v = std::nearbyint(v / step) * step;
    return c;
}

}  // namespace

TEST_CASE("keys and values held as codes give the bits of floats") {
    for (const bool has_memory : {false, true})
        for (const bool empty : {false, true})
            for (const auto& layout : {segment_layout{90, 1, 8, 24, 24, 96, 0.0, empty},
                                       segment_layout{180, 2, 3, 5, 3, 7, 0.0, empty},
                                       segment_layout{40, 1, 11, 1, 70, 16, 0.3, empty},
                                       segment_layout{5, 3, 4, 17, 33, 1, 0.0, empty}}) {
                segment_case<float> c = coded_case(layout, has_memory);
                tare::kernels::segment_attention_forward(layout, c.inputs(), c.out_like(c.out));
                CHECK(stepped(c, tare::kernels::no_attention_points{}, code_values{step}) == c.out);
                const squaring_points points;
                if (layout.batch * layout.heads % 2 == 0)
                    CHECK(stepped(c, points, code_values{step}) == stepped(c, points));
            }
}

TEST_CASE("a cache of codes becomes one of floats at any position, full or not") {
    for (const bool has_memory : {false, true}) {
        segment_case<float> c = coded_case({70, 2, 3, 5, 3, 7}, has_memory);
        const std::vector<float> want = stepped(c);
        const tare::kernels::position_table table(c.inputs().positions);
        for (const extent turn : {0, 1, 5, 31, 69}) {
            tare::kernels::coded_attention_cache codes(c.layout, {step});
            if (has_memory) codes.assign(c.inputs().memory);
            std::vector<float> out(c.out.size());
            const auto one = [&](auto& cache, extent t) {
                tare::kernels::attention_step(cache, table,
                                              c.inputs().qkv.rows_between(2 * t, 2 * t + 2),
                                              c.out_like(out).rows_between(2 * t, 2 * t + 2));
            };
            for (extent t = 0; t < turn; ++t)
                one(codes, t);
            tare::kernels::attention_cache floats(codes);
            for (extent t = turn; t < 70; ++t)
                one(floats, t);
            CHECK(out == want);
        }
    }
}

TEST_CASE("codes hold multiples of their step and nothing else") {
    const code_values how{step};
    CHECK(how.hold(std::vector<float>{0.0F, -0.0F, step, -255.0F * step, 32767.0F * step}));
    for (const float v :
         {32768.0F * step, 0.5F * step, std::nextafter(step, 1.0F), 1e30F,
          std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
        CHECK_FALSE(how.hold(std::vector<float>{step, v}));
    for (const int code : {-32767, -1, 0, 1, 255, 32767}) {
        const float v = static_cast<float>(code) * step;
        CHECK(how.code(v) == code);
        CHECK(how.value(how.code(v)) == v);
    }
    // A step whose reciprocal overflows holds nothing but is no accident.
    CHECK_FALSE(code_values{1e-40F}.hold(std::vector<float>{1e-40F}));
}

TEST_CASE("steps of many streams have the same bits for any threads") {
    // Enough heads that a step is shared.
    segment_case<float> c({3, 67, 8, 24, 24, 96}, true);
    CHECK(same_for_any_threads([&] { return stepped(c); }));
}

TEST_CASE("a cache takes over the memory of a chunk") {
    segment_case<float> c({50, 2, 2, 6, 4, 12}, true);
    const extent half = 31 * c.layout.batch;
    tare::kernels::segment_attention_forward(c.layout, c.inputs(), c.out_like(c.out));
    auto head = c.layout;
    head.tokens = 31;
    auto in = c.inputs();
    in.qkv = in.qkv.rows_between(0, half);
    std::vector<float> next(c.memory.size());
    tare::kernels::segment_memory(head, in, c.memory_like(next));

    segment_case<float> rest({19, 2, 2, 6, 4, 12}, true);
    rest.memory = next;
    const auto width = static_cast<std::ptrdiff_t>(c.layout.heads * c.layout.head_width());
    rest.qkv.assign(c.qkv.begin() + half * width, c.qkv.end());
    const auto out_width = static_cast<std::ptrdiff_t>(c.layout.heads * c.layout.value_width);
    CHECK(stepped(rest) == std::vector<float>(c.out.begin() + half * out_width, c.out.end()));
}

TEST_CASE("NaN, infinities and huge scores reach the tokens that they reach in the chunk") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const segment_layout layout{60, 1, 3, 4, 3, 11};
    const std::size_t width = 3 * (2 * 4 + 3);
    const std::size_t at = 20;
    // A query of one head, a key of the next, a value of the last.
    for (const std::size_t column : {0U, 11U + 4U, 22U + 8U})
        for (const float special : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity,
                                    std::numeric_limits<float>::denorm_min(), 1e30F}) {
            segment_case<float> c(layout, true);
            c.qkv[at * width + column] = special;
            tare::kernels::segment_attention_forward(layout, c.inputs(), c.out_like(c.out));
            const std::vector<float> out = stepped(c);
            for (std::size_t i = 0; i < out.size(); ++i)
                CHECK((out[i] == c.out[i] || (std::isnan(out[i]) && std::isnan(c.out[i]))));
        }
}

TEST_CASE("steps refuse what does not fit") {
    const segment_layout layout{1, 1, 2, 4, 3, 5};
    segment_case<float> c(layout, false);
    tare::kernels::attention_cache cache(layout);
    const tare::kernels::position_table table(c.inputs().positions);
    const tare::kernels::position_table narrow(c.inputs().positions.columns_between(0, 5));
    CHECK_THROWS_AS(tare::kernels::attention_step(cache, narrow, c.inputs().qkv, c.out_like(c.out)),
                    tare::error);
    CHECK_THROWS_AS(
        tare::kernels::attention_step(cache, table, c.inputs().qkv, {c.qkv.data(), 1, 6}),
        tare::error);
    CHECK_THROWS_AS(tare::kernels::attention_cache({1, 0, 2, 4, 3, 5}), tare::error);
    // 2^60 values, and a window whose slack would not fit an extent.
    constexpr extent large = extent{1} << 30;
    CHECK_THROWS_AS(tare::kernels::attention_cache({1, large, large, 1, 1, 5}), tare::error);
    CHECK_THROWS_AS(
        tare::kernels::attention_cache({1, 1, 1, 1, 1, std::numeric_limits<extent>::max()}),
        tare::error);
    CHECK_THROWS_AS(cache.assign({c.memory.data(), 4, 14}), tare::error);
    const auto qkv = c.inputs().qkv;
    CHECK_THROWS_AS(cache.append_values(qkv.columns_between(0, qkv.columns - 1)), tare::error);
    CHECK_THROWS_AS(cache.append_keys(qkv.columns_between(0, qkv.columns - 1)), tare::error);
    CHECK_THROWS_AS(
        tare::kernels::attention_step(cache, table, qkv, c.out_like(c.out).columns_between(0, 5)),
        tare::error);
    const float one = 1.0F;
    CHECK_THROWS_AS(tare::kernels::position_table({nullptr, 4, 6}), tare::error);
    CHECK_THROWS_AS(tare::kernels::position_table({&one, 1, 1}), tare::error);
}
