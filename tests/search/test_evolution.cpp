// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include <tare/models/hat_weights.hpp>
#include <tare/search/hat_search.hpp>
#include <tare/search/latency_measure.hpp>

using namespace tare;
using search::evolution_options;
using search::evolve;
using gene = search::gene_type;

namespace {

// Eight places of four choices: 65536 genes, more than a search looks at.
const search::gene_choices eight(8, {0, 1, 2, 3});

double distance(const gene& from) {
    double sum = 0.0;
    for (std::size_t i = 0; i < from.size(); ++i)
        sum += std::pow(static_cast<double>(from[i]) - static_cast<double>(i % 4), 2);
    return sum;
}
double total(const gene& of) {
    double sum = 0.0;
    for (const extent v : of)
        sum += static_cast<double>(v);
    return sum;
}
const auto all_allowed = [](const gene&) { return true; };

hat_super_network small_super() {
    hat_super_network all;
    all.source_vocabulary = all.target_vocabulary = 16;
    all.encoder_width = all.decoder_width = 8;
    all.encoder_layers = all.decoder_layers = 2;
    all.encoder_inner = all.decoder_inner = 16;
    all.qkv_width = 8;
    return all;
}
search::hat_space small_space() {
    search::hat_space s;
    s.encoder_width = s.decoder_width = {8, 4};
    s.encoder_layers = {2};
    s.decoder_layers = {2, 1};
    s.encoder_inner = s.decoder_inner = {16, 8, 4};
    s.encoder_heads = s.decoder_self_heads = s.decoder_cross_heads = {4, 2};
    s.decoder_arbitrary = {-1, 1};  // two layers have no state before the one before
    return s;
}

}  // namespace

TEST_CASE("evolution finds the best of a space that it sees a part of") {
    const evolution_options options{.rounds = 20};
    const auto found = evolve(eight, distance, all_allowed, options);
    CHECK(found.best == gene{0, 1, 2, 3, 0, 1, 2, 3});
    CHECK(found.score == 0.0);
    REQUIRE(found.rounds.size() == 20);
    std::size_t scored = 0;
    double before = std::numeric_limits<double>::infinity();
    for (const auto& round : found.rounds) {
        CHECK(round.best <= before);  // parents stay
        CHECK(round.best <= round.mean_of_parents);
        CHECK(round.refused == 0);
        before = round.best;
        scored += round.scored;
    }
    CHECK(scored <= 125 + 19 * 100);
    CHECK(found.rounds.front().scored > 100);
}

TEST_CASE("nothing that the constraint refuses is scored, and nothing is scored twice") {
    std::set<gene> seen;
    const auto score = [&](const gene& one) {
        CHECK(total(one) <= 8.0);
        CHECK(seen.insert(one).second);
        return distance(one);
    };
    const auto light = [](const gene& one) { return total(one) <= 8.0; };
    std::size_t watched = 0;
    const auto found =
        evolve(eight, score, light, evolution_options{},
               [&](const search::evolution_round& round) { watched += round.scored; });
    CHECK(watched == seen.size());
    // Of the twelve that the best gene adds up to, four must go: one each is cheapest.
    CHECK(found.score == 4.0);
    CHECK(total(found.best) == 8.0);
    CHECK(found.rounds.front().refused > 125);  // most genes are heavier
}

TEST_CASE("the same seed searches the same way") {
    const evolution_options one{.rounds = 4, .seed = 7};
    const evolution_options other{.rounds = 4, .seed = 8};
    const auto trace = [](const evolution_options& options) {
        std::vector<gene> met;
        static_cast<void>(evolve(
            eight, [&](const gene& g) { return met.emplace_back(g), distance(g); }, all_allowed,
            options));
        return met;
    };
    CHECK(trace(one) == trace(one));
    CHECK(trace(one) != trace(other));
}

TEST_CASE("children are made as told") {
    // Without mutation and crossover of equal parents, nothing new can come up.
    evolution_options still{.parents = 1, .mutations = 9, .crossovers = 0, .rounds = 3};
    still.mutation = 0.0;
    const auto found = evolve(eight, distance, all_allowed, still);
    CHECK(found.rounds[1].scored == 0);
    CHECK(found.rounds[2].scored == 0);
    // Where all is drawn anew, what was best stays because parents do.
    double least = std::numeric_limits<double>::infinity();
    const evolution_options wild{
        .parents = 1, .mutations = 3, .crossovers = 0, .rounds = 30, .mutation = 1.0};
    const auto kept = evolve(
        eight, [&](const gene& g) { return least = std::min(least, distance(g)), distance(g); },
        all_allowed, wild);
    CHECK(kept.score == least);
    // A crossover has each place from either of two different parents, here of the only two.
    const search::gene_choices wide(12, {0, 1, 2, 3});
    const auto number = [](const gene& of) {
        double value = 0.0;
        for (const extent digit : of)
            value = 4.0 * value + static_cast<double>(digit);
        return value;
    };
    std::vector<gene> met;
    std::size_t drawn = 0;
    static_cast<void>(evolve(
        wide, [&](const gene& g) { return met.push_back(g), number(g); }, all_allowed,
        {.parents = 2, .mutations = 0, .crossovers = 40, .rounds = 2},
        [&](const search::evolution_round& round) { drawn = drawn == 0 ? round.scored : drawn; }));
    // This seed's children; about half as many were a parent crossed with itself.
    REQUIRE(met.size() - drawn == 22);
    std::ranges::sort(met.begin(), met.begin() + static_cast<std::ptrdiff_t>(drawn), {}, number);
    for (std::size_t child = drawn; child < met.size(); ++child)
        for (std::size_t i = 0; i < wide.size(); ++i)
            CHECK((met[child][i] == met[0][i] || met[child][i] == met[1][i]));
}

