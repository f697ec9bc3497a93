#pragma once
// SPDX-License-Identifier: MIT
// Products of a few rows with weights that stay packed as signs and magnitudes
// (signed_weights.hpp).
//
//     y(m,n) = (sum_k x(m,k) q(n,k)) rows[n]          x = codes times a step, or any floats
//
// x comes as digits base 255 (signed_digits.hpp): sum_k x q = unit sum_p 255^p sum_k c_p q. The
// sign of a weight is given to the digit by a masked subtraction, so that vpdpbusd multiplies
// magnitude and digit: three instructions for 64 products.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/unroll.hpp>
#include <tare/kernels/dequantize.hpp>
#include <tare/kernels/signed_digits.hpp>
#include <tare/kernels/signed_weights.hpp>

namespace tare::kernels {

namespace detail {

/// Longest sums of one digit: 255 * 127 * 65536 < 2^31.
inline constexpr extent most_digit_products = 65536;

/// Registers of floats in a tile.
inline constexpr int tile_floats = signed_registers * simd::word_parts;

/// One register of outputs as floats: the digits' sums joined, exactly while `exact`.
template <int Parts>
[[gnu::always_inline]] inline simd::floats join_digits(const simd::words (&sum)[Parts], int part,
                                                       bool exact) {
    if constexpr (Parts == 1) return simd::part_to_floats(sum[0], part);
    if constexpr (Parts == 2) {
        if (exact) {
            const simd::words high = simd::subtract(simd::shift_left<8>(sum[1]), sum[1]);
            return simd::part_to_floats(simd::add(sum[0], high), part);
        }
    }
    simd::floats total = simd::part_to_floats(sum[Parts - 1], part);
    unroll<Parts - 1>([&](auto p) __attribute__((always_inline)) {
        total = simd::fma(total, simd::broadcast(255.0F),
                          simd::part_to_floats(sum[Parts - 2 - p], part));
    });
    return total;
}

/// Sums of one tile of 64 outputs for one row.
template <int Parts, bool Masked>
[[gnu::always_inline]] inline void signed_sums(const signed_weights& w, extent tile,
                                               const signed_digits& x, extent row,
                                               simd::words (&sum)[signed_registers][Parts]) {
    unroll<signed_registers * Parts>([&](auto i) __attribute__((always_inline)) {
        sum[i / Parts][i % Parts] = simd::words_of(0);
    });
    signed_weights::reader<Masked> from(w, tile);
    const std::int8_t* digits[Parts];
    for (int p = 0; p < Parts; ++p)
        digits[p] = x.digits(row, p);
    for (extent g = 0; g < w.groups(); ++g) {
        simd::words codes[Parts];
        unroll<Parts>([&](auto p) __attribute__((always_inline)) {
            codes[p] = simd::broadcast_word(digits[p] + g * cell_inputs);
        });
        unroll<static_cast<int>(tile_cells)>([&](auto c) __attribute__((always_inline)) {
            from.cell([&](auto r, simd::words bytes, std::uint64_t minus)
                          __attribute__((always_inline)) {
                              unroll<Parts>([&](auto p) __attribute__((always_inline)) {
                                  simd::words& s = sum[c * cell_registers + r][p];
                                  s = simd::dot_u8s8(s, bytes, simd::negate_bytes(minus, codes[p]));
                              });
                          });
        });
    }
}

template <int Parts, bool Masked, class Put>
[[gnu::noinline]] void signed_tiles(const signed_weights& w, const signed_digits& x, extent row,
                                    extent tile, extent tile_end, bool exact, Put put) {
    for (extent t = tile; t < tile_end; ++t) {
        simd::words sum[signed_registers][Parts];
        signed_sums<Parts, Masked>(w, t, x, row, sum);
        simd::floats total[tile_floats];
        unroll<tile_floats>([&](auto i) __attribute__((always_inline)) {
            total[i] = join_digits<Parts>(sum[i / simd::word_parts], i % simd::word_parts, exact);
        });
        put(total, t * tile_outputs);
    }
}

/// Calls put(sums as floats, first column) for tiles [tile, tile_end) of one row.
template <class Put>
void signed_row(const signed_weights& w, const signed_digits& x, extent row, extent tile,
                extent tile_end, const Put& put) {
    const bool exact = w.inputs() <= std::numeric_limits<std::int32_t>::max() /
                                         signed_weights::largest /
                                         signed_digits::largest(x.parts());
    const auto masks = [&](auto parts) {
        if (w.masked())
            signed_tiles<parts, true>(w, x, row, tile, tile_end, exact, put);
        else
            signed_tiles<parts, false>(w, x, row, tile, tile_end, exact, put);
    };
    if (x.parts() == 1)
        masks(std::integral_constant<int, 1>{});
    else if (x.parts() == 2)
        masks(std::integral_constant<int, 2>{});
    else
        masks(std::integral_constant<int, 3>{});
}

/// Scales and finishes the sums of tiles of one row and writes those of the columns [first, last).
/// Everything is held by value, and a tile is written when all of it is finished: what vector
/// stores might alias would be read again for each register.
template <epilogue Finish>
struct store_signed {
    const float* steps;
    simd::floats unit;
    float* y;  ///< of column `first`
    extent first;
    extent last;
    extent row;
    Finish finish;

    static constexpr auto width = static_cast<extent>(simd::lanes);
    /// Where K is small, steps are as many bytes as codes: half a page ahead.
    static constexpr extent steps_ahead = 512;

