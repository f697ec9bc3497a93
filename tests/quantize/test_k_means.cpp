// SPDX-License-Identifier: MIT
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/quantize/product.hpp>

#include "golden_manifest.hpp"

using tare::aligned_vector;
using tare::codebook_entry;
using tare::extent;
using tare::k_means_options;
using tare::k_means_result;
using tare::matrix_view;
using tare::testing::values;

namespace {

// The reference sums in float32, the library in double: the tolerance that the arrays state.
void check_near(std::span<const float> got, const std::vector<float>& want) {
    constexpr double relative = 1e-5;
    constexpr double absolute = 1e-6;
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
        CAPTURE(i);
        CHECK(std::fabs(double(got[i]) - double(want[i])) <=
              relative * std::fabs(double(want[i])) + absolute);
    }
}

aligned_vector<float> normal_columns(extent n, extent width, std::uint64_t seed) {
    const tare::random_stream random(seed, 0);
    aligned_vector<float> x(static_cast<std::size_t>(n * width));
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = random.normal(i);
    return x;
}

double root_mean_square(std::span<const float> x) {
    double sum = 0.0;
    for (const float v : x)
        sum += double(v) * double(v);
    return std::sqrt(sum / double(x.size()));
}

std::vector<codebook_entry> codes_of(const std::vector<std::int64_t>& from) {
    return {from.begin(), from.end()};
}

// The part [index * size, (index + 1) * size) of an array.
template <class T>
std::vector<T> part(const std::vector<T>& all, std::size_t index, std::size_t size) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(index * size);
    return {begin, begin + static_cast<std::ptrdiff_t>(size)};
}

}  // namespace

TEST_CASE("k-means takes the steps of the reference, empty entries among them") {
    const auto golden = tare::testing::golden("daq/pq_kmeans.npz");
    const auto cases = tare::testing::golden_cases("daq", "pq_kmeans.npz");
    for (const auto& [key_of_case, about] : cases.items()) {
        const std::string name = key_of_case;  // lambdas cannot hold the binding
        CAPTURE(name);
        const auto& info = about.at("info");
        const auto get = [&golden, key = name + "."](const char* array) {
            return values<float>(golden, key + array);
        };
        const std::vector<float> w = get("W");
        const extent block = info.at("block");
        const extent rows = tare::testing::array(golden, name + ".W").extents[0];
        const auto grid = tare::whole_grid(rows, extent(w.size()) / rows, block);
        const auto columns = tare::bucket_columns(grid, 0, {w.data(), rows, grid.columns});
        const matrix_view<const float> x(columns.data(), grid.size(), block);

        k_means_options options;
        options.entries = info.at("n_centroids");
        // The reference allows one more than it says, and its distance is absolute.
        options.splits = int(info.at("max_tentatives")) + 1;
        options.split = float(double(info.at("eps")) / root_mean_square(columns));
        const bool gives_up = int(info.at("failed_at_iter")) >= 0;
        const std::vector<float> noise =
            golden.contains(name + ".noise") ? get("noise") : std::vector<float>{};
        const auto run = [&](int iterations) {
            options.iterations = iterations;
            return tare::k_means_from(x, get("init_centroids"), options, [&](extent s, extent d) {
                return noise.at(static_cast<std::size_t>(s * block + d));
            });
        };
        const int steps = info.at("n_iter");
        const k_means_result last = run(steps);
        CHECK(last.gave_up == gives_up);
        CHECK(last.codes == codes_of(values<std::int64_t>(golden, name + ".assignments")));
        check_near(last.entries, get("centroids"));
        tare::product_matrix coded{grid, options.entries, last.codes, last.entries};
        CHECK(coded.global_codes() == last.codes);
        std::vector<float> decoded(w.size());
        tare::decode_product(coded, {decoded.data(), rows, grid.columns});
        check_near(decoded, get("decoded"));
        if (gives_up) continue;
        CHECK(last.splits == info.at("resolved_empty_per_iter").get<std::vector<int>>());
        const auto all_entries = get("centroids_iter");
        const auto all_codes = codes_of(values<std::int64_t>(golden, name + ".assignments_iter"));
        const std::vector<float> objective = get("objective");
        for (int step = 1; step <= steps; ++step) {
            CAPTURE(step);
            const auto at = static_cast<std::size_t>(step - 1);
            const k_means_result here = run(step);
            check_near(here.entries, part(all_entries, at, last.entries.size()));
            CHECK(here.codes == part(all_codes, at, last.codes.size()));
            const auto distance = static_cast<float>(here.distances.at(at));
            check_near(std::span(&distance, 1), {objective.at(at)});
        }
    }
}

