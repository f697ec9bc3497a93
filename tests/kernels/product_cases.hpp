#pragma once
// SPDX-License-Identifier: MIT
// Random codes, padded matrices and the sizes that the tests of the narrow products share.

#include <cstdint>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/core/view.hpp>

namespace product_cases {

using tare::extent;

struct sizes {
    extent m, n, k;
};

/// Around the tiles (12 x 32, 6 x 16), the strips and the groups of k; zeros and primes.
inline const std::vector<sizes> shapes = {
    {0, 5, 7},   {3, 0, 7},    {3, 5, 0},   {1, 1, 1},    {1, 33, 3},   {1, 127, 64}, {1, 128, 65},
    {1, 161, 9}, {2, 129, 31}, {3, 95, 33}, {4, 64, 4},   {5, 31, 5},   {6, 97, 17},  {7, 32, 66},
    {8, 40, 67}, {11, 65, 12}, {12, 31, 8}, {13, 67, 29}, {25, 70, 34}, {67, 37, 131}};

/// A matrix whose rows are `gap` elements apart from each other; the gaps hold `guard`.
template <class T>
struct matrix {
    extent rows, columns, stride;
    std::vector<T> memory;

    matrix(extent rows_, extent columns_, extent gap = 0, T guard = T{})
        : rows(rows_),
          columns(columns_),
          stride(columns_ + gap),
          memory(static_cast<std::size_t>(rows_ * (columns_ + gap) + 1), guard) {}
    /// One element into the memory, so that rows start misaligned.
    [[nodiscard]] tare::matrix_view<T> view() { return {memory.data() + 1, rows, columns, stride}; }
    [[nodiscard]] tare::matrix_view<const T> view() const {
        return {memory.data() + 1, rows, columns, stride};
    }
};

/// Codes in [low, high].
template <class T>
matrix<T> random_codes(extent rows, extent columns, std::int32_t low, std::int32_t high,
                       std::uint64_t seed, extent gap = 0) {
    matrix<T> out(rows, columns, gap, static_cast<T>(high));
    const tare::random_stream draw(seed, 0);
    const auto view = out.view();
    for (extent r = 0; r < rows; ++r)
        for (extent c = 0; c < columns; ++c)
            view(r, c) = static_cast<T>(low + static_cast<std::int32_t>(draw.below(
                                                  static_cast<std::uint64_t>(r * columns + c),
                                                  static_cast<std::uint32_t>(high - low + 1))));
    return out;
}

/// Normal numbers, a share of them zero.
inline matrix<float> random_floats(extent rows, extent columns, std::uint64_t seed,
                                   float zeros = 0.0F, extent gap = 0) {
    matrix<float> out(rows, columns, gap);
    const tare::random_stream draw(seed, 0);
    const tare::random_stream keep(seed, 1);
    const auto view = out.view();
    for (extent r = 0; r < rows; ++r) {
        for (extent c = 0; c < columns; ++c) {
            const auto index = static_cast<std::uint64_t>(r * columns + c);
            view(r, c) = keep.uniform(index) < zeros ? 0.0F : draw.normal(index);
        }
    }
    return out;
}

/// All elements equal, gaps left out.
template <class T, class U>
bool equal(tare::matrix_view<T> a, tare::matrix_view<U> b) {
    for (extent r = 0; r < a.rows; ++r)
        for (extent c = 0; c < a.columns; ++c)
            if (a(r, c) != b(r, c)) return false;
    return a.rows == b.rows && a.columns == b.columns;
}

/// Sets the thread count for a scope.
struct with_threads {
    explicit with_threads(int count) { tare::set_threads(count); }
    ~with_threads() { tare::set_threads(1); }
    with_threads(const with_threads&) = delete;
    with_threads& operator=(const with_threads&) = delete;
};

}  // namespace product_cases
