// SPDX-License-Identifier: MIT
// The conformance check is itself checked: quantizers with one fault each must be found out.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/quantize/linear.hpp>
#include <tare/testing/check_quantizer.hpp>

namespace {

using base = tare::linear_quantizer<>;
using params = base::params_type;

// One fault each, on top of a sound quantizer.
struct sound : base {
    sound() : base(5) {}
};
struct declares_too_little : sound {
    [[nodiscard]] tare::storage_cost storage(std::int64_t n, std::int64_t nonzeros) const {
        auto cost = sound::storage(n, nonzeros);
        cost.scale_bits = 0;
        return cost;
    }
};
struct keeps_a_low_bit : sound {  // what survives is not what is coded
    void fake_quantize(std::span<const float> x, const params& p, std::span<float> y) const {
        sound::fake_quantize(x, p, y);
        for (float& v : y)
            v = std::nextafter(v, 1e9F);
    }
};
struct makes_nan : sound {  // no guard for an empty range
    [[nodiscard]] params fit(std::span<const float> x) const {
        auto p = sound::fit(x);
        for (auto& group : p.groups)
            group.scale = 15.0F / tare::largest_magnitude(x);
        return p;
    }
};
struct depends_on_threads : sound {
    [[nodiscard]] params fit(std::span<const float> x) const {
        auto p = sound::fit(x);
        for (auto& group : p.groups)
            group.scale *= 1.0F + static_cast<float>(tare::threads());
        return p;
    }
};
struct depends_on_place : sound {  // the tail goes another way than whole vectors
    void fake_quantize(std::span<const float> x, const params& p, std::span<float> y) const {
        const bool aligned = reinterpret_cast<std::uintptr_t>(x.data()) % 16 == 0;
        sound::fake_quantize(x, p, y);
        if (!aligned && y.size() > 0) y.back() += 1.0F;
    }
};
struct lets_nan_spread : sound {
    void fake_quantize(std::span<const float> x, const params& p, std::span<float> y) const {
        const bool bad = std::ranges::any_of(x, [](float v) { return v != v; });
        sound::fake_quantize(x, p, y);
        if (bad) std::ranges::fill(y, std::numeric_limits<float>::quiet_NaN());
    }
};
struct accepts_any_stream : sound {
    void decode(const tare::packed_tensor& packed, std::span<float> y) const {
        try {
            sound::decode(packed, y);
        } catch (const tare::error&) {
        }
    }
};
struct doubles_gradients : sound {
    void backward(std::span<const float>, const params&, std::span<const float> dy,
                  std::span<float> dx) const {
        std::ranges::transform(dy, dx.begin(), [](float v) { return 2.0F * v; });
    }
};

struct swaps_two_levels : sound {  // fit, stream and values agree on it
    [[nodiscard]] static float swapped(float v, float level) {
        const float size = std::fabs(v);
        if (size > 3.5F * level && size < 4.5F * level) return std::copysign(6.0F * level, v);
        return v;
    }
    void fake_quantize(std::span<const float> x, const params& p, std::span<float> y) const {
        sound::fake_quantize(x, p, y);
        for (float& v : y)
            v = swapped(v, 1.0F / p.groups[0].scale);
    }
    void decode(const tare::packed_tensor& packed, std::span<float> y) const {
        sound::decode(packed, y);
        tare::code_reader reader(packed, name);
        (void)reader.take(static_cast<tare::extent>(y.size()), 5);
        const float level = y.empty() ? 1.0F : 1.0F / reader.get_float();
        for (float& v : y)
            v = swapped(v, level);
    }
};
struct turns_signs : sound {
    void fake_quantize(std::span<const float> x, const params& p, std::span<float> y) const {
        sound::fake_quantize(x, p, y);
        for (float& v : y)
            v = 0.0F - v;
    }
    void decode(const tare::packed_tensor& packed, std::span<float> y) const {
        sound::decode(packed, y);
        for (float& v : y)
            v = 0.0F - v;
    }
};

template <class Q>
bool found(const std::string& part) {
    return std::ranges::any_of(tare::testing::check_quantizer(Q()), [&](const std::string& wrong) {
        return wrong.find(part) != std::string::npos;
    });
}

}  // namespace

TEST_CASE("a sound quantizer passes") {
    CHECK(tare::testing::check_quantizer(sound()).empty());
}

TEST_CASE("each fault is found and named") {
    CHECK(found<declares_too_little>("declares"));
    CHECK(found<keeps_a_low_bit>("decode(encode(x)) is not fake_quantize(x)"));
    CHECK(found<makes_nan>("zeros: threw"));
    CHECK(found<depends_on_threads>("fit differs with 2 threads"));
    CHECK(found<depends_on_place>("misaligned"));
    CHECK(found<lets_nan_spread>("beside NaN and infinities"));
    CHECK(found<accepts_any_stream>("shortened stream decodes"));
    CHECK(found<accepts_any_stream>("prolonged stream decodes"));
    CHECK(found<doubles_gradients>("gradient"));
    CHECK(found<swaps_two_levels>("at the smaller"));
    CHECK(found<turns_signs>("at the smaller"));
}

TEST_CASE("the check puts the thread count back") {
    tare::set_threads(2);
    (void)tare::testing::check_quantizer(sound());
    CHECK(tare::threads() == 2);
    tare::set_threads(1);
}