TEST_CASE("nearest entries are those of the definition") {
    for (const extent width : {1, 3, 4, 8, 9})
        for (const extent n : {1, 2, 31, 32, 33, 257})
            for (const extent entries : {1, 2, 15, 16, 17, 64}) {
                const auto x = normal_columns(n, width, 1);
                auto c = normal_columns(entries, width, 2);
                // Entries that scores alone cannot tell apart, and equal ones.
                for (std::size_t i = 0; i + 1 < c.size() && entries > 2; ++i)
                    if (i / std::size_t(width) % 3 == 1)
                        c[i] = c[i - std::size_t(width)] * (i % 2 == 0 ? 1.0F + 1e-6F : 1.0F);
                std::vector<codebook_entry> got(static_cast<std::size_t>(n));
                std::vector<codebook_entry> want(got);
                const matrix_view<const float> columns(x.data(), n, width);
                const matrix_view<const float> book(c.data(), entries, width);
                tare::nearest_entries(columns, book, got);
                tare::plain::nearest_entries(columns, book, want);
                CHECK(got == want);
                // A column that is an entry finds it, or an equal one before it.
                std::vector<codebook_entry> own(static_cast<std::size_t>(entries));
                tare::nearest_entries(book, book, own);
                for (extent k = 0; k < entries; ++k)
                    CHECK(tare::squared_distance(book.row(k).data(),
                                                 book.row(extent(own[std::size_t(k)])).data(),
                                                 width) == 0.0);
            }
}

TEST_CASE("entries are found whatever the magnitude of the values") {
    const extent n = 100;
    const extent width = 8;
    const auto x = normal_columns(n, width, 3);
    std::vector<codebook_entry> want(static_cast<std::size_t>(n));
    tare::plain::nearest_entries({x.data(), n, width}, {x.data(), 16, width}, want);
    for (const int exponent : {-130, -100, -40, 40, 100, 123}) {
        CAPTURE(exponent);
        aligned_vector<float> scaled = x;
        for (float& v : scaled)
            v = std::ldexp(v, exponent);
        std::vector<codebook_entry> got(want.size());
        tare::nearest_entries({scaled.data(), n, width}, {scaled.data(), 16, width}, got);
        CHECK(got == want);
    }
}

TEST_CASE("k-means does not depend on the threads and never loses ground") {
    const extent n = 9000;
    const extent width = 8;
    const auto x = normal_columns(n, width, 4);
    const matrix_view<const float> columns(x.data(), n, width);
    k_means_options options;
    options.entries = 64;
    options.iterations = 6;
    const k_means_result one = tare::k_means(columns, options);
    for (const int count : {2, 4}) {
        tare::set_threads(count);
        const k_means_result many = tare::k_means(columns, options);
        CHECK(many.entries == one.entries);
        CHECK(many.codes == one.codes);
        CHECK(many.distances == one.distances);
    }
    tare::set_threads(1);
    CHECK(std::ranges::is_sorted(one.distances, std::greater<>()));
    options.seed = 1;
    CHECK(tare::k_means(columns, options).entries != one.entries);
}

TEST_CASE("a start has no column twice while others are left") {
    const extent width = 4;
    auto x = normal_columns(60, width, 5);
    for (std::size_t i = 40 * 4; i < x.size(); ++i)
        x[i] = x[i % 4];  // twenty copies of the first column
    const matrix_view<const float> columns(x.data(), 60, width);
    k_means_options options;
    options.entries = 30;
    std::set<std::vector<float>> seen;
    for (const extent i : tare::k_means_start(columns, options))
        seen.insert({columns.row(i).begin(), columns.row(i).end()});
    CHECK(seen.size() == 30);
    // With as many entries as there are different columns and more, nothing is lost.
    for (const extent entries : {40, 50}) {
        options.entries = entries;
        CHECK(tare::k_means_start(columns, options).size() == 40);
        const k_means_result all = tare::k_means(columns, options);
        CHECK_FALSE(all.gave_up);
        for (extent i = 0; i < 60; ++i)
            CHECK(std::ranges::equal(columns.row(i),
                                     matrix_view<const float>(all.entries.data(), entries, width)
                                         .row(extent(all.codes[std::size_t(i)]))));
    }
}

TEST_CASE("misuse of k-means is refused by name") {
    const auto x = normal_columns(5, 4, 6);
    k_means_options options;
    options.entries = 0;
    CHECK_THROWS_WITH_AS(static_cast<void>(tare::k_means({x.data(), 5, 4}, options)),
                         doctest::Contains("k_means: 0 entries"), tare::error);
    CHECK_THROWS_WITH_AS(static_cast<void>(tare::k_means({x.data(), 0, 4}, {})),
                         doctest::Contains("(0,4)"), tare::error);
    CHECK_THROWS_WITH_AS(
        static_cast<void>(tare::k_means_from({x.data(), 5, 4}, std::span(x).first(4), {},
                                             [](extent, extent) { return 0.0F; })),
        doctest::Contains("need a start of 1024"), tare::error);
    CHECK_THROWS_WITH_AS(static_cast<void>(tare::whole_grid(3, 10, 4)),
                         doctest::Contains("no whole number of blocks of 4"), tare::error);
    CHECK(tare::whole_grid(3, 4, 8).block == 4);
}
