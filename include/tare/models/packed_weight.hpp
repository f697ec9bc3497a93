#pragma once
// SPDX-License-Identifier: MIT
// A weight matrix that stays packed while a model runs: the second type argument of transformer_xl.
// Three ways to multiply, chosen when the weight is made:
//     integer   inputs come from a quantization point: y = (sum of integer products, exact) * step
//               of the row * step of the point; bit planes online, 16-bit tiles for many rows
//     blocks    inputs are floats (projected states): blocks of codes, zeros left out behind bit
//               masks, are decoded into a tile in cache and multiplied there
//     exact     the whole matrix is decoded for each product: the simulated model's bits
// **Accuracy** of integer and blocks against the simulated product: |difference| <= (K + 4) 2^-24
// sum_k |x w| for rows of length K, before the bias.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <tare/kernels/matmul.hpp>
#include <tare/kernels/packed_product.hpp>
#include <tare/models/packed_rows.hpp>
#include <tare/models/stored_model.hpp>
#include <tare/ops/pick_log_softmax.hpp>
#include <tare/ops/prepared_weight.hpp>

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
    packed_weight() = default;
    /// **Throws** tare::error unless `t` is a matrix.
    packed_weight(const stored_tensor& t, const packed_input& input) {
        require(t.extents.rank() == 2, "packed_weight: the weight has shape ", t.extents,
                ", expected (out, in)");
        auto made = std::make_shared<content>();
        made->extents = t.extents;
        made->input = input;
        if (!t.quantized()) {
            made->dense = t.decode();
        } else {
            made->steps = t.factors;
            // Where codes of the input might need more than 15 bits, floats are safe.
            made->integer = !input.exact && input.bits < 16;
            if (made->integer) {
                made->planes = kernels::packed_weights(
                    matrix_view<const std::int16_t>(t.codes.data(), t.extents[0], t.extents[1]),
                    t.bits);
            } else {
                made->rows = packed_rows(t);
            }
        }
        content_ = std::move(made);
    }

    [[nodiscard]] bool exists() const noexcept { return content_ != nullptr; }
    [[nodiscard]] const tare::shape& shape() const { return content_->extents; }
    /// Bytes of codes, masks and steps (or of the floats of a weight that is not quantized).
    [[nodiscard]] std::size_t bytes() const {
        const content& c = *content_;
        return c.planes.bytes() + c.rows.bytes() + c.steps.size() * sizeof(float) +
               static_cast<std::size_t>(c.dense.exists() ? c.dense.size() : 0) * sizeof(float);
    }

    /// One row's values. **Rounding** none: a code times its step is exact.
    void row(extent r, std::span<float> out) const {
        const content& c = *content_;
        if (c.dense.exists()) {
            std::copy_n(&c.dense.view().matrix()(r, 0), out.size(), out.begin());
            return;
        }
        if (c.integer) {
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
    [[nodiscard]] bool exact() const { return content_->input.exact || content_->dense.exists(); }
    /// The whole matrix as floats, of an exact weight.
    [[nodiscard]] tensor decoded() const {
        const content& c = *content_;
        if (c.dense.exists()) return c.dense;
        TARE_ASSERT(!c.integer);
        tensor w(c.extents);
        for (extent b = 0; b < c.rows.blocks(); ++b)
            decode_block(
                b, w.mutable_view().matrix().rows_between(c.rows.first_row(b), c.rows.last_row(b)));
        return w;
    }

    /// y = x W^T. **Shapes** x (M, in), y (M, out).
    void multiply(matrix_view<const float> x, matrix_view<float> y) const {
        const content& c = *content_;
        if (c.dense.exists()) {
            kernels::matmul(x, c.dense.view().matrix(), y, {.transpose_b = true});
        } else if (c.input.exact) {
            const tensor w = decoded();
            kernels::matmul(x, w.view().matrix(), y, {.transpose_b = true});
        } else if (c.integer) {
            multiply_codes(x, y);
        } else {
            multiply_blocks(x, y);
        }
    }

  private:
    /// Rows of x from which on the planes are widened first.
    static constexpr extent few_rows = 8;

    struct content {
        tare::shape extents;
        packed_input input;
        bool integer = false;
        std::vector<float> steps;
        kernels::packed_weights planes;
        packed_rows rows;
        tensor dense;
    };

    void decode_block(extent b, matrix_view<float> out) const {
        const content& c = *content_;
        static thread_local std::vector<std::uint16_t> codes;
        static thread_local std::vector<std::uint16_t> scratch;
        c.rows.decode(b, codes, scratch);
        const auto width = static_cast<std::size_t>(out.columns);
        for (extent r = 0; r < out.rows; ++r) {
            const float step = c.steps[static_cast<std::size_t>(c.rows.first_row(b) + r)];
            const std::uint16_t* from = codes.data() + static_cast<std::size_t>(r) * width;
            float* to = &out(r, 0);
            for (std::size_t i = 0; i < width; ++i)
                to[i] = c.rows.value(from[i]) * step;
        }
    }

    void multiply_blocks(matrix_view<const float> x, matrix_view<float> y) const {
        const content& c = *content_;
        const auto some = [&](extent begin, extent end) {
            for (extent b = begin; b < end; ++b) {
                const extent first = c.rows.first_row(b);
                const extent last = c.rows.last_row(b);
                static thread_local aligned_vector<float> tile;
                tile.resize(static_cast<std::size_t>((last - first) * x.columns));
                const matrix_view<float> w(tile.data(), last - first, x.columns);
                decode_block(b, w);
                kernels::matmul(x, matrix_view<const float>(w), y.columns_between(first, last),
                                {.transpose_b = true});
            }
        };
        // Few rows: one block for each thread. Many: the threads share each block's product.
        if (x.rows <= few_rows) {
            parallel_for(c.rows.blocks(), 1, 1 << 16, some);
        } else {
            some(0, c.rows.blocks());
        }
    }

    template <class Code>
    void multiply_codes_as(matrix_view<const float> x, matrix_view<float> y) const {
        const content& c = *content_;
        std::vector<Code> codes(static_cast<std::size_t>(x.rows * x.columns));
        const float per_step = 1.0F / c.input.step;
        parallel_for(x.rows, 1, x.columns, [&](extent begin, extent end) {
            for (extent m = begin; m < end; ++m)
                for (extent k = 0; k < x.columns; ++k)
                    // x is a code times the step already; the product is within 1/100 of it.
                    codes[static_cast<std::size_t>(m * x.columns + k)] =
                        static_cast<Code>(std::nearbyint(x(m, k) * per_step));
        });
        const matrix_view<const Code> left(codes.data(), x.rows, x.columns);
        const kernels::dequantize scales{c.steps, c.input.step};
        if (x.rows <= few_rows) {
            kernels::packed_product(left, c.planes, y, scales);
            return;
        }
        if constexpr (sizeof(Code) == 1) {
            // The planes of weights up to 8 bits fit bytes as well, but 16 bits serve all widths.
            const std::vector<std::int16_t> wide(codes.begin(), codes.end());
            multiply_tiles(matrix_view<const std::int16_t>(wide.data(), x.rows, x.columns), y,
                           scales);
        } else {
            multiply_tiles(left, y, scales);
        }
    }
    void multiply_codes(matrix_view<const float> x, matrix_view<float> y) const {
        if (content_->input.bits <= 8) {
            multiply_codes_as<std::int8_t>(x, y);
        } else {
            multiply_codes_as<std::int16_t>(x, y);
        }
    }
    /// Many rows: 16-bit codes of the whole matrix exist while one product lasts.
    void multiply_tiles(matrix_view<const std::int16_t> x, matrix_view<float> y,
                        const kernels::dequantize& scales) const {
        const content& c = *content_;
        std::vector<std::int16_t> codes(static_cast<std::size_t>(c.extents.size()));
        parallel_for(c.extents[0], 1, x.columns * 8, [&](extent begin, extent end) {
            for (extent n = begin; n < end; ++n)
                for (extent k = 0; k < x.columns; ++k)
                    codes[static_cast<std::size_t>(n * x.columns + k)] = c.planes.code(n, k);
        });
        const kernels::integer_weights<std::int16_t> w(
            matrix_view<const std::int16_t>(codes.data(), c.extents[0], x.columns));
        kernels::integer_product<std::int16_t>(x, w, y, scales);
    }

    std::shared_ptr<const content> content_;
};

/// Only the cost reading accounts by module.
[[nodiscard]] inline no_scope scope(const packed_weight&, std::string_view) {
    return {};
}

/// y = x W^T with a packed W. **Shapes** x (..., in), result (..., out). **Throws** tare::error on
/// shapes that do not fit.
[[nodiscard]] inline tensor linear(const tensor& x, const packed_weight& weight) {
    require(x.shape().rank() >= 1 && x.shape().columns() == weight.shape()[1], "linear: x is ",
            x.shape(), ", the packed W is ", weight.shape(),
            "; the last extent of x must be the last of W. W is stored (out, in)");
    tensor out(x.shape().with_columns(weight.shape()[0]));
    weight.multiply(x.view().matrix(), out.mutable_view().matrix());
    return out;
}
/// y = x W^T + b.
[[nodiscard]] inline tensor linear(const tensor& x, const packed_weight& weight,
                                   const tensor& bias) {
    require(bias.size() == weight.shape()[0], "linear: b is ", bias.shape(), ", the packed W is ",
            weight.shape(), "; b needs one value for each row of W");
    tensor out = linear(x, weight);
    const matrix_view<float> y = out.mutable_view().matrix();
    const std::span<const float> b = bias.values();
    for (extent r = 0; r < y.rows; ++r)
        for (extent c = 0; c < y.columns; ++c)
            y(r, c) += b[static_cast<std::size_t>(c)];
    return out;
}

/// Logarithm of softmax([x W^T + b, more]) at one column per row, in nats. **Shapes** x (N, K),
/// W (C, K), b (C), more (N, E) or a tensor that does not exist, targets N columns below C + E;
/// result (N). So many rows at a time that their logits take 64 MiB.
[[nodiscard]] inline tensor linear_log_softmax(const tensor& x, const packed_weight& weight,
                                               const tensor& bias, const tensor& more,
                                               std::span<const token> targets) {
    if (weight.exact()) return linear_log_softmax(x, weight.decoded(), bias, more, targets);
    constexpr extent most_logits = extent{1} << 24;
    const extent rows = x.shape().rows();
    const extent together = std::max<extent>(8, most_logits / weight.shape()[0]);
    tensor out(shape{rows});
    for (extent begin = 0; begin < rows; begin += together) {
        const extent end = std::min(rows, begin + together);
        std::vector<tensor> blocks{linear(x.slice(begin, end), weight, bias)};
        if (more.exists()) blocks.push_back(more.slice(begin, end));
        const auto from =
            targets.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
        const tensor part = pick_log_softmax(std::span<const tensor>(blocks),
                                             std::vector(from.begin(), from.end()));
        std::copy_n(part.values().begin(), end - begin, out.mutable_values().begin() + begin);
    }
    return out;
}

/// Rows of a packed table by index. **Throws** tare::error on an index outside the table.
[[nodiscard]] inline tensor gather(const packed_weight& table, std::span<const token> index) {
    const extent width = table.shape()[1];
    tensor out(shape{static_cast<extent>(index.size()), width});
    for (std::size_t r = 0; r < index.size(); ++r) {
        require(index[r] >= 0 && index[r] < table.shape()[0], "gather: index ", index[r],
                " is outside the packed table ", table.shape());
        table.row(index[r], out.mutable_values().subspan(r * static_cast<std::size_t>(width),
                                                         static_cast<std::size_t>(width)));
    }
    return out;
}

/// A stored model as a source of packed weights, float vectors and points. The stored model must
/// outlive the source, not the model.
class packed_parameters {
  public:
    /// `exact`: products give the bits of the simulated model, slowly.
    explicit packed_parameters(const stored_model& stored, bool exact = false)
        : stored_(&stored), plain_(stored), exact_(exact) {}

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        return plain_.parameter(label, extents, start);
    }
    [[nodiscard]] packed_weight weight(std::string_view label, const shape& extents,
                                       const initial&) const {
        const stored_tensor& found = stored_->at(label);
        require(found.extents == extents, "stored_model: ", label, " has shape ", found.extents,
                ", the model needs ", extents);
        return {found, input_of(label)};
    }
    [[nodiscard]] activation_point<tensor> point(std::string_view label) const {
        return plain_.point(label);
    }

  private:
    /// The quantization point whose output a weight multiplies; empty where it multiplies floats.
    [[nodiscard]] static std::string point_before(std::string_view label) {
        constexpr std::pair<std::string_view, std::string_view> pairs[] = {
            {".qkv.weight", ".ln1"},
            {".out.weight", ".attn_out"},
            {".fc.0.weight", ".ln2"},
            {".fc.3.weight", ".relu"}};
        for (const auto& [weight, before] : pairs)
            if (label.starts_with("layers.") && label.ends_with(weight))
                return message(label.substr(0, label.size() - weight.size()), before);
        const bool reads_state = label == "embed.layers.0.weight" ||
                                 label == "loss.clusters.weight" ||
                                 label.starts_with("loss.projections.");
        return reads_state ? "final" : "";
    }
    [[nodiscard]] packed_input input_of(std::string_view label) const {
        const auto found = stored_->points.find(point_before(label));
        if (found == stored_->points.end()) return {32, 1.0F, exact_};
        return {stored_->how.bits, found->second.inverse_scale, exact_};
    }

    const stored_model* stored_;
    stored_parameters plain_;
    bool exact_;
};

}  // namespace tare
