#pragma once
// SPDX-License-Identifier: MIT
// The quantizer of SmaQ's FPGA kernels, a third one beside the published figure and the simulation:
// no offset for outliers, range +-3 deviations, truncation, the flag in the lowest bit.
//
//   s(b) = 2^(b-1)/3;  main = -1 <= z <= 1
//   code = (trunc(z s(main ? 6 : 8)) << 1) | main;  value = (code >> 1) / s
//
// Statistics are sums in index order in float32, as a stream processor forms them:
//   plain kernel       mean = sum x / N, deviation = sqrt(sum x^2 / N - mean^2), z = (x - mean)/dev
//   batch-norm kernel  z = ((x - mean) rdev) scalar + shift, rdev = 1/deviation over all elements
//   or
//                      the first 16; back ((d - shift)/scalar) dev + mean
// A simulation of hardware for comparison: NaN and infinity give code 0 where C++ has no
// conversion, codes have no fixed width. Source: SmaQ reference repository, folder hw.

#include <cmath>
#include <cstdint>
#include <span>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare {

/// Mean and deviation as the kernels form them.
struct fpga_statistics {
    float mean = 0.0F;
    float deviation = 1.0F;
    friend bool operator==(const fpga_statistics&, const fpga_statistics&) = default;
};

/// Sums in index order over the first `count` elements (all of them with 0).
/// Accuracy: bit for bit the kernels'. Throws on an empty tensor.
[[nodiscard]] inline fpga_statistics fpga_fit(std::span<const float> x, extent count = 0) {
    const std::size_t n = count > 0 && static_cast<std::size_t>(count) < x.size()
                              ? static_cast<std::size_t>(count)
                              : x.size();
    require(n > 0, "fpga_fit: an empty tensor has no statistics");
    float sum = 0.0F;
    float squares = 0.0F;
    for (std::size_t i = 0; i < n; ++i) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    const float mean = sum / static_cast<float>(n);
    return {mean, std::sqrt(squares / static_cast<float>(n) - mean * mean)};
}

namespace detail {

inline constexpr float fpga_main_scale = 32.0F / 3.0F;      // 6 bits
inline constexpr float fpga_outlier_scale = 128.0F / 3.0F;  // 8 bits

[[nodiscard]] inline std::int32_t fpga_code(float z) noexcept {
    const bool main = z >= -1.0F && z <= 1.0F;
    const float scaled = z * (main ? fpga_main_scale : fpga_outlier_scale);
    constexpr float most = 0x1p30F;  // one more bit is needed for the flag
    const auto q = scaled > -most && scaled < most ? static_cast<std::int32_t>(scaled) : 0;
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(q) << 1) | (main ? 1 : 0);
}
[[nodiscard]] inline float fpga_value(std::int32_t code) noexcept {
    return static_cast<float>(code >> 1) *
           ((code & 1) != 0 ? 1.0F / fpga_main_scale : 1.0F / fpga_outlier_scale);
}

}  // namespace detail

/// Codes of the plain kernel.
inline void fpga_encode(std::span<const float> x, const fpga_statistics& s,
                        std::span<std::int32_t> codes) {
    require(x.size() == codes.size(), "fpga_encode: ", x.size(), " elements, room for ",
            codes.size(), " codes");
    for (std::size_t i = 0; i < x.size(); ++i)
        codes[i] = detail::fpga_code((x[i] - s.mean) / s.deviation);
}
/// Values of the plain kernel.
inline void fpga_decode(std::span<const std::int32_t> codes, const fpga_statistics& s,
                        std::span<float> y) {
    require(codes.size() == y.size(), "fpga_decode: ", codes.size(), " codes, room for ", y.size(),
            " elements");
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = detail::fpga_value(codes[i]) * s.deviation + s.mean;
}

/// The affine map of a batch norm that the second kernel folds in.
struct fpga_fold {
    float shift = 0.0F;
    float scalar = 1.0F;
};

/// Codes of the batch-norm kernel; `reciprocal` is 1/deviation.
inline void fpga_encode(std::span<const float> x, float mean, float reciprocal,
                        const fpga_fold& fold, std::span<std::int32_t> codes) {
    require(x.size() == codes.size(), "fpga_encode: ", x.size(), " elements, room for ",
            codes.size(), " codes");
    for (std::size_t i = 0; i < x.size(); ++i)
        codes[i] = detail::fpga_code((x[i] - mean) * reciprocal * fold.scalar + fold.shift);
}
/// Values of the batch-norm kernel, which multiplies by the deviation.
inline void fpga_decode(std::span<const std::int32_t> codes, const fpga_statistics& s,
                        const fpga_fold& fold, std::span<float> y) {
    require(codes.size() == y.size(), "fpga_decode: ", codes.size(), " codes, room for ", y.size(),
            " elements");
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = (detail::fpga_value(codes[i]) - fold.shift) / fold.scalar * s.deviation + s.mean;
}

}  // namespace tare
