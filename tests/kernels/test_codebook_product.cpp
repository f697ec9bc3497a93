// SPDX-License-Identifier: MIT
// Products with codes of codebooks: exact where all values are small integers, within the stated
// bound of the decoded matrix's exact product elsewhere, and counted operation by operation.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/kernels/codebook_product.hpp>
#include <tare/testing/counted.hpp>

using namespace tare;
using kernels::codebook_layout;
using kernels::codebook_weights;

namespace {

// Codes and codebooks of a layout; `whole` values from -4 to 4, else normal ones.
struct made {
    std::vector<std::int32_t> codes;
    std::vector<float> codebooks;
    codebook_weights w;

    explicit made(const codebook_layout& l, bool whole = true) {
        const random_stream random(3, 0);
        std::uint64_t next = 0;
        for (extent n = 0; n < l.rows; ++n)
            for (extent j = 0; j < l.blocks(); ++j) {
                const extent bucket =
                    n / (l.rows / l.down) * l.across + j * l.block / (l.columns / l.across);
                codes.push_back(static_cast<std::int32_t>(
                    bucket * l.entries +
                    random.below(next++, static_cast<std::uint32_t>(l.entries))));
            }
        codebooks = numbers(l.buckets() * l.entries * l.block, 1, whole);
        w = codebook_weights(l, codes, codebooks);
    }
    static std::vector<float> numbers(extent count, std::uint64_t stream, bool whole) {
        const random_stream random(7, stream);
        std::vector<float> out(static_cast<std::size_t>(count));
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = whole ? static_cast<float>(random.below(i, 9)) - 4.0F : random.normal(i);
        return out;
    }
    [[nodiscard]] float weight(const codebook_layout& l, extent n, extent k) const {
        const auto row =
            static_cast<extent>(codes[static_cast<std::size_t>(n * l.blocks() + k / l.block)]);
        return codebooks[static_cast<std::size_t>(row * l.block + k % l.block)];
    }
};

// Rows, columns, block, buckets down and across, entries.
const codebook_layout layouts[] = {
    {1, 1, 1, 1, 1, 1},           {63, 8, 8, 1, 1, 3},      {64, 16, 4, 1, 2, 16},
    {65, 24, 8, 1, 3, 17},        {130, 264, 8, 2, 1, 256}, {192, 256, 4, 3, 4, 31},
    {257, 33 * 8, 8, 1, 11, 255}, {14, 35, 5, 7, 7, 2},
};

}  // namespace

TEST_CASE("products of whole numbers are exact, for any cut and number of rows") {
    for (const codebook_layout& l : layouts)
        for (const extent rows : {0, 1, 3}) {
            CAPTURE(l.rows);
            CAPTURE(rows);
            const made m(l);
            const auto x = made::numbers(rows * (l.columns + 1), 2, true);
            const matrix_view<const float> in(x.data(), rows, l.columns, l.columns + 1);
            std::vector<float> y(static_cast<std::size_t>(rows * (l.rows + 3)), 99.0F);
            const matrix_view<float> out(y.data(), rows, l.rows, l.rows + 3);
            kernels::codebook_product(in, m.w, out);
            std::vector<float> reference(static_cast<std::size_t>(rows * l.rows));
            kernels::plain::codebook_product<float>(in, m.w, {reference.data(), rows, l.rows});
            for (extent r = 0; r < rows; ++r) {
                for (extent n = 0; n < l.rows; ++n) {
                    float sum = 0.0F;
                    for (extent k = 0; k < l.columns; ++k)
                        sum += in(r, k) * m.weight(l, n, k);
                    CHECK(out(r, n) == sum);
                    CHECK(reference[static_cast<std::size_t>(r * l.rows + n)] == sum);
                }
                // Nothing behind a row is written.
                if (r + 1 < rows) CHECK(out.data[r * out.stride + l.rows] == 99.0F);
            }
        }
}

