#pragma once
// SPDX-License-Identifier: MIT
// The pipeline's table: one row for each step, as text, CSV and JSON.

#include <cstdio>
#include <span>
#include <string>
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

}  // namespace tare::tool
