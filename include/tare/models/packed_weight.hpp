#pragma once
// SPDX-License-Identifier: MIT
// A weight matrix that stays packed while a model runs: the second type argument of transformer_xl.
// How it multiplies follows from its width, from what its inputs are and from their number:
//
//     8, 9 bits      held as signs and magnitudes, zeros left out (kernels/signed_weights.hpp).
//                    Few rows: integer dot products with the codes of the quantization point before
//                    it, or with floats cut into digits. Many rows: unpacked to 16-bit codes, or
//                    for a softmax to floats, a stretch of columns at a time
//     other widths   bit planes where inputs are codes of a point (kernels/packed_weights.hpp),
//                    blocks of codes where they are floats (models/packed_rows.hpp)
//     exact          unpacked to floats for each product: the simulated model's bits
//
// **Accuracy** against the simulated product, before the bias, for rows of length K:
//     |difference| <= (K + 8) 2^-24 sum_k |x w|, and for a few rows of floats at 8 or 9 bits
//     another 2^-22 max_k |x| sum_k |w|. Integer sums are exact but for their scales.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/huge_pages.hpp>
#include <tare/kernels/layer_epilogue.hpp>
#include <tare/kernels/linear_log_softmax.hpp>
#include <tare/kernels/matmul.hpp>
#include <tare/kernels/packed_product.hpp>
#include <tare/kernels/signed_decode.hpp>
#include <tare/kernels/signed_product.hpp>
#include <tare/models/input_codes.hpp>
#include <tare/models/packed_rows.hpp>
#include <tare/models/packed_vector.hpp>
#include <tare/models/stored_model.hpp>
#include <tare/ops/gather.hpp>

namespace tare {

/// How a packed weight multiplies.
struct packed_input {
    int bits = 32;      ///< of the input's codes; 32: the input is floats
    float step = 1.0F;  ///< value of one code of the input
    bool exact = false;
};

/// A weight (out, in), quantized or not. Copies share their memory.
class packed_weight {
  public:
    /// Rows of x from which on a matrix is unpacked before it is multiplied.
    static constexpr extent many_rows = 9;
    using bias_type = packed_vector;  ///< of layers with such a weight (nn/linear_layer.hpp)

    packed_weight() = default;
    /// **Throws** tare::error unless `t` is a matrix.
    packed_weight(const stored_tensor& t, const packed_input& input) {
        require(t.extents.rank() == 2, "packed_weight: the weight has shape ", t.extents,
                ", expected (out, in)");
        auto made = std::make_shared<content>();
        made->extents = t.extents;
        made->input = input;
        const matrix_view<const std::int16_t> codes(t.codes.data(), t.extents[0], t.extents[1]);
        if (!t.quantized()) {
            made->held = form::floats;
            made->dense = t.decode();
        } else if ((t.bits == 8 || t.bits == 9) &&
                   t.extents[1] <= kernels::detail::most_digit_products) {
            made->held = form::signs;
            made->signs = kernels::signed_weights(codes);
        } else if (!input.exact && input.bits < 16) {
            // Where codes of the input might need more than 15 bits, floats are safe.
            made->held = form::planes;
            made->planes = kernels::packed_weights(codes, t.bits);
        } else {
            made->held = form::blocks;
            made->rows = packed_rows(t);
        }
        if (t.quantized()) made->steps.assign(t.factors.begin(), t.factors.end());
        content_ = std::move(made);
    }

    [[nodiscard]] bool exists() const noexcept { return content_ != nullptr; }
    [[nodiscard]] const tare::shape& shape() const { return content_->extents; }
    /// Same memory: what makes two parameters one stored tensor.
    [[nodiscard]] const void* identity() const noexcept { return content_.get(); }
    /// Bytes of codes, masks and steps (or of the floats of a weight that is not quantized).
    [[nodiscard]] std::size_t bytes() const {
        const content& c = *content_;
        return c.signs.bytes() + c.planes.bytes() + c.rows.bytes() +
               c.steps.size() * sizeof(float) +
               static_cast<std::size_t>(c.dense.exists() ? c.dense.size() : 0) * sizeof(float);
    }

