#pragma once
// SPDX-License-Identifier: MIT
// Conformance of any quantizer type: hand it an object, get the list of what it does wrong (empty
// when it conforms). Needs no test framework.
//
// What is checked, on tensors of awkward sizes and contents (empty, one element, zeros, constants,
// denormals, values near FLT_MAX, heavy tails, NaN and infinities sprinkled in):
//   - the stream decodes to what fake_quantize writes, bit for bit, and has the declared bits;
//   - the same parameters, values and stream for 1, 2, 3 and 4 threads;
//   - the same bits whether an element is coded in a vector or alone, aligned or not, in place;
//   - fit_and_quantize writes what its two steps write;
//   - finite input never becomes NaN or infinite;
//   - under the same parameters larger elements never become smaller values, nor lose their signs
//   so;
//   - coding the coded values again changes nothing, where the quantizer promises it;
//   - cut, prolonged and foreign streams throw tare::error;
//   - the straight-through gradient is the incoming gradient or 0.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/fit_and_quantize.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare::testing {

/// What a quantizer promises beyond the concept.
struct quantizer_promises {
    /// Quantizing the quantized values with the same parameters gives them again.
    bool idempotent = true;
    /// Finite elements stay finite also beside NaN and infinite ones.
    bool isolates_bad_elements = true;
    /// An element that grows never becomes a smaller value, the parameters and the other elements
    /// being the same. Not so where elements share a code.
    bool keeps_order = true;
    /// Every size is possible; if not, only multiples of this (rows, channels).
    extent multiple_of = 1;
};

namespace detail {

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
        const bool both_nan = !(a[i] == a[i]) && !(b[i] == b[i]);
        if (!both_nan && std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]))
            return false;
    }
    return a.size() == b.size();
}

/// The tensors every quantizer has to live with: a name and the values.
inline std::vector<std::pair<std::string, std::vector<float>>> awkward_tensors(extent multiple) {
    constexpr float most = std::numeric_limits<float>::max();
    constexpr float least = std::numeric_limits<float>::denorm_min();
    const random_stream random(20240117, 3);
    std::vector<std::pair<std::string, std::vector<float>>> out;
    const auto add = [&](std::string name, extent n, auto&& value) {
        n = (n + multiple - 1) / multiple * multiple;
        std::vector<float> x(static_cast<std::size_t>(n));
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = value(i);
        out.emplace_back(std::move(name), std::move(x));
    };
    const auto normal = [&](std::size_t i) { return random.normal(i); };
    for (const extent n : {0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 257, 1000, 4099})
        add(message("normal values, ", n, " elements"), n, normal);
    add("normal values, three pieces", 3 * 4096 + 5, normal);
    add("zeros", 67, [](std::size_t) { return 0.0F; });
    add("negative zeros", 67, [](std::size_t) { return -0.0F; });
    add("a constant", 67, [](std::size_t) { return 0.1F; });
    add("a negative constant", 40, [](std::size_t) { return -3.0F; });
    add("one spike among zeros", 70, [](std::size_t i) { return i == 37 ? 5.0F : 0.0F; });
    add("all positive", 70, [&](std::size_t i) { return std::fabs(normal(i)) + 1.0F; });
    add("denormals", 70, [&](std::size_t i) { return 1e-40F * normal(i); });
    add("the least denormal", 33, [](std::size_t i) { return i % 2 == 0 ? least : -least; });
    add("tiny normals", 70, [&](std::size_t i) { return 1e-37F * normal(i); });
    add("huge values", 70, [](std::size_t i) { return i % 2 == 0 ? 3e38F : -3e38F; });
    add("FLT_MAX", 33,
        [](std::size_t i) { return i % 3 == 0 ? most : (i % 3 == 1 ? -most : 0.F); });
    add("all FLT_MAX", 33, [](std::size_t) { return most; });
    add("twenty decades", 200, [&](std::size_t i) {
        return normal(i) * std::pow(10.0F, static_cast<float>(i % 40) - 20);
    });
    add("heavy tails", 500, [&](std::size_t i) {
        const float v = normal(i);
        return v * v * v * v * v;
    });
    add("a narrow band", 100, [&](std::size_t i) { return 1000.0F + 0.01F * normal(i); });
    return out;
}

