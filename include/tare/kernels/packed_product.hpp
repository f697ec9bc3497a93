#pragma once
// SPDX-License-Identifier: MIT
// Products of a few rows of activation codes with weights of 2 to 16 bits that stay packed in
// memory: what bounds one row is the reading of the weights, and b bits are read faster than 32.
//
//     y(m,n) = sum_k x(m,k) q(n,k)        exact, in 32 or 64 bits
//
// The stored fields are unsigned, q + 2^(b-1), so 2^(b-1) sum_k x(m,k) is taken off each sum.
// Meant for one to about eight rows; from there on integer_product reads codes of 8 or 16 bits
// faster than this unpacks them.

#include <cstdint>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/kernels/integer_product.hpp>
#include <tare/kernels/packed_tile.hpp>

namespace tare::kernels {

/// The type of an activation code of a packed product.
template <class T>
concept packed_activation = std::same_as<T, std::int8_t> || std::same_as<T, std::int16_t>;

namespace detail {

/// Signed bytes that the largest of these codes is cut into.
template <packed_activation Activation>
int parts_of(matrix_view<const Activation> x) {
    if constexpr (std::same_as<Activation, std::int8_t>) return 1;
    std::int32_t low = 0;
    std::int32_t high = 0;
    for (extent r = 0; r < x.rows; ++r) {
        for (const Activation code : x.row(r)) {
            low = std::min<std::int32_t>(low, code);
            high = std::max<std::int32_t>(high, code);
        }
    }
    if (low >= -128 && high <= 127) return 1;
    // x - x_0 is a multiple of 256 up to 127 * 256 while x <= 127 * 256 + 127.
    return high <= 32639 ? 2 : 3;
}

/// Rows of x cut into bytes, and the sum of each row.
class cut_activations {
  public:
    template <packed_activation Activation>
    explicit cut_activations(matrix_view<const Activation> x)
        : parts_(parts_of(x)), groups_((x.columns + 31) / 32 * 8) {
        const auto words = static_cast<std::size_t>(x.rows * parts_ * groups_);
        if (words > near_.size()) far_.resize(words);
        sums_.resize(static_cast<std::size_t>(x.rows));
        std::int32_t* row = far_.empty() ? near_.data() : far_.data();
        data_ = row;
        for (extent m = 0; m < x.rows; ++m, row += parts_ * groups_) {
            std::int64_t sum = 0;
            auto* bytes = reinterpret_cast<std::int8_t*>(row);
            // The words behind column K meet whatever the strips hold there: they must be zero.
            std::memset(bytes, 0, static_cast<std::size_t>(4 * parts_ * groups_));
            const Activation* codes = x.data + m * x.stride;
            for (extent k = 0; k < x.columns; ++k)
                sum += codes[k];
            if (parts_ == 1) {
                for (extent k = 0; k < x.columns; ++k)
                    bytes[k] = static_cast<std::int8_t>(codes[k]);
            } else if (parts_ == 2) {
                for (extent k = 0; k < x.columns; ++k) {
                    const auto low = static_cast<std::int8_t>(codes[k] & 255);
                    bytes[k] = low;
                    bytes[k + 4 * groups_] = static_cast<std::int8_t>((codes[k] - low) / 256);
                }
            } else {
                for (extent k = 0; k < x.columns; ++k) {
                    const auto low = static_cast<std::int8_t>(codes[k] & 255);
                    const std::int32_t rest = (codes[k] - low) / 256;
                    const auto middle = static_cast<std::int8_t>(rest & 255);
                    bytes[k] = low;
                    bytes[k + 4 * groups_] = middle;
                    bytes[k + 8 * groups_] = static_cast<std::int8_t>((rest - middle) / 256);
                }
            }
            sums_[static_cast<std::size_t>(m)] = sum;
        }
    }
    cut_activations(const cut_activations&) = delete;
    cut_activations& operator=(const cut_activations&) = delete;

    [[nodiscard]] activation_parts from(extent row) const {
        return {data_ + row * parts_ * groups_, groups_, parts_};
    }
    [[nodiscard]] int parts() const { return parts_; }
    [[nodiscard]] std::int64_t sum(extent row) const {
        return sums_[static_cast<std::size_t>(row)];
    }

