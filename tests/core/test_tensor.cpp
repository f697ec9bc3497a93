// SPDX-License-Identifier: MIT
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/pool.hpp>
#include <tare/core/root.hpp>
#include <tare/core/scalar.hpp>
#include <tare/core/short_text.hpp>
#include <tare/core/tensor.hpp>

using namespace tare;

TEST_CASE("a tensor shares its elements, slices and reshapes without copying") {
    tensor t(shape{3, 2}, std::vector<float>{1, 2, 3, 4, 5, 6});
    const tensor rows = t.slice(1, 3);
    CHECK(rows.shape() == shape{2, 2});
    CHECK(rows.values()[0] == 3.0F);
    t.mutable_values()[2] = 30.0F;
    CHECK(rows.values()[0] == 30.0F);
    CHECK(t.clone().identity() != t.identity());
    CHECK(t.reshaped(shape{6}).values()[5] == 6.0F);
    CHECK(!tensor().exists());
}

TEST_CASE("a tensor refuses shapes that do not fit") {
    const std::vector<float> three{1, 2, 3};
    CHECK_THROWS_AS(tensor(shape{2, 2}, three), error);
    const tensor t(shape{3}, three);
    CHECK_THROWS_AS(static_cast<void>(t.slice(2, 4)), error);
    CHECK_THROWS_AS(static_cast<void>(t.slice(2, 1)), error);
    CHECK_THROWS_AS(static_cast<void>(t.reshaped(shape{4})), error);
}

TEST_CASE("tensor memory starts on a cache line and is used again") {
    memory_pool& pool = memory_pool::instance();
    pool.release();
    const void* first = nullptr;
    {
        const tensor t(shape{1000});
        first = t.identity();
        CHECK(reinterpret_cast<std::uintptr_t>(first) % cache_line_bytes == 0);
    }
    CHECK(pool.kept_bytes() >= 4000);
    CHECK(tensor(shape{1000}).identity() == first);
    pool.release();
    CHECK(pool.kept_bytes() == 0);
}

TEST_CASE("a short text joins, compares and refuses what is too long") {
    constexpr short_text label = join("layers.", 12, ".qkv");
    static_assert(label.view() == "layers.12.qkv");
    CHECK(join("a", 0) == short_text("a0"));
    CHECK_THROWS_AS(short_text(std::string(64, 'x')), error);
}

TEST_CASE(
    "square roots of constant expressions equal the library's to the last bit or one before") {
    static_assert(square_root(0.0) == 0.0);
    for (const double x : {1.0, 2.0, 24.0, 256.0, 1e-3, 12345.678})
        CHECK(std::abs(square_root(x) / std::sqrt(x) - 1.0) <= 2.3e-16);
    CHECK(inverse_root(4.0) == 0.5);
    CHECK(constant<float>(0.1) == 0.1F);
}
