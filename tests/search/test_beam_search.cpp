// SPDX-License-Identifier: MIT
// Beam search on small random models: against a plain form that looks at every continuation, and
// against the best of all sentences there are.
#include <cmath>
#include <map>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/search/beam_search.hpp>

#include "io/scratch.hpp"

using namespace tare;
using namespace tare::search;

namespace {

using sentence = std::vector<token>;

/// Log probabilities that depend on the sentence's number and all words so far.
struct random_model {
    extent vocabulary;
    std::uint64_t seed;

    [[nodiscard]] std::vector<float> operator()(std::size_t number, const sentence& before) const {
        std::uint64_t state = seed + 1000 * number;
        for (const token t : before)
            state = state * 0x9E3779B97F4A7C15U + static_cast<std::uint64_t>(t) + 1;
        std::vector<float> p(static_cast<std::size_t>(vocabulary));
        double sum = 0.0;
        for (std::size_t v = 0; v < p.size(); ++v) {
            p[v] = 3.0F * random_stream(state, 1).normal(v);
            sum += std::exp(static_cast<double>(p[v]));
        }
        for (float& v : p)
            v -= static_cast<float>(std::log(sum));
        return p;
    }
};

/// The model as beam_search asks it: it carries the words along by the rows they come from.
struct stepper {
    const random_model& model;
    std::vector<std::pair<std::size_t, sentence>> rows{};

    void operator()(const beam_rows& now, matrix_view<float> out) {
        std::vector<std::pair<std::size_t, sentence>> next;
        for (std::size_t r = 0; r < now.last.size(); ++r) {
            if (now.position == 0) {
                CHECK(now.from[r] == static_cast<token>(r));
                next.push_back({r, {}});
            } else {
                next.push_back(rows[static_cast<std::size_t>(now.from[r])]);
                next.back().second.push_back(now.last[r]);
            }
            CHECK(next.back().second.size() == static_cast<std::size_t>(now.position));
            std::ranges::copy(model(next.back().first, next.back().second),
                              out.row(static_cast<extent>(r)).begin());
        }
        rows = std::move(next);
    }
};

/// One sentence, every continuation of every live hypothesis in one sorted list.
std::vector<hypothesis> plain_search(const random_model& model, std::size_t number,
                                     const beam_options& o) {
    struct state {
        sentence words;
        std::vector<float> sums{0.0F};
    };
    const auto beam = static_cast<std::size_t>(o.beam);
    std::vector<state> live(1);
    std::vector<hypothesis> done;
    for (extent t = 0; t <= o.max_length && done.size() < beam; ++t) {
        std::vector<std::tuple<float, int, token>> all;
        for (std::size_t h = 0; h < live.size(); ++h) {
            const std::vector<float> p = model(number, live[h].words);
            for (token v = 0; v < model.vocabulary; ++v) {
                float lp = p[static_cast<std::size_t>(v)];
                if (v == o.unknown) lp -= static_cast<float>(o.unknown_penalty);
                if (v == o.padding || (t >= o.max_length && v != o.end)) continue;
                if (t < o.min_length && t < o.max_length && v == o.end) continue;
                all.emplace_back(-(lp + live[h].sums.back()), h, v);
            }
        }
        std::ranges::sort(all);
        std::vector<state> next;
        for (std::size_t rank = 0; rank < std::min(2 * beam, all.size()); ++rank) {
            const auto& [minus, h, v] = all[rank];
            state s = live[static_cast<std::size_t>(h)];
            s.words.push_back(v);
            s.sums.push_back(-minus);
            if (v != o.end) {
                if (next.size() < beam) next.push_back(s);
            } else if (rank < beam && done.size() < beam) {
                const double divisor =
                    o.normalize ? std::pow(static_cast<double>(s.words.size()), o.length_penalty)
                                : 1.0;
                done.push_back({s.words, s.sums.back() / static_cast<float>(divisor), {}});
                for (std::size_t i = 1; i < s.sums.size(); ++i)
                    done.back().token_scores.push_back(s.sums[i] - s.sums[i - 1]);
            }
        }
        live = next;
    }
    std::ranges::stable_sort(done, std::greater<>(), &hypothesis::score);
    return done;
}

void check_same(const std::vector<hypothesis>& got, const std::vector<hypothesis>& want) {
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        CHECK(got[i].tokens == want[i].tokens);
        CHECK(got[i].score == want[i].score);
        CHECK(got[i].token_scores == want[i].token_scores);
    }
}

beam_options options_of(extent beam, double penalty, extent least, extent most) {
    beam_options o;
    o.beam = beam;
    o.length_penalty = penalty;
    o.min_length = least;
    o.max_length = most;
    return o;
}

}  // namespace

