#pragma once
// SPDX-License-Identifier: MIT
// Applies a function of packs (of sixteen lanes and wider ones) to whole arrays: the loop, its
// remainder, its threads and its streaming stores in one place for every element-wise kernel. The
// function must treat each lane alone; then a result depends neither on where the array starts nor
// on the number of threads.

#include <cstddef>
#include <cstdint>
#include <span>

#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/shape.hpp>
#include <tare/kernels/arguments.hpp>

namespace tare::kernels {

/// Outputs of at least this many bytes are written past the caches: a store then needs no read of
/// the line first. Below the size of the last cache streaming costs up to half of the speed.
inline constexpr std::size_t streaming_bytes = std::size_t{32} << 20;

namespace detail {

/// Whether a store of `bytes` to `out`, not read by the same call, should pass the caches.
inline bool worth_streaming(std::size_t bytes) {
    return bytes >= streaming_bytes;
}

/// Fetches the lines that a loop over wide packs writes eight lines later: results that wait for
/// a line from the second cache cost 10 to 15 % of a softmax.
[[gnu::always_inline]] inline void prefetch_wide(const float* out) {
    for (std::size_t l = 0; l < simd::wide_lanes; l += 16)
        simd::prefetch_for_write(out + l, 128);
}

/// out[i] = f(in[i]...) for `count` values. Whoever lets stores pass the caches calls
/// simd::stream_fence() after the last of them: one for each row would cost more than it saves.
template <class F, class... In>
[[gnu::always_inline]] inline void map_values(F f, float* out, std::size_t count, bool past_caches,
                                              In... in) {
    using simd::pack_lanes;
    using simd::wide_lanes;
    using simd::wide_pack;
    std::size_t i = 0;
    if (past_caches) {
        const std::size_t misaligned = (reinterpret_cast<std::uintptr_t>(out) / sizeof(float)) % 16;
        const std::size_t head = (16 - misaligned) % 16;
        if (head != 0 && head <= count) {
            store(out, f(simd::load_pack(in, head)...), head);
            i = head;
        }
        for (; i + wide_lanes <= count; i += wide_lanes)
            stream(out + i, f(simd::load_pack<wide_pack>(in + i)...));
    }
    for (; i + wide_lanes <= count; i += wide_lanes) {
        prefetch_wide(out + i);
        store(out + i, f(simd::load_pack<wide_pack>(in + i)...));
    }
    for (; i + pack_lanes <= count; i += pack_lanes)
        store(out + i, f(simd::load_pack(in + i)...));
    if (i < count) store(out + i, f(simd::load_pack(in + i, count - i)...), count - i);
}

}  // namespace detail

/// out[i] = f(in[i]...) over arrays of equal size; `out` may be one of the inputs.
/// `work` estimates the elementary operations of one value (see parallel_for).
/// Throws on sizes that differ or an output that half overlaps an input.
template <class F, class... In>
void map(std::string_view function, extent work, F f, std::span<float> out, In... in) {
    const auto check = [&](std::span<const float> x) {
        detail::require_size(function, "the output", out, static_cast<extent>(x.size()),
                             "the size of the inputs");
        detail::require_memory(function, "an input", x);
        detail::require_same_or_apart(function, "an input", x, "the output", out);
    };
    (check(std::span<const float>(in)), ...);
    bool in_place = false;
    ((in_place = in_place || in.data() == out.data()), ...);
    const bool past_caches = !in_place && detail::worth_streaming(out.size_bytes());
    parallel_for(static_cast<extent>(out.size()), 64, work, [&](extent begin, extent end) {
        detail::map_values(f, out.data() + begin, static_cast<std::size_t>(end - begin),
                           past_caches, in.data() + begin...);
        if (past_caches) simd::stream_fence();
    });
}

}  // namespace tare::kernels
