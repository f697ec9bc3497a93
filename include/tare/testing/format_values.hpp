#pragma once
// SPDX-License-Identifier: MIT
// What the conformance suite of formats knows about a format: its codes, its finite values in
// order, what it declares, and the inputs it is tried on.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/random.hpp>
#include <tare/formats/concept.hpp>

namespace tare::testing::detail {

/// Sentences about failures; the first few are kept, all are counted.
class failure_list {
  public:
    template <class... Parts>
    void add(const Parts&... parts) {
        if (++count_ <= kept) sentences_.push_back(message(parts...));
    }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::vector<std::string> take() {
        if (count_ > kept) sentences_.push_back(message("and ", count_ - kept, " more"));
        return std::move(sentences_);
    }

  private:
    static constexpr int kept = 20;
    std::vector<std::string> sentences_;
    int count_ = 0;
};

[[nodiscard]] inline bool same_bits(float a, float b) {
    return (std::isnan(a) && std::isnan(b)) ||
           std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

template <numeric_format F>
[[nodiscard]] float value_of(std::uint32_t code) {
    return F::decode(static_cast<typename F::code_type>(code));
}
template <numeric_format F>
[[nodiscard]] std::uint32_t code_of(float x) {
    return static_cast<std::uint32_t>(F::encode(x));
}
template <numeric_format F>
[[nodiscard]] constexpr std::uint32_t top_code() {
    return ~0U >> (32 - F::bits);
}

/// Whether a format declares this rounding or overflow policy.
template <class F, class Policy>
[[nodiscard]] constexpr bool rounds_as() {
    if constexpr (requires { typename F::rounding; })
        return std::is_same_v<typename F::rounding, Policy>;
    else
        return false;
}
template <class F, class Policy>
[[nodiscard]] constexpr bool overflows_as() {
    if constexpr (requires { typename F::overflow; })
        return std::is_same_v<typename F::overflow, Policy>;
    else
        return false;
}
/// Whether a format declares that it has no subnormals.
template <class F>
[[nodiscard]] constexpr bool flushes() {
    if constexpr (requires { F::underflow::has_subnormals; })
        return !F::underflow::has_subnormals;
    else
        return false;
}
/// Whether a format declares that NaN inputs are rounded as numbers (formats/historical.hpp).
template <class F>
[[nodiscard]] constexpr bool takes_nan_as_number() {
    return requires {
        F::nan_is_number;
    };
}
/// The border between two neighbouring values, in magnitude; their mean unless declared otherwise.
template <class F>
[[nodiscard]] double midpoint(float low, float high) {
    if constexpr (requires { F::midpoint(1.0, 2.0); })
        return high > 0 ? F::midpoint(low, high)
                        : -F::midpoint(-static_cast<double>(high), -static_cast<double>(low));
    else
        return (static_cast<double>(low) + static_cast<double>(high)) / 2;
}

/// All codes, or 65,536 spread over all where there are more.
template <numeric_format F>
[[nodiscard]] std::vector<std::uint32_t> sample_codes() {
    constexpr int listed = F::bits < 16 ? F::bits : 16;
    constexpr int rest = F::bits - listed;
    const random_stream random(5, 9);
    std::vector<std::uint32_t> codes(std::size_t{1} << listed);
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const auto high = static_cast<std::uint32_t>(std::uint64_t{i} << rest);
        const std::uint32_t low = random.bits(i) & ((1U << rest) - 1U);
        codes[i] = i % 2 == 0 ? high : high | low;
    }
    return codes;
}

/// A number and its code.
struct coded {
    float value = 0;
    std::uint32_t code = 0;
};

/// The finite values that encode gives, ascending, and a few facts about the set.
template <numeric_format F>
struct format_values {
    std::vector<coded> finite;
    bool has_nan = false;
    bool has_zero = false;
    int unused = 0;

    format_values() {
        if constexpr (requires { F::unused_codes; }) unused = F::unused_codes;
        for (const std::uint32_t c : sample_codes<F>()) {
            const float value = value_of<F>(c);
            has_nan = has_nan || std::isnan(value);
            has_zero = has_zero || value == 0;
            if (std::isfinite(value) && code_of<F>(value) == c) finite.push_back({value, c});
        }
        std::sort(finite.begin(), finite.end(), [](const coded& a, const coded& b) {
            return a.value != b.value ? a.value < b.value
                                      : std::signbit(a.value) > std::signbit(b.value);
        });
        if (F::bits > 16) finite.clear();  // neighbours can only be told where all codes are listed
    }

    /// Whether -v is a value for every value v.
    [[nodiscard]] bool is_mirrored() const {
        for (std::size_t i = 0; i < finite.size(); ++i)
            if (finite[i].value != -finite[finite.size() - 1 - i].value) return false;
        return !finite.empty();
    }
};

/// 32 significands of every float32 exponent and both signs, each with two lower halves, ascending.
[[nodiscard]] inline std::vector<float> ordered_inputs() {
    std::vector<float> out;
    for (std::uint32_t high = 0x7F80U; high > 0; high -= 4)
        for (const std::uint32_t low : {0xFFFF'8001U, 0xFFFF'0000U})
            out.push_back(std::bit_cast<float>(((0x8000U + high) << 16) + low));
    const std::size_t half = out.size();
    for (std::size_t i = 0; i < half; ++i)
        out.push_back(-out[half - 1 - i]);
    return out;
}

/// Numbers of every exponent, both signs, special ones among them, in no order.
[[nodiscard]] inline std::vector<float> mixed_inputs() {
    const random_stream random(11, 2);
    std::vector<float> out{0.0F, -0.0F, INFINITY, -INFINITY, 1.0F, -1.0F, 0.5F, -0.5F};
    for (const std::uint32_t u : {0x7FC0'0000U, 0xFFC0'0000U, 0x7F80'0001U, 0xFFFF'FFFFU, 1U,
                                  0x8000'0001U, 0x7F7F'FFFFU, 0x0080'0000U})
        out.push_back(std::bit_cast<float>(u));
    for (std::uint64_t i = 0; i < 6'000; ++i)
        out.push_back(std::bit_cast<float>(random.bits(i)));
    for (std::uint64_t i = 0; i < 2'000; ++i)
        out.push_back(random.normal(i) * 4);
    return out;
}

}  // namespace tare::testing::detail
