// SPDX-License-Identifier: MIT
// The ledger, the official rules and the report, on cases small enough to count by hand.
#include <limits>

#include <doctest/doctest.h>

#include <tare/micronet/report.hpp>
#include <tare/micronet/weigh.hpp>

using namespace tare;

namespace {

cost activation_of(ledger& book, const shape& s, int bits) {
    return cost(book, operand::dense(s, bits));
}

transformer_xl_config small() {
    transformer_xl_config c;
    c.layers = 2;
    c.width = 8;
    c.heads = 2;
    c.key_width = c.value_width = 3;
    c.inner = 10;
    c.window = 5;
    c.vocabulary = 50;
    c.cutoffs = {10, 20};
    c.widths = {8, 4, 2};
    c.cache.capacity = 7;
    return c;
}

}  // namespace

TEST_CASE("a linear layer costs its non-zeros, at the width of the widest input") {
    ledger book;
    operand w = operand::dense(shape{3, 4}, 4);
    w.nonzeros = 5;
    w.filled_rows = 2;
    const cost x = activation_of(book, shape{2, 4}, 9);
    static_cast<void>(linear(x, cost(book, w), cost(book, operand::dense(shape{3}))));
    book.end_token();
    book.settle();
    const auto t = micronet::tally(book, micronet::official{});
    CHECK(t.multiplication_bits == 2 * 5 * 9);
    CHECK(t.addition_bits == (2 * (5 - 2) + 2 * 3) * 32);
    CHECK(t.other_bits == 0);
}

TEST_CASE("repetitions that are noticed count like those that are not") {
    const transformer_xl_config config = small();
    std::vector<token> stream;
    for (token t = 0; t < 200; ++t)
        stream.push_back(t * 7 % 50);
    const ledger all = micronet::weigh(config, micronet::compression{}, stream);
    // The same stream, a ledger for each token, nothing to notice.
    extent multiplications = 0;
    extent additions = 0;
    extent others = 0;
    {
        ledger book;
        const micronet::compression dense{};
        micronet::compressed_parameters source(book, dense);
        const transformer_xl<cost> model(source, config);
        transformer_xl_state<cost> state;
        neural_cache<cost> cache(config.cache.capacity);
        for (std::size_t t = 0; t < stream.size(); ++t) {
            cost hidden;
            static_cast<void>(micronet::step(model, stream[t], state, &cache, hidden));
            if (t + 1 < stream.size())
                cache.push(hidden, std::span<const token>(stream).subspan(t + 1, 1));
            book.end_token();
            book.settle();
        }
        for (const ledger_module& m : book.modules())
            for (const ledger_entry& e : m.entries)
                for (const charge& c : e.charges)
                    (c.kind == math::multiplication ? multiplications
                     : c.kind == math::addition     ? additions
                                                    : others) += c.count;
    }
    extent counted[3] = {};
    for (const ledger_module& m : all.modules())
        for (const ledger_entry& e : m.entries)
            for (const charge& c : e.charges)
                counted[static_cast<int>(c.kind)] += c.count;
    CHECK(counted[0] == multiplications);
    CHECK(counted[1] == additions);
    CHECK(counted[2] == others);
}

TEST_CASE("a stream in full swing equals the tail of a long one") {
    const transformer_xl_config config = small();
    std::vector<token> stream(100, 3);
    const auto mean = [&](std::size_t tokens) {
        const ledger book = micronet::weigh(config, micronet::compression{},
                                            std::span<const token>(stream).first(tokens));
        return micronet::tally(book, micronet::official{}).operations() *
               static_cast<double>(tokens);
    };
    const ledger steady = micronet::weigh(config, micronet::compression{}, {1, 0, 0});
    CHECK(mean(100) - mean(99) ==
          doctest::Approx(micronet::tally(steady, micronet::official{}).operations()));
}

TEST_CASE("tied tables are stored once, masks and scales with the tensors that need them") {
    micronet::compression how{8, {{short_text("loss.clusters.weight"), 10, -1}}};
    const ledger book = micronet::weigh(small(), how, {1, 1, 1});
    const ledger_item* table = book.find_item("embed.layers.1.weight");
    REQUIRE(table != nullptr);
    CHECK(table->cost == storage_cost{40 * 8, 0, 10 * 24, 0});
    CHECK(book.find_item("loss.layers.1.weight") == nullptr);
    const ledger_item* clusters = book.find_item("loss.clusters.weight");
    CHECK(clusters->cost == storage_cost{10 * 8, 16, 2 * 24, 0});
    CHECK(book.find_item("layers.0.pos_emb")->cost == storage_cost{3 * 6 * 32, 0, 0, 0});
    CHECK(book.find_item("layers.0.ln1.range")->cost.total_bits() == 32 + 24);
    CHECK_THROWS_AS(
        static_cast<void>(micronet::weigh(small(), micronet::compression{1, {}}, {1, 1, 1})),
        error);
    how.sparse[0].nonzeros = 17;
    CHECK_THROWS_AS(static_cast<void>(micronet::weigh(small(), how, {1, 1, 1})), error);
}

