// SPDX-License-Identifier: MIT
// Products with weights held as signs and magnitudes, against integer sums by definition.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/kernels/signed_decode.hpp>
#include <tare/kernels/signed_product.hpp>

using namespace tare;
using namespace tare::kernels;

namespace {

/// Codes in [-largest, largest]; a share `zeros` of them is 0.
std::vector<std::int16_t> codes_of(extent count, int largest, float zeros, std::uint64_t seed) {
    const random_stream random(seed, 0);
    std::vector<std::int16_t> out;
    for (extent i = 0; i < count; ++i) {
        const auto at = static_cast<std::uint64_t>(2 * i);
        const float width = static_cast<float>(2 * largest + 1);
        out.push_back(random.uniform(at) < zeros
                          ? std::int16_t{0}
                          : static_cast<std::int16_t>(std::floor(random.uniform(at + 1) * width) -
                                                      static_cast<float>(largest)));
    }
    // The edges always occur.
    if (count > 0) out.front() = static_cast<std::int16_t>(largest);
    if (count > 1) out.back() = static_cast<std::int16_t>(-largest);
    return out;
}

matrix_view<const std::int16_t> view_of(const std::vector<std::int16_t>& codes, extent rows,
                                        extent columns) {
    return {codes.data(), rows, columns};
}

constexpr extent output_sizes[] = {1, 15, 16, 17, 63, 64, 65, 131};
constexpr extent input_sizes[] = {1, 3, 4, 5, 31, 64, 257};
constexpr float zero_shares[] = {0.0F, 0.1F, 0.4F, 1.0F};

}  // namespace

TEST_CASE("codes come back from signs and magnitudes, row by row and decoded") {
    for (const extent n : output_sizes)
        for (const extent k : input_sizes)
            for (const float zeros : zero_shares) {
                INFO("N ", n, ", K ", k, ", zeros ", zeros);
                const std::vector<std::int16_t> codes = codes_of(n * k, 255, zeros, 3);
                const signed_weights w(view_of(codes, n, k));
                if (n * k > 300) CHECK(w.masked() == (zeros > 0.3F));
                std::vector<std::int16_t> row(static_cast<std::size_t>(k));
                std::vector<std::int16_t> decoded(codes.size());
                w.decode(0, w.tiles(),
                         [&](extent output, extent first, const simd::words(&values)[4]) {
                             for (extent i = 0; i < 4; ++i) {
                                 std::int32_t lane[simd::word_lane_count];
                                 simd::store_words(lane, values[i]);
                                 for (extent j = 0; j < simd::word_lanes; ++j) {
                                     if (output + j < n && first + i < k)
                                         decoded[static_cast<std::size_t>((output + j) * k + first +
                                                                          i)] =
                                             static_cast<std::int16_t>(lane[j]);
                                     else
                                         REQUIRE(lane[j] == 0);
                                 }
                             }
                         });
                CHECK(decoded == codes);
                for (extent r = 0; r < n; ++r) {
                    w.copy_row(r, row);
                    REQUIRE(std::equal(row.begin(), row.end(),
                                       codes.begin() + static_cast<std::ptrdiff_t>(r * k)));
                }
            }
}

TEST_CASE("signs of zeros take no room") {
    for (const float zeros : {0.0F, 0.2F, 0.5F, 0.9F}) {
        constexpr extent n = 640, k = 256;
        const signed_weights w(view_of(codes_of(n * k, 255, zeros, 8), n, k));
        // Nine bits for each weight that is kept, one for its place; a cell of 64 begins at a byte.
        const double kept = zeros > 0.0F ? 1.0 - static_cast<double>(zeros) : 1.0;
        const double bits = zeros > 0.0F ? 9.0 * kept + 1.0 + 4.0 / 64.0 : 9.0;
        CHECK(static_cast<double>(w.bytes()) * 8.0 / (n * k) < bits * 1.01);
    }
}

