#pragma once
// SPDX-License-Identifier: MIT
// One loop for float-to-float kernels: y[i] = f(x[i], i). The kernel is written once on
// simd::floats; the rest of a tensor that does not fill the lanes goes through the same code in a
// padded buffer, so that an element's bits do not depend on where it stands.
//
// Outputs of `stream_min_elements` and more bypass the cache: a plain store first reads the line it
// overwrites, a third of the traffic of a copy. Ranges are walked in spans of a few MiB from the
// last to the first, because what a statistics pass read last is what the cache still holds; inside
// a span upward, because that is what the machine's own prefetching follows.

#include <cstdint>
#include <cstring>

#include <tare/core/pack_group.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/simd.hpp>
#include <tare/core/simd_ops.hpp>

namespace tare {

/// Elements (16 MiB of float32) from which an output no longer fits a usual share of the cache.
inline constexpr extent stream_min_elements = extent{1} << 22;

/// Copies a block from the cache to memory that nobody reads soon, past the cache. Call
/// simd::stream_fence() after the last one.
inline void stream_out(const float* block, float* y, extent count) {
    // Without vectors nothing goes past the cache. And the block may hold codes, not floats: only
    // vectors and bytes may be read through the type of something else.
    if constexpr (simd::lanes == 1) {
        std::memcpy(y, block, static_cast<std::size_t>(count) * sizeof(float));
        return;
    }
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

/// Elements that are walked upward before the walk goes down: 16 MiB of float32. A downward walk in
/// chunks of 8 KiB costs 20 to 70 % where one core reads 40 GB/s, in spans of 4 MiB still 5 %.
inline constexpr extent map_span = 2048 * map_chunk;

/// Calls one(from, to) for the chunks of [begin, end), each within one aligned map_chunk.
template <class One>
void for_chunks(extent begin, extent end, const One& one) {
    for (extent stop = end; stop > begin;) {
        const extent low = (stop - 1) / map_span * map_span;
        const extent start = low < begin ? begin : low;
        for (extent from = start; from < stop;) {
            const extent next = (from / map_chunk + 1) * map_chunk;
            const extent to = next < stop ? next : stop;
            one(from, to);
            from = to;
        }
        stop = start;
    }
}

// The ends, which do not fill the lanes or lie before the first aligned address, go through a
// buffer, and all three parts through one loop: with the kernel in one place compilers inline it,
// and a sanitized build of it takes seconds where it took a minute.
template <class Vector, class Kernel>
void map_range(const float* x, float* y, extent begin, extent end, bool stream,
               const Kernel& shared) {
    const Kernel kernel = shared;  // its own copy, which no store through y can change
    constexpr extent lanes = static_cast<extent>(sizeof(Vector) / sizeof(float));
    constexpr extent aligned = static_cast<extent>(simd::stream_alignment / sizeof(float));
    const auto past = reinterpret_cast<std::uintptr_t>(y + begin) % simd::stream_alignment;
    const extent to_line = past == 0 ? 0 : aligned - static_cast<extent>(past / sizeof(float));
    const extent head = !stream ? 0 : (to_line < end - begin ? to_line : end - begin);
    const extent body = (end - begin - head) / lanes * lanes;
    const extent counts[] = {head, body, end - begin - head - body};
    for (int part = 0; part < 3; ++part) {
        const extent count = counts[part];
        if (count == 0) continue;
        const bool whole = part == 1;
        float buffer[aligned + lanes] = {};
        const float* from = x + begin;
        float* to = y + begin;
        if (!whole) {
            std::memcpy(buffer, from, static_cast<std::size_t>(count) * sizeof(float));
            from = to = buffer;
        }
        const bool past_cache = stream && whole;
        for (extent i = 0; i < count; i += lanes) {
            if (past_cache) simd::prefetch<lanes>(from + i, map_chunk);  // the chunk above is next
            const Vector v = kernel(simd::load_as<Vector>(from + i), begin + i);
            if (past_cache) {
                simd::stream(to + i, v);
            } else {
                simd::store(to + i, v);
            }
        }
        if (!whole) std::memcpy(y + begin, buffer, static_cast<std::size_t>(count) * sizeof(float));
        begin += count;
    }
}

}  // namespace detail

/// y[i] = kernel(x[i], i) for begin <= i < end on the calling thread. `kernel(v, i)` gets the
/// elements i, i+1, ... in the lanes of `v`; lanes behind the end hold zeros. `y` may be `x`.
/// Kernels are lambdas that capture their constants by value: what they only refer to is loaded
/// again for every vector, because a store to y might have changed it. Vector: what the kernel
/// takes and gives, one register or a pack of several.
template <class Vector = simd::floats, class Kernel>
void map_elements(const float* x, float* y, extent begin, extent end, bool stream,
                  const Kernel& kernel) {
    detail::for_chunks(begin, end, [&](extent from, extent to) {
        detail::map_range<Vector>(x, y, from, to, stream, kernel);
    });
}

/// The same over a whole tensor on all threads.
template <class Kernel>
void map_elements(const float* x, float* y, extent count, const Kernel& kernel) {
    const bool stream = count >= stream_min_elements;
    parallel_for(count, detail::map_chunk, 8, [&](extent begin, extent end) {
        map_elements(x, y, begin, end, stream, kernel);
        simd::stream_fence();
    });
}

}  // namespace tare
