#pragma once
// SPDX-License-Identifier: MIT
// The manifests of the fixtures: what each array holds, and the options of the cases.

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "golden.hpp"

namespace tare::testing {

/// The text with null for the words that Python writes for numbers that JSON does not have.
inline std::string strict_json(std::string text) {
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '"' && (i == 0 || text[i - 1] != '\\')) quoted = !quoted;
        for (const std::string_view word : {"-Infinity", "Infinity", "NaN"})
            if (!quoted && text.compare(i, word.size(), word) == 0)
                text.replace(i, word.size(), "null");
    }
    return text;
}

/// The manifest of a set: "hanlab" or "smaq".
inline nlohmann::json golden_manifest(const std::string& set) {
    const std::string path = golden_path(set + "/manifest.json");
    std::ifstream in(path);
    require(in.good(), "golden: cannot open ", path);
    std::ostringstream text;
    text << in.rdbuf();
    return nlohmann::json::parse(strict_json(text.str()));
}

/// The cases of one archive of a set, for example "smaq" and "smaq.npz".
inline nlohmann::json golden_cases(const std::string& set, const std::string& file) {
    return golden_manifest(set).at("files").at(file).at("cases");
}

}  // namespace tare::testing