/// Numbers from beyond -most to beyond most, ascending: evenly spaced ones and, for codes that grow
/// finer toward zero, quarter octaves.
inline std::vector<float> ramp(float most) {
    constexpr int even = 256;
    constexpr int quarters = 100;
    std::vector<float> out{0.0F};
    const auto add = [&](double part) {
        const double v = part * static_cast<double>(most);
        for (const double side : {v, -v})
            if (is_finite(static_cast<float>(side))) out.push_back(static_cast<float>(side));
    };
    for (int i = 1; i <= even; ++i)
        add(1.25 * i / even);
    for (int i = 0; i < quarters; ++i)
        add(std::exp2(-0.25 * i));
    std::sort(out.begin(), out.end());
    return out;
}

/// Moves all elements along a ramp, the parameters being those of `x`: a sentence about the first
/// that comes down, or nothing.
template <quantizer Q>
[[nodiscard]] std::string disorder(const Q& q, const typename Q::params_type& p,
                                   std::span<const float> x) {
    float before = 0.0F;
    std::vector<float> last(x.size(), -std::numeric_limits<float>::infinity());
    std::vector<float> y(x.size());
    for (const float v : ramp(largest_magnitude(x))) {
        q.fake_quantize(std::vector<float>(x.size(), v), p, y);
        for (std::size_t i = 0; i < y.size(); ++i)
            if (y[i] < last[i])
                return message("element ", i, " becomes ", y[i], " at ", v, ", but ", last[i],
                               " at the smaller ", before);
        before = v;
        last = y;
    }
    return {};
}

}  // namespace detail

