// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>

#include <tare/kernels/k_means_assign.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

double distance(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t d = 0; d < a.size(); ++d) {
        const double gap = static_cast<double>(a[d]) - static_cast<double>(b[d]);
        sum += gap * gap;
    }
    return sum;
}

}  // namespace

TEST_CASE("every block gets a centroid as near as any") {
    for (const extent width : {1, 2, 3, 4, 5, 8, 16}) {
        for (const extent count : {0, 1, 31, 32, 33, 200}) {
            for (const extent codebook : {1, 2, 16, 256}) {
                const auto x = uniform_values(count * width, 95);
                const auto c = uniform_values(codebook * width, 96);
                const matrix_view<const float> blocks(x.data(), count, width);
                const matrix_view<const float> centroids(c.data(), codebook, width);
                std::vector<std::uint8_t> codes(static_cast<std::size_t>(count));
                std::vector<std::uint8_t> want(codes.size());
                kernels::k_means_assign(blocks, centroids, std::span(codes));
                const auto xd = widen(x);
                const auto cd = widen(c);
                kernels::plain::k_means_assign(matrix_view<const double>(xd.data(), count, width),
                                               {cd.data(), codebook, width}, std::span(want));
                for (extent b = 0; b < count; ++b) {
                    const auto at = static_cast<std::size_t>(b);
                    if (codes[at] == want[at]) continue;
                    // Another choice must be a tie within the stated error of the score (|x|, |c|
                    // below 3 sqrt(D)), doubled because a distance is twice a score.
                    const auto w = static_cast<double>(width);
                    CHECK(distance(blocks.row(b), centroids.row(codes[at])) <=
                          distance(blocks.row(b), centroids.row(want[at])) +
                              4 * (w + 3) * 0x1p-24 * 18 * w);
                }
            }
        }
    }
}

TEST_CASE("equal centroids: the lowest wins; NaN blocks get code 0") {
    const std::vector<float> c = {1, 1, 2, 2, 2, 2};
    std::vector<float> x = {2, 2, std::numeric_limits<float>::quiet_NaN(), 2};
    std::vector<std::uint16_t> codes(2);
    kernels::k_means_assign({x.data(), 2, 2}, {c.data(), 3, 2}, std::span(codes));
    CHECK(codes == std::vector<std::uint16_t>{1, 0});
}

TEST_CASE("the lowest of equal centroids wins across groups of sixteen, NaN centroids never") {
    constexpr extent width = 8;
    for (const extent codebook : {17, 40, 256}) {
        // Centroid k holds k / 3, so that ties come in threes and cross the groups.
        std::vector<float> c(static_cast<std::size_t>(codebook * width));
        for (std::size_t i = 0; i < c.size(); ++i)
            c[i] = static_cast<float>(i / (3 * static_cast<std::size_t>(width)));
        std::vector<float> x(static_cast<std::size_t>(codebook * width));
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = static_cast<float>(i / (3 * static_cast<std::size_t>(width)));
        std::vector<std::uint8_t> codes(static_cast<std::size_t>(codebook));
        const matrix_view<const float> blocks(x.data(), codebook, width);
        kernels::k_means_assign(blocks, {c.data(), codebook, width}, std::span(codes));
        for (extent b = 0; b < codebook; ++b)
            CHECK(codes[static_cast<std::size_t>(b)] == b / 3 * 3);
        c[3 * width] = std::numeric_limits<float>::quiet_NaN();  // centroid 3
        kernels::k_means_assign(blocks, {c.data(), codebook, width}, std::span(codes));
        CHECK(codes[3] == 4);
    }
}

