#pragma once
// SPDX-License-Identifier: MIT
// A weight whose parameter is its codebook: decoded anew in every forward pass, codes fixed, so
// that training moves the entries. This is how product quantization is fine-tuned.
//     w block i = codebook[rows[i]]          d codebook[k] = sum (or mean) of d w over its blocks
// Source: Stock, Joulin, Gribonval, Graham, Jegou 2020, "And the bit goes down", section 3.3 (the
// mean); Fan et al. 2020, "Training with quantization noise", section 4 (the sum).

#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/kernels/gather.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

/// What the gradient of an entry is of the gradients of the blocks that have its code.
enum class entry_gradient { sum, mean };

/// Codes of a weight: which row of the codebook each block of its elements is, in the order of
/// memory. Shared, because every forward pass names them.
using block_codes = std::shared_ptr<const std::vector<token>>;

namespace op {

/// Input codebook (N, b). Result `weight`, whose elements are codes->size() blocks of b.
struct decode_codebook {
    static constexpr std::string_view name = "decode_codebook";
    block_codes codes;
    shape weight;
    entry_gradient gradient = entry_gradient::sum;

    shape result_shape(std::span<const shape> in) const {
        require(in.size() == 1 && in[0].rank() == 2, name, ": the codebook must have two axes");
        require(codes != nullptr && static_cast<extent>(codes->size()) * in[0][1] == weight.size(),
                name, ": ", codes == nullptr ? 0 : codes->size(), " codes of ", in[0][1],
                " values cannot fill a weight ", weight);
        return weight;
    }
    /// **Throws** tare::error on a code outside the codebook.
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const matrix_view<Scalar> blocks = as_blocks(out, in[0]);
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::gather_rows(in[0].matrix(), *codes, blocks);
        } else {
            kernels::plain::gather_rows<Scalar>(in[0].matrix(), *codes, blocks);
        }
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        const matrix_view<const Scalar> blocks = as_blocks(grad_out, in[0]);
        if (gradient == entry_gradient::sum) return add_blocks(blocks, grad_in[0].matrix());
        basic_tensor<Scalar> means(in[0].extents, Scalar(0));
        const matrix_view<Scalar> sums = means.mutable_view().matrix();
        add_blocks(blocks, sums);
        std::vector<extent> counts(static_cast<std::size_t>(sums.rows), 0);
        for (const token code : *codes)
            ++counts[static_cast<std::size_t>(code)];
        for (extent k = 0; k < sums.rows; ++k)
            for (Scalar& v : sums.row(k))
                if (const extent count = counts[static_cast<std::size_t>(k)]; count > 0)
                    v = v / Scalar(static_cast<float>(count));
        accumulate<Scalar>(grad_in[0].span(), means.values());
    }
    /// Looking up costs nothing.
    constexpr price cost(std::span<const operand>, const operand&) const {
        return free_of_charge();
    }
    constexpr int result_bits(std::span<const operand> in) const { return in[0].bits; }

  private:
    template <class Scalar>
    static matrix_view<Scalar> as_blocks(const array_view<Scalar>& w, const auto& codebook) {
        const extent block = codebook.extents[1];
        return {w.data, w.size() / block, block};
    }
    template <class Scalar>
    void add_blocks(matrix_view<const Scalar> blocks, matrix_view<Scalar> to) const {
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::scatter_add_rows(blocks, *codes, to);
        } else {
            kernels::plain::scatter_add_rows<Scalar>(blocks, *codes, to);
        }
    }
};

}  // namespace op

/// The weight that a codebook and fixed codes stand for.
/// **Shapes** codebook (N, b), codes one for each block of b elements of `weight`.
/// **Throws** tare::error on shapes that do not fit or a code outside the codebook. **Cost** none.
template <class T>
[[nodiscard]] T decode_codebook(const T& codebook, block_codes codes, const shape& weight,
                                entry_gradient gradient = entry_gradient::sum) {
    return apply(op::decode_codebook{std::move(codes), weight, gradient}, codebook);
}

}  // namespace tare
