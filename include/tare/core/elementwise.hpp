#pragma once
// SPDX-License-Identifier: MIT
// One loop for float-to-float kernels: y[i] = f(x[i], i). The kernel is written once on
// simd::floats; the rest of a tensor that does not fill the lanes goes through the same code in a
// padded buffer, so that an element's bits do not depend on where it stands.
//
// Outputs of `stream_min_elements` and more bypass the cache: a plain store first reads the line it
// overwrites, a third of the traffic of a copy. Ranges are walked from the last chunk to the first,
// because what a statistics pass read last is what the cache still holds.

#include <cstdint>
#include <cstring>

#include <tare/core/parallel.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/simd.hpp>
#include <tare/core/simd_ops.hpp>

namespace tare {

/// Elements (16 MiB of float32) from which an output no longer fits a usual share of the cache.
inline constexpr extent stream_min_elements = extent{1} << 22;

/// Copies a block from the cache to memory that nobody reads soon, past the cache. Call
/// simd::stream_fence() after the last one.
inline void stream_out(const float* block, float* y, extent count) {
    const auto past = reinterpret_cast<std::uintptr_t>(y) % simd::stream_alignment;
    const extent head =
        past == 0 ? 0 : static_cast<extent>((simd::stream_alignment - past) / sizeof(float));
    extent i = head < count ? head : count;
    std::memcpy(y, block, static_cast<std::size_t>(i) * sizeof(float));
    constexpr extent lanes = static_cast<extent>(simd::lanes);
    for (; i + lanes <= count; i += lanes)
        simd::stream(y + i, simd::load(block + i));
    std::memcpy(y + i, block + i, static_cast<std::size_t>(count - i) * sizeof(float));
}

namespace detail {

inline constexpr extent map_chunk = 2048;  // elements: 8 KiB in, 8 KiB out, inside L1

// Flattened: a kernel is called at three places, which makes compilers keep it a function and pass
// vectors through memory.
template <bool Stream, class Kernel>
[[gnu::flatten]] void map_range(const float* x, float* y, extent begin, extent end,
                                Kernel& kernel) {
    constexpr extent lanes = static_cast<extent>(simd::lanes);
    extent i = begin;
    const auto partial = [&](extent count) {
        float buffer[simd::lanes] = {};
        for (extent k = 0; k < count; ++k)
            buffer[k] = x[i + k];
        simd::store(buffer, kernel(simd::load(buffer), i));
        for (extent k = 0; k < count; ++k)
            y[i + k] = buffer[k];
        i += count;
    };
    if constexpr (Stream) {
        const auto past = reinterpret_cast<std::uintptr_t>(y + begin) % simd::stream_alignment;
        const extent head =
            past == 0 ? 0 : static_cast<extent>((simd::stream_alignment - past) / sizeof(float));
        for (extent left = head < end - begin ? head : end - begin; left > 0;) {
            const extent count = left < lanes ? left : lanes;
            partial(count);
            left -= count;
        }
    }
    for (; i + lanes <= end; i += lanes) {
        const simd::floats v = kernel(simd::load(x + i), i);
        if constexpr (Stream) {
            simd::stream(y + i, v);
        } else {
            simd::store(y + i, v);
        }
    }
    if (i < end) partial(end - i);
}

}  // namespace detail

/// y[i] = kernel(x[i], i) for begin <= i < end on the calling thread. `kernel(v, i)` gets the
/// elements i, i+1, ... in the lanes of `v`; lanes behind the end hold zeros. `y` may be `x`.
template <class Kernel>
void map_elements(const float* x, float* y, extent begin, extent end, bool stream, Kernel kernel) {
    for (extent stop = end; stop > begin;) {
        extent start = (stop - 1) / detail::map_chunk * detail::map_chunk;
        if (start < begin) start = begin;
        if (stream) {
            detail::map_range<true>(x, y, start, stop, kernel);
        } else {
            detail::map_range<false>(x, y, start, stop, kernel);
        }
        stop = start;
    }
    if (stream) simd::stream_fence();
}

/// The same over a whole tensor on all threads.
template <class Kernel>
void map_elements(const float* x, float* y, extent count, Kernel kernel) {
    const bool stream = count >= stream_min_elements;
    parallel_for(count, detail::map_chunk, 8,
                 [&](extent begin, extent end) { map_elements(x, y, begin, end, stream, kernel); });
}

}  // namespace tare