TEST_CASE("scores that are no numbers rank last, and a search without end is refused") {
    const auto found = evolve(
        eight,
        [](const gene& one) {
            return one[0] == 0 ? std::numeric_limits<double>::quiet_NaN() : distance(one);
        },
        all_allowed);
    CHECK(found.best[0] == 1);
    CHECK(found.score == 1.0);
    const auto never = [](const gene&) { return false; };
    evolution_options options;
    options.most_draws = 50;
    CHECK_THROWS_WITH_AS(static_cast<void>(evolve(eight, distance, never, options)),
                         doctest::Contains("50 draws in a row"), error);
    CHECK_THROWS_WITH_AS(static_cast<void>(evolve({{1}, {}}, distance, all_allowed)),
                         doctest::Contains("place 1 has no choices"), error);
    CHECK_THROWS_WITH_AS(static_cast<void>(evolve(eight, distance, all_allowed, {.parents = 1})),
                         doctest::Contains("two parents to cross"), error);
    options.mutation = 1.5;
    CHECK_THROWS_WITH_AS(static_cast<void>(evolve(eight, distance, all_allowed, options)),
                         doctest::Contains("probability 1.5"), error);
}

TEST_CASE("choices lie where genes have their places") {
    const search::hat_slots slots;
    const auto choices = search::choices_of(search::hat_space::iwslt(), slots);
    REQUIRE(choices.size() == 40);
    for (std::uint64_t update = 0; update < 20; ++update) {
        const auto drawn = search::gene_of(
            search::sample(search::hat_space::iwslt(), update, slots.decoder), 6, 6);
        for (std::size_t i = 0; i < choices.size(); ++i)
            CHECK(std::ranges::count(choices[i], drawn[i]) == 1);
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(search::choices_of(search::hat_space::iwslt(), {6, 5})),
                         doctest::Contains("6 layers of the decoder in 5 slots"), error);
    CHECK(search::timed_space().decoder_inner.size() == 4);
    CHECK(search::timed_space().encoder_heads.size() == 3);
}

TEST_CASE("the widest network that a number of operations allows is found") {
    const hat_super_network all = small_super();
    const auto operations = [&](const hat_network& n) { return search::operations_of(all, n, 6); };
    // Wanted: as much inner width as possible.
    const auto score = [](const hat_network& n) {
        double sum = 0.0;
        for (std::size_t i = 0; i < n.encoder_layers; ++i)
            sum -= static_cast<double>(n.encoder_inner[i]);
        for (std::size_t i = 0; i < n.decoder_layers; ++i)
            sum -= static_cast<double>(n.decoder_inner[i]);
        return sum;
    };
    const double most = operations(search::extreme(small_space(), true, 2));
    hat_network widest = search::extreme(small_space(), false, 2);
    widest.decoder_layers = 2;
    widest.encoder_inner = widest.decoder_inner = {16, 16};
    widest.decoder_self_heads = widest.decoder_cross_heads = {2, 2};
    widest.decoder_arbitrary = {-1, -1};
    const evolution_options options{.parents = 5, .mutations = 10, .crossovers = 10, .rounds = 6};
    const auto find = [&](double limit) {
        return search::search_hat(small_space(), {2, 2}, score, operations, limit, options);
    };
    CHECK(find(most).score == score(widest));
    // No network has all that width for less than this one.
    const double limit = 0.99 * operations(widest);
    const auto bound = find(limit);
    CHECK(bound.cost <= limit);
    CHECK(bound.cost == operations(bound.network));
    CHECK(bound.score > score(widest));
    CHECK(bound.rounds.size() == 6);
}

TEST_CASE("the middle of sorted times counts, cut as the released program cuts") {
    using search::middle_of;
    CHECK(middle_of({9, 1}).mean == 1.0);
    CHECK(middle_of({9, 1, 3}).mean == 2.0);
    CHECK(middle_of({9, 1, 3}).deviation == 1.0);
    std::vector<double> twenty;
    for (int i = 20; i >= 1; --i)
        twenty.push_back(i);
    CHECK(middle_of(twenty).mean == 10.5);  // of 3 to 18
    twenty.back() = -1000.0;
    twenty.front() = 1000.0;
    CHECK(middle_of(twenty).mean == 10.5);
    CHECK_THROWS_AS(static_cast<void>(middle_of({1})), error);
}

TEST_CASE("a model is timed by the clock that is given") {
    const hat_super_network all = small_super();
    random_parameters<float> values(2);
    const hat_weights<tensor> weights(values, all);
    auto source = weights;
    const translation_transformer<tensor> model(
        source, sub_network_config(all, search::extreme(small_space(), true, 2)));
    // A clock that goes on by 1, 2, 3, ... each time it is read: run i takes 2 i + 1.
    double now = 0.0;
    double tick = 0.0;
    const auto clock = [&] { return now += ++tick; };
    const search::latency_protocol how{.words = 3, .beam = 2, .dry_runs = 1, .runs = 3};
    const auto measured = search::measure_latency(model, how, clock);
    CHECK(measured.encoder.mean == 3.0);  // of 2, 4 and 6, without the last
    CHECK(measured.decoder.mean == 9.0);  // of 8, 10 and 12
    CHECK(measured.decoder.deviation == 1.0);
    CHECK(measured.total() == 12.0);
    CHECK(search::measure_latency(model, how).total() > 0.0);
    CHECK_THROWS_WITH_AS(static_cast<void>(search::measure_latency(model, {.words = 0})),
                         doctest::Contains("0 words"), error);
}
