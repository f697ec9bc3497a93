#pragma once
// SPDX-License-Identifier: MIT
// Rows that streams collect step by step, in the value reading: the keys or values of a decoder's
// self-attention. Room grows by doubling, so a step copies only its own row.

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/tensor.hpp>
#include <tare/ops/gather.hpp>

namespace tare {

/// What each of N streams has collected over t steps, (t, N, width).
class growing_rows {
  public:
    /// Appends a step. **Shapes** row (1, N, width), the same N and width as before.
    /// **Throws** tare::error on another shape.
    void push(const tensor& row) {
        const shape& fresh = row.shape();
        require(fresh.rank() == 3 && fresh[0] == 1, "growing_rows: a step is ", fresh,
                ", expected (1,streams,width)");
        if (!room_.exists()) room_ = tensor(shape{first_room, fresh[1], fresh[2]});
        require(fresh[1] == room_.shape()[1] && fresh[2] == room_.shape()[2],
                "growing_rows: a step is ", fresh, ", those before were (1,", room_.shape()[1], ',',
                room_.shape()[2], ")");
        if (steps_ == room_.shape()[0]) {
            tensor larger(shape{2 * steps_, fresh[1], fresh[2]});
            std::ranges::copy(room_.values(), larger.mutable_values().begin());
            room_ = larger;
        }
        std::ranges::copy(row.values(),
                          room_.mutable_values().begin() + steps_ * fresh[1] * fresh[2]);
        ++steps_;
    }
    /// All steps so far, (t, N, width); valid until the next call that changes them.
    [[nodiscard]] tensor all() const { return room_.slice(0, steps_); }

    /// Stream r goes on from what was stream from[r]; their number may change.
    /// **Throws** tare::error on a stream that does not exist.
    void select(std::span<const token> from) {
        if (!room_.exists()) return;
        const extent streams = room_.shape()[1];
        const extent width = room_.shape()[2];
        bool same = static_cast<extent>(from.size()) == streams;
        for (std::size_t r = 0; same && r < from.size(); ++r)
            same = from[r] == static_cast<token>(r);
        if (same) return;
        std::vector<token> index;
        index.reserve(static_cast<std::size_t>(steps_) * from.size());
        for (extent t = 0; t < steps_; ++t)
            for (const token r : from) {
                require(r >= 0 && r < streams, "growing_rows: stream ", r, " of ", streams);
                index.push_back(static_cast<token>(t * streams + r));
            }
        const auto left = static_cast<extent>(from.size());
        tensor chosen(shape{room_.shape()[0], left, width});
        kernels::gather_rows({room_.values().data(), steps_ * streams, width}, index,
                             {chosen.mutable_values().data(), steps_ * left, width});
        room_ = chosen;
    }

  private:
    static constexpr extent first_room = 16;

    tensor room_;  ///< (room, N, width)
    extent steps_ = 0;
};

}  // namespace tare
