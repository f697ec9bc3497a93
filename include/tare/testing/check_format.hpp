#pragma once
// SPDX-License-Identifier: MIT
// The conformance suite of numeric formats. It knows a format only through the concept
// `numeric_format` and what the format declares beside it, so that a type of one's own is checked
// exactly as ours are:
//     tare::testing::check_format<my_format>();     throws with a readable list of failures
//
// Optional declarations that are checked where present: `rounding` (a policy of
// formats/rounding.hpp), `overflow` (saturate, to_infinity, to_nan), `underflow`, `unused_codes`,
// `midpoint(below, above)` where borders are not arithmetic means, `round`, and `encode(x, draw)`.
// Formats of at most 16 bits are checked on all codes, wider ones on a sample.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/formats/concept.hpp>
#include <tare/formats/rounding.hpp>
#include <tare/testing/format_arrays.hpp>
#include <tare/testing/format_values.hpp>

namespace tare::testing {

namespace detail {

/// Every code decodes to something that encodes back: to itself, or to a NaN if it is one. Codes of
/// numbers that encode never gives must be as many as declared.
template <numeric_format F>
void check_codes(const format_values<F>& values, failure_list& failures) {
    int unused = 0;
    for (const std::uint32_t c : sample_codes<F>()) {
        const float value = value_of<F>(c);
        const std::uint32_t back = code_of<F>(value);
        if (back > top_code<F>())
            failures.add("encode(", value, ") gives code ", back, ", beyond ", int{F::bits},
                         " bits");
        if (std::isnan(value)) {
            if (!std::isnan(value_of<F>(back)) && !takes_nan_as_number<F>())
                failures.add("code ", c, " is a NaN, but encodes to code ", back, " (",
                             value_of<F>(back), ")");
        } else if (std::isinf(value) && !overflows_as<F, to_infinity>()) {
            continue;  // an infinity overflows like any other number; check_overflow looks there
        } else if (back != c) {
            ++unused;
            if (unused > values.unused)
                failures.add("code ", c, " is ", value, ", which encodes to code ", back, " (",
                             value_of<F>(back), "); unused_codes declares ", values.unused);
        }
    }
    if (F::bits <= 16 && unused < values.unused)
        failures.add("unused_codes declares ", values.unused, ", found ", unused);
    if (F::bits <= 16 && values.finite.empty()) failures.add("no code decodes to a finite number");
    for (std::size_t i = 1; i < values.finite.size(); ++i)
        if (values.finite[i].value == values.finite[i - 1].value && values.finite[i].value != 0)
            failures.add("codes ", values.finite[i - 1].code, " and ", values.finite[i].code,
                         " both are ", values.finite[i].value);
    // The top bit of the storage is needed by some code, else fewer bits would do.
    std::uint32_t seen = 0;
    for (const coded& v : values.finite)
        seen |= v.code;
    if (F::bits > 1 && F::bits <= 16 && !values.finite.empty() && seen >> (F::bits - 1) == 0)
        failures.add("no number needs bit ", F::bits - 1, " of ", int{F::bits},
                     "; declare fewer bits");
    if (std::string_view(F::name).empty()) failures.add("the name is empty");
}

/// On both sides of the border between two neighbours, and on it.
template <numeric_format F>
void check_border(const coded& low, const coded& high, failure_list& failures) {
    const auto expect = [&](float x, const coded& a, const coded& b, std::string_view why) {
        const float got = value_of<F>(code_of<F>(x));
        if (got != a.value && got != b.value)
            failures.add("encode(", x, ") gives ", got, ", expected ", a.value, ": ", why);
    };
    constexpr bool cuts = rounds_as<F, toward_zero>();
    if (cuts) {
        const coded& inner = std::fabs(low.value) < std::fabs(high.value) ? low : high;
        expect(std::nextafter(low.value, high.value), inner, inner, "rounding is toward zero");
        expect(std::nextafter(high.value, low.value), inner, inner, "rounding is toward zero");
        return;
    }
    const double middle = midpoint<F>(low.value, high.value);
    if (middle == low.value || middle == high.value) return;  // a border that nothing crosses
    const auto near = static_cast<float>(middle);
    const bool exact = near == middle;
    const float below = near < middle ? near : std::nextafter(near, low.value);
    const float above = near > middle ? near : std::nextafter(near, high.value);
    expect(below, low, low, "it lies below the border");
    expect(above, high, high, "it lies above the border");
    if (!exact) return;
    if constexpr (rounds_as<F, nearest_even>() || rounds_as<F, stochastic>()) {
        const coded& even = (low.code & 1U) == 0 ? low : high;
        expect(near, even, even, "a tie goes to the even code");
    } else if constexpr (rounds_as<F, nearest_away>()) {
        const coded& outer = std::fabs(low.value) > std::fabs(high.value) ? low : high;
        expect(near, outer, outer, "a tie goes away from zero");
    } else {
        expect(near, low, high, "a tie goes to one of its neighbours");
    }
}

template <numeric_format F>
void check_borders(const format_values<F>& values, failure_list& failures) {
    for (std::size_t i = 1; i < values.finite.size(); ++i) {
        coded low = values.finite[i - 1];
        coded high = values.finite[i];
        if (low.value == high.value) continue;
        // Zero has two codes in most formats; the one on the side of its neighbour counts.
        if (low.value == 0) low.code = code_of<F>(0.0F);
        if (high.value == 0) high.code = code_of<F>(-0.0F);
        if (flushes<F>() && (low.value == 0 || high.value == 0)) {
            const float p = low.value == 0 ? high.value : low.value;
            if (value_of<F>(code_of<F>(0.49F * p)) != 0)
                failures.add("encode(", 0.49F * p, ") is not 0, though subnormals are flushed");
            continue;
        }
        check_border<F>(low, high, failures);
    }
}

/// What lies beyond the outermost values, infinities included.
template <numeric_format F>
void check_overflow(const format_values<F>& values, failure_list& failures) {
    if (values.finite.size() < 2) return;
    const auto expect = [&](float x, float bound, bool must_stay) {
        const float got = value_of<F>(code_of<F>(x));
        const bool stays = got == bound;
        const bool infinite = std::isinf(got) && std::signbit(got) == std::signbit(bound);
        bool good = stays || infinite || std::isnan(got);
        std::string_view wanted = "the bound, infinity or NaN";
        if (must_stay || overflows_as<F, saturate>()) {
            good = stays;
            wanted = "the bound";
        } else if (overflows_as<F, to_infinity>()) {
            good = infinite;
            wanted = "an infinity";
        } else if (overflows_as<F, to_nan>()) {
            good = std::isnan(got);
            wanted = "NaN";
        }
        if (!good) failures.add("encode(", x, ") gives ", got, ", expected ", wanted);
    };
    const auto side = [&](const coded& last, const coded& before) {
        const float bound = last.value;
        const double step = double{bound} - double{before.value};
        const auto tie = static_cast<float>(double{bound} + step / 2);
        constexpr bool keeps = rounds_as<F, toward_zero>();
        constexpr bool declared = rounds_as<F, nearest_even>() || rounds_as<F, nearest_away>();
        if (declared && std::isfinite(tie)) {
            const bool tie_stays = rounds_as<F, nearest_even>() && (last.code & 1U) == 0;
            expect(std::nextafter(tie, 0.0F), bound, true);
            expect(tie, bound, tie_stays);
        }
        const float far = std::copysign(0x1.FFFFFEP127F, bound);
        if (std::fabs(bound) < 0x1P126F) {
            expect(bound * 2, bound, keeps);
            expect(far, bound, keeps);
        }
        expect(far * 2, bound, false);
    };
    const std::size_t n = values.finite.size();
    side(values.finite[n - 1], values.finite[n - 2]);
    if (values.finite[0].value < 0) side(values.finite[0], values.finite[1]);
}

/// NaN stays NaN where the format has one and is some number where it has none.
template <numeric_format F>
void check_nan(const format_values<F>& values, failure_list& failures) {
    for (const std::uint32_t u : {0x7FC0'0000U, 0xFFC0'0000U, 0x7F80'0001U, 0xFFBF'FFFFU}) {
        const std::uint32_t code = code_of<F>(std::bit_cast<float>(u));
        const float got = value_of<F>(code);
        if (code > top_code<F>())
            failures.add("a NaN encodes to code ", code, ", beyond ", int{F::bits}, " bits");
        if (values.has_nan && !std::isnan(got) && !takes_nan_as_number<F>())
            failures.add("a NaN encodes to ", got, ", though the format has a NaN");
    }
}

/// Mirrored inputs give mirrored values wherever the mirrored values exist, and nothing positive
/// becomes negative; larger inputs never give smaller values.
template <numeric_format F>
void check_order(const format_values<F>& values, failure_list& failures) {
    const bool mirrored = values.is_mirrored();
    float last = -INFINITY;
    for (const float x : ordered_inputs()) {
        const float y = value_of<F>(code_of<F>(x));
        if (std::isnan(y)) continue;
        if (y < last) failures.add("encode(", x, ") gives ", y, ", less than a smaller input gave");
        last = y;
        const float z = value_of<F>(code_of<F>(-x));
        if (mirrored && values.has_zero && !(z == -y))
            failures.add("encode(", -x, ") gives ", z, ", encode(", x, ") gives ", y);
        if (values.has_zero && x > 0 && y < 0)
            failures.add("encode(", x, ") gives the negative number ", y);
    }
}

/// `round` is what decode(encode(x)) is.
template <numeric_format F>
void check_round(failure_list& failures) {
    const auto compare = [&](float x, float fast, float slow) {
        if (!same_bits(fast, slow))
            failures.add("round(", x, ") gives ", fast, ", decode(encode()) gives ", slow);
    };
    for (const float x : mixed_inputs()) {
        compare(x, round_to<F>(x), value_of<F>(code_of<F>(x)));
        if constexpr (stochastic_format<F>)
            for (const std::uint32_t draw : {0U, 1U, 0x0008'1234U, 0x7FFF'FFFFU, ~0U})
                compare(x, round_to<F>(x, draw), F::decode(F::encode(x, draw)));
    }
}

/// Stochastic rounding keeps the mean: quarter, half and three quarters of the way between two
/// neighbours go up that often.
template <stochastic_format F>
void check_draws(const format_values<F>& values, failure_list& failures) {
    // Five standard deviations of a mean of 4096 draws: 5 sqrt(p (1 - p) / 4096) <= 0.04.
    constexpr int draws = 4096;
    constexpr double tolerance = 0.04;
    const random_stream random(17, 3);
    const std::size_t stride = values.finite.size() / 32 + 1;
    for (std::size_t i = 1; i < values.finite.size(); i += stride) {
        const float low = values.finite[i - 1].value;
        const float high = values.finite[i].value;
        if (low == high || (flushes<F>() && (low == 0 || high == 0))) continue;
        for (const double part : {0.25, 0.5, 0.75}) {
            const auto x = static_cast<float>(low + part * (double{high} - double{low}));
            int up = 0;
            for (int d = 0; d < draws; ++d) {
                const float y = F::decode(F::encode(x, random.bits(static_cast<std::uint64_t>(d))));
                if (y != low && y != high)
                    return failures.add("encode(", x, ", draw) gives ", y, ", not a neighbour");
                up += y == high;
            }
            const double went = double{static_cast<double>(up)} / draws;
            if (std::fabs(went - part) > tolerance)
                failures.add(x, " lies at ", part, " between ", low, " and ", high,
                             ", but went up ", went, " of the time");
        }
    }
}

}  // namespace detail

/// Everything that is wrong with a format, a sentence each; empty for a good one.
template <numeric_format F>
[[nodiscard]] std::vector<std::string> format_failures() {
    detail::failure_list failures;
    const detail::format_values<F> values;
    detail::check_codes(values, failures);
    if (failures.empty()) {  // the rest needs values in order
        detail::check_borders(values, failures);
        detail::check_overflow(values, failures);
        detail::check_nan(values, failures);
        detail::check_order(values, failures);
        detail::check_round<F>(failures);
        detail::check_arrays<F>(failures);
        if constexpr (stochastic_format<F>) detail::check_draws<F>(values, failures);
    }
    return failures.take();
}

/// **Throws** tare::error with the list of failures unless the format conforms.
template <numeric_format F>
void check_format() {
    const std::vector<std::string> failures = format_failures<F>();
    if (failures.empty()) return;
    std::string text = message("check_format<", std::string_view(F::name), ">:");
    for (const std::string& failure : failures)
        text += "\n  " + failure;
    throw error(text);
}

}  // namespace tare::testing