TEST_CASE("the search on 16-bit codes finds the centroids of the search in fp32") {
    constexpr extent width = 8, count = 327;
    constexpr float inf = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto check = [&](std::span<const float> x, std::span<const float> c) {
        const auto codebook = static_cast<extent>(c.size()) / width;
        const kernels::detail::centroid_table table({c.data(), codebook, width});
        const matrix_view<const float> blocks(x.data(), count, width);
        std::vector<std::uint8_t> screened(count, 255);
        std::vector<std::uint8_t> want(count);
        kernels::detail::assign_blocks<8>(blocks, table, 0, count, std::span(want));
        kernels::detail::assign_screened<8>(blocks, table, 0, count, std::span(screened));
        CHECK(screened == want);
    };
    for (const extent codebook : {1, 15, 16, 17, 100, 256}) {
        const auto x = uniform_values(count * width, 101);
        const auto c = uniform_values(codebook * width, 102);
        // Scales apart, down to where codes lose all digits and up to where they are refused.
        for (const float x_scale : {1.0F, 0x1p-30F, 0x1p-60F, 0x1p20F, 0x1p60F})
            for (const float c_scale : {1.0F, 0x1p-30F, 0x1p-60F, 0x1p20F, 0x1p60F}) {
                auto xs = x;
                auto cs = c;
                for (float& v : xs)
                    v *= x_scale;
                for (float& v : cs)
                    v *= c_scale;
                check(xs, cs);
            }
        // Few different values: ties within groups and across them.
        auto coarse = x;
        auto steps = c;
        for (float& v : coarse)
            v = std::nearbyint(v);
        for (float& v : steps)
            v = std::nearbyint(v);
        check(coarse, steps);
        // Centroids closer to each other than a code's step: fp32 alone can tell them apart.
        auto close = c;
        for (std::size_t i = 0; i < close.size(); ++i)
            close[i] = c[i % static_cast<std::size_t>(width)] + c[i] * 0x1p-16F;
        check(x, close);
        for (const float odd : {nan, inf, -inf}) {
            auto bad = x;
            bad[100] = odd;
            check(bad, c);
            auto bad_centroid = c;
            bad_centroid[c.size() / 2] = odd;
            check(x, bad_centroid);
        }
        check(std::vector<float>(x.size()), c);
        check(x, std::vector<float>(c.size()));
    }
}

TEST_CASE("rows that lie apart get the codes of rows that touch") {
    constexpr extent width = 8, apart = 11, count = 97;
    const auto spread = uniform_values(count * apart, 99);
    const auto c = uniform_values(200 * width, 100);
    std::vector<float> close;
    for (extent b = 0; b < count; ++b)
        for (extent d = 0; d < width; ++d)
            close.push_back(spread[static_cast<std::size_t>(b * apart + d)]);
    std::vector<std::uint8_t> codes(count);
    std::vector<std::uint8_t> want(count);
    kernels::k_means_assign({spread.data(), count, width, apart}, {c.data(), 200, width},
                            std::span(codes));
    kernels::k_means_assign({close.data(), count, width}, {c.data(), 200, width}, std::span(want));
    CHECK(codes == want);
}

TEST_CASE("blocks that begin anywhere and hold subnormals have the nearest centroid") {
    // Subnormal blocks are all nearest to the shortest centroid, the third.
    auto c = uniform_values(20 * 8, 103, 1.0F, 2.0F);
    std::fill_n(c.begin() + 2 * 8, 8, 0.5F);
    for (const std::size_t shift : {0U, 1U, 7U}) {
        const std::vector<float> x(shift + 33 * 8, 0x1p-140F);
        std::vector<std::uint8_t> codes(33);
        kernels::k_means_assign({x.data() + shift, 33, 8}, {c.data(), 20, 8}, std::span(codes));
        CHECK(codes == std::vector<std::uint8_t>(33, 2));
    }
}

TEST_CASE("any number of threads gives the same codes") {
    const auto x = uniform_values(4099 * 8, 97);
    const auto c = uniform_values(256 * 8, 98);
    CHECK(same_for_any_threads([&] {
        std::vector<std::uint8_t> codes(4099);
        kernels::k_means_assign({x.data(), 4099, 8}, {c.data(), 256, 8}, std::span(codes));
        // Blocks of eight are searched on codes first, those of five are not.
        std::vector<std::uint8_t> others(6001);
        kernels::k_means_assign({x.data(), 6001, 5}, {c.data(), 256, 5}, std::span(others));
        codes.insert(codes.end(), others.begin(), others.end());
        return std::vector<float>(codes.begin(), codes.end());
    }));
}

TEST_CASE("codebooks that do not fit the code type are errors") {
    const std::vector<float> x(8);
    const std::vector<float> c(257 * 8);
    std::vector<std::uint8_t> codes(1);
    CHECK_THROWS_AS(kernels::k_means_assign({x.data(), 1, 8}, {c.data(), 257, 8}, std::span(codes)),
                    error);
    CHECK_THROWS_AS(kernels::k_means_assign({x.data(), 1, 8}, {c.data(), 0, 8}, std::span(codes)),
                    error);
    CHECK_THROWS_AS(kernels::k_means_assign({x.data(), 1, 8}, {c.data(), 4, 4}, std::span(codes)),
                    error);
}
