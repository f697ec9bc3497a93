// SPDX-License-Identifier: MIT
// The distribution made from stretches of logits equals the one made from whole rows of them.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/kernels/adaptive_row.hpp>
#include <tare/nn/adaptive_softmax.hpp>

using namespace tare;

namespace {

transformer_xl_config config() {
    transformer_xl_config c;
    c.layers = 1;
    c.width = 24;
    c.vocabulary = 20011;  // more than a piece of logits, and no multiple of anything
    c.cutoffs = {131, 1000};
    c.widths = {24, 8, 4};
    c.cache = {7, false, 0.1, 0.2, false};
    return c;
}

template <class Weight>
struct both {
    random_parameters<float> source{5};
    adaptive_embedding<tensor, Weight> embedding{source, config()};
    adaptive_softmax<tensor, Weight> softmax{source, config(), embedding};
};

}  // namespace

TEST_CASE("stretches of logits give the whole row's probabilities, with and without a cache") {
    const both<tensor> rows;
    const both<prepared_weight> pieces;
    random_parameters<float> random(9);
    const tensor h = random.parameter("h", shape{1, 24}, initial::uniform(1.0));
    neural_cache<tensor> cache(7);
    for (int round = 0; round < 3; ++round) {
        const tensor want = rows.softmax.distribution(h, round == 0 ? nullptr : &cache);
        const tensor got = pieces.softmax.distribution(h, round == 0 ? nullptr : &cache);
        REQUIRE(got.shape() == want.shape());
        double sum = 0.0;
        for (std::size_t i = 0; i < got.values().size(); ++i) {
            // Logits of 24 products in two orders, below 2 in magnitude: 24 2^-24 2 each; the
            // exponential makes that relative, and both normalisers move as much.
            constexpr double tolerance = 4.0 * 24.0 * 0x1p-24 * 2.0;
            const auto wanted = static_cast<double>(want.values()[i]);
            REQUIRE(std::abs(static_cast<double>(got.values()[i]) - wanted) <= tolerance * wanted);
            sum += static_cast<double>(got.values()[i]);
        }
        // An empty cache loses its share.
        CHECK(std::abs(sum - (round == 1 ? 0.8 : 1.0)) <= 1e-4);
        if (round == 1) cache.push(h, std::vector<token>{19000});
    }
}

TEST_CASE("each bin has the share that its cluster's entry gives it") {
    const both<prepared_weight> pieces;
    random_parameters<float> random(9);
    const tensor h = random.parameter("h", shape{1, 24}, initial::uniform(1.0));
    const tensor p = pieces.softmax.distribution(h);
    // Losses go their own way through head and tails.
    for (const token word : {0, 130, 131, 999, 1000, 20010}) {
        const tensor log_p = pieces.softmax.log_probability(h, std::vector<token>{word});
        // Two float32 computations of a logarithm near 10 that sum up to 19,011 exponentials:
        // 2^-24 (2 * 10 + 19011 / 2048 + 46) each, rounded up.
        constexpr double tolerance = 2.0 * 80.0 * 0x1p-24;
        CHECK(std::abs(std::log(static_cast<double>(p.values()[static_cast<std::size_t>(word)])) -
                       static_cast<double>(log_p.values()[0])) <= tolerance);
    }
}

TEST_CASE("pieces made on demand are those made beforehand, bit for bit") {
    constexpr std::size_t piece = kernels::piecewise_softmax::piece;
    for (const std::size_t size : {std::size_t{1}, piece - 1, piece, piece + 1, 7 * piece + 100}) {
        std::vector<float> z(size);
        for (std::size_t i = 0; i < size; ++i)
            z[i] = std::sin(static_cast<float>(i)) * 5.0F;
        std::vector<float> want(size);
        std::vector<float> got(size);
        const kernels::piecewise_softmax whole(z, want);
        const kernels::piecewise_softmax made(got, 1, [&](extent first, std::span<float> to) {
            std::copy_n(z.begin() + first, to.size(), to.begin());
        });
        CHECK(got == want);
        CHECK(made.whole().sum == whole.whole().sum);
    }
}

TEST_CASE("each piece asks for the one behind it, and for nothing behind the last") {
    constexpr std::size_t piece = kernels::piecewise_softmax::piece;
    struct watched {
        std::vector<extent>& asked;
        void operator()(extent, std::span<float> to) const { std::ranges::fill(to, 1.0F); }
        void ahead(extent first, extent done) const {
            CHECK(done < static_cast<extent>(piece));
            if (done == 0) asked.push_back(first);
        }
    };
    std::vector<extent> asked;
    std::vector<float> y(2 * piece + 5);
    const kernels::piecewise_softmax made(y, 1, watched{asked});
    CHECK(asked == std::vector<extent>{static_cast<extent>(piece), static_cast<extent>(2 * piece)});
    CHECK(made.whole().sum == static_cast<float>(y.size()));
}

TEST_CASE("sizes that do not fit are refused") {
    std::vector<float> p(10);
    const std::vector<float> clusters(1);
    const std::vector<extent> sizes{4, 5};
    const auto none = [](std::size_t, std::span<float> part) {
        return kernels::piecewise_softmax(part, part);
    };
    CHECK_THROWS_AS(kernels::adaptive_row(clusters, sizes, 1.0F, p, none), error);
    CHECK_THROWS_AS(kernels::adaptive_row({}, sizes, 1.0F, std::span(p).first(9), none), error);
    constexpr extent most = std::numeric_limits<extent>::max();
    for (const auto& wrong : {std::vector<extent>{-1, 11}, {11, -1}, {most, most}, {10, most}})
        CHECK_THROWS_AS(kernels::adaptive_row(clusters, wrong, 1.0F, p, none), error);
    const std::vector<float> scores(2, 1.0F);
    for (const std::int32_t word : {-1, 10})
        CHECK_THROWS_AS(kernels::add_cache_row(scores, std::vector<std::int32_t>{3, word}, 0.5F, p),
                        error);
    const std::vector<std::int32_t> words{3, 9};
    CHECK_THROWS_AS(kernels::add_cache_row(std::span(p).first(2), words, 0.5F, p), error);
    CHECK_THROWS_AS(kernels::add_cache_row(scores, std::span(words).first(1), 0.5F, p), error);
    const float* const nowhere = nullptr;
    CHECK_THROWS_AS(kernels::add_cache_row({nowhere, 2}, words, 0.5F, p), error);
    float* const no_result = nullptr;
    CHECK_THROWS_AS(kernels::add_cache_row(scores, words, 0.5F, {no_result, 10}), error);
    kernels::add_cache_row(scores, words, 0.5F, p);
    CHECK(p[3] == 0.25F);
    CHECK(p[9] == 0.25F);
}