    /// One row's values. **Rounding** none: a code times its step is exact.
    void row(extent r, std::span<float> out) const {
        const content& c = *content_;
        if (c.held == form::floats) {
            std::copy_n(&c.dense.view().matrix()(r, 0), out.size(), out.begin());
            return;
        }
        if (c.held == form::signs) {
            std::vector<std::int16_t> codes(out.size());
            c.signs.copy_row(r, codes);
            std::copy(codes.begin(), codes.end(), out.begin());
        } else if (c.held == form::planes) {
            for (std::size_t i = 0; i < out.size(); ++i)
                out[i] = static_cast<float>(c.planes.code(r, static_cast<extent>(i)));
        } else {
            c.rows.row(r, out);
        }
        for (float& v : out)
            v *= c.steps[static_cast<std::size_t>(r)];
    }

    /// Whether products are those of the simulated model, bit for bit: exact weights, and those
    /// that are not quantized.
    [[nodiscard]] bool exact() const {
        return content_->input.exact || content_->held == form::floats;
    }
    /// The whole matrix as floats.
    [[nodiscard]] tensor decoded() const {
        const content& c = *content_;
        if (c.held == form::floats) return c.dense;
        tensor w(c.extents);
        const matrix_view<float> to = w.mutable_view().matrix();
        if (c.held == form::signs) {
            kernels::decode_rows(c.signs, c.steps, to);
        } else if (c.held == form::planes) {
            parallel_for(to.rows, 1, to.columns * 8, [&](extent begin, extent end) {
                for (extent r = begin; r < end; ++r)
                    row(r, to.row(r));
            });
        } else {
            for (extent b = 0; b < c.rows.blocks(); ++b)
                c.rows.decode(b, c.steps, to.rows_between(c.rows.first_row(b), c.rows.last_row(b)));
        }
        return w;
    }

    /// y = finish(x W^T). **Shapes** x (M, in), y (M, out).
    template <kernels::epilogue Finish = kernels::layer_epilogue>
    void multiply(matrix_view<const float> x, matrix_view<float> y,
                  const Finish& finish = {}) const {
        const content& c = *content_;
        constexpr kernels::matmul_options how{.transpose_b = true};
        const bool few = x.rows < many_rows;
        const bool codes = c.input.bits < 16;
        if (digits_first() && few) {
            kernels::signed_product(digits(x), c.signs, c.steps, y, finish);
        } else if (digits_first() && codes) {
            multiply_words(x, kernels::decode_words(c.signs), y, finish);
        } else if (c.held == form::planes && few) {
            multiply_planes(x, y, finish);
        } else if (c.held == form::planes) {
            multiply_words(x, plane_words(), y, finish);
        } else if (c.held == form::blocks && !c.input.exact) {
            multiply_blocks(x, y, finish);
        } else {
            kernels::matmul(x, decoded().view().matrix(), y, how, finish);
        }
    }

    /// log softmax([x W^T + bias, more]) at one column for each of many rows: no matrix of logits,
    /// and the weights as floats only a stretch of columns at a time where they are signs.
    void log_softmax_at(matrix_view<const float> x, std::span<const float> bias,
                        matrix_view<const float> more, std::span<const token> targets,
                        std::span<float> out) const {
        const content& c = *content_;
        if (c.held == form::signs) {
            kernels::linear_log_softmax(x, kernels::signed_strips(c.signs, c.steps), bias, more,
                                        targets, out);
        } else {
            const kernels::prepared_matrix w(decoded().view().matrix(), true);
            kernels::linear_log_softmax(x, w, bias, more, targets, out);
        }
    }