    [[gnu::always_inline]] void operator()(simd::floats (&sum)[tile_floats], extent column) const {
        if (column + tile_outputs <= last) {
            unroll<tile_floats>([&](auto i) __attribute__((always_inline)) {
                const extent at = column + i * width;
                simd::prefetch(steps + at, steps_ahead);
                sum[i] = finish(sum[i] * simd::load(steps + at) * unit, row, at, simd::lanes);
            });
            unroll<tile_floats>([&](auto i) __attribute__((always_inline)) {
                simd::store(y + (column - first) + i * width, sum[i]);
            });
        } else {
            // A copy: were the sums' own address taken, whole tiles would go through memory as
            // well.
            simd::floats copy[tile_floats];
            std::copy_n(sum, tile_floats, copy);
            part(copy, column);
        }
    }
    /// A tile of which some lies behind what was asked for.
    [[gnu::noinline]] void part(const simd::floats (&sum)[tile_floats], extent column) const {
        for (int i = 0; i < tile_floats && column < last; ++i, column += width) {
            const auto n = static_cast<std::size_t>(std::min(width, last - column));
            const simd::floats v = sum[i] * load_lanes(steps + column, n) * unit;
            store_lanes(y + (column - first), finish(v, row, column, n), n);
        }
    }
};

/// Work of one tile and row for parallel_for: 64 products in about 0.8 ns.
inline extent tile_work(const signed_weights& w) {
    return std::max<extent>(1, w.groups() * tile_cells * 8);
}

}  // namespace detail

/// y(m,n) = finish((sum_k c(m,k) q(n,k) * rows[n]) * unit of row m), c the integers of `x`.
/// **Shapes** x (M,K), w (N,K), rows (N), y (M,N); any sizes, K <= 65536.
/// **NaN** a row that digits cannot hold gives NaN throughout.
/// **Accuracy** against exact products of c: |error| <= 2^-24 (5 sum_k |c q| + 3 sum_k |c|) times
/// the scales; sums that fit 32 bits for one or two digits are exact, and only the scales round.
/// Cutting floats into digits adds up to 2^-22 max_k |x| sum_k |w|.
/// **Throws** tare::error on shapes that do not fit, bad views and overlap.
template <epilogue Finish = no_epilogue>
void signed_product(const signed_digits& x, const signed_weights& w, std::span<const float> rows,
                    matrix_view<float> y, const Finish& finish = {}) {
    using namespace detail;
    check_view("signed_product", "y", y);
    require(x.inputs() == w.inputs(), "signed_product: x has ", x.inputs(),
            " columns, the weights ", w.inputs(), " inputs; they must be equal");
    require(w.inputs() <= most_digit_products, "signed_product: sums of ", w.inputs(),
            " products may exceed 32 bits; ", most_digit_products, " are safe");
    require(y.rows == x.rows() && y.columns == w.outputs(), "signed_product: y is (", y.rows, ',',
            y.columns, "), but the product is (", x.rows(), ',', w.outputs(), "); resize y");
    check_dequantize("signed_product", {rows, 1.0F}, y);
    check_epilogue(finish, "signed_product", matrix_view<const float>(y));
    parallel_for(w.tiles(), 1, tile_work(w) * y.rows, [&](extent begin, extent end) {
        for (extent m = 0; m < y.rows; ++m)
            signed_row(w, x, m, begin, end,
                       store_signed<Finish>{rows.data(), simd::broadcast(x.unit(m)), &y(m, 0), 0,
                                            w.outputs(), m, finish});
    });
}

/// The outputs [first, first + y.size()) of one row of x alone; `first` is a multiple of 64.
/// Otherwise as signed_product, on the calling thread; `finish` sees outputs by their columns.
/// **Throws** tare::error on sizes that do not fit, on rows or columns that are not there, on null
/// and overlap.
template <epilogue Finish>
void signed_columns(const signed_digits& x, extent row, const signed_weights& w,
                    std::span<const float> rows, extent first, std::span<float> y,
                    const Finish& finish) {
    using namespace detail;
    const extent last = first + static_cast<extent>(y.size());
    require(x.inputs() == w.inputs() && w.inputs() <= most_digit_products && first >= 0 &&
                first % tile_outputs == 0 && last <= w.outputs() && row >= 0 && row < x.rows() &&
                static_cast<extent>(rows.size()) == w.outputs(),
            "signed_columns: outputs [", first, ',', last, ") of row ", row, " of x (", x.rows(),
            ',', x.inputs(), ") with weights (", w.outputs(), ',', w.inputs(), ") and ",
            rows.size(), " steps; the outputs begin at a multiple of ", tile_outputs,
            ", and each has a step");
    const matrix_view<float> to(y.data(), 1, static_cast<extent>(y.size()));
    check_view("signed_columns", "y", to);
    check_view("signed_columns", "the steps",
               matrix_view<const float>(rows.data(), 1, w.outputs()));
    require_apart("signed_columns", "the steps", rows, "y", to);
    signed_row(w, x, row, first / tile_outputs, (last + tile_outputs - 1) / tile_outputs,
               store_signed<Finish>{rows.data(), simd::broadcast(x.unit(row)), y.data(), first,
                                    last, row, finish});
}

namespace plain {

/// The sums by definition, from codes (N,K) and the integers of the digits.
inline void signed_product(const signed_digits& x, const signed_weights& w,
                           matrix_view<std::int64_t> y) {
    std::vector<std::int16_t> row(static_cast<std::size_t>(w.inputs()));
    for (extent n = 0; n < w.outputs(); ++n) {
        w.copy_row(n, row);
        for (extent m = 0; m < x.rows(); ++m) {
            std::int64_t sum = 0;
            std::int64_t place = 1;
            for (int p = 0; p < x.parts(); ++p, place *= 255)
                for (extent k = 0; k < w.inputs(); ++k)
                    sum += place * x.digits(m, p)[k] * row[static_cast<std::size_t>(k)];
            y(m, n) = sum;
        }
    }
}

}  // namespace plain
}  // namespace tare::kernels
