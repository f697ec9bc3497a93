// SPDX-License-Identifier: MIT
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <tare/text/utf8.hpp>

using tare::text::first_character;
using tare::text::is_text;

TEST_CASE("a text is its characters one after the other, whatever follows them") {
    using namespace std::string_view_literals;
    constexpr std::string_view characters[] = {"a"sv,
                                               "\x7F"sv,
                                               "\xC2\x80"sv,
                                               "\xDF\xBF"sv,
                                               "\xE0\xA0\x80"sv,
                                               "\xED\x9F\xBF"sv,
                                               "\xF0\x90\x80\x80"sv,
                                               "\xF4\x8F\xBF\xBF"sv};
    for (const std::string_view one : characters)
        for (const std::string_view next : {""sv, "a"sv, "\x80"sv, "\xC3"sv, "\0"sv}) {
            const std::string both = std::string(one) + std::string(next);
            CHECK(first_character(both) == one.size());
            CHECK(is_text(both) == (next.empty() || next == "a"));
        }
}

TEST_CASE("what is no character has no length: cut short, overlong, surrogates, too large") {
    using namespace std::string_view_literals;
    for (const std::string_view none :
         {""sv, "\0"sv, "\x80"sv, "\xC1\xBF"sv, "\xC2"sv, "\xC2\x41"sv, "\xE0\x9F\xBF"sv,
          "\xED\xA0\x80"sv, "\xEF\xBF"sv, "\xF0\x8F\xBF\xBF"sv, "\xF4\x90\x80\x80"sv, "\xF8"sv})
        CHECK(first_character(none) == 0);
}
