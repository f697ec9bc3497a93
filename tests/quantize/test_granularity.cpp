// SPDX-License-Identifier: MIT
#include <string>

#include <doctest/doctest.h>

#include <tare/quantize/granularity.hpp>

namespace {

template <class Call>
std::string refusal(Call call) {
    try {
        (void)call();
    } catch (const tare::error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("groups cover every tensor, also the empty one") {
    for (const tare::extent n : {1, 31, 32, 33, 1000}) {
        CHECK(tare::per_tensor{}.group_size(n) == n);
        CHECK(tare::group_count(tare::per_tensor{}, n) == 1);
        CHECK(tare::group_count(tare::per_block<32>{}, n) == (n + 31) / 32);
        CHECK(tare::group_count(tare::per_row{1}, n) == n);
        CHECK(tare::row_blocks{}.row_length(n) == n);
    }
    CHECK(tare::per_tensor{}.group_size(0) == 1);
    CHECK(tare::row_blocks{}.row_length(0) == 1);
    CHECK(tare::group_count(tare::per_tensor{}, 0) == 0);
    CHECK(tare::group_count(tare::per_block<32>{}, 0) == 0);
    CHECK(tare::group_count(tare::per_row{7}, 21) == 3);
    CHECK(tare::row_blocks{7}.row_length(21) == 7);
}

TEST_CASE("a group's length is a constant only where the type says it") {
    CHECK(tare::fixed_group_size<tare::per_block<16>> == 16);
    CHECK(tare::fixed_group_size<tare::per_tensor> == 0);
    CHECK(tare::fixed_group_size<tare::per_row> == 0);
}

TEST_CASE("tensors that are not whole rows are refused with both numbers") {
    const std::string uneven = refusal([] { return tare::per_row{7}.group_size(20); });
    CHECK(uneven.find("20 elements") != std::string::npos);
    CHECK(uneven.find("7 columns") != std::string::npos);
    CHECK(refusal([] { return tare::row_blocks{7}.row_length(20); }) == uneven);
    for (const tare::extent columns : {0, -3})
        CHECK(refusal([&] {
                  return tare::per_row{columns}.group_size(21);
              }).find(" columns; set the length") != std::string::npos);
}
