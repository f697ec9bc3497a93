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
    [[nodiscard]] block_float_group fit_group(std::span<const float> x) const {
        const float m = largest_magnitude(x);
        return {m == 0.0F ? -126 : std::max(-126, std::ilogb(m))};
    }
    void encode_values(const float* x, extent n, const block_float_group& group,
                       std::uint16_t* codes) const {
        const float down = std::ldexp(1.0F, -group.exponent);
        const float per_unit = std::ldexp(1.0F, bits_ - 2);
        const int most = (1 << (bits_ - 1)) - 1;
        const std::uint32_t half = 1U << (22 - bits_);
        const std::uint32_t kept = ~((1U << (23 - bits_)) - 1U);
        for (extent i = 0; i < n; ++i) {
            const float v = x[i] * down;
            const float inside = v > 2.0F ? 2.0F : (v < -2.0F ? -2.0F : (v == v ? v : 0.0F));
            const std::uint32_t sum = std::bit_cast<std::uint32_t>(inside + 6.0F);
            const float y = std::bit_cast<float>((sum + half) & kept) - 6.0F;
            const int k = std::clamp(static_cast<int>(y * per_unit), -most, most);
            codes[i] = static_cast<std::uint16_t>(static_cast<std::uint32_t>(k) &
                                                  static_cast<std::uint32_t>(low_mask(bits_)));
        }
    }
    void decode_values(const std::uint16_t* codes, extent n, const block_float_group& group,
                       float* y) const {
        const int shift = group.exponent + 2 - bits_;
        for (extent i = 0; i < n; ++i)
            y[i] = std::ldexp(static_cast<float>(from_twos_complement(codes[i], bits_)), shift);
    }
    void put_group(code_writer& out, const block_float_group& group) const {
        out.put(static_cast<std::uint64_t>(group.exponent + 127), 8);
    }
    [[nodiscard]] block_float_group get_group(code_reader& in) const {
        const int field = static_cast<int>(in.get(8));
        require(field >= 1 && field <= 254, name, ": an exponent field of ", field,
                " in the stream; it must be 1 to 254, the stream is damaged");
        return {field - 127};
    }

  private:
    int bits_ = 8;
    Granularity granularity_{};
};

static_assert(packing_quantizer<block_float<>>);

}  // namespace tare
