#pragma once
// SPDX-License-Identifier: MIT
// Which of sixteen steps between fifteen borders, a register at a time: [-1, 1] is cut into 32
// equal buckets, none of which holds two borders of NF4, and a look-up by bucket gives the border
// and the code below it. A dozen operations where comparing by halves takes twice as many. What
// the borders are is the user's: the exact middles of the levels in <tare/formats/nf4.hpp>, others
// in <tare/quantize/nf4_elements.hpp>.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <tare/core/simd.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/core/simd_tables.hpp>

namespace tare::detail {

/// The borders by bucket.
struct nf4_buckets {
    static constexpr std::size_t count = 32;
    /// Buckets per unit of v.
    static constexpr float density = 16.0F;

    std::array<float, count> border{};  ///< the largest number below; infinite where there is none
    std::array<float, count> code{};    ///< at the bucket's begin; the bits of an integer

    /// `borders` ascend; each is the largest float32 that belongs to the lower code.
    explicit constexpr nf4_buckets(const std::array<float, 15>& borders) noexcept {
        std::array<std::uint32_t, count> codes{};
        border.fill(std::numeric_limits<float>::infinity());
        for (const float last : borders) {
            const auto pattern = std::bit_cast<std::int32_t>(last);
            const float next = std::bit_cast<float>(last > 0.0F ? pattern + 1 : pattern - 1);
            const std::size_t here = bucket_of(last);
            const std::size_t first = bucket_of(next);
            if (here == first) border[here] = last;
            for (std::size_t j = here == first ? here + 1 : first; j < count; ++j)
                codes[j] += 1;
        }
        code = std::bit_cast<std::array<float, count>>(codes);
    }

    static constexpr std::size_t bucket_of(float v) noexcept {
        const float at = (v + 1.0F) * density;
        return at < 0.0F ? 0 : (at < 31.0F ? static_cast<std::size_t>(at) : 31);
    }
    /// The same for each lane; a NaN gives 0.
    [[nodiscard, gnu::always_inline]] static simd::ints buckets_of(simd::floats v) {
        const simd::floats dense = simd::broadcast(density);
        const simd::floats at = simd::fma(v, dense, dense);  // as above: the factor is exact
        return simd::truncate_to_int(
            simd::clamp(at, simd::broadcast(0.0F), simd::broadcast(31.0F)));
    }
};

/// The same with the levels on either side of each border.
struct nf4_value_buckets : nf4_buckets {
    std::array<float, count> below{};
    std::array<float, count> above{};

    constexpr nf4_value_buckets(const std::array<float, 15>& borders,
                                const std::array<float, 16>& levels) noexcept
        : nf4_buckets(borders) {
        for (std::size_t j = 0; j < count; ++j) {
            const auto first = std::bit_cast<std::uint32_t>(code[j]);
            below[j] = levels[first];
            above[j] = levels[first < 15 ? first + 1 : 15];
        }
    }
};

/// The tables in registers, where there are so many: see simd::looks_up_in_registers.
class nf4_codes {
  public:
    explicit nf4_codes(const nf4_buckets& buckets)
        : borders_(buckets.border.data()), codes_(buckets.code.data()) {}
    /// The code of each lane; NaN must not come.
    [[nodiscard, gnu::always_inline]] simd::ints operator()(simd::floats v) const {
        const simd::ints at = nf4_buckets::buckets_of(v);
        return simd::increment_where(borders_[at] < v, simd::as_ints(codes_[at]));
    }

  private:
    simd::table32 borders_;
    simd::table32 codes_;
};
class nf4_values {
  public:
    explicit nf4_values(const nf4_value_buckets& buckets)
        : borders_(buckets.border.data()),
          below_(buckets.below.data()),
          above_(buckets.above.data()) {}
    /// The level of each lane; NaN must not come.
    [[nodiscard, gnu::always_inline]] simd::floats operator()(simd::floats v) const {
        const simd::ints at = nf4_buckets::buckets_of(v);
        return simd::select(borders_[at] < v, above_[at], below_[at]);
    }

  private:
    simd::table32 borders_;
    simd::table32 below_;
    simd::table32 above_;
};

}  // namespace tare::detail
