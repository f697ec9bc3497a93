// SPDX-License-Identifier: MIT
#include <string>

#include <doctest/doctest.h>

#include <tare/text/name_pattern.hpp>

using tare::text::name_pattern;

TEST_CASE("a pattern fits whole names only") {
    const name_pattern qkv("layers\\.[0-9]+\\.qkv\\.weight");
    CHECK(qkv.matches("layers.12.qkv.weight"));
    CHECK_FALSE(qkv.matches("layers.12.qkv.weights"));
    CHECK_FALSE(qkv.matches("old.layers.1.qkv.weight"));
    const name_pattern either("a|bc");
    const name_pattern copy = either;
    CHECK(copy.matches("bc"));
    CHECK_FALSE(either.matches("ac"));
    CHECK(name_pattern(".*").matches(""));
}

TEST_CASE("what is no pattern is refused, plain names are told apart") {
    for (const char* bad : {"(", "[a", "*(", "a\\", "a{2}", "a{255}{255}{255}"})
        CHECK_THROWS_AS(name_pattern{bad}, tare::error);
    CHECK_THROWS_AS(name_pattern(std::string(2000, 'a')), tare::error);
    CHECK_FALSE(name_pattern::is_pattern("embed.layers.0.weight"));
    CHECK(name_pattern::is_pattern("embed.*"));
}
