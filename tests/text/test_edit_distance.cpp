// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/text/edit_distance.hpp>

using tare::text::did_you_mean;
using tare::text::edit_distance;
using tare::text::nearest_name;

TEST_CASE("edit distances known from the literature") {
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance("saturday", "sunday") == 3);
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("abc", "") == 3);
    CHECK(edit_distance("abc", "abc") == 0);
    CHECK(edit_distance("ab", "ba") == 2);
}

TEST_CASE("the nearest name is found, unless all are far") {
    const std::vector<std::string> names{"n_layers", "n_embed", "n_embeds"};
    CHECK(nearest_name("n_layer", names) == "n_layers");
    CHECK(nearest_name("n_embedz", names) == "n_embed");  // the first of equals
    CHECK(nearest_name("learning_rate", names).empty());
    CHECK(nearest_name("x", std::vector<std::string>{}).empty());
    CHECK(nearest_name(std::string(10'000, 'n'), names).empty());
    CHECK(did_you_mean("n_embd", names) == " Did you mean n_embed?");
    CHECK(did_you_mean("q", names).empty());
}