TEST_CASE("sums of one and two digits are exact") {
    for (const int bits : {2, 8, 9, 12})
        for (const extent n : output_sizes)
            for (const extent k : input_sizes)
                for (const float zeros : zero_shares)
                    for (const extent m : {1, 3}) {
                        INFO(bits, " bits, M ", m, ", N ", n, ", K ", k, ", zeros ", zeros);
                        const std::vector<std::int16_t> codes = codes_of(n * k, 255, zeros, 5);
                        const signed_weights w(view_of(codes, n, k));
                        const int largest = (1 << (bits - 1)) - 1;
                        const std::vector<std::int16_t> left = codes_of(m * k, largest, 0.1F, 7);
                        constexpr float step = 0.0078F;
                        std::vector<float> x;
                        for (const std::int16_t code : left)
                            x.push_back(static_cast<float>(code) * step);
                        const signed_digits digits(matrix_view<const float>(x.data(), m, k), bits,
                                                   step);
                        std::vector<std::int64_t> want(static_cast<std::size_t>(m * n));
                        plain::signed_product(digits, w,
                                              matrix_view<std::int64_t>(want.data(), m, n));
                        const std::vector<float> scales(static_cast<std::size_t>(n), 0.25F);
                        std::vector<float> y(static_cast<std::size_t>(m * n));
                        signed_product(digits, w, scales, matrix_view<float>(y.data(), m, n));
                        for (extent i = 0; i < m * n; ++i) {
                            std::int64_t direct = 0;
                            for (extent c = 0; c < k; ++c)
                                direct +=
                                    std::int64_t{left[static_cast<std::size_t>(i / n * k + c)]} *
                                    codes[static_cast<std::size_t>(i % n * k + c)];
                            const auto at = static_cast<std::size_t>(i);
                            REQUIRE(want[at] == direct);
                            REQUIRE(y[at] == static_cast<float>(direct) * 0.25F * step);
                        }
                    }
}

TEST_CASE("floats are cut into three digits within their bound") {
    for (const extent k : input_sizes)
        for (const float size : {1e-30F, 1e-3F, 1.0F, 3e20F}) {
            constexpr extent n = 67;
            constexpr extent m = 2;
            const std::vector<std::int16_t> codes = codes_of(n * k, 255, 0.3F, 9);
            const signed_weights w(view_of(codes, n, k));
            const random_stream random(13, 0);
            std::vector<float> x(static_cast<std::size_t>(m * k));
            for (std::size_t i = 0; i < x.size(); ++i)
                x[i] = (2.0F * random.uniform(i) - 1.0F) * size;
            const signed_digits digits(matrix_view<const float>(x.data(), m, k));
            const std::vector<float> scales(static_cast<std::size_t>(n), 0.5F);
            std::vector<float> y(static_cast<std::size_t>(m * n));
            signed_product(digits, w, scales, matrix_view<float>(y.data(), m, n));
            for (extent i = 0; i < m * n; ++i) {
                double sum = 0.0;
                double products = 0.0;
                double weights = 0.0;
                double top = 0.0;
                for (extent c = 0; c < k; ++c) {
                    const double a =
                        static_cast<double>(x[static_cast<std::size_t>(i / n * k + c)]);
                    const double b = codes[static_cast<std::size_t>(i % n * k + c)] * 0.5;
                    sum += a * b;
                    products += std::abs(a * b);
                    weights += std::abs(b);
                    top = std::max(top, std::abs(a));
                }
                // The contract of signed_product: digits, then joining and scaling.
                const double bound = 0x1p-22 * top * weights + 0x1p-24 * 8.0 * products + 0x1p-140;
                const auto got = static_cast<double>(y[static_cast<std::size_t>(i)]);
                REQUIRE(std::abs(got - sum) <= bound);
            }
        }
}

