#pragma once
// SPDX-License-Identifier: MIT
// Rows of activations as signed digits, the left operand of kernels/signed_product.hpp. Each x
// becomes an integer c = round(x / unit) and that, base 255, digits of -127 .. 127, which a signed
// byte holds together with their negatives:
//     c = c_0 + 255 c_1 + 65025 c_2
// One digit takes codes of 8 bits, two of 15, three serve floats.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <tare/core/pool.hpp>
#include <tare/core/simd_int.hpp>
#include <tare/kernels/epilogue.hpp>
#include <tare/kernels/matmul_check.hpp>

namespace tare::kernels {

/// Rows of activations as digits base 255.
class signed_digits {
  public:
    /// Digits that codes of `bits` bits are cut into; 3 for floats, which have no codes.
    [[nodiscard]] static constexpr int parts_of(int bits) {
        return bits <= 8 ? 1 : bits <= 15 ? 2 : 3;
    }
    /// Largest magnitude that `parts` digits hold.
    [[nodiscard]] static constexpr std::int32_t largest(int parts) {
        return parts == 1 ? 127 : parts == 2 ? 127 * 256 : 127 * 65281;
    }

    /// Values that are codes of `bits` <= 15 bits times `step`. **Rounding** x / step to the
    /// nearest code; exact for what a quantization point made. **Throws** tare::error on a bad
    /// view, on other widths, and where the digits are more than 64 bits count.
    signed_digits(matrix_view<const float> x, int bits, float step)
        : signed_digits(x, parts_of(bits)) {
        require(bits >= 2 && bits <= 15, "signed_digits: codes of ", bits,
                " bits were announced; 2 to 15 have digits of their own, pass floats without bits");
        const float per_step = 1.0F / step;
        for (extent r = 0; r < x.rows; ++r)
            cut(x.row(r), r, per_step, step);
    }
    /// Any floats. **Rounding** to a multiple of 2^-22 of the power of two above the largest
    /// magnitude of the row, and of no less than 2^-126. **Throws** as above.
    explicit signed_digits(matrix_view<const float> x) : signed_digits(x, 3) {
        for (extent r = 0; r < x.rows; ++r) {
            // Magnitudes compare as their bits do. A NaN or an infinity wins: cut() finds it again.
            std::uint32_t top = 0;
            for (const float v : x.row(r))
                top = std::max(top, std::bit_cast<std::uint32_t>(v) & 0x7fffffffU);
            int exponent = 0;
            static_cast<void>(std::frexp(std::bit_cast<float>(top), &exponent));
            const int unit = std::max(exponent, -104) - 22;
            cut(x.row(r), r, std::ldexp(1.0F, -unit), std::ldexp(1.0F, unit));
        }
    }

    [[nodiscard]] extent rows() const noexcept { return static_cast<extent>(units_.size()); }
    [[nodiscard]] extent inputs() const noexcept { return inputs_; }
    [[nodiscard]] int parts() const noexcept { return parts_; }
    /// Value of a row's unit; NaN where the row holds a NaN or what digits cannot hold.
    [[nodiscard]] float unit(extent row) const { return units_[static_cast<std::size_t>(row)]; }
    /// Digit `part` of a row, four inputs to a word.
    [[nodiscard]] const std::int8_t* digits(extent row, int part) const {
        return digits_.data() + (row * parts_ + part) * row_bytes_;
    }

  private:
    signed_digits(matrix_view<const float> x, int parts)
        : inputs_(x.columns),
          row_bytes_(x.columns / 4 * 4 + (x.columns % 4 != 0) * 4),
          parts_(parts) {
        detail::check_view("signed_digits", "x", x);
        require(row_bytes_ == 0 ||
                    x.rows <= std::numeric_limits<extent>::max() / parts / row_bytes_,
                "signed_digits: x of (", x.rows, ',', x.columns,
                ") has more digits than 64 bits count; split it");
        digits_.resize(static_cast<std::size_t>(x.rows * parts * row_bytes_));
        units_.resize(static_cast<std::size_t>(x.rows));
    }

    void cut(std::span<const float> x, extent row, float per_unit, float unit) {
        std::int8_t* const to = digits_.data() + row * parts_ * row_bytes_;
        const auto n = static_cast<extent>(x.size());
        const simd::floats scale = simd::broadcast(per_unit);
        const simd::floats most = simd::broadcast(static_cast<float>(largest(parts_)) + 0.5F);
        simd::floats misfits = simd::broadcast(0.0F);
        each_register(x.data(), n, [&](simd::floats v, extent, std::size_t) {
            misfits = simd::select(simd::abs(v * scale) < most, misfits, simd::broadcast(1.0F));
        });
        const bool fits = simd::reduce_add(misfits) == 0.0F;
        units_[static_cast<std::size_t>(row)] =
            fits ? unit : std::numeric_limits<float>::quiet_NaN();
        if (!fits) return;
        if (parts_ == 1)
            cut_row<1>(x.data(), n, scale, to);
        else if (parts_ == 2)
            cut_row<2>(x.data(), n, scale, to);
        else
            cut_row<3>(x.data(), n, scale, to);
    }

    /// Calls f(values, first, count) for each register of a row, zeros behind the last value.
    template <class F>
    [[gnu::always_inline]] static void each_register(const float* x, extent n, const F& f) {
        constexpr auto step = static_cast<extent>(simd::lanes);
        extent k = 0;
        for (; k + step <= n; k += step)
            f(simd::load(x + k), k, simd::lanes);
        if (k < n) {
            const auto rest = static_cast<std::size_t>(n - k);
            f(detail::load_lanes(x + k, rest), k, rest);
        }
    }

    template <int Parts>
    void cut_row(const float* x, extent n, simd::floats scale, std::int8_t* to) const {
        each_register(x, n, [&](simd::floats v, extent k, std::size_t count) {
            simd::floats digit[Parts];
            digit[0] = simd::nearbyint(v * scale);
            if constexpr (Parts == 3) {
                // A division: the nearest quotients to a half are 2^-17 away, an ulp of 64.
                const simd::floats place = simd::broadcast(65025.0F);
                digit[2] = simd::nearbyint(digit[0] / place);
                digit[0] = digit[0] - place * digit[2];
            }
            if constexpr (Parts >= 2) {
                // |code / 255| <= 127.5 and never half-way between two integers: 255 is odd.
                digit[1] = simd::nearbyint(digit[0] * simd::broadcast(1.0F / 255.0F));
                digit[0] = digit[0] - simd::broadcast(255.0F) * digit[1];
            }
            for (int p = 0; p < Parts; ++p) {
                std::int8_t bytes[simd::lanes];
                simd::store_bytes(bytes, digit[p]);
                if (count == simd::lanes)
                    std::copy_n(bytes, simd::lanes, to + p * row_bytes_ + k);
                else
                    std::copy_n(bytes, count, to + p * row_bytes_ + k);
            }
        });
    }

    extent inputs_;
    extent row_bytes_;
    int parts_;
    /// [row][part][inputs rounded up to 4], zeros behind.
    std::vector<std::int8_t, pool_allocator<std::int8_t>> digits_;
    std::vector<float> units_;
};

}  // namespace tare::kernels
