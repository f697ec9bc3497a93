#pragma once
// SPDX-License-Identifier: MIT
// What a product does to each finished output before it leaves the cache: bias, ReLU, scale,
// residual, or what a user writes. An epilogue is a small object with one call operator:
//
//     struct clamp6 {
//         simd::floats operator()(simd::floats v, extent row, extent column, std::size_t count)
//             const { return simd::min(v, simd::broadcast(6.0F)); }
//     };
//     matmul(x, w, y, {.transpose_b = true}, add_bias(bias) | apply_relu() | clamp6());
//
// `v` holds the outputs (row, column) to (row, column + count - 1), count <= simd::lanes; lanes
// from `count` on are ignored, but memory behind them must not be read. An epilogue may also have a
// member check(function, c), called once before the product with its output, that throws.

#include <concepts>
#include <span>
#include <string_view>
#include <utility>

#include <tare/core/simd.hpp>
#include <tare/kernels/matmul_check.hpp>

namespace tare::kernels {

template <class E>
concept epilogue = requires(const E e, simd::floats v, extent row, extent column,
                            std::size_t count) {
    { e(v, row, column, count) } -> std::convertible_to<simd::floats>;
};

/// Leaves the product as it is.
struct no_epilogue {
    simd::floats operator()(simd::floats v, extent, extent, std::size_t) const { return v; }
};

/// Two epilogues, `First` first. Made by `first | second`.
template <epilogue First, epilogue Second>
struct chained_epilogue {
    First first;
    Second second;

    simd::floats operator()(simd::floats v, extent row, extent column, std::size_t count) const {
        return second(first(v, row, column, count), row, column, count);
    }
    void check(std::string_view function, matrix_view<const float> c) const;
};

template <epilogue First, epilogue Second>
[[nodiscard]] chained_epilogue<First, Second> operator|(First first, Second second) {
    return {std::move(first), std::move(second)};
}

namespace detail {

template <epilogue E>
void check_epilogue(const E& finish, std::string_view function, matrix_view<const float> c) {
    if constexpr (requires { finish.check(function, c); }) finish.check(function, c);
}

inline simd::floats load_lanes(const float* p, std::size_t count) {
    return count == simd::lanes ? simd::load(p) : simd::load_partial(p, count);
}
inline void store_lanes(float* p, simd::floats v, std::size_t count) {
    if (count == simd::lanes) {
        simd::store(p, v);
    } else {
        simd::store_partial(p, v, count);
    }
}

}  // namespace detail

/// c(i,j) + bias(j). **Throws** (at the product) unless bias has one value for each column.
class add_bias {
  public:
    explicit add_bias(std::span<const float> bias) : bias_(bias) {}

    simd::floats operator()(simd::floats v, extent, extent column, std::size_t count) const {
        return v + detail::load_lanes(bias_.data() + column, count);
    }
    void check(std::string_view function, matrix_view<const float> c) const {
        require(static_cast<extent>(bias_.size()) == c.columns, function, ": the bias has ",
                bias_.size(), " values, but c is (", c.rows, ',', c.columns,
                "); it needs one for each column");
        const matrix_view<const float> bias(bias_.data(), 1, c.columns);
        detail::check_view(function, "the bias", bias);
        require(!detail::overlap(c, bias), function,
                ": c overlaps the bias; give c memory of its own");
    }

  private:
    std::span<const float> bias_;
};

/// max(c(i,j), 0); NaN stays NaN.
struct apply_relu {
    simd::floats operator()(simd::floats v, extent, extent, std::size_t) const {
        // With the operands in this order the instruction returns v when it is NaN.
        return simd::max(simd::broadcast(0.0F), v);
    }
};

/// factor * c(i,j).
class scale_by {
  public:
    explicit scale_by(float factor) : factor_(factor) {}
    simd::floats operator()(simd::floats v, extent, extent, std::size_t) const {
        return v * simd::broadcast(factor_);
    }

  private:
    float factor_;
};

/// c(i,j) + residual(i,j). The residual must not overlap c, for c holds partial sums meanwhile; to
/// add a product to what c holds, use matmul_options::accumulate.
/// **Throws** (at the product) on another shape than that of c, a bad view, overlap.
class add_residual {
  public:
    explicit add_residual(matrix_view<const float> residual) : residual_(residual) {}

    simd::floats operator()(simd::floats v, extent row, extent column, std::size_t count) const {
        return v + detail::load_lanes(&residual_(row, column), count);
    }
    void check(std::string_view function, matrix_view<const float> c) const {
        detail::check_view(function, "the residual", residual_);
        require(residual_.rows == c.rows && residual_.columns == c.columns, function,
                ": the residual is (", residual_.rows, ',', residual_.columns, "), but c is (",
                c.rows, ',', c.columns, "); they must be equal");
        require(!detail::overlap(c, residual_), function,
                ": c overlaps the residual; use matmul_options::accumulate to add to c in place");
    }

  private:
    matrix_view<const float> residual_;
};

template <epilogue First, epilogue Second>
void chained_epilogue<First, Second>::check(std::string_view function,
                                            matrix_view<const float> c) const {
    detail::check_epilogue(first, function, c);
    detail::check_epilogue(second, function, c);
}

}  // namespace tare::kernels