TEST_CASE("stretches of one row's columns are those of the whole product") {
    constexpr extent outputs = 323;
    for (const extent inputs : {1, 4, 5, 64})
        for (const float zeros : {0.0F, 0.4F}) {
            const std::vector<std::int16_t> codes = codes_of(outputs * inputs, 255, zeros, 5);
            const signed_weights w(view_of(codes, outputs, inputs));
            std::vector<float> x, steps, bias;
            for (extent k = 0; k < inputs; ++k)
                x.push_back(std::cos(static_cast<float>(k)));
            for (extent n = 0; n < outputs; ++n) {
                steps.push_back(0.5F + static_cast<float>(n));
                bias.push_back(std::sin(static_cast<float>(n)));
            }
            const signed_digits digits(matrix_view<const float>(x.data(), 1, inputs));
            std::vector<float> whole(outputs);
            signed_product(digits, w, steps, matrix_view<float>(whole.data(), 1, outputs),
                           add_bias(bias));
            for (extent first = 0; first < outputs; first += 64)
                for (const extent count : {1, 15, 16, 17, 63, 64, 65, 128, 323}) {
                    const extent last = std::min(outputs, first + count);
                    // A value behind the stretch must stay.
                    std::vector<float> y(static_cast<std::size_t>(last - first) + 1, -7.0F);
                    signed_columns(digits, 0, w, steps, first,
                                   std::span<float>(y).first(y.size() - 1), add_bias(bias));
                    REQUIRE(std::equal(y.begin(), y.end() - 1, whole.begin() + first));
                    REQUIRE(y.back() == -7.0F);
                }
        }
}

TEST_CASE("rows without digits give NaN, the others are untouched") {
    const std::vector<std::int16_t> codes = codes_of(3 * 5, 255, 0.4F, 1);
    const signed_weights w(view_of(codes, 3, 5));
    std::vector<float> x(15, 1.0F);
    x[1] = std::numeric_limits<float>::quiet_NaN();
    x[7] = std::numeric_limits<float>::infinity();
    const signed_digits digits(matrix_view<const float>(x.data(), 3, 5));
    const std::vector<float> scales(3, 1.0F);
    std::vector<float> y(9);
    signed_product(digits, w, scales, matrix_view<float>(y.data(), 3, 3));
    for (std::size_t i = 0; i < 9; ++i)
        CHECK(std::isnan(y[i]) == (i < 6));
}

TEST_CASE("any number of threads gives the same bits") {
    constexpr extent m = 11, n = 2000, k = 257;
    const std::vector<std::int16_t> codes = codes_of(n * k, 255, 0.4F, 21);
    const signed_weights w(view_of(codes, n, k));
    std::vector<float> x;
    for (int i = 0; i < m * k; ++i)
        x.push_back(std::sin(static_cast<float>(i)));
    const signed_digits digits(matrix_view<const float>(x.data(), m, k));
    const std::vector<float> scales(n, 0.3F);
    std::vector<float> first;
    for (const int threads : {1, 2, 3, 4}) {
        set_threads(threads);
        std::vector<float> y(m * n);
        signed_product(digits, w, scales, matrix_view<float>(y.data(), m, n));
        set_threads(1);
        if (first.empty()) first = y;
        CHECK(y == first);
    }
}

TEST_CASE("weights are unpacked alike by any number of threads, to their codes times steps") {
    constexpr extent n = 1000, k = 257;
    const std::vector<std::int16_t> codes = codes_of(n * k, 255, 0.4F, 22);
    const signed_weights w(view_of(codes, n, k));
    const std::vector<std::int16_t> x = codes_of(k, 255, 0.0F, 23);
    const matrix_view<const std::int16_t> row(x.data(), 1, k);
    std::vector<std::int32_t> want(n);
    std::vector<float> steps;
    for (extent i = 0; i < n; ++i) {
        steps.push_back(0.01F * static_cast<float>(i + 1));
        for (extent c = 0; c < k; ++c)
            want[static_cast<std::size_t>(i)] +=
                std::int32_t{x[static_cast<std::size_t>(c)]} * view_of(codes, n, k)(i, c);
    }
    for (const int threads : {1, 2, 3, 4}) {
        set_threads(threads);
        std::vector<float> values(codes.size());
        decode_rows(w, steps, {values.data(), n, k});
        std::vector<std::int32_t> sums(n);
        const auto words = decode_words(w);
        set_threads(1);
        integer_product(row, words, matrix_view<std::int32_t>(sums.data(), 1, n));
        CHECK(sums == want);
        for (std::size_t i = 0; i < codes.size(); ++i)
            REQUIRE(values[i] == static_cast<float>(codes[i]) * steps[i / k]);
    }
    std::vector<float> y(codes.size());
    CHECK_THROWS_AS(decode_rows(w, std::span(steps).first(n - 1), {y.data(), n, k}), error);
    CHECK_THROWS_AS(decode_rows(w, steps, {y.data(), k, n}), error);
    CHECK_THROWS_AS(decode_rows(w, steps, {nullptr, n, k}), error);
    CHECK_THROWS_AS(decode_rows(w, std::span(y).first(n), {y.data(), n, k}), error);
    CHECK_THROWS_AS(signed_strips(w, std::span(steps).first(n - 1)), error);
}

