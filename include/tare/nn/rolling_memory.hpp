#pragma once
// SPDX-License-Identifier: MIT
// What a layer remembers while tokens come one at a time: keys and values in the layout that one
// step reads, appended in place. A chunk's memory is a tensor that each step would copy. Where a
// quantization point made them they are remembered as its codes, which give the same bits.

#include <optional>
#include <variant>

#include <tare/kernels/attention_step.hpp>
#include <tare/readings/value.hpp>

namespace tare {

/// The memory of one layer; fresh ones are empty. Copies are memories of their own.
class rolling_memory {
  public:
    /// Attention of one new position of each stream: the row that op::segment_attention gives for
    /// the same history, bit for bit. `step` is that of the point which qkv passed, 0 for none.
    /// **Shapes** qkv (1, B, H (2 nk + nv)), positions (nk, S + 1); result (1, B, H nv).
    /// **Throws** tare::error on more than one position and on shapes that do not fit.
    template <class Points>
    [[nodiscard]] tensor attend(const tensor& qkv, const tensor& positions,
                                kernels::segment_layout layout, const Points& points,
                                float step = 0.0F) {
        require(qkv.shape().rank() == 3 && qkv.shape()[0] == 1, "rolling_memory: qkv is ",
                qkv.shape(), "; one position at a time is expected, (1,B,columns)");
        layout.tokens = 1;
        layout.batch = qkv.shape()[1];
        layout.window = positions.shape().columns() - 1;
        if (!table_) {
            table_.emplace(positions.view().matrix());
            if (step > 0.0F)
                cache_ = kernels::coded_attention_cache(layout, {step});
            else
                cache_ = kernels::attention_cache(layout);
        }
        // What is no code, a NaN, is remembered as it is, and all the rest with it.
        if (const auto* coded = std::get_if<kernels::coded_attention_cache>(&cache_))
            if (!coded->how().hold(qkv.values())) cache_ = kernels::attention_cache(*coded);
        tensor out(qkv.shape().with_columns(layout.heads * layout.value_width));
        std::visit(
            [&](auto& cache) {
                if constexpr (!std::is_same_v<decltype(cache), std::monostate&>)
                    kernels::attention_step(cache, *table_, qkv.view().matrix(),
                                            out.mutable_view().matrix(), points);
            },
            cache_);
        return out;
    }

  private:
    std::variant<std::monostate, kernels::attention_cache, kernels::coded_attention_cache> cache_;
    std::optional<kernels::position_table> table_;  ///< of the layer, in the steps' layout
};

}  // namespace tare
