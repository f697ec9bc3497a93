#pragma once
// SPDX-License-Identifier: MIT
// The innermost loops of products with pruned fp32 weights: registers of weights expanded from bit
// masks or loaded from kept blocks, and the tiles of sums that they are multiplied into.
//
// An expansion of sixteen lanes and its mask are three instructions for one of the two ports that
// multiply (Intel), so a step of 8 rows takes 11 cycles at least where a dense one takes 8. That
// keeps a single tile of a bit mask at three quarters of the dense speed; tiles that follow it
// share the expansion.

#include <bit>
#include <cstdint>
#include <cstring>

#include <tare/core/simd_int.hpp>
#include <tare/core/unroll.hpp>
#include <tare/kernels/epilogue.hpp>
#include <tare/kernels/matmul_tile.hpp>
#include <tare/kernels/sparse_weights.hpp>

namespace tare::kernels::detail {

/// Registers across a strip of 32 outputs.
inline constexpr int sparse_registers = static_cast<int>(sparse_strip / lane_count);
/// Rows of the largest tile that expands as it multiplies.
inline constexpr int sparse_rows = simd::lanes == 16 ? 12 : simd::lanes == 8 ? 3 : 1;

/// The bits of register J out of the mask at `mask`.
template <int J>
[[gnu::always_inline]] inline std::uint32_t register_bits(const std::uint32_t* mask) {
    constexpr int width = static_cast<int>(simd::lanes);
    if constexpr (width == 16 && std::endian::native == std::endian::little) {
        // Read as a half word: GCC would shift the whole mask in a mask register, on the port that
        // the expansions wait for.
        std::uint16_t bits;
        std::memcpy(&bits, reinterpret_cast<const char*>(mask) + 2 * J, sizeof bits);
        return bits;
    } else {
        constexpr std::uint32_t all = width >= 32 ? ~0U : (1U << width) - 1U;
        return *mask >> (J * width) & all;
    }
}

/// Values between those in use and those asked for.
inline constexpr extent values_ahead = 256;

/// Expands the weights of one input; returns where the next input's values start.
[[gnu::always_inline]] inline const float* expand_input(const std::uint32_t* mask,
                                                        const float* values,
                                                        simd::floats (&out)[sparse_registers]) {
    unroll<sparse_registers>([&](auto j) __attribute__((always_inline)) {
        constexpr std::uint32_t below = j == 0 ? 0U : (1U << (j * lane_count % 32)) - 1U;
        out[j] = simd::expand(register_bits<j>(mask), values + std::popcount(*mask & below));
    });
    // Values in the third-level cache come late without being asked for.
    __builtin_prefetch(values + values_ahead);
    __builtin_prefetch(values + values_ahead + 16);
    return values + std::popcount(*mask);
}

/// Walks all inputs of `Strips` neighbouring strips of bit masks.
template <int Strips>
struct bitmask_walk {
    const bitmask_weights& w;
    extent strip;

    template <class Step>
    [[gnu::always_inline]] void operator()(const Step& step) const {
        const std::uint32_t* masks = w.masks(strip);
        const float* values[Strips];
        unroll<Strips>([&](auto s)
                           __attribute__((always_inline)) { values[s] = w.values(strip + s); });
        for (extent k = 0; k < w.inputs(); ++k) {
            simd::floats right[Strips][sparse_registers];
            unroll<Strips>([&](auto s) __attribute__((always_inline)) {
                values[s] = expand_input(masks + s * w.inputs() + k, values[s], right[s]);
            });
            step(k, right);
        }
    }
};

/// Walks the kept inputs of a strip of blocks.
struct block_walk {
    const block_weights& w;
    extent strip;

