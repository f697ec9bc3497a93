#pragma once
// SPDX-License-Identifier: MIT
// How few bits the codes of a tensor could take if each were coded by itself: the empirical entropy
//   H = -sum p log2 p over the codes that occur, p = occurrences / elements, in bits per value,
// and how far a packed stream is above it. A stream may be below H: masks, runs and bases see more
// than the frequency of single codes. Source: Shannon 1948, "A mathematical theory of
// communication", section 6.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <tare/core/error.hpp>

namespace tare {

namespace detail {

// Adds -p log2 p for one code.
inline double entropy_term(std::uint64_t occurrences, double elements) noexcept {
    const double p = static_cast<double>(occurrences) / elements;
    return -p * std::log2(p);
}

}  // namespace detail

/// Entropy of the codes in bits per value; 0 for no codes or a single one.
/// Accuracy: double, terms summed in the order of the codes, so the same for every order of them.
/// Complexity: one pass for codes of up to 16 bits, a sort of a copy for wider ones.
template <std::integral Code>
[[nodiscard]] double entropy_bits(std::span<const Code> codes) {
    const auto elements = static_cast<double>(codes.size());
    double bits = 0;
    if constexpr (sizeof(Code) <= 2) {
        std::vector<std::uint64_t> counts(std::size_t{1} << (8 * sizeof(Code)));
        using index = std::make_unsigned_t<Code>;
        for (const Code c : codes)
            ++counts[static_cast<index>(c)];
        for (const std::uint64_t n : counts)
            if (n != 0) bits += detail::entropy_term(n, elements);
    } else {
        std::vector<Code> sorted(codes.begin(), codes.end());
        std::ranges::sort(sorted);
        for (auto run = sorted.begin(); run != sorted.end();) {
            const auto end = std::upper_bound(run, sorted.end(), *run);
            bits += detail::entropy_term(static_cast<std::uint64_t>(end - run), elements);
            run = end;
        }
    }
    return bits + 0.0;  // a single code gives -0
}

/// Bits per value that a stream of `stream_bits` for these codes takes above their entropy.
/// Throws if there are no codes or the bits are negative.
template <std::integral Code>
[[nodiscard]] double entropy_gap(std::span<const Code> codes, std::int64_t stream_bits) {
    require(!codes.empty(), "entropy_gap: no codes; the gap is per value and needs at least one");
    require(stream_bits >= 0, "entropy_gap: a stream of ", stream_bits, " bits");
    return static_cast<double>(stream_bits) / static_cast<double>(codes.size()) -
           entropy_bits(codes);
}

}  // namespace tare
