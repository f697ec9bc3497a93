#pragma once
// SPDX-License-Identifier: MIT
// Evolutionary search: of lists of choices ("genes") that a constraint allows, the one with the
// least score.
//     population   genes drawn uniformly, until enough of them are allowed
//     each round   score all; the best are parents and stay; the rest of the next population is
//                  mutations (a parent, each place drawn anew with probability p) and crossovers
//                  (two different parents, each place from either), drawn until allowed
// Every gene is scored once, however often it comes back: scores are taken to be functions of the
// gene. Source: Wang et al. 2020, "HAT: Hardware-Aware Transformers", section 3.3, and Guo et al.
// 2020, "Single path one-shot neural architecture search", algorithm 1. Order of draws: our own.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/random.hpp>
#include <tare/core/shape.hpp>

namespace tare::search {

/// One value for each place.
using gene_type = std::vector<extent>;
/// What each place may be.
using gene_choices = std::vector<std::vector<extent>>;

/// The defaults are those of HAT.
struct evolution_options {
    std::size_t parents = 25;
    std::size_t mutations = 50;
    std::size_t crossovers = 50;
    std::size_t rounds = 30;
    double mutation = 0.3;             ///< probability that a place is drawn anew, perhaps the same
    std::size_t most_draws = 100'000;  ///< in a row that the constraint refuses: it must end
    std::uint64_t seed = 1;

    [[nodiscard]] std::size_t population() const noexcept {
        return parents + mutations + crossovers;
    }
};

/// What one round found.
struct evolution_round {
    double best = 0.0;  ///< score
    double mean_of_parents = 0.0;
    std::size_t scored = 0;   ///< genes that had no score before
    std::size_t refused = 0;  ///< draws for this population that were not allowed
};

struct evolution_result {
    gene_type best;
    double score = 0.0;
    std::vector<evolution_round> rounds;
};

namespace detail {

/// Draws of one search, in the order they are asked for.
class gene_draws {
  public:
    gene_draws(const gene_choices& choices, std::uint64_t seed)
        : choices_(&choices), random_(seed, 0x67656E65U) {}

    [[nodiscard]] std::size_t below(std::size_t count) {
        return random_.below(next_++, static_cast<std::uint32_t>(count));
    }
    [[nodiscard]] bool with_probability(double p) {
        return static_cast<double>(random_.uniform(next_++)) < p;
    }
    [[nodiscard]] extent place(std::size_t i) {
        const std::vector<extent>& from = (*choices_)[i];
        return from[below(from.size())];
    }
    [[nodiscard]] gene_type fresh() {
        gene_type out;
        for (std::size_t i = 0; i < choices_->size(); ++i)
            out.push_back(place(i));
        return out;
    }
    [[nodiscard]] gene_type mutated(gene_type from, double probability) {
        for (std::size_t i = 0; i < from.size(); ++i)
            // Drawn from all choices: one place in so many keeps its value all the same.
            if (with_probability(probability)) from[i] = place(i);
        return from;
    }
    [[nodiscard]] gene_type crossed(gene_type a, const gene_type& b) {
        for (std::size_t i = 0; i < a.size(); ++i)
            if (with_probability(0.5)) a[i] = b[i];
        return a;
    }

