#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI as the published library computes it, element by element and with its accounting:
//   bits of a chunk = (zero compression ? n : 0) + num_bases base_bits + delta_bits (deltas)
// where every configured base is paid for, immediates are free and so is the knowledge which base
// an element uses. With more than one base (or an immediate and a base) these bits cannot be
// decoded; <tare/lossless/nnw_bdi.hpp> writes and counts a stream that can. Sizes in bits, integers
// wrap.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/random.hpp>
#include <tare/lossless/nnw_bdi_options.hpp>

namespace tare {

/// Oddities of the published code, by name. The default is the published behaviour.
struct nnw_bdi_quirks {
    /// The range check before stochastic rounding is reversed: only deltas at the upper edge are
    /// rounded, and up with one minus the probability they should have. false: unbiased rounding.
    bool reversed_rounding = true;
    /// Deltas are taken from the shifted base although decoding shifts it back. false: consistent.
    bool shifted_base_delta = true;
};

/// What became of one element: zero, or base + delta (both before the shifts back).
template <bdi_value Value>
struct nnw_bdi_element {
    bool zero = true;
    Value base = 0;
    Value delta = 0;
};

/// One encoded chunk.
template <bdi_value Value>
struct nnw_bdi_chunk {
    std::size_t config = 0;  ///< index of the configuration that won
    std::int64_t bits = 0;   ///< by the reference's accounting
    std::vector<Value> bases;
    std::vector<nnw_bdi_element<Value>> elements;
};

/// The source of draws that nnw_bdi_reference takes by default: counter-based, in order.
class sequential_draws {
  public:
    explicit sequential_draws(std::uint64_t seed) : stream_(seed, 0) {}
    /// Uniform in [0, 1).
    float uniform() { return stream_.uniform(next_++); }
    /// Uniform in [0, bound).
    std::uint32_t below(std::uint32_t bound) { return stream_.below(next_++, bound); }

  private:
    random_stream stream_;
    std::uint64_t next_ = 0;
};

namespace detail {

// The state of one chunk while one configuration is tried on it.
template <bdi_value Value, class Draws>
class reference_chunk {
  public:
    reference_chunk(std::span<const Value> values, const nnw_bdi_options& options,
                    const nnw_bdi_quirks& quirks, Draws& draws)
        : values_(values), options_(options), quirks_(quirks), draws_(draws) {}

    // The chunk under `config`, or nothing if an element is left over.
    std::optional<nnw_bdi_chunk<Value>> encode(const nnw_bdi_config& config) {
        out_ = {};
        out_.elements.resize(values_.size());
        done_.assign(values_.size(), false);
        left_ = values_.size();
        if (options_.zero_compression) {
            for (std::size_t i = 0; i < values_.size(); ++i)
                if (values_[i] >> options_.delta_shift == 0) finish(i);
        }
        const std::size_t zeros = values_.size() - left_;
        const bdi_range<Value> deltas(config.delta_bits);
        for (const std::int64_t immediate : options_.immediates) {
            if (left_ == 0) break;
            run(static_cast<Value>(immediate), deltas);
        }
        for (int b = 0; b < config.bases && left_ != 0; ++b) {
            const std::optional<Value> base = choose(bdi_range<Value>(config.base_bits));
            if (!base) break;
            out_.bases.push_back(*base);
            const int back = quirks_.shifted_base_delta ? 0 : options_.base_shift;
            run(static_cast<Value>(*base << back), deltas, *base);
        }
        if (left_ != 0) return std::nullopt;
        out_.bits = (options_.zero_compression ? static_cast<std::int64_t>(values_.size()) : 0) +
                    std::int64_t{config.bases} * config.base_bits +
                    static_cast<std::int64_t>(values_.size() - zeros) * config.delta_bits;
        return std::move(out_);
    }

  private:
    void finish(std::size_t i) {
        done_[i] = true;
        --left_;
    }

    void run(Value base, const bdi_range<Value>& deltas) { run(base, deltas, base); }

    void run(Value base, const bdi_range<Value>& deltas, Value stored) {
        for (std::size_t i = 0; i < values_.size(); ++i) {
            if (done_[i]) continue;
            if (std::is_unsigned_v<Value> && base > values_[i]) continue;
            const auto difference = static_cast<Value>(static_cast<std::uint32_t>(values_[i]) -
                                                       static_cast<std::uint32_t>(base));
            const Value delta = round(difference, deltas);
            if (!deltas.holds(delta)) continue;
            out_.elements[i] = {false, stored, delta};
            finish(i);
        }
    }

