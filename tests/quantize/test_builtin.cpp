// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/quantize/builtin.hpp>

TEST_CASE("every built-in quantizer has its own label, a declared size and an error to match it") {
    const tare::random_stream random(2, 0);
    std::vector<float> x(256 * 96);
    double power = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = 0.02F * random.normal(i);
        power += double(x[i]) * double(x[i]);
    }
    std::set<std::string> labels;
    tare::quantizers::for_each_builtin(96, [&](const char* label, const auto& q) {
        CAPTURE(std::string(label));
        CHECK(labels.insert(label).second);
        const auto p = q.fit(x);
        std::vector<float> y(x.size());
        q.fake_quantize(x, p, y);
        const auto packed = q.encode(x, p);
        CHECK(packed.bits == tare::storage_of(q, x, p).total_bits());
        double noise = 0.0;
        for (std::size_t i = 0; i < x.size(); ++i)
            noise += std::pow(double(x[i]) - double(y[i]), 2);
        const double bits = double(packed.bits) / double(x.size());
        const double decibel = 10.0 * std::log10(power / noise);
        // A bit is worth at most 20 log10(2) dB (Shannon). Most is wasted by E5M2: two bits of
        // fraction have errors of 1/12 of 1/16, of the square of 1 to 2 (2.16 in the mean over an
        // octave): 26.2 dB, 4.35 bits of 8.25, and somewhat less where a bell ends in an octave.
        constexpr double worth = 6.0206;
        constexpr double wasted = 8.25 - 4.35 + 0.2;
        CHECK(decibel <= worth * bits);
        CHECK(decibel >= worth * (bits - wasted));
    });
    CHECK(labels.size() == 30);
}

TEST_CASE("what a damaged stream is refused for is named with its byte") {
    const tare::random_stream random(3, 1);
    std::vector<float> x(64);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = random.normal(i) * (i == 5 ? 9.0F : 1.0F);
    int refused = 0;
    tare::quantizers::for_each_builtin(8, [&](const char* label, const auto& q) {
        CAPTURE(std::string(label));
        const tare::packed_tensor packed = q.encode(x, q.fit(x));
        std::vector<float> y(x.size());
        for (std::size_t at = 0; at < packed.bytes.size(); ++at)
            for (const unsigned value : {0U, 0x7FU, 0x80U, 0xFFU}) {
                tare::packed_tensor damaged = packed;
                for (std::size_t i = at; i < std::min(at + 4, packed.bytes.size()); ++i)
                    damaged.bytes[i] = std::byte(value);
                try {
                    q.decode(damaged, y);
                } catch (const tare::error& e) {
                    ++refused;
                    CHECK_MESSAGE(std::string(e.what()).find(": byte ") != std::string::npos,
                                  e.what());
                }
            }
    });
    CHECK(refused > 100);

    const tare::linear_quantizer<> q(8);
    tare::packed_tensor packed = q.encode(x, q.fit(x));
    std::fill(packed.bytes.end() - 4, packed.bytes.end(), std::byte{0});
    CHECK_THROWS_WITH_AS(q.decode(packed, x),
                         doctest::Contains("linear_symmetric: byte 64: a scale of 0 in the stream"),
                         tare::error);
}