/// Runs every check on `q` and returns one sentence per violation.
/// Threads: sets the thread count and puts it back.
template <packing_quantizer Q>
[[nodiscard]] std::vector<std::string> check_quantizer(const Q& q,
                                                       quantizer_promises promises = {}) {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    constexpr float infinity = std::numeric_limits<float>::infinity();
    std::vector<std::string> wrong;
    const int threads_before = threads();
    const auto say = [&](const auto&... parts) {
        wrong.push_back(message(Q::name, ": ", parts...));
    };

    // One tensor: everything that must hold whatever it contains. Returns the coded values.
    const auto check_one = [&](const std::string& what, std::span<const float> x) {
        set_threads(1);
        const auto p = q.fit(x);
        std::vector<float> y(x.size());
        q.fake_quantize(x, p, y);
        const packed_tensor packed = q.encode(x, p);
        std::vector<float> decoded(x.size(), nan);
        q.decode(packed, decoded);
        if (!detail::same_bits(y, decoded))
            say(what, ": decode(encode(x)) is not fake_quantize(x)");

        const auto n = static_cast<std::int64_t>(x.size());
        const std::int64_t declared = storage_of(q, x, p).total_bits();
        if (declared != packed.bits)
            say(what, ": declares ", declared, " bits, the stream has ", packed.bits);
        if (q.storage(n, n).total_bits() < packed.bits)
            say(what, ": the stream of ", packed.bits, " bits is larger than storage(n, n)");
        if ((packed.bits + 7) / 8 != static_cast<std::int64_t>(packed.bytes.size()))
            say(what, ": ", packed.bits, " bits lie in ", packed.bytes.size(), " bytes");

        for (const int count : {2, 3, 4}) {
            set_threads(count);
            std::vector<float> again(x.size());
            if (!(q.fit(x) == p)) say(what, ": fit differs with ", count, " threads");
            q.fake_quantize(x, p, again);
            if (!detail::same_bits(y, again))
                say(what, ": fake_quantize differs with ", count, " threads");
            if (!(q.encode(x, p) == packed)) say(what, ": encode differs with ", count, " threads");
        }
        set_threads(1);

        // The same values one float further in memory, written over themselves.
        std::vector<float> moved(x.size() + 1);
        std::copy(x.begin(), x.end(), moved.begin() + 1);
        const std::span<float> shifted = std::span(moved).subspan(1);
        q.fake_quantize(shifted, p, shifted);
        if (!detail::same_bits(y, shifted)) say(what, ": in place and misaligned, values differ");
        std::copy(x.begin(), x.end(), shifted.begin());
        fit_and_quantize(q, shifted, shifted);
        if (!detail::same_bits(y, shifted)) say(what, ": fit_and_quantize differs from its steps");

        if constexpr (differentiable_quantizer<Q>) {
            std::vector<float> dy(x.size());
            for (std::size_t i = 0; i < dy.size(); ++i)
                dy[i] = static_cast<float>(i) - 7.5F;
            std::vector<float> dx(x.size(), nan);
            q.backward(x, p, dy, dx);
            for (std::size_t i = 0; i < dx.size(); ++i)
                if (!(dx[i] == dy[i] || dx[i] == 0.0F)) {
                    say(what, ": gradient ", i, " is ", dx[i], ", neither 0 nor ", dy[i]);
                    break;
                }
        }

        if (x.size() > 0) {
            const auto throws = [&](const packed_tensor& bad, std::size_t size) {
                std::vector<float> out(size);
                try {
                    q.decode(bad, out);
                } catch (const error&) {
                    return true;
                }
                return false;
            };
            packed_tensor cut = packed;
            cut.bytes.pop_back();
            if (!throws(cut, x.size())) say(what, ": a stream without its last byte decodes");
            cut.bits = 8 * static_cast<std::int64_t>(cut.bytes.size());
            if (!throws(cut, x.size())) say(what, ": a shortened stream decodes");
            packed_tensor longer = packed;
            longer.bytes.push_back(std::byte{0});
            longer.bits += 8;
            if (!throws(longer, x.size())) say(what, ": a prolonged stream decodes");
            const auto more = x.size() + static_cast<std::size_t>(promises.multiple_of);
            if (!throws(packed, more)) say(what, ": decodes into a larger tensor");
        }
        return std::make_pair(p, y);
    };

    const auto check_all = [&](const std::string& what, std::span<const float> x) {
        const auto [p, y] = check_one(what, x);
        for (std::size_t i = 0; i < y.size(); ++i)
            if (!is_finite(y[i])) {
                say(what, ": element ", i, ", ", x[i], ", became ", y[i]);
                break;
            }
        constexpr std::size_t few = 300;
        if (promises.keeps_order && x.size() <= few)
            if (const std::string why = detail::disorder(q, p, x); !why.empty())
                say(what, ": ", why);
        if (promises.idempotent) {
            std::vector<float> twice(y.size());
            q.fake_quantize(y, p, twice);
            if (!detail::same_bits(y, twice)) say(what, ": quantizing twice differs from once");
        }

        std::vector<float> bad(x.begin(), x.end());
        for (std::size_t i = 0; i < bad.size(); i += 5)
            bad[i] = i % 3 == 0 ? nan : (i % 3 == 1 ? infinity : -infinity);
        const auto coded = check_one(what + ", with NaN and infinities", bad).second;
        if (!promises.isolates_bad_elements) return;
        for (std::size_t i = 0; i < bad.size(); ++i)
            if (is_finite(bad[i]) && !is_finite(coded[i])) {
                say(what, ": beside NaN and infinities, element ", i, " became ", coded[i]);
                break;
            }
    };
    for (const auto& [what, x] : detail::awkward_tensors(promises.multiple_of)) {
        try {
            check_all(what, x);
        } catch (const error& e) {
            say(what, ": threw \"", e.what(), '"');
        }
    }

    std::vector<float> three(static_cast<std::size_t>(3 * promises.multiple_of), 1.0F);
    std::vector<float> too_short(three.size() - 1);
    try {
        q.fake_quantize(three, q.fit(three), too_short);
        say("fake_quantize accepts an output of another size");
    } catch (const error&) {
    }
    set_threads(threads_before);
    return wrong;
}

}  // namespace tare::testing
