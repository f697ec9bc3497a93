#pragma once
// SPDX-License-Identifier: MIT
// One chunk of NNW-BDI back from bits, as <tare/lossless/nnw_bdi_layout.hpp> lays it out. Nothing
// in the bits is trusted: what an encoder cannot have written is a tare::error with the byte.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/lossless/bit_pack_blocks.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/lane_moves.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>

namespace tare::detail {

template <bdi_value Value>
class nnw_bdi_decoder {
  public:
    explicit nnw_bdi_decoder(const nnw_bdi_layout& layout)
        : layout_(layout),
          options_(layout.options),
          words_((options_.chunk + 63) / 64),
          stored_(words_),
          planes_(8 * words_) {
        bases_.reserve(2 * max_bdi_sources);
    }

    // Reads one chunk of chunk.size() elements.
    void decode(bit_reader& in, std::span<Value> chunk) {
        const auto config = static_cast<std::size_t>(in.take(layout_.config_bits()));
        if (config > layout_.raw_config())
            in.corrupt("configuration ", config, " of ", layout_.raw_config());
        const bool raw = config == layout_.raw_config();
        const std::size_t words = (chunk.size() + 63) / 64;
        read_mask(in, chunk.size());
        bases_.clear();
        int planes = 0;
        if (!raw) {
            read_sources(in, options_.configs[config]);
            planes = nnw_bdi_layout::selector_bits(bases_.size());
            for (int p = 0; p < planes; ++p)
                for (std::size_t w = 0; w < words; ++w)
                    plane(p, w) = deposit_bits(in.take(std::popcount(stored_[w])), stored_[w]);
        }
        const int delta_bits = raw ? layout_.raw_bits() : options_.configs[config].delta_bits;
        const int shift = raw ? 0 : options_.delta_shift;
        const auto unpack = bit_pack_kernels<std::uint32_t>::unpack(delta_bits);
        for (std::size_t w = 0; w < words; ++w) {
            alignas(64) std::uint32_t base[mask_block];
            if (!raw && stored_[w] != 0) select_bases(in, w, planes, base);
            std::uint64_t packed[max_packed_words] = {};
            in.take(packed, static_cast<std::size_t>(std::popcount(stored_[w]) * delta_bits));
            alignas(64) std::uint32_t codes[mask_block];
            alignas(64) std::uint32_t value[mask_block];
            unpack(reinterpret_cast<const std::byte*>(packed), codes);
            const int unused = 32 - delta_bits;
            if (std::is_signed_v<Value> || shift != 0)
                for (std::uint32_t& code : codes)  // sign extension
                    code = static_cast<std::uint32_t>(static_cast<Value>(code << unused) >> unused)
                           << shift;
            expand_64(codes, stored_[w], value);
            if (!raw && stored_[w] != 0)
                for (std::size_t i = 0; i < mask_block; ++i)
                    value[i] += base[i];
            const int back = options_.init_shift;
            Value* const to = chunk.data() + mask_block * w;
            const std::size_t left = chunk.size() - mask_block * w;
            if (left >= mask_block) {  // the usual length as a constant
                for (std::size_t i = 0; i < mask_block; ++i)
                    to[i] = static_cast<Value>(value[i] << back);
            } else {
                for (std::size_t i = 0; i < left; ++i)
                    to[i] = static_cast<Value>(value[i] << back);
            }
        }
    }

  private:
    std::uint64_t& plane(int p, std::size_t w) {
        return planes_[static_cast<std::size_t>(p) * words_ + w];
    }

    // The elements that are not zero.
    void read_mask(bit_reader& in, std::size_t count) {
        if (options_.zero_compression) {
            in.take(stored_.data(), count);
            return;
        }
        for (std::size_t w = 0; 64 * w < count; ++w)
            stored_[w] = low_mask(static_cast<int>(std::min<std::size_t>(64, count - 64 * w)));
    }

    void read_sources(bit_reader& in, const nnw_bdi_config& config) {
        std::uint64_t used_immediates[2] = {};
        in.take(used_immediates, options_.immediates.size());
        for (std::size_t i = 0; i < options_.immediates.size(); ++i)
            if ((used_immediates[i / 64] >> (i % 64) & 1) != 0)
                bases_.push_back(static_cast<std::uint32_t>(options_.immediates[i]));
        const auto used = static_cast<int>(in.take(nnw_bdi_layout::used_bits(config)));
        if (used > config.bases) in.corrupt(used, " bases where ", config.bases, " are allowed");
        const int unused = 32 - config.base_bits;
        for (int b = 0; b < used; ++b) {
            const auto code = static_cast<std::uint32_t>(in.take(config.base_bits));
            const auto base = static_cast<Value>(static_cast<Value>(code << unused) >> unused);
            bases_.push_back(static_cast<std::uint32_t>(base) << options_.base_shift);
        }
    }

    // The base of each element of word w; zero where nothing is stored, so that zeros stay zero.
    void select_bases(const bit_reader& in, std::size_t w, int planes, std::uint32_t* base) {
        std::fill_n(base, mask_block, 0U);
        std::uint64_t known = 0;
        for (std::size_t s = 0; s < bases_.size(); ++s) {
            std::uint64_t mask = stored_[w];
            for (int p = 0; p < planes; ++p)
                mask &= (s >> p & 1) != 0 ? plane(p, w) : ~plane(p, w);
            known |= mask;
            if (mask != 0) blend_64(base, mask, bases_[s]);
        }
        if (known != stored_[w])
            in.corrupt("an element selects a base that the chunk, which has ", bases_.size(),
                       ", does not have");
    }

    const nnw_bdi_layout& layout_;
    const nnw_bdi_options& options_;
    std::size_t words_;
    std::vector<std::uint64_t> stored_;  // elements with a delta
    std::vector<std::uint64_t> planes_;
    std::vector<std::uint32_t> bases_;  // of all sources, shifted back
};

}  // namespace tare::detail
