// SPDX-License-Identifier: MIT
// A layer's memory gives the same rows whether it holds floats or the codes of a point.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/nn/rolling_memory.hpp>

using namespace tare;

namespace {

constexpr kernels::segment_layout layout{.heads = 3, .key_width = 5, .value_width = 7};
constexpr extent columns = 3 * (2 * 5 + 7);
constexpr float step = 0x1.5ep-6F;

/// One position of two streams; multiples of the step.
tensor position(std::uint64_t t) {
    tensor out(shape{1, 2, columns});
    const random_stream random(5, t);
    for (std::size_t i = 0; i < out.values().size(); ++i)
        out.mutable_values()[i] = std::nearbyint(random.normal(i) * 40.0F) * step;
    return out;
}

/// Rows of `tokens` positions, the one at `odd` holding `what`.
std::vector<float> rows(float remembered_step, int tokens, int odd, float what) {
    tensor positions(shape{5, 12});
    for (std::size_t i = 0; i < positions.values().size(); ++i)
        positions.mutable_values()[i] = std::sin(static_cast<float>(i));
    rolling_memory memory;
    std::vector<float> out;
    for (int t = 0; t < tokens; ++t) {
        tensor qkv = position(static_cast<std::uint64_t>(t));
        if (t == odd) qkv.mutable_values()[8] = what;
        const tensor row =
            memory.attend(qkv, positions, layout, kernels::no_attention_points{}, remembered_step);
        out.insert(out.end(), row.values().begin(), row.values().end());
    }
    return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("remembered codes give the rows of remembered floats, bit for bit") {
    CHECK(same_bits(rows(step, 90, -1, 0.0F), rows(0.0F, 90, -1, 0.0F)));
    // A zero whose sign the codes lose.
    CHECK(same_bits(rows(step, 90, 3, -0.0F), rows(0.0F, 90, 3, -0.0F)));
}

TEST_CASE("what no code holds is remembered all the same") {
    for (const float what : {0.3F, 1e9F, std::numeric_limits<float>::infinity(),
                             std::numeric_limits<float>::quiet_NaN()})
        for (const int odd : {0, 1, 40, 89})
            CHECK(same_bits(rows(step, 90, odd, what), rows(0.0F, 90, odd, what)));
}
