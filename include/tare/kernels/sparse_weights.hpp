#pragma once
// SPDX-License-Identifier: MIT
// Pruned fp32 weights (N,K) in three forms. All of them drop zeros (of either sign) and keep every
// other value, NaN included, exactly.
//
//   bitmask_weights   a bit for each weight and the others in order, [strip of 32 outputs][k]:
//                     32 d + 1 bits a weight at a density d
//   index_weights     for each output the inputs that matter and their values: 64 d bits a weight
//   block_weights     blocks of 32 outputs by B inputs, kept or dropped whole
//
// Which one, by time (bench_sparse, Sapphire Rapids with AVX-512, one thread, against oneDNN's
// dense product): bit masks take 0.93 of its speed at M = 96 and 1.0 at M = 512, whatever the
// density. At M = 8 they take 0.7 while dense weights fit the second-level cache, for to expand a
// register costs three steps on one of the two ports that its eight multiplications go through (0.8
// at best), and 1.3 beyond. Index lists reach 1.5 at M = 96 and 70 % zeros, 0.55 at 35 %; blocks
// save time in proportion to the blocks dropped.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include <tare/core/huge_pages.hpp>
#include <tare/kernels/matmul_check.hpp>

namespace tare::kernels {

namespace detail {

/// Outputs of a strip: the bits of a mask.
inline constexpr extent sparse_strip = 32;

inline extent sparse_strips(extent outputs) {
    return outputs / sparse_strip + (outputs % sparse_strip != 0);
}

/// Throws unless the weights can be walked and their masks counted.
inline void check_sparse(std::string_view function, matrix_view<const float> weights) {
    check_view(function, "weights", weights);
    require(weights.columns == 0 || sparse_strips(weights.rows) <=
                                        std::numeric_limits<extent>::max() / 128 / weights.columns,
            function, ": weights of (", weights.rows, ',', weights.columns,
            ") have more bytes than 64 bits count; split them");
}

}  // namespace detail

/// One bit for each weight and the values that are not zero.
class bitmask_weights {
  public:
    bitmask_weights() = default;
    /// **Throws** tare::error on a null view, a short stride, or sizes beyond 64 bits.
    explicit bitmask_weights(matrix_view<const float> weights)
        : outputs_(weights.rows), inputs_(weights.columns) {
        detail::check_sparse("bitmask_weights", weights);
        const extent strips = detail::sparse_strips(outputs_);
        masks_.resize(static_cast<std::size_t>(strips * inputs_));
        starts_.resize(static_cast<std::size_t>(strips + 1));
        for (extent s = 0; s < strips; ++s) {
            const extent first = s * detail::sparse_strip;
            const extent count = std::min(detail::sparse_strip, outputs_ - first);
            starts_[static_cast<std::size_t>(s)] = static_cast<extent>(values_.size());
            for (extent k = 0; k < inputs_; ++k) {
                std::uint32_t mask = 0;
                for (extent j = 0; j < count; ++j) {
                    const float value = weights(first + j, k);
                    if (value == 0.0F) continue;
                    mask |= 1U << j;
                    values_.push_back(value);
                }
                masks_[static_cast<std::size_t>(s * inputs_ + k)] = mask;
            }
        }
        nonzeros_ = static_cast<extent>(values_.size());
        starts_.back() = nonzeros_;
        // Expansion reads whole registers from the next value on.
        values_.resize(values_.size() + 32, 0.0F);
    }

    /// N: the number of outputs.
    [[nodiscard]] extent outputs() const noexcept { return outputs_; }
    /// K: the length of each sum.
    [[nodiscard]] extent inputs() const noexcept { return inputs_; }
    /// Weights that are not zero.
    [[nodiscard]] extent nonzeros() const noexcept { return nonzeros_; }
    /// Bytes that a product reads.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return masks_.size() * 4 + static_cast<std::size_t>(nonzeros_) * 4;
    }
    /// The masks of a strip, one for each input; bit j is output 32 s + j.
    [[nodiscard]] const std::uint32_t* masks(extent strip) const noexcept {
        return masks_.data() + strip * inputs_;
    }
    /// The values of a strip in the order of its set bits; 32 floats may be read from any of them.
    [[nodiscard]] const float* values(extent strip) const noexcept {
        return values_.data() + starts_[static_cast<std::size_t>(strip)];
    }

  private:
    extent outputs_ = 0;
    extent inputs_ = 0;
    extent nonzeros_ = 0;
    lasting_vector<std::uint32_t> masks_;
    lasting_vector<float> values_;
    std::vector<extent> starts_;
};

