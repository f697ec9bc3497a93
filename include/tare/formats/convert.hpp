#pragma once
// SPDX-License-Identifier: MIT
// Arrays of float32 to codes of a format, back, and round trips that simulate a format without
// storing codes. The element functions of the formats are plain integer code without branches; the
// loops below are what the compiler vectorises.
//
// Stochastic formats take half a word of a random_stream for each element (`rounding_draw`): the
// result depends on the position alone, neither on threads nor on how an array is cut into calls.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string_view>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/random.hpp>
#include <tare/core/random_fill.hpp>
#include <tare/formats/concept.hpp>

// A format of one's own may be too branchy to vectorise; that is no reason for Clang to warn its
// user.
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

namespace tare {

/// The random word that decides the rounding of element `index`: half-word `index` of the stream of
/// rounding_rounds, twice. Sixteen random bits an element: exact where at most 16 bits are dropped
/// (fp16, bf16); with more, its low bits are still 65,536 evenly spaced values, and probabilities
/// are right to 2^-16.
[[nodiscard]] constexpr std::uint32_t rounding_draw(const random_stream& draws,
                                                    std::uint64_t index) noexcept {
    const std::uint32_t word = draws.bits<rounding_rounds>(index / 2);
    const std::uint32_t half = (word >> (16 * (index % 2))) & 0xFFFFU;
    return half << 16 | half;
}

namespace detail {

/// Elements that one thread takes at least: whole cache lines on both sides.
inline constexpr extent convert_grain = 1024;
/// Elementary operations of one element for parallel_for (memory bound, 0.4 ns an element).
inline constexpr extent convert_work = 4;
/// Elements whose random half-words are made at a time. So few that the memory system keeps
/// fetching ahead meanwhile: 0.53 to 0.65 of copy bandwidth against 0.43 to 0.5 with 1024.
inline constexpr std::size_t draw_block = 2 * philox_words;

inline void require_same_size(std::string_view function, std::string_view format, std::size_t in,
                              std::size_t out) {
    require(in == out, function, "<", format, ">: ", in, " elements in, room for ", out,
            " out; both spans must have the same size");
}

/// An output may be its input, but must not cover it shifted.
template <class In, class Out>
void require_no_shift(std::string_view function, std::span<const In> in, std::span<Out> out) {
    const void* in_begin = in.data();
    const void* in_end = in.data() + in.size();
    const void* out_begin = out.data();
    const void* out_end = out.data() + out.size();
    const bool apart = !std::less<>{}(in_begin, out_end) || !std::less<>{}(out_begin, in_end);
    require(apart || (in_begin == out_begin && sizeof(In) == sizeof(Out)), function,
            ": input and output overlap; give disjoint spans, or the same span for a round trip");
}

/// Elements of a block on its way past the cache. Short, so that reading the next block and writing
/// this one overlap: 1024 take a tenth longer.
inline constexpr extent stream_block = 256;

/// Floats that a pass past the cache asks for ahead of itself: what it does with a block at a time
/// is too much for the machine to look beyond it.
inline constexpr std::ptrdiff_t fetched_ahead = 4 * stream_block;

/// Calls `fill(at, count, out)` on blocks that cover y: it writes elements [at, at + count) of y to
/// `out`, which is their place or, for a tensor too large for the cache, a buffer on its way there.
template <class Fill>
void for_each_output(std::span<float> y, const Fill& fill) {
    const auto size = static_cast<extent>(y.size());
    const bool stream = size >= stream_min_elements;
    parallel_for(size, convert_grain, convert_work, [&](extent begin, extent end) {
        if (!stream) return fill(begin, end - begin, y.data() + begin);
        alignas(64) float block[stream_block];
        for (extent at = begin; at < end; at += stream_block) {
            const extent count = std::min(stream_block, end - at);
            fill(at, count, block);
            stream_out(block, y.data() + at, count);
        }
        simd::stream_fence();
    });
}

/// y = x, past the cache without a stop in a buffer where y is large.
inline void copy(std::span<const float> x, std::span<float> y) {
    if (x.data() == y.data()) return;
    const auto size = static_cast<extent>(y.size());
    const bool stream = size >= stream_min_elements;
    parallel_for(size, convert_grain, convert_work, [&](extent begin, extent end) {
        if (!stream) {
            std::copy_n(x.data() + begin, end - begin, y.data() + begin);
        } else {
            stream_out(x.data() + begin, y.data() + begin, end - begin);
            simd::stream_fence();
        }
    });
}

/// out[i] = F::encode(in[i]). Pointers by value: a store to bytes may alias whatever a lambda
/// holds, and loops that load their pointers again are not vectorised (0.2 of copy against 1.1).
/// A format whose codes are found faster many at a time says so with an encode_all.
template <class F>
void encode_some(const float* in, typename F::code_type* out, extent count) {
    if constexpr (requires { F::encode_all(in, out, count); }) {
        F::encode_all(in, out, count);
    } else {
#pragma omp simd
        for (extent i = 0; i < count; ++i)
            out[i] = F::encode(in[i]);
    }
}

/// out[i] = round_to<F>(in[i]). A format that is rounded faster many at a time has a round_all.
template <class F>
void round_some(const float* in, float* out, extent count) {
    if constexpr (requires { F::round_all(in, out, count); }) {
        F::round_all(in, out, count);
    } else {
#pragma omp simd
        for (extent i = 0; i < count; ++i)
            out[i] = round_to<F>(in[i]);
    }
}

/// The codes, past the cache if `stream` says so.
template <class F>
void encode_range(const float* in, typename F::code_type* out, extent count, bool stream) {
    using code_type = typename F::code_type;
    constexpr std::size_t line = 64;
    const std::size_t past = reinterpret_cast<std::uintptr_t>(out) % line;
    // An element that lies across lines is nobody's code.
    if (!stream || past % sizeof(code_type) != 0) return encode_some<F>(in, out, count);
    const extent head =
        std::min(count, static_cast<extent>((line - past) % line / sizeof(code_type)));
    encode_some<F>(in, out, head);
    extent at = head;
    alignas(line) code_type block[stream_block];
    constexpr auto floats = stream_block * static_cast<extent>(sizeof(code_type)) / 4;
    for (; at + stream_block <= count; at += stream_block) {
        simd::prefetch<stream_block>(in + at, fetched_ahead);
        encode_some<F>(in + at, block, stream_block);
        stream_out(reinterpret_cast<const float*>(block), reinterpret_cast<float*>(out + at),
                   floats);
    }
    encode_some<F>(in + at, out + at, count - at);
}

/// Calls `block(at, count, halves)` on blocks that cover [0, count): halves[i], twice, is
/// rounding_draw(stream, first + at + i).
template <class Block>
void for_each_block_of_draws(std::size_t count, const random_stream& stream, std::uint64_t first,
                             const Block& block) {
    static_assert(std::endian::native == std::endian::little);
    const auto range = [&](extent begin, extent end) {
        const philox_keys<rounding_rounds> keys(stream);
        std::array<std::uint32_t, philox_words> words;
        std::array<std::uint16_t, draw_block> halves;
        for (auto at = static_cast<std::size_t>(begin); at < static_cast<std::size_t>(end);) {
            const std::uint64_t position = first + at;
            const auto skip = static_cast<std::size_t>(position % draw_block);
            const std::size_t some =
                std::min(draw_block - skip, static_cast<std::size_t>(end) - at);
            philox_group(keys, position / draw_block, words.data());
            std::memcpy(halves.data(), words.data(), sizeof words);
            block(at, some, halves.data() + skip);
            at += some;
        }
        simd::stream_fence();  // where `block` wrote past the cache
    };
    parallel_for(static_cast<extent>(count), convert_grain, 2 * convert_work, range);
}

}  // namespace detail

/// codes[i] = F::encode(x[i]).
/// **Rounding/NaN** as F says; a stochastic F rounds as it does without a random word.
/// **Throws** unless the sizes agree and the spans are disjoint. **Complexity/threads** one pass on
/// all threads.
template <numeric_format F>
void encode(std::span<const float> x, std::span<typename F::code_type> codes) {
    detail::require_same_size("encode", F::name, x.size(), codes.size());
    detail::require_no_shift("encode", x, codes);
    const bool stream = static_cast<extent>(x.size()) >= stream_min_elements;
    parallel_for(static_cast<extent>(x.size()), detail::convert_grain, detail::convert_work,
                 [&](extent begin, extent end) {
                     detail::encode_range<F>(x.data() + begin, codes.data() + begin, end - begin,
                                             stream);
                     if (stream) simd::stream_fence();
                 });
}

/// codes[i] = F::encode(x[i], rounding_draw(draws, first + i)).
/// **Throws** unless the sizes agree and the spans are disjoint.
template <stochastic_format F>
void encode(std::span<const float> x, std::span<typename F::code_type> codes,
            const random_stream& draws, std::uint64_t first = 0) {
    detail::require_same_size("encode", F::name, x.size(), codes.size());
    detail::require_no_shift("encode", x, codes);
    detail::for_each_block_of_draws(
        x.size(), draws, first,
        [&](std::size_t at, std::size_t count, const std::uint16_t* halves) {
            const float* const in = x.data() + at;
            typename F::code_type* const out = codes.data() + at;
#pragma omp simd
            for (std::size_t i = 0; i < count; ++i)
                out[i] = F::encode(in[i], halves[i] * 0x1'0001U);
        });
}

/// y[i] = F::decode(codes[i]).
/// **Throws** unless the sizes agree and the spans are disjoint.
template <numeric_format F>
void decode(std::span<const typename F::code_type> codes, std::span<float> y) {
    detail::require_same_size("decode", F::name, codes.size(), y.size());
    detail::require_no_shift("decode", codes, y);
    detail::for_each_output(y, [&](extent at, extent count, float* out) {
        const typename F::code_type* const in = codes.data() + at;
#pragma omp simd
        for (extent i = 0; i < count; ++i)
            out[i] = F::decode(in[i]);
    });
}

/// y[i] = F::decode(F::encode(x[i])); y may be x.
/// **Rounding/NaN** as F says; a stochastic F rounds as it does without a random word.
/// **Throws** unless the sizes agree; on spans that overlap shifted.
template <numeric_format F>
void round_trip(std::span<const float> x, std::span<float> y) {
    detail::require_same_size("round_trip", F::name, x.size(), y.size());
    detail::require_no_shift("round_trip", x, y);
    if constexpr (requires { requires F::keeps_all; }) return detail::copy(x, y);
    const bool stream = static_cast<extent>(y.size()) >= stream_min_elements;
    detail::for_each_output(y, [&](extent at, extent count, float* out) {
        const float* const in = x.data() + at;
        if (stream) simd::prefetch<detail::stream_block>(in, detail::fetched_ahead);
        detail::round_some<F>(in, out, count);
    });
}

/// y[i] = F::decode(F::encode(x[i], rounding_draw(draws, first + i))); y may be x.
/// **Throws** unless the sizes agree; on spans that overlap shifted.
template <stochastic_format F>
void round_trip(std::span<const float> x, std::span<float> y, const random_stream& draws,
                std::uint64_t first = 0) {
    detail::require_same_size("round_trip", F::name, x.size(), y.size());
    detail::require_no_shift("round_trip", x, y);
    const bool stream = static_cast<extent>(y.size()) >= stream_min_elements;
    detail::for_each_block_of_draws(
        x.size(), draws, first,
        [&](std::size_t at, std::size_t count, const std::uint16_t* halves) {
            float block[detail::draw_block];
            const float* const in = x.data() + at;
            float* const out = stream ? block : y.data() + at;
#pragma omp simd
            for (std::size_t i = 0; i < count; ++i)
                out[i] = round_to<F>(in[i], halves[i] * 0x1'0001U);
            if (stream) stream_out(block, y.data() + at, static_cast<extent>(count));
        });
}

}  // namespace tare

#ifdef __clang__
#pragma clang diagnostic pop
#endif