  private:
    int parts_;
    extent groups_;
    const std::int32_t* data_ = nullptr;
    std::vector<std::int64_t> sums_;
    std::vector<std::int32_t> far_;
    std::array<std::int32_t, 1024> near_;  ///< 4 KiB: a row of most layers needs no allocation
};

/// `Rows` rows times the strips [strip, strip_end).
template <int Parts, int Rows, class Finish>
void packed_row_tile(const packed_weights& w, const cut_activations& x, extent row, extent strip,
                     extent strip_end, bool is_wide, const Finish& finish) {
    packed_totals totals;
    totals.is_wide = is_wide;
    for (extent s = strip; s < strip_end; s += 4) {
        const int registers =
            static_cast<int>(std::min<extent>(4, strip_end - s)) * strip_registers_packed;
        for (int r = 0; r < Rows; ++r) {
            const std::int64_t offset = -(x.sum(row + r) << (w.bits() - 1));
            for (int j = 0; j < registers; ++j) {
                if (is_wide)
                    std::fill_n(totals.wide[r][j], simd::word_lane_count, offset);
                else
                    totals.narrow[r][j] = simd::words_of(static_cast<std::int32_t>(offset));
            }
        }
        for (extent k = 0; k < w.inputs(); k += packed_segment)
            add_planes<Parts, Rows>(w, s, registers, k, std::min(k + packed_segment, w.inputs()),
                                    x.from(row), totals);
        for (int r = 0; r < Rows; ++r) {
            for (int j = 0; j < registers; ++j) {
                const extent column = s * word_strip + j * simd::word_lanes;
                const extent left = std::min<extent>(w.outputs() - column, simd::word_lanes);
                if (left <= 0) break;
                const auto count = static_cast<std::size_t>(left);
                if (!is_wide) {
                    finish(totals.narrow[r][j], row + r, column, count);
                } else if constexpr (requires {
                                         finish.wide(totals.wide[r][j], row, column, count);
                                     }) {
                    finish.wide(totals.wide[r][j], row + r, column, count);
                }
            }
        }
    }
}

template <int Parts, class Finish>
void multiply_packed_parts(const packed_weights& w, const cut_activations& x, extent rows,
                           bool is_wide, const Finish& finish) {
    const extent strips = (w.outputs() + word_strip - 1) / word_strip;
    // Four values of k for 32 outputs are two masks and two dots, 0.3 ns.
    const extent work = std::max<extent>(1, w.inputs() / 4 * 2 * rows_of_work(rows) * Parts *
                                                static_cast<extent>(w.fields().size()));
    parallel_for(strips, 4, work, [&](extent begin, extent end) {
        extent row = 0;
        // Codes beyond 15 bits are rare; they get no tiles of their own.
        if constexpr (Parts < 3) {
            for (; row + 4 <= rows; row += 4)
                packed_row_tile<Parts, 4>(w, x, row, begin, end, is_wide, finish);
            for (; row + 2 <= rows; row += 2)
                packed_row_tile<Parts, 2>(w, x, row, begin, end, is_wide, finish);
        }
        for (; row < rows; ++row)
            packed_row_tile<Parts, 1>(w, x, row, begin, end, is_wide, finish);
    });
}

/// Whether 32 bits hold every sum.
template <packed_activation Activation>
bool sums_fit(matrix_view<const Activation> x, const packed_weights& w) {
    extent largest = 128;
    if constexpr (std::same_as<Activation, std::int16_t>) largest = largest_magnitude(x);
    const extent product = largest << (w.bits() - 1);
    return product == 0 || w.inputs() <= std::numeric_limits<std::int32_t>::max() / product;
}

template <packed_activation Activation, class Finish>
void multiply_packed(matrix_view<const Activation> x, const packed_weights& w, bool is_wide,
                     const Finish& finish) {
    if (x.rows == 0 || w.outputs() == 0) return;
    const cut_activations cut(x);
    if (cut.parts() == 1)
        multiply_packed_parts<1>(w, cut, x.rows, is_wide, finish);
    else if (cut.parts() == 2)
        multiply_packed_parts<2>(w, cut, x.rows, is_wide, finish);
    else
        multiply_packed_parts<3>(w, cut, x.rows, is_wide, finish);
}

}  // namespace detail

/// y(m,n) = sum_k x(m,k) q(n,k), exact.
/// **Shapes** x (M,K), w (N,K), y (M,N); any sizes, also 0. **Throws** tare::error on shapes that
/// do not match, bad views, overlap, and where 32 bits might not hold a sum.
template <class Activation>
    requires(packed_activation<std::remove_const_t<Activation>>)
void packed_product(matrix_view<Activation> x, const packed_weights& w,
                    matrix_view<std::int32_t> y) {
    const matrix_view<const std::remove_const_t<Activation>> codes = x;
    detail::check_product(codes, w.inputs(), w.outputs(), y, "packed_product");
    require(detail::sums_fit(codes, w), "packed_product: sums of ", w.inputs(), " products of ",
            w.bits(),
            "-bit weights with these codes may exceed 32 bits; pass a y of 64-bit "
            "integers or of floats");
    detail::multiply_packed(codes, w, false, detail::store_int32{y});
}

/// The same into 64-bit integers: any K.
template <class Activation>
    requires(packed_activation<std::remove_const_t<Activation>>)
void packed_product(matrix_view<Activation> x, const packed_weights& w,
                    matrix_view<std::int64_t> y) {
    const matrix_view<const std::remove_const_t<Activation>> codes = x;
    detail::check_product(codes, w.inputs(), w.outputs(), y, "packed_product");
    detail::multiply_packed(codes, w, !detail::sums_fit(codes, w), detail::store_int64{y});
}

/// y(m,n) = finish((float(sum_k x(m,k) q(n,k)) * scales.rows[n]) * scales.activation), any K.
/// **Rounding** the sum is exact; float(), both multiplications and `finish` round to nearest even.
/// **Throws** as above, and unless there is one scale for each output.
template <class Activation, epilogue Finish = no_epilogue>
    requires(packed_activation<std::remove_const_t<Activation>>)
void packed_product(matrix_view<Activation> x, const packed_weights& w, matrix_view<float> y,
                    const dequantize& scales, const Finish& finish = {}) {
    const matrix_view<const std::remove_const_t<Activation>> codes = x;
    detail::check_product(codes, w.inputs(), w.outputs(), y, "packed_product");
    detail::check_dequantize("packed_product", scales, y);
    detail::check_epilogue(finish, "packed_product", matrix_view<const float>(y));
    detail::multiply_packed(codes, w, !detail::sums_fit(codes, w),
                            detail::store_floats<Finish>{y, scales, finish});
}

namespace plain {

/// The product by definition, code by code out of the planes.
template <packed_activation Activation>
void packed_product(matrix_view<const Activation> x, const packed_weights& w,
                    matrix_view<std::int64_t> y) {
    for (extent m = 0; m < y.rows; ++m) {
        for (extent n = 0; n < y.columns; ++n) {
            std::int64_t sum = 0;
            for (extent k = 0; k < x.columns; ++k)
                sum += std::int64_t{x(m, k)} * w.code(n, k);
            y(m, n) = sum;
        }
    }
}

}  // namespace plain
}  // namespace tare::kernels