    /// Whether few rows are cut into digits, which then serve any columns.
    [[nodiscard]] bool digits_first() const {
        return content_->held == form::signs && !content_->input.exact;
    }
    [[nodiscard]] kernels::signed_digits digits(matrix_view<const float> x) const {
        const packed_input& input = content_->input;
        content_->signs.ask();
        return input.bits < 16 ? kernels::signed_digits(x, input.bits, input.step)
                               : kernels::signed_digits(x);
    }
    /// Columns [first, first + y.size()) of x W^T + bias for one row, as digits. Only where
    /// digits_first().
    template <std::same_as<packed_vector> Bias>
    void multiply_columns(const kernels::signed_digits& x, const Bias& bias, extent first,
                          std::span<float> y) const {
        const content& c = *content_;
        if (bias.masked() != nullptr)
            kernels::signed_columns(x, 0, c.signs, c.steps, first, y,
                                    kernels::add_masked_bias(*bias.masked()));
        else
            kernels::signed_columns(x, 0, c.signs, c.steps, first, y,
                                    kernels::add_bias(bias.decoded().values()));
    }

  private:
    enum class form { floats, signs, planes, blocks };

    struct content {
        tare::shape extents;
        packed_input input;
        form held = form::floats;
        lasting_vector<float> steps;
        kernels::signed_weights signs;
        kernels::packed_weights planes;
        packed_rows rows;
        tensor dense;
    };

    template <class Finish>
    void multiply_blocks(matrix_view<const float> x, matrix_view<float> y,
                         const Finish& finish) const {
        const content& c = *content_;
        const auto some = [&](extent begin, extent end) {
            for (extent b = begin; b < end; ++b) {
                const extent first = c.rows.first_row(b);
                const extent last = c.rows.last_row(b);
                static thread_local aligned_vector<float> tile;
                tile.resize(static_cast<std::size_t>((last - first) * x.columns));
                const matrix_view<float> w(tile.data(), last - first, x.columns);
                c.rows.decode(b, c.steps, w);
                kernels::matmul(x, matrix_view<const float>(w), y.columns_between(first, last),
                                {.transpose_b = true},
                                [&](simd::floats v, extent r, extent n, std::size_t k) {
                                    return finish(v, r, first + n, k);
                                });
            }
        };
        // Few rows: one block for each thread. Many: the threads share each block's product.
        if (x.rows < many_rows) {
            parallel_for(c.rows.blocks(), 1, 1 << 16, some);
        } else {
            some(0, c.rows.blocks());
        }
    }

    template <class Finish>
    void multiply_planes(matrix_view<const float> x, matrix_view<float> y,
                         const Finish& finish) const {
        const content& c = *content_;
        const kernels::dequantize scales{c.steps, c.input.step};
        if (c.input.bits <= 8)
            kernels::packed_product(input_codes<std::int8_t>(x, c.input.step).view().matrix(),
                                    c.planes, y, scales, finish);
        else
            kernels::packed_product(input_codes<std::int16_t>(x, c.input.step).view().matrix(),
                                    c.planes, y, scales, finish);
        keep_nan(x, y);
    }
    /// Many rows: 16-bit codes of the whole matrix exist while one product lasts.
    template <class Finish>
    void multiply_words(matrix_view<const float> x, const kernels::integer_weights<std::int16_t>& w,
                        matrix_view<float> y, const Finish& finish) const {
        const content& c = *content_;
        kernels::integer_product<std::int16_t>(
            input_codes<std::int16_t>(x, c.input.step).view().matrix(), w, y,
            {c.steps, c.input.step}, finish);
        keep_nan(x, y);
    }
    [[nodiscard]] kernels::integer_weights<std::int16_t> plane_words() const {
        const content& c = *content_;
        const extent columns = c.extents[1];
        std::vector<std::int16_t> codes(static_cast<std::size_t>(c.extents.size()));
        parallel_for(c.extents[0], 1, columns * 8, [&](extent begin, extent end) {
            for (extent n = begin; n < end; ++n)
                for (extent k = 0; k < columns; ++k)
                    codes[static_cast<std::size_t>(n * columns + k)] = c.planes.code(n, k);
        });
        return kernels::integer_weights<std::int16_t>(
            matrix_view<const std::int16_t>(codes.data(), c.extents[0], columns));
    }

    std::shared_ptr<const content> content_;
};

}  // namespace tare