TEST_CASE("products are as near to the exact one as stated, and the same on four threads") {
    for (const codebook_layout& l : layouts) {
        const made m(l, false);
        const auto x = made::numbers(2 * l.columns, 2, false);
        const matrix_view<const float> in(x.data(), 2, l.columns);
        std::vector<float> y(static_cast<std::size_t>(2 * l.rows));
        kernels::codebook_product(in, m.w, {y.data(), 2, l.rows});
        // b - 1 fused steps after a product, then K / b - 1 sums: at most b + K / b roundings of
        // each term, of at most 2^-24 each; the second factor covers their products.
        const double steps = static_cast<double>(l.block + l.blocks());
        const double bound = steps * 0x1p-24 * (1.0 + steps * 0x1p-23);
        for (extent r = 0; r < 2; ++r)
            for (extent n = 0; n < l.rows; ++n) {
                double sum = 0.0;
                double magnitude = 0.0;
                for (extent k = 0; k < l.columns; ++k) {
                    const double term =
                        static_cast<double>(in(r, k)) * static_cast<double>(m.weight(l, n, k));
                    sum += term;
                    magnitude += std::fabs(term);
                }
                CHECK(std::fabs(static_cast<double>(y[static_cast<std::size_t>(r * l.rows + n)]) -
                                sum) <= bound * magnitude);
            }
        std::vector<float> shared(y.size());
        set_threads(4);
        kernels::codebook_product(in, m.w, {shared.data(), 2, l.rows});
        set_threads(1);
        CHECK(shared == y);
    }
    // Large enough that threads are used.
    const codebook_layout large{4099, 512, 8, 1, 1, 256};
    const made m(large, false);
    const auto x = made::numbers(large.columns, 2, false);
    std::vector<float> one(static_cast<std::size_t>(large.rows));
    std::vector<float> four(one.size());
    kernels::codebook_product({x.data(), 1, large.columns}, m.w, {one.data(), 1, large.rows});
    set_threads(4);
    kernels::codebook_product({x.data(), 1, large.columns}, m.w, {four.data(), 1, large.rows});
    set_threads(1);
    CHECK(one == four);
}

TEST_CASE("outputs are finished, and special values of the input come through") {
    const codebook_layout l{70, 16, 8, 1, 1, 256};
    const made m(l);
    auto x = made::numbers(l.columns, 2, true);
    const auto finish = [](simd::floats v, extent, extent column, std::size_t) {
        return column >= 64 ? v + simd::broadcast(0.5F) : v;
    };
    std::vector<float> y(70);
    std::vector<float> finished(70);
    kernels::codebook_product({x.data(), 1, 16}, m.w, {y.data(), 1, 70});
    kernels::codebook_product({x.data(), 1, 16}, m.w, {finished.data(), 1, 70}, finish);
    CHECK(finished[0] == y[0]);
    CHECK(finished[69] == y[69] + 0.5F);
    x[9] = std::numeric_limits<float>::quiet_NaN();
    kernels::codebook_product({x.data(), 1, 16}, m.w, {y.data(), 1, 70});
    for (const float v : y)
        CHECK(std::isnan(v));
}

TEST_CASE("rows decode, and what does not fit is refused") {
    const codebook_layout l{130, 264, 8, 2, 1, 256};
    const made m(l, false);
    std::vector<float> row(264);
    for (const extent n : {0, 63, 64, 65, 129}) {
        m.w.copy_row(n, row);
        for (extent k = 0; k < l.columns; ++k)
            CHECK(row[static_cast<std::size_t>(k)] == m.weight(l, n, k));
    }
    CHECK_THROWS_WITH_AS(m.w.copy_row(130, row), doctest::Contains("row 130 of 130"), error);
    CHECK_THROWS_WITH_AS(codebook_weights({3, 9, 4, 1, 1, 2}, {}, {}),
                         doctest::Contains("blocks of 4"), error);
    CHECK_THROWS_WITH_AS(codebook_weights({4, 8, 4, 1, 1, 257}, {}, {}),
                         doctest::Contains("257 entries"), error);
    const std::vector<std::int32_t> codes{0, 2};
    const std::vector<float> books(2 * 2 * 2, 0.0F);
    CHECK_THROWS_WITH_AS(
        codebook_weights({2, 2, 2, 2, 1, 2}, std::vector<std::int32_t>{0, 1}, books),
        doctest::Contains("row 1, block 0 has entry 1 of another bucket"), error);
    const codebook_weights two({2, 2, 2, 2, 1, 2}, codes, books);
    std::vector<float> x(4);
    CHECK_THROWS_WITH_AS(kernels::codebook_product({x.data(), 1, 3}, two, {row.data(), 1, 2}),
                         doctest::Contains("(1,3)"), error);
    CHECK_THROWS_WITH_AS(kernels::codebook_product({x.data(), 1, 2}, two, {x.data() + 1, 1, 2}),
                         doctest::Contains("overlaps"), error);
}

TEST_CASE("the plain product executes what is stated") {
    using testing::counted;
    for (const codebook_layout& l : layouts) {
        const made m(l);
        const std::vector<counted> x(static_cast<std::size_t>(2 * l.columns), counted(1.0F));
        std::vector<counted> y(static_cast<std::size_t>(2 * l.rows));
        counted::tally() = {};
        kernels::plain::codebook_product<counted>({x.data(), 2, l.columns}, m.w,
                                                  {y.data(), 2, l.rows});
        const testing::operation_tally counts = counted::tally();
        const extent entries = l.down * l.entries;
        CHECK(counts.multiplications == 2 * entries * l.columns);
        CHECK(counts.additions ==
              2 * (entries * (l.columns - l.blocks()) + l.rows * (l.blocks() - 1)));
    }
}