    template <class Step>
    [[gnu::always_inline]] void operator()(const Step& step) const {
        const float* values = w.values(strip);
        for (const block_weights::run& run : w.runs(strip)) {
            for (extent k = run.first; k < run.last; ++k, values += sparse_strip) {
                simd::floats right[1][sparse_registers];
                unroll<sparse_registers>([&](auto j) __attribute__((always_inline)) {
                    right[0][j] = simd::load(values + j * lane_count);
                });
                step(k, right);
            }
        }
    }
};

/// Rows rows of x times the weights that `walk` yields for Strips strips from `strip` on.
template <int Rows, int Strips, class Walk, epilogue Finish>
[[gnu::noinline]] void sparse_tile(matrix_view<const float> x, extent row, extent strip,
                                   const Walk& walk, matrix_view<float> y, const Finish& finish) {
    simd::floats sum[Rows][Strips][sparse_registers];
    unroll<Rows * Strips * sparse_registers>([&](auto i) __attribute__((always_inline)) {
        sum[i / (Strips * sparse_registers)][i / sparse_registers % Strips][i % sparse_registers] =
            simd::broadcast(0.0F);
    });
    const float* left = x.data + row * x.stride;
    walk([&](extent k, const simd::floats(&right)[Strips][sparse_registers])
             __attribute__((always_inline)) {
                 unroll<Rows>([&](auto i) __attribute__((always_inline)) {
                     const simd::floats a = simd::broadcast(left[i * x.stride + k]);
                     unroll<Strips * sparse_registers>([&](auto t) __attribute__((always_inline)) {
                         constexpr int s = t / sparse_registers;
                         constexpr int j = t % sparse_registers;
                         sum[i][s][j] = simd::fma(a, right[s][j], sum[i][s][j]);
                     });
                 });
             });
    unroll<Rows * Strips * sparse_registers>([&](auto t) __attribute__((always_inline)) {
        constexpr int i = t / (Strips * sparse_registers);
        constexpr int s = t / sparse_registers % Strips;
        constexpr int j = t % sparse_registers;
        const extent column = (strip + s) * sparse_strip + j * lane_count;
        const extent here = std::min(y.columns - column, lane_count);
        if (here <= 0) return;
        const auto count = static_cast<std::size_t>(here);
        store_lanes(&y(row + i, column), finish(sum[i][s][j], row + i, column, count), count);
    });
}

/// sparse_tile<rows> for a number of rows known at run time.
template <int Rows, class Walk, epilogue Finish>
void sparse_rows_tile(int rows, matrix_view<const float> x, extent row, extent strip,
                      const Walk& walk, matrix_view<float> y, const Finish& finish) {
    if constexpr (Rows > 1) {
        if (rows < Rows) {
            sparse_rows_tile<Rows - 1>(rows, x, row, strip, walk, y, finish);
            return;
        }
    }
    sparse_tile<Rows, 1>(x, row, strip, walk, y, finish);
}

/// Strips of masks that share a panel of dense strips: as many as a tile of many rows takes.
inline constexpr extent panel_strips =
    std::max<extent>(1, strips_at_once(tile_rows / 2) * strip_columns / sparse_strip);

/// Where a panel of `depth` inputs holds output `column` of input k.
constexpr extent panel_place(extent column, extent k, extent depth) {
    return (column / strip_columns * depth + k) * strip_columns + column % strip_columns;
}

/// Rows of x times `depth` inputs of a strip from `masks` on, which is expanded into `panel` on the
/// way, from output `first` of the panel on: the expansions wait for one port of the two that
/// multiply, so the products of the first tile cost less beside them than after them. Returns where
/// the next input's values start.
template <int Rows>
[[gnu::noinline]] const float* expand_tile(extent depth, const left_operand& a,
                                           const std::uint32_t* masks, const float* values,
                                           float* panel, extent first, const tile_target& c) {
    simd::floats sum[Rows][sparse_registers];
    unroll<Rows * sparse_registers>([&](auto i) __attribute__((always_inline)) {
        sum[i / sparse_registers][i % sparse_registers] = simd::broadcast(0.0F);
    });
    for (extent k = 0; k < depth; ++k) {
        simd::floats right[sparse_registers];
        values = expand_input(masks + k, values, right);
        unroll<sparse_registers>([&](auto j) __attribute__((always_inline)) {
            simd::store(panel + panel_place(first + j * lane_count, k, depth), right[j]);
        });
        unroll<Rows>([&](auto i) __attribute__((always_inline)) {
            const simd::floats left = simd::broadcast(a.data[i * a.row_step + k]);
            unroll<sparse_registers>([&](auto j) __attribute__((always_inline)) {
                sum[i][j] = simd::fma(left, right[j], sum[i][j]);
            });
        });
    }
    unroll<Rows * sparse_registers>([&](auto t) __attribute__((always_inline)) {
        constexpr int i = t / sparse_registers;
        constexpr int j = t % sparse_registers;
        const extent here = std::min(c.columns - j * lane_count, lane_count);
        if (here <= 0) return;
        const auto count = static_cast<std::size_t>(here);
        float* p = c.data + i * c.stride + j * lane_count;
        store_lanes(p, c.accumulate ? load_lanes(p, count) + sum[i][j] : sum[i][j], count);
    });
    return values;
}

/// expand_tile<rows> for a number of rows known at run time.
template <int Rows>
const float* expand_rows_tile(extent rows, extent depth, const left_operand& a,
                              const std::uint32_t* masks, const float* values, float* panel,
                              extent first, const tile_target& c) {
    if constexpr (Rows > 1) {
        if (rows < Rows)
            return expand_rows_tile<Rows - 1>(rows, depth, a, masks, values, panel, first, c);
    }
    return expand_tile<Rows>(depth, a, masks, values, panel, first, c);
}

/// Expands `depth` inputs of a strip into the panel, from its output `first` on.
inline const float* expand_panel(extent depth, const std::uint32_t* masks, const float* values,
                                 float* panel, extent first) {
    for (extent k = 0; k < depth; ++k) {
        simd::floats right[sparse_registers];
        values = expand_input(masks + k, values, right);
        unroll<sparse_registers>([&](auto j) __attribute__((always_inline)) {
            simd::store(panel + panel_place(first + j * lane_count, k, depth), right[j]);
        });
    }
    return values;
}

}  // namespace tare::kernels::detail
