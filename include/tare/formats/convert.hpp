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

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
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

/// The random word that decides the rounding of element `index`: half-word `index` of the stream,
/// twice. Sixteen random bits an element: exact where at most 16 bits are dropped (fp16, bf16);
/// with more, its low bits are still 65,536 evenly spaced values, and probabilities are right to
/// 2^-16.
[[nodiscard]] constexpr std::uint32_t rounding_draw(const random_stream& draws,
                                                    std::uint64_t index) noexcept {
    const std::uint32_t half = (draws.bits(index / 2) >> (16 * (index % 2))) & 0xFFFFU;
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

/// Calls `element(i, draw)` for every i of [0, count), draw = rounding_draw(stream, first + i).
template <class Element>
void for_each_draw(std::size_t count, const random_stream& stream, std::uint64_t first,
                   const Element& element) {
    static_assert(std::endian::native == std::endian::little);
    const auto range = [&](extent begin, extent end) {
        const philox_keys keys(stream);
        std::array<std::uint32_t, philox_words> words;
        std::array<std::uint16_t, draw_block> halves;
        for (auto at = static_cast<std::size_t>(begin); at < static_cast<std::size_t>(end);) {
            const std::uint64_t position = first + at;
            const auto skip = static_cast<std::size_t>(position % draw_block);
            const std::size_t block =
                std::min(draw_block - skip, static_cast<std::size_t>(end) - at);
            philox_group(keys, position / draw_block, words.data());
            std::memcpy(halves.data(), words.data(), sizeof words);
            const std::uint16_t* half = halves.data() + skip;
#pragma omp simd
            for (std::size_t i = 0; i < block; ++i)
                element(at + i, half[i] * 0x1'0001U);
            at += block;
        }
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
    const float* in = x.data();
    typename F::code_type* out = codes.data();
    parallel_for(static_cast<extent>(x.size()), detail::convert_grain, detail::convert_work,
                 [in, out](extent begin, extent end) {
                     // Copies: a byte stored might otherwise be a byte of the captured pointers.
                     const float* const from = in;
                     typename F::code_type* const to = out;
#pragma omp simd
                     for (extent i = begin; i < end; ++i)
                         to[i] = F::encode(from[i]);
                 });
}

/// codes[i] = F::encode(x[i], rounding_draw(draws, first + i)).
/// **Throws** unless the sizes agree and the spans are disjoint.
template <stochastic_format F>
void encode(std::span<const float> x, std::span<typename F::code_type> codes,
            const random_stream& draws, std::uint64_t first = 0) {
    detail::require_same_size("encode", F::name, x.size(), codes.size());
    detail::require_no_shift("encode", x, codes);
    const float* in = x.data();
    typename F::code_type* out = codes.data();
    detail::for_each_draw(x.size(), draws, first, [in, out](std::size_t i, std::uint32_t draw) {
        out[i] = F::encode(in[i], draw);
    });
}

/// y[i] = F::decode(codes[i]).
/// **Throws** unless the sizes agree and the spans are disjoint.
template <numeric_format F>
void decode(std::span<const typename F::code_type> codes, std::span<float> y) {
    detail::require_same_size("decode", F::name, codes.size(), y.size());
    detail::require_no_shift("decode", codes, y);
    const typename F::code_type* in = codes.data();
    float* out = y.data();
    parallel_for(static_cast<extent>(y.size()), detail::convert_grain, detail::convert_work,
                 [in, out](extent begin, extent end) {
#pragma omp simd
                     for (extent i = begin; i < end; ++i)
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
    const float* in = x.data();
    float* out = y.data();
    parallel_for(static_cast<extent>(x.size()), detail::convert_grain, detail::convert_work,
                 [in, out](extent begin, extent end) {
#pragma omp simd
                     for (extent i = begin; i < end; ++i)
                         out[i] = round_to<F>(in[i]);
                 });
}

/// y[i] = F::decode(F::encode(x[i], rounding_draw(draws, first + i))); y may be x.
/// **Throws** unless the sizes agree; on spans that overlap shifted.
template <stochastic_format F>
void round_trip(std::span<const float> x, std::span<float> y, const random_stream& draws,
                std::uint64_t first = 0) {
    detail::require_same_size("round_trip", F::name, x.size(), y.size());
    detail::require_no_shift("round_trip", x, y);
    const float* in = x.data();
    float* out = y.data();
    detail::for_each_draw(x.size(), draws, first, [in, out](std::size_t i, std::uint32_t draw) {
        out[i] = round_to<F>(in[i], draw);
    });
}

}  // namespace tare

#ifdef __clang__
#pragma clang diagnostic pop
#endif
