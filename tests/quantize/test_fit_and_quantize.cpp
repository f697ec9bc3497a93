// SPDX-License-Identifier: MIT
// One pass gives the bits of two: for groups that share pieces, that are longer than one, that end
// early at the end of a row, of a part of a tensor that threads share, past the cache and in it.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/elementwise.hpp>
#include <tare/core/random.hpp>
#include <tare/quantize/block_float.hpp>
#include <tare/quantize/fit_and_quantize.hpp>
#include <tare/quantize/ggml_blocks.hpp>
#include <tare/quantize/linear.hpp>
#include <tare/quantize/nf4.hpp>
#include <tare/quantize/nvfp4.hpp>
#include <tare/quantize/smaq.hpp>

namespace {

using namespace tare;

std::vector<float> values(extent n) {
    constexpr std::size_t period = 4093;
    const random_stream random(5, 1);
    std::vector<float> x(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = i < period ? random.normal(i) * (i % 96 < 32 ? 1e-3F : 2.0F) : x[i - period];
    return x;
}

/// Elements whose bits differ between one pass and two, with `count` threads.
template <class Q>
std::size_t differing(const Q& q, std::span<const float> x, int count = 1) {
    std::vector<float> expected(x.size());
    q.fake_quantize(x, q.fit(x), expected);
    std::vector<float> y(x.size(), -1.0F);
    set_threads(count);
    fit_and_quantize(q, x, y);
    set_threads(1);
    std::size_t out = 0;
    for (std::size_t i = 0; i < y.size(); ++i)
        out += std::bit_cast<std::uint32_t>(y[i]) != std::bit_cast<std::uint32_t>(expected[i]);
    return out;
}

/// A quantizer as a user may write it, without a pass of its own.
struct halves {
    static constexpr std::string_view name = "halves";
    using params_type = float;  // the factor
    [[nodiscard]] params_type fit(std::span<const float>) const { return 0.5F; }
    void fake_quantize(std::span<const float> x, const params_type& p, std::span<float> y) const {
        for (std::size_t i = 0; i < x.size(); ++i)
            y[i] = x[i] * p;
    }
    [[nodiscard]] storage_cost storage(std::int64_t n, std::int64_t) const {
        return {.value_bits = 32 * n};
    }
};

}  // namespace

TEST_CASE("one pass writes what fit and fake_quantize write, whatever the size") {
    for (const extent n : {0, 1, 31, 32, 33, 63, 65, 2047, 2048, 2049, 10007}) {
        CAPTURE(n);
        const std::vector<float> x = values(n);
        CHECK(differing(nf4_blocks(), x) == 0);
        CHECK(differing(q4_0(), x) == 0);
        CHECK(differing(linear_quantizer<affine_range, per_block<32>>(4), x) == 0);
        CHECK(differing(linear_quantizer<symmetric_levels, per_block<5>>(4), x) == 0);
        CHECK(differing(linear_quantizer<>(8), x) == 0);
        CHECK(differing(block_float<per_block<3000>>(6), x) == 0);
        CHECK(differing(nf4_nested(), x) == 0);
        CHECK(differing(smaq<>(), x) == 0);
    }
}

TEST_CASE("groups that end at the end of a row do so in one pass") {
    for (const extent columns : {1, 7, 40, 2500, 17000}) {
        CAPTURE(columns);
        const std::vector<float> x = values(13 * columns);
        CHECK(differing(q8_0(columns), x) == 0);
        CHECK(differing(nvfp4(columns), x) == 0);
        CHECK(differing(linear_quantizer<symmetric_levels, per_row>(8, {columns}), x) == 0);
        CHECK(differing(block_float<per_row>(8, {columns}), x) == 0);
    }
}

TEST_CASE("threads and stores past the cache change no bit of one pass") {
    const std::vector<float> x = values(stream_min_elements + 32 * 70);
    // A row whose blocks lie across pieces, at addresses that no vector store is aligned to.
    const auto part = std::span(x).subspan(3, static_cast<std::size_t>(stream_min_elements + 70));
    for (const int count : {1, 3}) {
        CAPTURE(count);
        CHECK(differing(q4_0(), part, count) == 0);
        CHECK(differing(linear_quantizer<symmetric_levels, per_row>(8, {1120}),
                        std::span(x).first(x.size() / 1120 * 1120), count) == 0);
    }
}

TEST_CASE("values may be written over themselves in one pass") {
    std::vector<float> x = values(5000);
    const q4_0 q;
    std::vector<float> expected(x.size());
    q.fake_quantize(x, q.fit(x), expected);
    fit_and_quantize(q, x, x);
    CHECK(x == expected);
}

TEST_CASE("a quantizer without a pass of its own takes both steps") {
    static_assert(!fusing_quantizer<halves>);
    static_assert(fusing_quantizer<nf4_blocks>);
    const std::vector<float> x = values(3);
    std::vector<float> y(3);
    fit_and_quantize(halves{}, x, y);
    CHECK(y == std::vector<float>{x[0] / 2, x[1] / 2, x[2] / 2});
}

TEST_CASE("one pass refuses an output of another size") {
    const std::vector<float> x(64);
    std::vector<float> y(63);
    CHECK_THROWS_AS(fit_and_quantize(q4_0(), x, y), error);
}

TEST_CASE("codes that go past the cache are those that do not") {
    // The stream of a large tensor begins with that of its first pieces.
    const std::vector<float> x = values(stream_min_elements + 2048 + 64);
    const linear_quantizer<symmetric_levels, per_block<32>> q(5);
    const packed_tensor all = q.encode(x, q.fit(x));
    constexpr std::size_t some = 100'000;  // not whole pieces
    const auto first = std::span(x).first(some);
    const packed_tensor part = q.encode(first, q.fit(first));
    CHECK(std::equal(part.bytes.begin(), part.bytes.begin() + some * 5 / 8, all.bytes.begin()));
    std::vector<float> y(x.size());
    std::vector<float> decoded(x.size());
    q.fake_quantize(x, q.fit(x), y);
    q.decode(all, decoded);
    CHECK(y == decoded);
}
