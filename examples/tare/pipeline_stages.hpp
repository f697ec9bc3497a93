#pragma once
// SPDX-License-Identifier: MIT
// Stages that need not be done twice. A stage's result lies in the output folder beside the key of
// everything it was made from: its configuration, its texts, the stages before it. A run whose key
// is the same takes the result; any change makes this stage and all after it anew.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <tare/io/atomic_file.hpp>
#include <tare/io/input_file.hpp>
#include <tare/io/json_lines.hpp>

#include "language_model.hpp"

namespace tare::tool {

/// FNV-1a over texts and numbers: names a stage's inputs. Not for use against malice.
class input_key {
  public:
    input_key& add(std::string_view text) {
        for (const char c : text)
            mix(static_cast<unsigned char>(c));
        mix(0xFF);  // no text holds this byte: neighbours stay apart
        return *this;
    }
    input_key& add(std::span<const token> words) {
        for (const token w : words)
            for (int byte = 0; byte < 4; ++byte)
                mix(static_cast<unsigned char>(static_cast<std::uint32_t>(w) >> (8 * byte)));
        return *this;
    }
    [[nodiscard]] std::string text() const {
        char out[20];
        std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(hash_));
        return out;
    }

  private:
    void mix(unsigned char byte) { hash_ = (hash_ ^ byte) * 0x100000001B3U; }
    std::uint64_t hash_ = 0xCBF29CE484222325U;
};

/// The output folder, its log, and how stages are skipped.
class stage_folder {
  public:
    explicit stage_folder(std::string path)
        : path_(std::move(path)),
          log_((std::filesystem::create_directories(path_), file("log.jsonl"))) {}

    [[nodiscard]] std::string file(const std::string& name) const {
        return (std::filesystem::path(path_) / name).string();
    }
    /// Facts of a finished stage: from its file if the key is still the same, else what `make`
    /// returns, with the seconds that it took under "seconds". `make` writes the stage's own files
    /// first, so that a killed run leaves no facts without them.
    nlohmann::ordered_json run(const std::string& name, const std::string& key,
                               const std::function<nlohmann::ordered_json()>& make) {
        const std::string record = file(name + ".json");
        if (std::filesystem::exists(record)) {
            const auto known = nlohmann::ordered_json::parse(
                io::read_text(record, std::uint64_t{1} << 20), nullptr, false);
            if (known.is_object() && known.value("key", "") == key) {
                std::cerr << message(name, ": done before\n");
                return known;
            }
        }
        const auto begin = std::chrono::steady_clock::now();
        nlohmann::ordered_json facts = make();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        facts["stage"] = name;
        facts["key"] = key;
        facts["seconds"] = took.count();
        io::write_text(record, facts.dump(1) + "\n");
        log_.append(facts);
        std::cerr << message(name, ": ", took.count(), " s\n");
        return facts;
    }
    /// A progress line on a terminal, and a record in the log.
    void report(const std::string& name, extent step, extent steps, double loss) {
        log_.append({{"stage", name}, {"step", step}, {"steps", steps}, {"loss", loss}});
        if (::isatty(STDERR_FILENO) == 0) return;
        std::fprintf(stderr, "\r%s: step %lld of %lld, loss %.3f %s", name.c_str(),
                     static_cast<long long>(step), static_cast<long long>(steps), loss,
                     step == steps ? "\n" : "");
    }

  private:
    std::string path_;
    io::json_lines log_;
};

}  // namespace tare::tool
