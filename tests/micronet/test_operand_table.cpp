// SPDX-License-Identifier: MIT
// Operands known by number: equal ones share it, different ones do not, however many there are.
#include <vector>

#include <doctest/doctest.h>

#include <tare/micronet/operand_table.hpp>
#include <tare/micronet/weigh.hpp>

using namespace tare;

TEST_CASE("equal operands have one number, operands that differ anywhere have two") {
    operand_table table;
    const operand plain = operand::dense(shape{3, 4}, 8);
    const operand_id first = table.find_or_add(plain);
    CHECK(table.find_or_add(plain) == first);
    operand other = plain;
    other.bits = 9;
    CHECK(table.find_or_add(other) != first);
    other = plain;
    other.nonzeros = 11;
    CHECK(table.find_or_add(other) != first);
    other = plain;
    other.filled_rows = 2;
    CHECK(table.find_or_add(other) != first);
    CHECK(table.find_or_add(operand::dense(shape{4, 3}, 8)) != first);
    CHECK(table.find_or_add(operand::dense(shape{1, 3, 4}, 8)) != first);
    CHECK(table.size() == 6);
    CHECK(table[first] == plain);
}

TEST_CASE("thousands of operands keep their numbers while the table grows") {
    operand_table table;
    std::vector<operand_id> ids;
    for (extent n = 0; n < 5000; ++n)
        ids.push_back(table.find_or_add(operand::dense(shape{n, 256})));
    for (extent n = 0; n < 5000; ++n) {
        const operand_id id = ids[static_cast<std::size_t>(n)];
        REQUIRE(table.find_or_add(operand::dense(shape{n, 256})) == id);
        REQUIRE(table[id].extents == shape{n, 256});
    }
    CHECK(table.size() == 5000);
}

TEST_CASE("numbers are given out in constant expressions") {
    static_assert([] {
        operand_table table;
        const operand_id one = table.find_or_add(operand::dense(shape{2}));
        const operand_id two = table.find_or_add(operand::dense(shape{3}));
        return one != two && table.find_or_add(operand::dense(shape{2})) == one;
    }());
}

TEST_CASE("tensors of different ledgers do not meet") {
    ledger one;
    ledger two;
    const cost x(one, operand::dense(shape{4}));
    const cost y(two, operand::dense(shape{4}));
    CHECK_THROWS_AS(static_cast<void>(add(x, y)), error);
    CHECK_THROWS_AS(static_cast<void>(add(x, cost{})), error);
}
