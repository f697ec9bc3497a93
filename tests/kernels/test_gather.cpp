// SPDX-License-Identifier: MIT
#include <tare/kernels/gather.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

std::vector<std::int32_t> some_indices(extent count, extent rows) {
    const random_stream stream(5, 5);
    std::vector<std::int32_t> out;
    for (extent i = 0; i < count; ++i)
        out.push_back(static_cast<std::int32_t>(
            stream.below(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(rows))));
    return out;
}

}  // namespace

TEST_CASE("gather copies rows, scatter adds them back in the order of the list") {
    for (const extent columns : {0, 1, 15, 16, 17, 33, 256}) {
        const auto table = uniform_values(13 * columns, 101);
        const auto indices = some_indices(50, 13);
        guarded_matrix out(50, columns);
        std::vector<float> want(static_cast<std::size_t>(50 * columns));
        kernels::gather_rows({table.data(), 13, columns}, indices, out.view());
        kernels::plain::gather_rows({table.data(), 13, columns}, indices,
                                    matrix_view<float>(want.data(), 50, columns));
        CHECK(same_bits(out.dense(), want));
        CHECK(out.intact());

        guarded_matrix sums(13, columns);
        std::vector<float> want_sums(table);
        sums.fill(table);
        kernels::scatter_add_rows({want.data(), 50, columns}, indices, sums.view());
        kernels::plain::scatter_add_rows({want.data(), 50, columns}, indices,
                                         matrix_view<float>(want_sums.data(), 13, columns));
        CHECK(same_bits(sums.dense(), want_sums));
        CHECK(sums.intact());
    }
}

TEST_CASE("gather keeps every bit of subnormals, infinities and NaN") {
    const auto table = special_values(13 * 37);
    const auto indices = some_indices(50, 13);
    std::vector<float> out(50 * 37 + 1);
    kernels::gather_rows({table.data(), 13, 37}, indices, {out.data() + 1, 50, 37});
    for (std::size_t i = 0; i < 50; ++i)
        CHECK(same_bits(std::span(out).subspan(1 + 37 * i, 37),
                        std::span(table).subspan(37 * static_cast<std::size_t>(indices[i]), 37)));
}

TEST_CASE("any number of threads gives the same sums") {
    const auto rows = uniform_values(3000 * 200, 102);
    const auto indices = some_indices(3000, 7);
    CHECK(same_for_any_threads([&] {
        std::vector<float> table(7 * 200);
        kernels::scatter_add_rows({rows.data(), 3000, 200}, indices, {table.data(), 7, 200});
        return table;
    }));
    CHECK(same_for_any_threads([&] {
        std::vector<float> out(rows.size());
        kernels::gather_rows({rows.data(), 3000, 200}, some_indices(3000, 3000),
                             {out.data(), 3000, 200});
        return out;
    }));
}

TEST_CASE("an index outside the table is an error") {
    std::vector<float> table(8);
    std::vector<float> out(4);
    for (const std::int32_t bad : {-1, 2}) {
        const std::vector<std::int32_t> indices = {bad};
        CHECK_THROWS_AS(kernels::gather_rows({table.data(), 2, 4}, indices, {out.data(), 1, 4}),
                        error);
        CHECK_THROWS_AS(
            kernels::scatter_add_rows({out.data(), 1, 4}, indices, {table.data(), 2, 4}), error);
    }
    const std::vector<std::int32_t> indices = {0};
    CHECK_THROWS_AS(kernels::gather_rows({table.data(), 2, 4}, indices, {out.data(), 1, 3}), error);
    CHECK_THROWS_AS(kernels::gather_rows({table.data(), 2, 4}, indices, {table.data(), 1, 4}),
                    error);
    std::vector<float> rows(8);
    CHECK_THROWS_AS(kernels::gather_rows({table.data(), 2, 4}, indices, {rows.data(), 2, 4}),
                    error);
    CHECK_THROWS_AS(kernels::scatter_add_rows({rows.data(), 2, 4}, indices, {table.data(), 2, 4}),
                    error);
}
