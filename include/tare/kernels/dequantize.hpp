#pragma once
// SPDX-License-Identifier: MIT
// From the sums of an integer product to outputs: stored as they are, or scaled to fp32 and passed
// to an epilogue (bias, ReLU, what a user writes) while they are in registers.
//
//     y(m,n) = finish((float(sum(m,n)) * rows[n]) * activation)
//
// Three roundings, each to nearest even: the same bits on every build.

#include <span>
#include <string_view>

#include <tare/core/simd_int.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/epilogue.hpp>

namespace tare::kernels {

/// The scales that turn integer sums into values: one for each output (a row of the weights) and
/// one for the activations. Both are steps: value = code * scale.
struct dequantize {
    std::span<const float> rows;
    float activation = 1.0F;
};

namespace detail {

/// Throws unless y (M,N) = x (M,K) times weights (N,K) can be computed.
template <class Activation, class Output>
void check_product(matrix_view<const Activation> x, extent inputs, extent outputs,
                   matrix_view<Output> y, std::string_view function) {
    check_view(function, "x", x);
    check_view(function, "y", y);
    require(x.columns == inputs, function, ": x is (", x.rows, ',', x.columns,
            "), but the weights are (", outputs, ',', inputs,
            "); x needs as many columns as the weights have inputs");
    require(y.rows == x.rows && y.columns == outputs, function, ": y is (", y.rows, ',', y.columns,
            "), but the product is (", x.rows, ',', outputs, "); resize y");
    require_apart(function, "x", x, "y", y);
}

template <class T>
void check_dequantize(std::string_view function, const dequantize& scales, matrix_view<T> y) {
    require(static_cast<extent>(scales.rows.size()) == y.columns, function, ": there are ",
            scales.rows.size(), " row scales, but y is (", y.rows, ',', y.columns,
            "); pass one for each output");
    const matrix_view<const float> rows(scales.rows.data(), 1, y.columns);
    check_view(function, "the row scales", rows);
    require_apart(function, "the row scales", rows, "y", y);
}

/// Writes sums as 32-bit integers.
struct store_int32 {
    matrix_view<std::int32_t> y;

    [[gnu::always_inline]] void operator()(simd::words sums, extent row, extent column,
                                           std::size_t count) const {
        if (count == simd::word_lane_count) {
            simd::store_words(&y(row, column), sums);
        } else {
            simd::store_words(&y(row, column), sums, count);
        }
    }
};

/// Writes sums as 64-bit integers.
struct store_int64 {
    matrix_view<std::int64_t> y;

    // One copy for all registers of a tile: inlined, the 24 of them took GCC 12 a minute.
    [[gnu::noinline]] void operator()(simd::words sums, extent row, extent column,
                                      std::size_t count) const {
        alignas(64) std::int32_t lane[simd::word_lane_count];
        simd::store_words(lane, sums);
        std::copy_n(lane, count, &y(row, column));
    }
    void wide(const std::int64_t* lane, extent row, extent column, std::size_t count) const {
        std::copy_n(lane, count, &y(row, column));
    }
};

/// Scales, finishes and writes registers of floats.
template <epilogue Finish>
struct store_floats {
    matrix_view<float> y;
    dequantize scales;
    Finish finish;

    [[gnu::always_inline]] void put(simd::floats v, extent row, extent column,
                                    std::size_t count) const {
        v = v * load_lanes(scales.rows.data() + column, count) * simd::broadcast(scales.activation);
        store_lanes(&y(row, column), finish(v, row, column, count), count);
    }
    /// Calls part(p, column, count) for each register of floats that holds outputs.
    template <class Part>
    [[gnu::always_inline]] static void each_part(extent column, std::size_t count,
                                                 const Part& part) {
#pragma GCC unroll 16
        for (int p = 0; p < simd::word_parts; ++p) {
            const std::size_t done = static_cast<std::size_t>(p) * simd::lanes;
            if (done < count)
                part(p, column + static_cast<extent>(done), std::min(count - done, simd::lanes));
        }
    }
    [[gnu::always_inline]] void operator()(simd::words sums, extent row, extent column,
                                           std::size_t count) const {
        each_part(column, count, [&](int p, extent at, std::size_t n) {
            put(simd::part_to_floats(sums, p), row, at, n);
        });
    }
    void wide(const std::int64_t* lane, extent row, extent column, std::size_t count) const {
        float value[simd::word_lane_count];
        for (std::size_t l = 0; l < simd::word_lane_count; ++l)
            value[l] = static_cast<float>(lane[l]);
        each_part(column, count, [&](int p, extent at, std::size_t n) {
            put(simd::load(value + static_cast<std::size_t>(p) * simd::lanes), row, at, n);
        });
    }
};

}  // namespace detail
}  // namespace tare::kernels
