#pragma once
// SPDX-License-Identifier: MIT
// A report for machines: JSON with a schema number, CSV with one row for each charge.

#include <cmath>
#include <fstream>
#include <iostream>
#include <string>

#include <nlohmann/json.hpp>

#include <tare/io/atomic_file.hpp>
#include <tare/micronet/report.hpp>

namespace tare::tool {

/// Writes text to a file, whole or not at all; "-" is standard output.
inline void write_text(const std::string& path, const std::string& text) {
    if (path == "-") {
        std::cout << text;
        return;
    }
    io::atomic_file file(path);
    file.write(std::as_bytes(std::span(text)));
    file.commit();
}

inline std::string_view kind_name(math kind) {
    return kind == math::multiplication ? "mul" : kind == math::addition ? "add" : "other";
}

/// A number of bits: an integer unless a rule set counts fractions.
[[nodiscard]] inline nlohmann::json bits_value(double bits) {
    if (bits == std::floor(bits) && std::abs(bits) < 0x1p63) return static_cast<std::int64_t>(bits);
    return bits;
}

/// Ledger and report as JSON. Counts are integers; bits are count times width under the rules.
template <micronet::rule_set Rules>
[[nodiscard]] nlohmann::json to_json(const ledger& book, const Rules& rules,
                                     const micronet::report& r, const std::string& command) {
    nlohmann::json j;
    j["schema"] = 1;
    j["rules"] = {{"name", r.rules},
                  {"baseline",
                   {{"params", static_cast<std::int64_t>(r.task.parameters)},
                    {"math", static_cast<std::int64_t>(r.task.operations)}}}};
    j["evaluation"] = {{"task", r.task.task}, {"unit", "word"}, {"tokens", book.tokens()}};
    for (const ledger_item& item : book.items())
        j["storage"].push_back({{"name", item.label.view()},
                                {"elements", item.what.extents.size()},
                                {"nonzeros", item.what.nonzeros},
                                {"value_bits", item.what.bits},
                                {"payload_bits", item.cost.value_bits},
                                {"mask_bits", item.cost.mask_bits},
                                {"scale_bits", item.cost.scale_bits},
                                {"codebook_bits", item.cost.codebook_bits},
                                {"counted_bits", bits_value(rules.storage_bits(item))},
                                {"tied_to", nullptr}});
    for (const ledger_module& m : book.modules())
        for (const ledger_entry& e : m.entries)
            for (const charge& line : e.charges)
                j["math"].push_back(
                    {{"op", e.operation},
                     {"where", m.label.view()},
                     {"role", line.role},
                     {"kind", kind_name(line.kind)},
                     {"count", line.count},
                     {"input_bits", line.input_bits},
                     {"accumulate_bits", line.accumulator_bits},
                     {"counted_bits", bits_value(rules.operation_bits(m, e, line))}});
    for (const micronet::assumption& a : r.assumptions)
        j["assumptions"].push_back({{"id", a.id},
                                    {"choice", a.choice},
                                    {"ops", a.operations},
                                    {"score_effect", a.score_effect}});
    j["totals"] = {{"storage_bits", r.sums.storage_bits},
                   {"mul_bits", r.sums.multiplication_bits},
                   {"add_bits", r.sums.addition_bits},
                   {"other_bits", r.sums.other_bits},
                   {"params", r.sums.parameters()},
                   {"ops_per_token", r.sums.operations()},
                   {"score", r.score()},
                   {"peak_activation_bits", r.peak_activation_bits}};
    j["made_by"] = {{"version", "0.1.0"}, {"command", command}};
    return j;
}

/// One row for each charge of the ledger.
template <micronet::rule_set Rules>
[[nodiscard]] std::string to_csv(const ledger& book, const Rules& rules) {
    std::string out = "where,op,role,kind,count,input_bits,accumulate_bits,counted_bits\n";
    for (const ledger_module& m : book.modules())
        for (const ledger_entry& e : m.entries)
            for (const charge& line : e.charges)
                out += message(m.label.view(), ',', e.operation, ',', line.role, ',',
                               kind_name(line.kind), ',', line.count, ',', line.input_bits, ',',
                               line.accumulator_bits, ',',
                               bits_value(rules.operation_bits(m, e, line)).dump(), '\n');
    return out;
}

}  // namespace tare::tool
