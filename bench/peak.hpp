#pragma once
// SPDX-License-Identifier: MIT
// Limits of the machine, measured in the same run as the kernels: fused multiply-adds from
// registers, reading, copying. Each is a function that does a given amount of work on
// tare::threads() threads.

#include <tare/core/parallel.hpp>
#include <tare/core/simd.hpp>

#include "bench_support.hpp"

namespace bench {

/// Does `ops` floating-point operations (a fma counts two) on registers alone.
inline void fma_peak(double ops) {
    constexpr int chains = 16;  // 4 cycles of latency, 2 a cycle: 8 are enough
    constexpr double ops_per_round = 2.0 * chains * static_cast<double>(tare::simd::lanes);
    const tare::extent threads = tare::threads();
    const auto rounds =
        static_cast<tare::extent>(ops / ops_per_round / static_cast<double>(threads)) + 1;
    const auto body = [rounds](tare::extent begin, tare::extent end) {
        for (tare::extent i = begin; i < end; ++i) {
            tare::simd::floats sum[chains];
#pragma GCC unroll 16
            for (int c = 0; c < chains; ++c)
                sum[c] = tare::simd::broadcast(static_cast<float>(c));
            const tare::simd::floats factor = tare::simd::broadcast(0.5F);
            for (tare::extent r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
                for (int c = 0; c < chains; ++c)
                    sum[c] = tare::simd::fma(sum[c], factor, factor);
            }
            tare::simd::floats all = sum[0];
            for (int c = 1; c < chains; ++c)
                all = all + sum[c];
            benchmark::DoNotOptimize(tare::simd::reduce_add(all));
        }
    };
    tare::parallel_for(threads, 1, rounds * chains * 2, body);  // a fma: 0.2 ns
}

/// What bounds a product on a core whose other thread is busy: as many fma as `ops` ask for with
/// the loads of a register tile (6 x 64 with AVX-512, else 6 x 16) from a few KiB in the first
/// cache, and nothing else. fma_peak loads nothing, so a neighbour who loads takes nothing from it.
inline void tile_peak(double ops) {
    constexpr int rows = 6;
    constexpr int across = tare::simd::lanes == 16 ? 4 : 2;
    constexpr auto lanes = static_cast<tare::extent>(tare::simd::lanes);
    constexpr tare::extent steps = 32;
    constexpr double ops_per_step = 2.0 * rows * across * static_cast<double>(lanes);
    const tare::extent threads = tare::threads();
    const auto rounds =
        static_cast<tare::extent>(ops / ops_per_step / static_cast<double>(steps * threads)) + 1;
    const tare::aligned_vector<float> from(
        static_cast<std::size_t>(steps * (across * lanes + rows)), 0.5F);
    const auto body = [&](tare::extent begin, tare::extent end) {
        for (tare::extent i = begin; i < end; ++i) {
            tare::simd::floats sum[rows][across];
#pragma GCC unroll 24
            for (int s = 0; s < rows * across; ++s)
                sum[s / across][s % across] = tare::simd::broadcast(0.0F);
            for (tare::extent r = 0; r < rounds; ++r) {
                const float* right = from.data();
                const float* left = from.data() + steps * across * lanes;
#pragma GCC unroll 4
                for (tare::extent k = 0; k < steps; ++k, right += across * lanes, left += rows) {
                    tare::simd::floats b[across];
#pragma GCC unroll 4
                    for (int j = 0; j < across; ++j)
                        b[j] = tare::simd::load(right + j * lanes);
#pragma GCC unroll 6
                    for (int m = 0; m < rows; ++m) {
                        const tare::simd::floats a =
                            tare::simd::in_order(tare::simd::broadcast(left[m]));
#pragma GCC unroll 4
                        for (int j = 0; j < across; ++j)
                            sum[m][j] = tare::simd::fma(a, b[j], sum[m][j]);
                    }
                }
            }
            tare::simd::floats all = sum[0][0];
            for (int s = 1; s < rows * across; ++s)
                all = all + sum[s / across][s % across];
            benchmark::DoNotOptimize(tare::simd::reduce_add(all));
        }
    };
    tare::parallel_for(threads, 1, rounds * steps * rows * across * 2, body);
}

/// Reads `count` floats from `from`.
inline void read_peak(const float* from, tare::extent count) {
    constexpr tare::extent step = 8 * static_cast<tare::extent>(tare::simd::lanes);
    tare::parallel_for(count / step, 64, step / 8, [=](tare::extent begin, tare::extent end) {
        tare::simd::floats sum[8];
        for (auto& s : sum)
            s = tare::simd::broadcast(0.0F);
        for (const float* p = from + begin * step; p != from + end * step; p += step) {
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i)
                sum[i] = sum[i] + tare::simd::load(p + i * tare::simd::lanes);
        }
        for (int i = 1; i < 8; ++i)
            sum[0] = sum[0] + sum[i];
        benchmark::DoNotOptimize(tare::simd::reduce_add(sum[0]));
    });
}

/// Copies `count` floats with ordinary stores.
inline void copy_peak(const float* from, float* to, tare::extent count) {
    constexpr tare::extent step = 4 * static_cast<tare::extent>(tare::simd::lanes);
    tare::parallel_for(count / step, 64, step / 4, [=](tare::extent begin, tare::extent end) {
        for (tare::extent i = begin * step; i < end * step; i += step) {
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v) {
                const auto at = static_cast<std::size_t>(i) + v * tare::simd::lanes;
                tare::simd::store(to + at, tare::simd::load(from + at));
            }
        }
    });
}

/// Writes `count` floats with ordinary stores.
inline void write_peak(float* to, tare::extent count) {
    constexpr tare::extent step = 4 * static_cast<tare::extent>(tare::simd::lanes);
    tare::parallel_for(count / step, 64, step / 4, [=](tare::extent begin, tare::extent end) {
        const tare::simd::floats v = tare::simd::broadcast(1.0F);
        for (float* p = to + begin * step; p != to + end * step; p += step) {
#pragma GCC unroll 4
            for (std::size_t i = 0; i < 4; ++i)
                tare::simd::store(p + i * tare::simd::lanes, v);
        }
    });
}

}  // namespace bench