/// For each output the inputs that matter, ascending, and their values (compressed sparse rows).
class index_weights {
  public:
    index_weights() = default;
    /// **Throws** tare::error on a bad view and on more than 2^31 - 1 inputs.
    explicit index_weights(matrix_view<const float> weights)
        : outputs_(weights.rows), inputs_(weights.columns) {
        detail::check_sparse("index_weights", weights);
        require(inputs_ <= std::numeric_limits<std::int32_t>::max(), "index_weights: ", inputs_,
                " inputs need more than 31 bits for an index; split the weights");
        starts_.reserve(static_cast<std::size_t>(outputs_ + 1));
        for (extent n = 0; n < outputs_; ++n) {
            for (extent k = 0; k < inputs_; ++k) {
                if (weights(n, k) == 0.0F) continue;
                indices_.push_back(static_cast<std::int32_t>(k));
                values_.push_back(weights(n, k));
            }
            starts_.push_back(static_cast<extent>(values_.size()));
        }
    }

    /// N: the number of outputs.
    [[nodiscard]] extent outputs() const noexcept { return outputs_; }
    /// K: the length of each sum.
    [[nodiscard]] extent inputs() const noexcept { return inputs_; }
    /// Weights that are not zero.
    [[nodiscard]] extent nonzeros() const noexcept { return static_cast<extent>(values_.size()); }
    /// Bytes that a product reads.
    [[nodiscard]] std::size_t bytes() const noexcept { return values_.size() * 8; }
    /// First nonzero of an output; start(n + 1) is one past its last.
    [[nodiscard]] extent start(extent output) const noexcept {
        return starts_[static_cast<std::size_t>(output)];
    }
    [[nodiscard]] const std::int32_t* indices() const noexcept { return indices_.data(); }
    [[nodiscard]] const float* values() const noexcept { return values_.data(); }

  private:
    extent outputs_ = 0;
    extent inputs_ = 0;
    std::vector<extent> starts_ = {0};
    lasting_vector<std::int32_t> indices_;
    lasting_vector<float> values_;
};

/// Blocks of 32 outputs by `block_inputs` inputs; those that hold only zeros are dropped.
class block_weights {
  public:
    /// Neighbouring kept blocks of a strip: inputs [first, last).
    struct run {
        extent first;
        extent last;
    };

    block_weights() = default;
    /// **Throws** tare::error on block_inputs below 1, a bad view, or sizes beyond 64 bits.
    block_weights(matrix_view<const float> weights, extent block_inputs)
        : outputs_(weights.rows), inputs_(weights.columns) {
        require(block_inputs >= 1, "block_weights: blocks of ", block_inputs,
                " inputs were asked for; the least is 1");
        detail::check_sparse("block_weights", weights);
        const extent strips = detail::sparse_strips(outputs_);
        strips_.resize(static_cast<std::size_t>(strips) + 1);
        for (extent s = 0; s < strips; ++s) {
            const extent first = s * detail::sparse_strip;
            const extent count = std::min(detail::sparse_strip, outputs_ - first);
            strips_[static_cast<std::size_t>(s)] = {runs_.size(), values_.size()};
            for (extent k = 0; k < inputs_; k += block_inputs) {
                const extent last = block_inputs < inputs_ - k ? k + block_inputs : inputs_;
                bool kept = false;
                for (extent j = first; j < first + count && !kept; ++j)
                    kept = std::any_of(&weights(j, k), &weights(j, k) + (last - k),
                                       [](float w) { return !(w == 0.0F); });
                if (!kept) continue;
                if (runs_.size() > strips_[static_cast<std::size_t>(s)].run &&
                    runs_.back().last == k)
                    runs_.back().last = last;
                else
                    runs_.push_back({k, last});
                for (extent i = k; i < last; ++i)
                    for (extent j = 0; j < detail::sparse_strip; ++j)
                        values_.push_back(j < count ? weights(first + j, i) : 0.0F);
            }
        }
        strips_.back() = {runs_.size(), values_.size()};
    }

    /// N: the number of outputs.
    [[nodiscard]] extent outputs() const noexcept { return outputs_; }
    /// K: the length of each sum.
    [[nodiscard]] extent inputs() const noexcept { return inputs_; }
    /// Share of the weights that is kept, zeros inside kept blocks and edges included.
    [[nodiscard]] double density() const noexcept {
        const auto all =
            static_cast<double>(detail::sparse_strips(outputs_) * detail::sparse_strip * inputs_);
        return all > 0 ? static_cast<double>(values_.size()) / all : 0.0;
    }
    /// Bytes that a product reads.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return values_.size() * 4 + runs_.size() * sizeof(run);
    }
    [[nodiscard]] std::span<const run> runs(extent strip) const noexcept {
        const auto s = static_cast<std::size_t>(strip);
        return {runs_.data() + strips_[s].run, strips_[s + 1].run - strips_[s].run};
    }
    /// The kept values of a strip, [input][32].
    [[nodiscard]] const float* values(extent strip) const noexcept {
        return values_.data() + strips_[static_cast<std::size_t>(strip)].value;
    }

  private:
    struct strip_start {
        std::size_t run;
        std::size_t value;
    };
    extent outputs_ = 0;
    extent inputs_ = 0;
    std::vector<run> runs_;
    std::vector<strip_start> strips_;
    lasting_vector<float> values_;
};

}  // namespace tare::kernels