  private:
    const gene_choices* choices_;
    random_stream random_;
    std::uint64_t next_ = 0;
};

inline void require_evolution(const gene_choices& choices, const evolution_options& o) {
    require(!choices.empty(), "evolve: genes without a place");
    for (std::size_t i = 0; i < choices.size(); ++i)
        require(!choices[i].empty(), "evolve: place ", i, " has no choices");
    require(o.parents >= 1 && (o.crossovers == 0 || o.parents >= 2) && o.rounds >= 1,
            "evolve: ", o.parents, " parents, ", o.crossovers, " crossovers, ", o.rounds,
            " rounds; a round and a parent are needed, two parents to cross");
    require(o.mutation >= 0.0 && o.mutation <= 1.0, "evolve: mutation with probability ",
            o.mutation, "; a probability is in [0, 1]");
}

}  // namespace detail

/// The allowed gene with the least `score(gene)` that was met. `allowed(gene)` is the constraint;
/// `watch(const evolution_round&)` sees each round when it ends.
/// **Rounding/NaN** equal scores: who came first; NaN ranks behind every number.
/// **Cost** at most population + (rounds - 1) (mutations + crossovers) scores.
/// **Throws** tare::error on options and choices that make no search, and where most_draws in a
/// row are refused: the constraint then leaves too little.
template <class Score, class Allowed, class Watch>
    requires std::invocable<Score&, const gene_type&> &&
        std::predicate<Allowed&, const gene_type&> && std::invocable<Watch&, const evolution_round&>
[[nodiscard]] evolution_result evolve(const gene_choices& choices, Score&& score, Allowed&& allowed,
                                      const evolution_options& options, Watch&& watch) {
    detail::require_evolution(choices, options);
    detail::gene_draws draws(choices, options.seed);
    evolution_round round;
    std::vector<gene_type> population;
    const auto add = [&](std::size_t count, const auto& draw) {
        for (std::size_t added = 0; added < count; ++added) {
            // Rejection leaves what is allowed as likely as it was; repairing a gene would not.
            gene_type candidate = draw();
            for (std::size_t tries = 1; !allowed(std::as_const(candidate)); ++tries) {
                ++round.refused;
                require(tries < options.most_draws, "evolve: ", tries,
                        " draws in a row break the constraint; loosen it or the choices");
                candidate = draw();
            }
            population.push_back(std::move(candidate));
        }
    };
    add(options.population(), [&] { return draws.fresh(); });

    // Scores cost a validation run each, a look here nothing: parents and duplicates come again.
    std::map<gene_type, double> known;
    evolution_result out;
    for (std::size_t n = 1;; ++n) {
        std::vector<double> scores;
        // In order, one after another: a score may itself use all threads.
        for (const gene_type& one : population) {
            auto found = known.find(one);
            if (found == known.end()) {
                found = known.emplace(one, static_cast<double>(score(one))).first;
                ++round.scored;
            }
            scores.push_back(found->second);
        }
        // Numbers instead of genes are sorted; stable, so that equal scores keep their order.
        std::vector<std::size_t> order(population.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
            if (std::isnan(scores[b])) return !std::isnan(scores[a]);
            return scores[a] < scores[b];
        });
        std::vector<gene_type> parents;
        for (std::size_t i = 0; i < options.parents; ++i) {
            parents.push_back(population[order[i]]);
            round.mean_of_parents += scores[order[i]] / static_cast<double>(options.parents);
        }
        round.best = scores[order.front()];
        out.best = parents.front();  // parents stay, so the best of this round is that of all
        out.score = round.best;
        out.rounds.push_back(round);
        watch(std::as_const(round));
        // The released program breeds once more and looks at nobody.
        if (n == options.rounds) return out;  // children of the last round would not be scored

        // What follows is counted for the next round, which scores it.
        round = {};
        population = parents;
        add(options.mutations,
            [&] { return draws.mutated(parents[draws.below(parents.size())], options.mutation); });
        add(options.crossovers, [&] {
            const std::size_t a = draws.below(parents.size());
            // Of the others: one fewer to choose from, and past the first.
            const std::size_t b = draws.below(parents.size() - 1);
            return draws.crossed(parents[a], parents[b < a ? b : b + 1]);
        });
    }
}

/// The same, unwatched.
template <class Score, class Allowed>
[[nodiscard]] evolution_result evolve(const gene_choices& choices, Score&& score, Allowed&& allowed,
                                      const evolution_options& options = {}) {
    return evolve(choices, score, allowed, options, [](const evolution_round&) {});
}

}  // namespace tare::search