    // difference >> delta_shift, rounded up at random if so asked.
    Value round(Value difference, const bdi_range<Value>& deltas) {
        const auto down = static_cast<Value>(difference >> options_.delta_shift);
        if (!options_.stochastic_rounding) return down;
        const auto up = static_cast<Value>(static_cast<std::uint32_t>(down) + 1U);
        const std::uint32_t missing = (static_cast<std::uint32_t>(up) << options_.delta_shift) -
                                      static_cast<std::uint32_t>(difference);
        const float step = static_cast<float>(std::uint32_t{1} << options_.delta_shift);
        const float share = static_cast<float>(missing) / step;
        if (quirks_.reversed_rounding)
            return deltas.least <= up && deltas.most <= up && draws_.uniform() <= share ? up : down;
        return deltas.holds(up) && draws_.uniform() >= share ? up : down;
    }

    std::optional<Value> choose(const bdi_range<Value>& bases) {
        const auto left = static_cast<std::uint32_t>(left_);
        std::uint32_t candidate = 0;
        for (std::size_t i = 0; i < values_.size(); ++i) {
            const auto base = static_cast<Value>(values_[i] >> options_.base_shift);
            if (done_[i] || !bases.holds(base)) continue;
            if (!options_.random_bases || draws_.below(left) <= candidate) return base;
            ++candidate;
        }
        return std::nullopt;
    }

    std::span<const Value> values_;
    const nnw_bdi_options& options_;
    const nnw_bdi_quirks& quirks_;
    Draws& draws_;
    nnw_bdi_chunk<Value> out_;
    std::vector<bool> done_;
    std::size_t left_ = 0;
};

}  // namespace detail

/// Encodes as the published library does: for each chunk the configuration with the fewest bits by
/// its accounting, the first one on ties.
/// Rounding: deltas are shifted right arithmetically, or stochastically by `quirks`.
/// Draws: `draws.uniform()` and `draws.below(bound)` are called in the library's order (chunks,
/// configurations and elements in turn), so that recorded draws can be replayed.
/// Throws if no configuration fits a chunk (the library panics): add a catch-all such as {0, 32,
/// 32}. Complexity: O(values configurations (immediates + bases)); one thread.
template <bdi_value Value, class Draws>
[[nodiscard]] std::vector<nnw_bdi_chunk<Value>>
nnw_bdi_reference(std::span<const Value> values, const nnw_bdi_options& options, Draws& draws,
                  const nnw_bdi_quirks& quirks = {}) {
    check_options<Value>(options, "nnw_bdi_reference");
    std::vector<nnw_bdi_chunk<Value>> out;
    std::vector<Value> shifted;
    for (std::size_t begin = 0; begin < values.size(); begin += options.chunk) {
        const auto part = values.subspan(begin, std::min(options.chunk, values.size() - begin));
        shifted.assign(part.begin(), part.end());
        for (Value& v : shifted)
            v = static_cast<Value>(v >> options.init_shift);
        detail::reference_chunk<Value, Draws> chunk(shifted, options, quirks, draws);
        std::optional<nnw_bdi_chunk<Value>> best;
        for (std::size_t c = 0; c < options.configs.size(); ++c) {
            auto tried = chunk.encode(options.configs[c]);
            if (!tried || (best && best->bits <= tried->bits)) continue;
            tried->config = c;
            best = std::move(tried);
        }
        require(best.has_value(),
                "nnw_bdi_reference: no configuration fits the chunk that starts "
                "at element ",
                begin, "; add a catch-all such as {0 bases, 32, delta 32}");
        out.push_back(std::move(*best));
    }
    return out;
}

/// Total bits of `values` by the published accounting (see the top of this file).
template <bdi_value Value>
[[nodiscard]] std::int64_t reference_size(std::span<const Value> values,
                                          const nnw_bdi_options& options,
                                          const nnw_bdi_quirks& quirks = {}) {
    sequential_draws draws(options.seed);
    std::int64_t bits = 0;
    for (const auto& chunk : nnw_bdi_reference(values, options, draws, quirks))
        bits += chunk.bits;
    return bits;
}

/// ((base << base_shift) + (delta << delta_shift)) << init_shift, all modulo 2^32; 0 for a zero.
template <bdi_value Value>
[[nodiscard]] Value decoded_value(const nnw_bdi_element<Value>& element,
                                  const nnw_bdi_options& options) noexcept {
    if (element.zero) return 0;
    const std::uint32_t base = static_cast<std::uint32_t>(element.base) << options.base_shift;
    const std::uint32_t delta = static_cast<std::uint32_t>(element.delta) << options.delta_shift;
    return static_cast<Value>((base + delta) << options.init_shift);
}

/// The float32 that the published decoder writes: float(int32(value) + zero_point) scale, the sum
/// modulo 2^32.
template <bdi_value Value>
[[nodiscard]] float dequantized(Value value, std::int32_t zero_point, float scale) noexcept {
    const std::uint32_t sum =
        static_cast<std::uint32_t>(value) + static_cast<std::uint32_t>(zero_point);
    return static_cast<float>(static_cast<std::int32_t>(sum)) * scale;
}

}  // namespace tare
