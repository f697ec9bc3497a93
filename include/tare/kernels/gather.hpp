#pragma once
// SPDX-License-Identifier: MIT
// Rows by index, and their gradient: a sum of rows into the places they came from. The sum of a
// place adds its rows in the order of the index list, whatever the number of threads, because
// threads own columns and never rows.

#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>

namespace tare::kernels {

namespace detail {

inline void require_indices(std::string_view function, std::span<const std::int32_t> indices,
                            extent rows) {
    for (std::size_t i = 0; i < indices.size(); ++i) {
        if (indices[i] < 0 || indices[i] >= rows)
            fail(function, ": index ", indices[i], " at position ", i, " is outside the ", rows,
                 " rows of the table; check the ids against the vocabulary size");
    }
}

}  // namespace detail

/// out(i, c) = table(indices[i], c). Shapes table (V, C), indices (N), out (N, C).
/// Bit-exact. Throws on an index outside [0, V), shapes that do not fit, or overlapping memory.
inline void gather_rows(matrix_view<const float> table, std::span<const std::int32_t> indices,
                        matrix_view<float> out) {
    detail::require_view("gather_rows", "table", table);
    detail::require_view("gather_rows", "out", out);
    detail::require_size("gather_rows", "indices", indices, out.rows, "one per row of out");
    if (table.columns != out.columns)
        fail("gather_rows: table has ", table.columns, " columns and out has ", out.columns,
             "; they must be equal");
    detail::require_all_apart("gather_rows", {{"out", out}},
                              {{"table", table}, {"indices", indices}});
    detail::require_indices("gather_rows", indices, table.rows);
    const auto bytes = static_cast<std::size_t>(table.columns) * sizeof(float);
    if (bytes == 0) return;
    parallel_for(out.rows, 1, table.columns, [&](extent begin, extent end) {
        for (extent i = begin; i < end; ++i)
            std::memcpy(out.row(i).data(), table.row(indices[static_cast<std::size_t>(i)]).data(),
                        bytes);
    });
}

/// table(indices[i], c) += rows(i, c) for i = 0, 1, ... in this order.
/// Shapes rows (N, C), indices (N), table (V, C). Accuracy: one rounding per addition.
/// Throws on an index outside [0, V), shapes that do not fit, or overlapping memory.
inline void scatter_add_rows(matrix_view<const float> rows, std::span<const std::int32_t> indices,
                             matrix_view<float> table) {
    detail::require_view("scatter_add_rows", "rows", rows);
    detail::require_view("scatter_add_rows", "table", table);
    detail::require_size("scatter_add_rows", "indices", indices, rows.rows, "one per row of rows");
    if (table.columns != rows.columns)
        fail("scatter_add_rows: rows has ", rows.columns, " columns and table has ", table.columns,
             "; they must be equal");
    detail::require_all_apart("scatter_add_rows", {{"table", table}},
                              {{"rows", rows}, {"indices", indices}});
    detail::require_indices("scatter_add_rows", indices, table.rows);
    parallel_for(rows.columns, 16, rows.rows, [&](extent begin, extent end) {
        for (extent i = 0; i < rows.rows; ++i) {
            const float* from = rows.row(i).data();
            float* to = table.row(indices[static_cast<std::size_t>(i)]).data();
            extent c = begin;
            for (; c + 16 <= end; c += 16)
                store(to + c, simd::load_pack(to + c) + simd::load_pack(from + c));
            for (; c < end; ++c)
                to[c] += from[c];
        }
    });
}

/// The same one element at a time, for any scalar.
namespace plain {

template <class Scalar>
void gather_rows(matrix_view<const std::type_identity_t<Scalar>> table,
                 std::span<const std::int32_t> indices, matrix_view<Scalar> out) {
    for (extent i = 0; i < out.rows; ++i) {
        for (extent c = 0; c < out.columns; ++c)
            out(i, c) = table(indices[static_cast<std::size_t>(i)], c);
    }
}
template <class Scalar>
void scatter_add_rows(matrix_view<const std::type_identity_t<Scalar>> rows,
                      std::span<const std::int32_t> indices, matrix_view<Scalar> table) {
    for (extent i = 0; i < rows.rows; ++i) {
        for (extent c = 0; c < rows.columns; ++c) {
            Scalar& sum = table(indices[static_cast<std::size_t>(i)], c);
            sum = sum + rows(i, c);
        }
    }
}

}  // namespace plain

}  // namespace tare::kernels
