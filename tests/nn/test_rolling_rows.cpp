// SPDX-License-Identifier: MIT
// Rows that slide through a buffer are the rows that the operation moves.
#include <vector>

#include <doctest/doctest.h>

#include <tare/nn/rolling_rows.hpp>

using namespace tare;

namespace {

tensor block(extent rows, float first) {
    tensor out(shape{rows, 3});
    for (std::size_t i = 0; i < out.values().size(); ++i)
        out.mutable_values()[i] = first + static_cast<float>(i);
    return out;
}

std::vector<float> list(const tensor& x) {
    return {x.values().begin(), x.values().end()};
}

}  // namespace

TEST_CASE("pushed rows are those of op::roll") {
    for (const extent capacity : {1, 2, 5, 7}) {
        rolling_rows<tensor> sliding(capacity);
        CHECK(!sliding.rows().exists());
        tensor moved;
        float value = 0.0F;
        for (const extent count : {1, 1, 3, 2, 9, 1, 7, 1, 1, 1, 4, 1}) {
            const tensor fresh = block(count, value += 100.0F);
            moved = moved.exists() ? apply(op::roll{capacity}, moved, fresh)
                                   : apply(op::roll{capacity}, fresh);
            sliding.push(fresh);
            REQUIRE(sliding.rows().shape() == moved.shape());
            REQUIRE(list(sliding.rows()) == list(moved));
        }
    }
}

TEST_CASE("copies are histories of their own and handed out rows stay") {
    rolling_rows<tensor> a(4);
    a.push(block(3, 0.0F));
    const tensor seen = a.rows();
    const std::vector<float> before = list(seen);
    rolling_rows<tensor> b = a;
    a.push(block(1, 50.0F));
    b.push(block(1, 70.0F));
    CHECK(a.rows().values()[9] == 50.0F);
    CHECK(b.rows().values()[9] == 70.0F);
    rolling_rows<tensor> c(1);
    c = b;
    for (int i = 0; i < 20; ++i)
        a.push(block(1, 90.0F));
    CHECK(list(seen) == before);
    CHECK(list(c.rows()) == list(b.rows()));
    CHECK_THROWS_AS(a.push(tensor(shape{1, 2}, 0.0F)), error);
}
