#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the usual chunk: at most 64 elements that lie within 256 of each other, as codes of 8
// bits always do, and deltas of at most 8 bits. They are held as bytes above an origin that stays
// from chunk to chunk as long as it serves, so that what an immediate reaches is known before the
// chunk is seen. Eight chunks go through it side by side, a lane each
// (<tare/lossless/nnw_bdi_eight.hpp>), and two such groups step by step in turns. The bits are
// those of <tare/lossless/nnw_bdi_encoder.hpp>, which takes all other chunks.

#include <algorithm>
#include <cstddef>
#include <span>

#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/byte_lanes.hpp>
#include <tare/lossless/nnw_bdi_eight.hpp>
#include <tare/lossless/nnw_bdi_families.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>
#include <tare/lossless/word_row.hpp>
#include <tare/quantize/storage.hpp>

namespace tare::detail {

template <bdi_value Value>
class nnw_bdi_byte_encoder {
  public:
    static constexpr std::size_t groups = 2;
    static constexpr std::size_t batch = groups * row_lanes;  // chunks

    explicit nnw_bdi_byte_encoder(const nnw_bdi_layout& layout)
        : chunk_(layout.options.chunk),
          families_(layout),
          group_{nnw_bdi_eight<Value>(layout), nnw_bdi_eight<Value>(layout)} {
        const nnw_bdi_options& o = layout.options;
        // Pricing everything pays where a comparison of 64 bytes is one instruction; elsewhere the
        // planner, which rules most configurations out beforehand, is up to four times as fast.
        serves_ = byte_block::one_register && families_.fit && o.chunk <= mask_block &&
                  o.base_shift == 0 && o.delta_shift == 0 && !o.random_bases;
    }

    // Appends the chunks of `values`, at most `batch` ones; those that are not as above by a call
    // of other(which).
    template <class Other>
    void encode(std::span<const Value> values, bit_writer& to, storage_cost& cost, Other&& other) {
        if (!serves_) {
            for (std::size_t c = 0; c * chunk_ < values.size(); ++c)
                other(c);
            return;
        }
        const std::size_t eight = row_lanes * chunk_;
        const std::size_t first = std::min(eight, values.size());
        group_[0].load(values.first(first), families_);
        group_[1].load(values.subspan(first), families_);
        for (std::size_t b = 0; b < families_.most_bases; ++b)
            for (auto& g : group_)
                g.find_bases(families_, b);
        for (auto& g : group_)
            g.choose(families_);
        for (auto& g : group_)
            g.put_together(families_);
        for (std::size_t g = 0; g < groups; ++g)
            group_[g].write(to, cost, [&](std::size_t c) { other(g * row_lanes + c); });
    }

  private:
    std::size_t chunk_;
    nnw_bdi_families<Value> families_;
    bool serves_ = false;
    nnw_bdi_eight<Value> group_[groups];
};

}  // namespace tare::detail