TEST_CASE("codes and shapes that do not fit are refused") {
    const std::vector<std::int16_t> wide{256, 0};
    CHECK_THROWS_AS(signed_weights(view_of(wide, 1, 2)), error);
    const signed_weights w(view_of(codes_of(6, 9, 0.0F, 1), 2, 3));
    const std::vector<float> x(4, 1.0F);
    const signed_digits digits(matrix_view<const float>(x.data(), 1, 4));
    const std::vector<float> scales(2, 1.0F);
    std::vector<float> y(2);
    CHECK_THROWS_AS(signed_product(digits, w, scales, matrix_view<float>(y.data(), 1, 2)), error);
    const signed_digits three(matrix_view<const float>(x.data(), 1, 3));
    CHECK_THROWS_AS(signed_product(three, w, scales, matrix_view<float>(y.data(), 1, 1)), error);
    CHECK_THROWS_AS(signed_digits(matrix_view<const float>(x.data(), 1, 3), 16, 1.0F), error);
}

TEST_CASE("memory that is not there, too much of it, and memory written while read are refused") {
    CHECK_THROWS_AS(signed_weights(matrix_view<const std::int16_t>(nullptr, 1, 2)), error);
    CHECK_THROWS_AS(signed_digits(matrix_view<const float>(nullptr, 1, 2)), error);
    const std::vector<float> x(3, 1.0F);
    // A view that 64 bits reach, of values whose three digits, each in a word, they do not count.
    CHECK_THROWS_AS(signed_digits(matrix_view<const float>(x.data(), extent{1} << 60, 1)), error);
    const signed_weights w(view_of(codes_of(6, 9, 0.0F, 1), 2, 3));
    const signed_digits digits(matrix_view<const float>(x.data(), 1, 3));
    std::vector<float> scales(2, 1.0F);
    std::vector<float> y(2);
    CHECK_THROWS_AS(signed_product(digits, w, scales, matrix_view<float>(nullptr, 1, 2)), error);
    CHECK_THROWS_AS(signed_product(digits, w, scales, matrix_view<float>(scales.data(), 1, 2)),
                    error);
    CHECK_THROWS_AS(signed_product(digits, w, std::span<const float>(scales).first(1),
                                   matrix_view<float>(y.data(), 1, 2)),
                    error);
    for (const extent row : {-1, 1})
        CHECK_THROWS_AS(signed_columns(digits, row, w, scales, 0, std::span<float>(y),
                                       tare::kernels::no_epilogue{}),
                        error);
    CHECK_THROWS_AS(signed_columns(digits, 0, w, scales, 1, std::span<float>(y).first(1),
                                   tare::kernels::no_epilogue{}),
                    error);
    const std::span<float> nowhere(static_cast<float*>(nullptr), 2);
    for (const std::span<float> to : {nowhere, std::span<float>(scales)})
        CHECK_THROWS_AS(signed_columns(digits, 0, w, scales, 0, to, tare::kernels::no_epilogue{}),
                        error);
    CHECK_THROWS_AS(
        signed_columns(digits, 0, w, nowhere, 0, std::span<float>(y), tare::kernels::no_epilogue{}),
        error);
    CHECK_THROWS_AS(signed_product(digits, w, nowhere, matrix_view<float>(y.data(), 1, 2)), error);
}
