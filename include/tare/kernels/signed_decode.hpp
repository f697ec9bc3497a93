#pragma once
// SPDX-License-Identifier: MIT
// Weights held as signs and magnitudes (signed_weights.hpp), unpacked for products of many rows:
// the cost of unpacking is shared by the rows, and what is unpacked stays in cache while they pass.
//
//     words     16-bit codes in the strips of an integer product
//     strips    values code * step in the strips of a prepared matrix, a stretch at a time
//     rows      values in their ordinary order

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#include <tare/core/parallel.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/integer_product.hpp>
#include <tare/kernels/matmul_tile.hpp>
#include <tare/kernels/signed_weights.hpp>

namespace tare::kernels {

/// The codes for products with 16-bit activations. **Complexity/threads** tiles in parallel.
[[nodiscard]] inline integer_weights<std::int16_t> decode_words(const signed_weights& w) {
    using detail::word_strip;
    detail::word_strips out;
    out.outputs = w.outputs();
    out.inputs = w.inputs();
    out.groups = (w.inputs() + 1) / 2;
    out.words.resize(static_cast<std::size_t>(out.strips() * out.strip_words()));
    const simd::words low = simd::words_of(65535);
    parallel_for(w.tiles(), 1, w.groups() * 64, [&](extent begin, extent end) {
        w.decode(begin, end, [&](extent output, extent input, const simd::words(&codes)[4]) {
            if (output >= out.strips() * word_strip) return;
            std::uint32_t* to = out.words.data() + output / word_strip * out.strip_words() +
                                input / 2 * word_strip + output % word_strip;
            unroll<2>([&](auto pair) __attribute__((always_inline)) {
                if (input / 2 + pair >= out.groups) return;
                const simd::words both = simd::add(simd::bitwise_and(codes[2 * pair], low),
                                                   simd::shift_left<16>(codes[2 * pair + 1]));
                simd::store_words(reinterpret_cast<std::int32_t*>(to + pair * word_strip), both);
            });
        });
    });
    return {std::move(out), signed_weights::largest};
}

/// Values in their ordinary order. **Shapes** steps (N), to (N,K). **Rounding** one, of code *
/// step. **Throws** tare::error on other shapes and on a `to` that overlaps the steps.
inline void decode_rows(const signed_weights& w, std::span<const float> steps,
                        matrix_view<float> to) {
    constexpr std::string_view name = "decode_rows";
    detail::require_size(name, "steps", steps, w.outputs(), "one per output of w");
    detail::require_view(name, "to", to);
    if (to.rows != w.outputs() || to.columns != w.inputs())
        fail(name, ": w is (", w.outputs(), ",", w.inputs(), ") and to is (", to.rows, ",",
             to.columns, "); the shapes must be equal. Resize to first");
    detail::require_apart(name, "steps", steps, "to", to);
    parallel_for(w.tiles(), 1, w.groups() * 256, [&](extent begin, extent end) {
        w.decode(begin, end, [&](extent output, extent input, const simd::words(&codes)[4]) {
            const extent outputs = std::min<extent>(simd::word_lanes, w.outputs() - output);
            for (extent i = 0; i < std::min<extent>(4, w.inputs() - input); ++i) {
                std::int32_t lane[simd::word_lane_count];
                simd::store_words(lane, codes[i]);
                for (extent j = 0; j < outputs; ++j)
                    to(output + j, input + i) =
                        static_cast<float>(lane[j]) * steps[static_cast<std::size_t>(output + j)];
            }
        });
    });
}

/// The weights as a strip_source (linear_log_softmax.hpp): columns are unpacked when asked for.
class signed_strips {
  public:
    /// **Shapes** steps (N). Both must outlive the object. **Throws** tare::error on other sizes.
    signed_strips(const signed_weights& w, std::span<const float> steps) : w_(&w), steps_(steps) {
        detail::require_size("signed_strips", "steps", steps, w.outputs(), "one per output of w");
    }

    [[nodiscard]] extent depth() const noexcept { return w_->inputs(); }
    [[nodiscard]] extent columns() const noexcept { return w_->outputs(); }
    /// The strips from output `first`, a multiple of strip_columns, for `columns` outputs. Valid
    /// until the thread asks for the next.
    [[nodiscard]] const float* strips_of_columns(extent first, extent columns) const {
        using namespace detail;
        static thread_local aligned_vector<float> memory;
        const extent depth = w_->inputs();
        const extent last = first + (columns + strip_columns - 1) / strip_columns * strip_columns;
        memory.resize(static_cast<std::size_t>((last - first) * depth));
        const auto put = [&](extent output, extent input, const simd::words(&codes)[4])
            __attribute__((always_inline)) {
            unroll<simd::word_parts>([&](auto part) __attribute__((always_inline)) {
                const extent column = output + part * lane_count;
                if (column < first || column >= last) return;
                const extent left = w_->outputs() - column;
                const simd::floats steps =
                    left >= lane_count ? simd::load(steps_.data() + column)
                    : left > 0
                        ? simd::load_partial(steps_.data() + column, static_cast<std::size_t>(left))
                        : simd::broadcast(0.0F);
                float* const to = memory.data() +
                                  (column - first) / strip_columns * depth * strip_columns +
                                  (column - first) % strip_columns;
                unroll<4>([&](auto i) __attribute__((always_inline)) {
                    if (input + i < depth)
                        simd::store(to + (input + i) * strip_columns,
                                    simd::part_to_floats(codes[i], part) * steps);
                });
            });
        };
        w_->decode(first / tile_outputs, (last + tile_outputs - 1) / tile_outputs, put);
        return memory.data();
    }

  private:
    const signed_weights* w_;
    std::span<const float> steps_;
};

}  // namespace tare::kernels
