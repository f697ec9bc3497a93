#pragma once
// SPDX-License-Identifier: MIT
// Block floating point: the elements of a group share the exponent e of the largest magnitude and
// keep a signed mantissa of `bits` bits.
//
//   step = 2^(e + 2 - bits); value = step k, |k| <= 2^(bits-1) - 1,
//   k = x / step rounded to nearest, ties toward +infinity
//
// (adding 6 2^e to x, cutting the sum at mantissa bit `bits` and subtracting again does this in
// float32; so do we, scaled by 2^-e, where it cannot overflow). A group without a nonzero becomes
// zeros. NaN becomes 0; infinities get the outermost mantissa and do not touch the exponent.
// Source: QPyTorch, block_quantize; Drumond et al. 2018, "Training DNNs with hybrid block floating
// point", section 3.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <tare/core/error.hpp>
#include <tare/quantize/block_elements.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// The shared exponent, -126 to 127.
struct block_float_group {
    int exponent = -126;
    friend bool operator==(const block_float_group&, const block_float_group&) = default;
};

/// The quantizer, 2 to 16 bits. Gradient: identity.
/// Storage: bits per element and 8 bits of exponent per group.
template <granularity Granularity = per_tensor>
class block_float : public grouped_quantizer<block_float<Granularity>, block_float_group> {
  public:
    static constexpr std::string_view name = "block_float";

    block_float() = default;
    /// Throws unless 2 <= bits <= 16.
    explicit block_float(int bits, Granularity granularity = {})
        : bits_(bits), granularity_(granularity) {
        require(bits >= 2 && bits <= 16, name, ": ", bits, " bits; choose 2 to 16");
    }
    [[nodiscard]] constexpr extent group_size(extent n) const { return granularity_.group_size(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return bits_; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 8; }
    [[nodiscard, gnu::always_inline]] block_float_group fit_group(std::span<const float> x) const {
        const float m = largest_magnitude(x);
        return {m == 0.0F ? -126 : std::max(-126, detail::floor_log2(m))};
    }
    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n,
                                              const block_float_group& group, Code* codes) const {
        const grid by(bits_, group);
        const auto mask = static_cast<std::uint32_t>(low_mask(bits_));
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            codes[i] = static_cast<Code>(static_cast<std::uint32_t>(by.mantissa(x[i])) & mask);
    }
    template <class Code>
    [[gnu::always_inline]] void decode_values(const Code* codes, extent n,
                                              const block_float_group& group, float* y) const {
        const float step = grid(bits_, group).step;
        const int unused = 32 - bits_;
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(
                       static_cast<std::int32_t>(std::uint32_t{codes[i]} << unused) >> unused) *
                   step;
    }
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const block_float_group& group) const {
        const grid by(bits_, group);
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(by.mantissa(x[i])) * by.step;
    }
    void pack_groups(const block_float_group* groups, extent count, std::byte* to) const {
        for (extent g = 0; g < count; ++g)
            to[g] = static_cast<std::byte>(groups[g].exponent + 127);
    }
    void put_group(code_writer& out, const block_float_group& group) const {
        out.put(static_cast<std::uint64_t>(group.exponent + 127), 8);
    }
    [[nodiscard]] block_float_group get_group(code_reader& in) const {
        const int field = static_cast<int>(in.get(8));
        in.check(field >= 1 && field <= 254, "an exponent field of ", field,
                 " in the stream; it must be 1 to 254, the stream is damaged");
        return {field - 127};
    }

    /// The size of a group where it is always the same, else 0.
    static constexpr extent block = fixed_group_size<Granularity>;

  private:
    // The numbers that a group's exponent gives: all powers of two that float32 has.
    struct grid {
        grid(int bits, const block_float_group& group) noexcept
            : down(detail::power_of_two(-group.exponent)),
              step(detail::power_of_two(group.exponent + 2 - bits)),
              per_unit(static_cast<float>(1 << (bits - 2))),
              most((1 << (bits - 1)) - 1),
              half(1U << (22 - bits)),
              kept(~((1U << (23 - bits)) - 1U)) {}

        [[nodiscard]] std::int32_t mantissa(float x) const noexcept {
            const float inside = detail::bounded(x * down, 2.0F);
            const auto sum = std::bit_cast<std::uint32_t>(inside + 6.0F);
            const float k = (std::bit_cast<float>((sum + half) & kept) - 6.0F) * per_unit;
            return std::clamp(static_cast<std::int32_t>(k), -most, most);
        }

        float down, step, per_unit;
        std::int32_t most;
        std::uint32_t half, kept;
    };

    int bits_ = 8;
    Granularity granularity_{};
};

static_assert(packing_quantizer<block_float<>>);

}  // namespace tare
