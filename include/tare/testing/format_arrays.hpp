#pragma once
// SPDX-License-Identifier: MIT
// The part of the conformance suite that compares array conversions with the element functions: the
// same bits for awkward sizes, misaligned starts and any number of threads.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/formats/concept.hpp>
#include <tare/formats/convert.hpp>
#include <tare/testing/format_values.hpp>

namespace tare::testing::detail {

/// Sets the number of threads and puts the old one back.
class scoped_threads {
  public:
    explicit scoped_threads(int count) : before_(threads()) { set_threads(count); }
    ~scoped_threads() { set_threads(before_); }
    scoped_threads(const scoped_threads&) = delete;
    scoped_threads& operator=(const scoped_threads&) = delete;

  private:
    int before_;
};

/// Array conversions of x, started `offset` elements into their buffers, against single elements.
template <numeric_format F>
void check_array(std::span<const float> x, std::size_t offset, failure_list& failures) {
    using code_type = typename F::code_type;
    const std::size_t n = x.size();
    std::vector<float> in(n + offset);
    std::copy(x.begin(), x.end(), in.begin() + static_cast<std::ptrdiff_t>(offset));
    std::vector<code_type> codes(n + offset);
    std::vector<float> out(n + offset);
    const std::span<const float> source = std::span<const float>(in).subspan(offset);
    const std::span<code_type> coded_span = std::span(codes).subspan(offset);
    const std::span<float> target = std::span(out).subspan(offset);

    const auto wrong = [&](std::string_view what, std::size_t i) {
        failures.add(what, " of ", n, " elements at offset ", offset, " differs at element ", i,
                     " (input ", source[i], ")");
    };
    const auto first_difference = [n](auto&& same) {
        std::size_t i = 0;
        while (i < n && same(i))
            ++i;
        return i;
    };
    std::vector<code_type> single(n);
    std::transform(source.begin(), source.end(), single.begin(),
                   [](float v) { return F::encode(v); });
    encode<F>(source, coded_span);
    std::size_t at = first_difference([&](std::size_t i) { return coded_span[i] == single[i]; });
    if (at < n) wrong("array encode", at);
    decode<F>(coded_span, target);
    at =
        first_difference([&](std::size_t i) { return same_bits(target[i], F::decode(single[i])); });
    if (at < n) wrong("array decode", at);
    round_trip<F>(source, target);
    at =
        first_difference([&](std::size_t i) { return same_bits(target[i], F::decode(single[i])); });
    if (at < n) wrong("round_trip", at);
    if constexpr (stochastic_format<F>) {
        const random_stream draws(99, 4);
        constexpr std::uint64_t first = 77;  // odd: elements start at the upper half of a word
        encode<F>(source, coded_span, draws, first);
        at = first_difference([&](std::size_t i) {
            return coded_span[i] == F::encode(source[i], rounding_draw(draws, first + i));
        });
        if (at < n) wrong("stochastic array encode", at);
        round_trip<F>(source, target, draws, first);
        at = first_difference(
            [&](std::size_t i) { return same_bits(target[i], F::decode(coded_span[i])); });
        if (at < n) wrong("stochastic round_trip", at);
    }
}

template <numeric_format F>
void check_arrays(failure_list& failures) {
    const std::vector<float> mixed = mixed_inputs();
    for (const std::size_t n : {0U, 1U, 2U, 7U, 15U, 16U, 17U, 31U, 33U, 64U, 65U, 1000U, 1031U})
        for (const std::size_t offset : {0U, 1U, 3U})
            check_array<F>(std::span(mixed).first(n), offset, failures);
    // Long enough for several threads to take part (core/parallel.hpp).
    std::vector<float> many(75'011);
    for (std::size_t i = 0; i < many.size(); ++i)
        many[i] = mixed[i % mixed.size()];
    for (const int count : {1, 2, 3, 4}) {
        const scoped_threads scope(count);
        check_array<F>(many, 0, failures);
    }
}

}  // namespace tare::testing::detail