TEST_CASE("the 16-bit rule is for entries that quantize nothing") {
    const ledger dense = micronet::weigh(small(), micronet::compression{}, {1, 1, 1});
    const auto half = micronet::tally(dense, micronet::official_16_bit{});
    const auto full = micronet::tally(dense, micronet::official{});
    CHECK(half.parameters() == full.parameters() / 2);
    CHECK(half.multiplications() == full.multiplications() / 2);
    CHECK(half.additions() == full.additions());
    const ledger quantized = micronet::weigh(small(), micronet::compression{8, {}}, {1, 1, 1});
    CHECK_THROWS_AS(static_cast<void>(micronet::tally(quantized, micronet::official_16_bit{})),
                    error);
}

TEST_CASE("the report's rows add up to its totals") {
    const ledger book = micronet::weigh(small(), micronet::compression{8, {}}, {5, 2, 1});
    const auto r = micronet::make_report(book, micronet::official{}, micronet::wikitext103);
    double storage = 0.0;
    double operations = 0.0;
    for (const micronet::report_row& row : r.rows) {
        storage += row.sums.storage_bits;
        operations += row.sums.operations();
    }
    CHECK(storage == r.sums.storage_bits);
    CHECK(operations == doctest::Approx(r.sums.operations()).epsilon(1e-12));
    CHECK(r.assumptions.size() == 2);
    CHECK(micronet::to_table(r).find("layers.1.fc.3") != std::string::npos);
    CHECK(micronet::grouped(-1234567.0) == "-1,234,567");
}

TEST_CASE("a ledger refuses what it cannot hold") {
    ledger book;
    const ledger_item item{short_text("w"), operand::dense(shape{2}), {}, {}};
    book.store(item);
    CHECK_THROWS_AS(book.store(item), error);
    CHECK_THROWS_AS(book.repeat(-1), error);
    CHECK_THROWS_AS(static_cast<void>(micronet::tally(book, micronet::official{})), error);
    CHECK_THROWS_AS(static_cast<void>(book.module("nothing")), error);
    book.repeat(std::numeric_limits<extent>::max());
    CHECK_THROWS_AS(book.record("op", price{}.additions("sum", 3)), error);
    CHECK_THROWS_AS(price{}.additions("sum", -1), error);
}

TEST_CASE("activations live until their last handle dies") {
    ledger book;
    {
        const cost x = activation_of(book, shape{4}, 32);  // a parameter: not transient
        CHECK(book.activations().live_bits() == 0);
        const cost y = scale_by(x, 2.0);
        CHECK(book.activations().live_bits() == 128);
        {
            const cost copy = y;
            const cost z = add(copy, y);
            CHECK(book.activations().live_bits() == 256);
        }
        CHECK(book.activations().live_bits() == 128);
    }
    CHECK(book.activations().live_bits() == 0);
    CHECK(book.activations().peak_bits() == 256);
}

TEST_CASE("a stream in full swing has the peak of one that has come there") {
    // Windows of 5 and caches of 7 are full after eight words; then every bin once.
    const std::vector<token> stream{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 30, 0};
    for (const extent capacity : {0, 7})
        for (const int bits : {9, 32}) {
            transformer_xl_config c = small();
            c.cache.capacity = capacity;
            const ledger arrived =
                micronet::weigh(c, micronet::compression{bits, {}}, std::span(stream));
            const ledger full = micronet::weigh(c, micronet::compression{bits, {}}, {10, 1, 1});
            CHECK(full.activations().peak_bits() == arrived.activations().peak_bits());
        }
}

TEST_CASE("models of impossible sizes and words outside the vocabulary are refused") {
    transformer_xl_config c = small();
    c.widths = {8, 4};
    CHECK_THROWS_AS(static_cast<void>(micronet::weigh(c, micronet::compression{}, {1, 1, 1})),
                    error);
    c = small();
    c.cutoffs = {20, 10};
    CHECK_THROWS_AS(static_cast<void>(micronet::weigh(c, micronet::compression{}, {1, 1, 1})),
                    error);
    c = small();
    c.widths = {7, 4, 2};
    CHECK_THROWS_AS(static_cast<void>(micronet::weigh(c, micronet::compression{}, {1, 1, 1})),
                    error);
    CHECK_THROWS_AS(static_cast<void>(micronet::weigh(small(), micronet::compression{}, {1, 1})),
                    error);
    const std::vector<token> outside{3, 50};
    CHECK_THROWS_AS(static_cast<void>(micronet::weigh(small(), micronet::compression{},
                                                      std::span<const token>(outside))),
                    error);
}
