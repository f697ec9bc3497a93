#pragma once
// SPDX-License-Identifier: MIT
// The local search for the two scalars of a non-parametric cache: its share lambda of the mixture
// and the scale theta of its scores. Coordinate descent with a step of its own for each scalar:
//     best of f(lambda + dl, theta), f(lambda - dl, theta); if below ppl take it and dl *= 1.2,
//     else dl *= 0.5; then theta likewise; until dl / lambda < 0.005 and dt / theta < 0.005
// starting from dl = lambda / 20, dt = theta / 20. Source: the search of the WikiText-103 entry of
// MIT-HAN-Lab to the MicroNet Challenge 2019.

#include <cmath>
#include <concepts>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare::search {

/// lambda and theta of a cache.
struct cache_scalars {
    double lambda = 0.1;   ///< weight of the cache's distribution, between 0 and 1
    double theta = 0.016;  ///< scale of the scores, positive

    bool operator==(const cache_scalars&) const = default;
};

/// One evaluation of the search.
struct cache_trial {
    cache_scalars at;
    double perplexity = 0.0;
};

/// What a NaN does in a comparison. `takes(a, x, b, y)`: whether perplexity b at y replaces a at x.
template <class R>
concept nan_rule = requires(double perplexity, double parameter) {
    { R::name } -> std::convertible_to<std::string_view>;
    { R::takes(perplexity, parameter, perplexity, parameter) } -> std::same_as<bool>;
};

/// NaN ranks behind every number, so a trial outside the range of the scalars is never taken and
/// a start outside it is left.
struct nan_is_worst {
    static constexpr std::string_view name = "nan_is_worst";
    [[nodiscard]] static bool takes(double a, double x, double b, double y) noexcept {
        if (std::isnan(b)) return false;
        return std::isnan(a) || b < a || (b == a && y < x);
    }
};

/// The published code's: pairs are compared element by element, and no comparison with NaN holds.
/// With perplexities that are NaN above a loss of 5 the upper trial of a pair then hides the lower
/// one, and a search that starts at NaN stays where it is.
struct nan_hides_the_other {
    static constexpr std::string_view name = "nan_hides_the_other";
    [[nodiscard]] static bool takes(double a, double x, double b, double y) noexcept {
        return b < a || (b == a && y < x);
    }
};

struct cache_search_options {
    double first_step = 0.05;     ///< of each scalar, as a share of it
    double grow = 1.2;            ///< factor of a step that paid
    double shrink = 0.5;          ///< factor of one that did not
    double tolerance = 0.005;     ///< steps below this share of their scalar end the search
    extent most_trials = 10'000;  ///< a perplexity that falls for ever must end too
};

struct cache_search_result {
    cache_scalars best;
    double perplexity = 0.0;         ///< at `best`
    std::vector<cache_trial> trace;  ///< every evaluation in order: the start, then pairs, the
                                     ///< larger value first, lambda before theta
};

/// Searches from `start`. `f(cache_scalars)` gives the perplexity; `watch(cache_trial)` sees every
/// evaluation at once.
/// **Rounding/NaN** equal perplexities: the smaller scalar wins; NaN as `Rule` says.
/// **Cost** 1 + 4 evaluations for each round; about 30 rounds from the usual start.
/// **Throws** tare::error on a start or options that are not positive, and after most_trials.
template <nan_rule Rule = nan_is_worst, class Perplexity, class Watch>
    requires std::invocable<Perplexity&, cache_scalars> && std::invocable<Watch&, cache_trial>
[[nodiscard]] cache_search_result search_cache(Perplexity&& f, const cache_scalars& start,
                                               const cache_search_options& options, Watch&& watch) {
    require(start.lambda > 0.0 && start.lambda < 1.0 && start.theta > 0.0,
            "search_cache: starts at lambda ", start.lambda, ", theta ", start.theta,
            "; lambda must lie between 0 and 1, theta be positive");
    require(options.first_step > 0.0 && options.grow >= 1.0 && options.shrink > 0.0 &&
                options.shrink < 1.0 && options.tolerance > 0.0,
            "search_cache: first step ", options.first_step, ", grow ", options.grow, ", shrink ",
            options.shrink, ", tolerance ", options.tolerance,
            "; all must be positive, grow at least 1, shrink below 1");
    cache_search_result out;
    const auto evaluate = [&](const cache_scalars& at) {
        require(static_cast<extent>(out.trace.size()) < options.most_trials,
                "search_cache: ", options.most_trials,
                " evaluations did not settle it; last at lambda ", at.lambda, ", theta ", at.theta,
                ". Raise the tolerance or most_trials");
        const cache_trial trial{at, static_cast<double>(f(at))};
        out.trace.push_back(trial);
        watch(trial);
        return trial.perplexity;
    };
    out.best = start;
    out.perplexity = evaluate(start);

    // A pair of trials along one scalar; its step grows or shrinks.
    const auto improve = [&](double cache_scalars::*scalar, double& step) {
        cache_scalars up = out.best;
        up.*scalar += step;
        cache_scalars chosen = out.best;
        chosen.*scalar -= step;
        const double above = evaluate(up);
        double perplexity = evaluate(chosen);
        if (!Rule::takes(above, up.*scalar, perplexity, chosen.*scalar)) {
            chosen = up;
            perplexity = above;
        }
        // Equal to the best so far is no progress: only a smaller perplexity is taken.
        const bool better =
            perplexity < out.perplexity ||
            (perplexity != out.perplexity && Rule::takes(out.perplexity, 0.0, perplexity, 0.0));
        if (better) {
            out.best = chosen;
            out.perplexity = perplexity;
        }
        step *= better ? options.grow : options.shrink;
    };

    double lambda_step = start.lambda * options.first_step;
    double theta_step = start.theta * options.first_step;
    do {
        improve(&cache_scalars::lambda, lambda_step);
        improve(&cache_scalars::theta, theta_step);
    } while (lambda_step / out.best.lambda >= options.tolerance ||
             theta_step / out.best.theta >= options.tolerance);
    return out;
}

/// The same, unwatched.
template <nan_rule Rule = nan_is_worst, class Perplexity>
[[nodiscard]] cache_search_result search_cache(Perplexity&& f, const cache_scalars& start,
                                               const cache_search_options& options = {}) {
    return search_cache<Rule>(f, start, options, [](const cache_trial&) {});
}

}  // namespace tare::search