TEST_CASE("batches are searched as each sentence by itself, every continuation looked at") {
    int longest = 0;
    for (const extent vocabulary : {4, 5, 9, 33, 300}) {
        const random_model model{vocabulary, static_cast<std::uint64_t>(vocabulary)};
        for (const extent beam : {1, 2, 5})
            for (beam_options o : {options_of(beam, 1.0, 1, 12), options_of(beam, 0.6, 0, 7),
                                   options_of(beam, 1.4, 4, 4), options_of(beam, 1.0, 9, 3),
                                   options_of(beam, 0.0, 3, 0)}) {
                CAPTURE(vocabulary);
                CAPTURE(beam);
                o.normalize = vocabulary != 9;
                o.unknown_penalty = vocabulary == 5 ? 0.7 : 0.0;
                const auto got = beam_search(3, vocabulary, o, stepper{model});
                REQUIRE(got.size() == 3);
                for (std::size_t s = 0; s < 3; ++s) {
                    check_same(got[s], plain_search(model, s, o));
                    for (const hypothesis& h : got[s]) {
                        CHECK(h.tokens.back() == o.end);
                        longest = std::max(longest, static_cast<int>(h.tokens.size()));
                    }
                }
            }
    }
    CHECK(longest == 13);  // the greatest length was reached
}

TEST_CASE("a beam as wide as all beginnings finds the best sentence there is") {
    const random_model model{6, 77};
    const beam_options o = options_of(400, 0.0, 1, 3);
    // Words 0, 3, 4, 5 may be said, 1 and 2 not: 4 + 16 + 64 sentences.
    std::map<float, sentence> all;
    const auto visit = [&](const auto& self, const sentence& before, float sum) -> void {
        const std::vector<float> p = model(0, before);
        if (!before.empty()) all[sum + p[2]] = before;
        if (before.size() == 3) return;
        for (const token v : {0, 3, 4, 5}) {
            sentence next = before;
            next.push_back(v);
            self(self, next, sum + p[static_cast<std::size_t>(v)]);
        }
    };
    visit(visit, {}, 0.0F);
    REQUIRE(all.size() == 84);
    const std::vector<hypothesis> got = beam_search(1, 6, o, stepper{model})[0];
    REQUIRE(got.size() == 84);
    sentence best = all.rbegin()->second;
    best.push_back(2);
    CHECK(got[0].tokens == best);
    CHECK(got[0].score == all.rbegin()->first);
    CHECK(got.back().score == all.begin()->first);
}

TEST_CASE("impossible options and models without numbers are refused") {
    const random_model model{7, 1};
    const auto refused = [&](extent sentences, extent vocabulary, const beam_options& o) {
        CHECK_THROWS_AS((void)beam_search(sentences, vocabulary, o, stepper{model}), error);
    };
    refused(0, 7, {});
    refused(1, 3, {});
    refused(1, 7, options_of(0, 1.0, 1, 5));
    refused(1, 7, options_of(2, 1.0, -1, 5));
    refused(1, 7, options_of(2, 1.0, 1, -1));
    const auto broken = [](const beam_rows& now, matrix_view<float> out) {
        for (extent r = 0; r < out.rows; ++r)
            for (extent v = 0; v < out.columns; ++v)
                out(r, v) = now.position == 2 && r == 1 && v == 5 ? std::nanf("") : -2.0F;
    };
    const std::string said =
        testing::raised<error>([&] { (void)beam_search(2, 7, options_of(2, 1.0, 9, 9), broken); });
    CHECK(said.find("beam_search: the model gave NaN at position 2") == 0);
    // Nothing but the padding has a probability: no hypothesis.
    const auto silent = [](const beam_rows&, matrix_view<float> out) {
        for (extent v = 0; v < out.columns; ++v)
            out(0, v) = v == 1 ? 0.0F : -std::numeric_limits<float>::infinity();
    };
    CHECK(beam_search(1, 7, {}, silent)[0].empty());
}

TEST_CASE("any number of threads finds the same") {
    const random_model model{300, 5};
    const auto search = [&] {
        return beam_search(5, 300, options_of(4, 1.0, 1, 9), stepper{model});
    };
    set_threads(1);
    const auto want = search();
    set_threads(3);
    const auto got = search();
    set_threads(1);
    for (std::size_t s = 0; s < want.size(); ++s)
        check_same(got[s], want[s]);
}

TEST_CASE("lengths grow with the source, within the positions") {
    CHECK(longest_translation(7, 1.2, 10, 1024) == 18);
    CHECK(longest_translation(7, 0, 200, 1024) == 200);
    CHECK(longest_translation(2000, 1.2, 10, 1024) == 1023);
}
