#pragma once
// SPDX-License-Identifier: MIT
// A small CSV reader for fixtures: comma-separated, double quotes around fields that need them.

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <tare/core/error.hpp>

#include "golden.hpp"

namespace tare::testing {

inline std::vector<std::string> csv_fields(const std::string& line) {
    std::vector<std::string> out(1);
    bool quoted = false;
    for (const char c : line) {
        if (c == '"') {
            quoted = !quoted;
        } else if (c == ',' && !quoted) {
            out.emplace_back();
        } else if (c != '\r') {
            out.back() += c;
        }
    }
    return out;
}

/// The rows of tests/golden/<name>, each a map from column to text.
inline std::vector<std::map<std::string, std::string>> csv(const std::string& file) {
    std::ifstream in(golden_path(file));
    require(in.good(), "csv: cannot open ", file);
    std::string line;
    std::getline(in, line);
    const std::vector<std::string> head = csv_fields(line);
    std::vector<std::map<std::string, std::string>> rows;
    while (std::getline(in, line)) {
        const std::vector<std::string> fields = csv_fields(line);
        auto& row = rows.emplace_back();
        for (std::size_t i = 0; i < head.size() && i < fields.size(); ++i)
            row[head[i]] = fields[i];
    }
    return rows;
}

}  // namespace tare::testing
