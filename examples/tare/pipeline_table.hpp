#pragma once
// SPDX-License-Identifier: MIT
// The pipeline's table: one row for each step, as text, CSV and JSON.

#include <algorithm>
#include <cstdio>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <tare/core/error.hpp>
#include <tare/micronet/score_figure.hpp>

namespace tare::tool {

/// What one step led to. Parameters and operations are 32-bit ones by the rules.
struct table_row {
    std::string branch;  ///< "core" or "compressed"
    std::string step;
    double parameters = 0.0;
    double operations = 0.0;  ///< per token
    double score = 0.0;
    double validation = 0.0;  ///< perplexity
    double test = 0.0;        ///< perplexity
    double seconds = 0.0;     ///< that the step took
    bool follows = false;     ///< goes on from the row before
};

[[nodiscard]] inline std::string formatted(const char* format, auto... values) {
    char text[256];
    std::snprintf(text, sizeof text, format, values...);
    return text;
}

[[nodiscard]] inline std::string to_text(std::span<const table_row> rows) {
    std::string out =
        formatted("%-10s  %-22s %12s %12s %10s %10s %10s %8s\n", "branch", "step", "parameters",
                  "operations", "valid ppl", "test ppl", "score", "time");
    for (const table_row& r : rows)
        out += formatted("%-10s  %-22s %12.0f %12.0f %10.2f %10.2f %10.6f %7.1fs\n",
                         r.branch.c_str(), r.step.c_str(), r.parameters, r.operations, r.validation,
                         r.test, r.score, r.seconds);
    return out;
}

[[nodiscard]] inline std::string to_csv(std::span<const table_row> rows) {
    std::string out = "branch,step,parameters,operations,validation_perplexity,test_perplexity,"
                      "score,seconds\n";
    for (const table_row& r : rows)
        out += formatted("%s,%s,%.6f,%.6f,%.6f,%.6f,%.9f,%.2f\n", r.branch.c_str(), r.step.c_str(),
                         r.parameters, r.operations, r.validation, r.test, r.score, r.seconds);
    return out;
}

[[nodiscard]] inline nlohmann::ordered_json to_json(std::span<const table_row> rows) {
    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    for (const table_row& r : rows)
        out.push_back({{"branch", r.branch},
                       {"step", r.step},
                       {"parameters", r.parameters},
                       {"operations", r.operations},
                       {"validation_perplexity", r.validation},
                       {"test_perplexity", r.test},
                       {"score", r.score},
                       {"seconds", r.seconds}});
    return out;
}

[[nodiscard]] inline std::string to_figure(std::span<const table_row> rows) {
    std::vector<micronet::figure_point> points;
    for (const table_row& r : rows)
        points.push_back({r.step, r.score, r.test, r.follows});
    return micronet::to_svg("What each step bought (test perplexity)", points);
}

/// What the steps did to the test perplexity, one line each, where the rows are there.
[[nodiscard]] inline std::string gains_of(std::span<const table_row> rows) {
    std::string out;
    for (std::size_t i = 1; i < rows.size(); ++i) {
        // A branch is compared with the row that it goes on from; the distilled model with the
        // same model trained on hard labels alone, its cache trained too.
        std::size_t from = rows[i].follows ? i - 1 : i;
        if (rows[i].step == "distilled")
            for (std::size_t j = 0; j < i; ++j)
                if (rows[j].step == "+ trained cache") from = j;
        if (rows[i].step.ends_with("bits in training")) from = i - 2;
        if (from == i) continue;
        const double change = rows[i].test / rows[from].test - 1.0;
        out += formatted("%-28s %+6.2f %% test perplexity against \"%s\"\n", rows[i].step.c_str(),
                         100.0 * change, rows[from].step.c_str());
    }
    return out;
}

/// One width at one sparsity.
struct frontier_point {
    double sparsity = 0.0;  ///< share of all parameters that is pruned
    int bits = 32;
    double parameters = 0.0;
    double operations = 0.0;
    double score = 0.0;
    double validation = 0.0;  ///< perplexity
    double test = 0.0;        ///< perplexity
    bool best = false;        ///< no other has a smaller score and a smaller validation perplexity
};

/// Sorts by score and marks the points that no other one beats in both.
inline void mark_frontier(std::vector<frontier_point>& points) {
    std::sort(points.begin(), points.end(), [](const frontier_point& a, const frontier_point& b) {
        return std::pair(a.score, a.validation) < std::pair(b.score, b.validation);
    });
    double least = std::numeric_limits<double>::infinity();
    for (frontier_point& p : points) {
        p.best = p.validation < least;
        least = std::min(least, p.validation);
    }
}

[[nodiscard]] inline std::string to_text(std::span<const frontier_point> points) {
    std::string out =
        formatted("%8s %5s %12s %12s %10s %10s %10s  %s\n", "sparsity", "bits", "parameters",
                  "operations", "valid ppl", "test ppl", "score", "frontier");
    for (const frontier_point& p : points)
        out += formatted("%8.3f %5d %12.0f %12.0f %10.2f %10.2f %10.6f  %s\n", p.sparsity, p.bits,
                         p.parameters, p.operations, p.validation, p.test, p.score,
                         p.best ? "yes" : "");
    return out;
}

[[nodiscard]] inline std::string to_csv(std::span<const frontier_point> points) {
    std::string out = "sparsity,bits,parameters,operations,validation_perplexity,test_perplexity,"
                      "score,frontier\n";
    for (const frontier_point& p : points)
        out += formatted("%.6f,%d,%.6f,%.6f,%.6f,%.6f,%.9f,%d\n", p.sparsity, p.bits, p.parameters,
                         p.operations, p.validation, p.test, p.score, p.best ? 1 : 0);
    return out;
}

[[nodiscard]] inline nlohmann::ordered_json to_json(std::span<const frontier_point> points) {
    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    for (const frontier_point& p : points)
        out.push_back({{"sparsity", p.sparsity},
                       {"bits", p.bits},
                       {"parameters", p.parameters},
                       {"operations", p.operations},
                       {"validation_perplexity", p.validation},
                       {"test_perplexity", p.test},
                       {"score", p.score},
                       {"frontier", p.best}});
    return out;
}

/// The frontier as a line, the other points as dots.
[[nodiscard]] inline std::string to_figure(std::span<const frontier_point> points) {
    std::vector<micronet::figure_point> drawn;
    for (const bool best : {true, false})
        for (const frontier_point& p : points)
            if (p.best == best)
                drawn.push_back({formatted("%.3f, %d bits", p.sparsity, p.bits), p.score, p.test,
                                 best && !drawn.empty()});
    return micronet::to_svg("Sparsity and width: perplexity against score", drawn);
}

}  // namespace tare::tool
