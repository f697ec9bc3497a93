#pragma once
// SPDX-License-Identifier: MIT
// What tare count prints beside the usual report: the entry's published tally, and what two rule
// sets count otherwise; each as a table, as JSON and as CSV.

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <tare/micronet/audit_hanlab.hpp>
#include <tare/micronet/published_hanlab.hpp>
#include <tare/micronet/rules_difference.hpp>

#include "report_files.hpp"
#include "rule_sets.hpp"

namespace tare::tool {

/// A field of a CSV row: in double quotes, those inside doubled.
[[nodiscard]] inline std::string csv_quoted(std::string_view text) {
    std::string out("\"");
    for (const char c : text)
        out.append(c == '"' ? 2 : 1, c);
    return out + '"';
}

/// The sums of the published tally by name, in the order of its notebook.
struct published_report {
    micronet::published_totals sums;

    [[nodiscard]] std::vector<std::pair<std::string, double>> rows() const {
        return {{"non-zero parameters", sums.nonzeros},
                {"parameter size", sums.parameter_size},
                {"mask size", sums.mask_size},
                {"quantization size", sums.quantization_size},
                {"total size", sums.total_size()},
                {"multiplications", sums.multiplications},
                {"multiplications at their width", sums.quantized_multiplications()},
                {"additions", sums.additions},
                {"others", sums.others},
                {"operations", sums.operations()},
                {"score", sums.score()}};
    }
    [[nodiscard]] nlohmann::json to_json() const {
        nlohmann::json j{{"schema", 1}, {"rules", {{"name", micronet::published_hanlab::name}}}};
        j["totals"] = {{"bits", sums.bits},
                       {"nonzeros", sums.nonzeros},
                       {"parameter_size", sums.parameter_size},
                       {"mask_size", sums.mask_size},
                       {"quantization_size", sums.quantization_size},
                       {"params", sums.total_size()},
                       {"multiplications", sums.multiplications},
                       {"additions", sums.additions},
                       {"others", sums.others},
                       {"ops_per_token", sums.operations()},
                       {"score", sums.score()}};
        return j;
    }
    [[nodiscard]] std::string to_csv() const {
        std::string out = "sum,value\n";
        for (const auto& [name, value] : rows())
            out += message(name, ',', nlohmann::json(value).dump(), '\n');
        return out;
    }
    void print() const {
        std::printf("rules %s\n", std::string(micronet::published_hanlab::name).c_str());
        for (const auto& [name, value] : rows())
            std::printf("%-32s %20.*f\n", name.c_str(), name == "score" ? 12 : 3, value);
    }
};

/// Items that two rule sets count otherwise, and what each way of counting comes to.
struct difference_report {
    struct item {
        std::string group;
        double delta;
        std::string what;
    };
    struct way {
        std::string name;
        double parameters;
        double operations;
        double score;
    };
    std::string first;
    std::string second;
    std::vector<item> items;
    std::vector<way> sums;

    [[nodiscard]] nlohmann::json to_json() const {
        nlohmann::json j{{"schema", 1}, {"rules", {first, second}}};
        j["items"] = nlohmann::json::array();
        for (const item& i : items)
            j["items"].push_back({{"group", i.group}, {"delta", i.delta}, {"item", i.what}});
        for (const way& w : sums)
            j["totals"].push_back({{"name", w.name},
                                   {"params", w.parameters},
                                   {"ops_per_token", w.operations},
                                   {"score", w.score}});
        return j;
    }
    [[nodiscard]] std::string to_csv() const {
        std::string out = "group,delta,item\n";
        for (const item& i : items)
            out += message(i.group, ',', nlohmann::json(i.delta).dump(), ',', csv_quoted(i.what),
                           '\n');
        return out;
    }
    void print() const {
        int width = 12;
        for (const item& i : items)
            width = std::max(width, static_cast<int>(i.group.size()) + 2);
        std::printf("%-*s %16s  %s\n", width, "group", "delta", "item");
        for (const item& i : items)
            std::printf("%-*s %16.1f  %s\n", width, i.group.c_str(), i.delta, i.what.c_str());
        std::printf("\n%-52s %16s %16s %10s\n", "", "parameters", "operations", "score");
        for (const way& w : sums)
            std::printf("%-52s %16.1f %16.1f %10.6f\n", w.name.c_str(), w.parameters, w.operations,
                        w.score);
    }
};

/// Two rule sets, sort of line by sort of line.
[[nodiscard]] inline difference_report rules_report(const ledger& book, const any_rules& first,
                                                    const any_rules& second) {
    difference_report out{first.name, second.name, {}, {}};
    for (const micronet::rules_difference& d : micronet::difference(book, first, second))
        out.items.push_back({d.group, d.delta, d.item});
    for (const any_rules* rules : {&first, &second}) {
        const micronet::totals sum = micronet::tally(book, *rules);
        out.sums.push_back(
            {rules->name, sum.parameters(), sum.operations(), sum.score(micronet::wikitext103)});
    }
    return out;
}

/// The entry's published tally against the strict rules: its known departures, item by item.
[[nodiscard]] inline difference_report audit_report(const ledger& book, int bits) {
    const micronet::audit_hanlab audit(book, bits);
    const auto published = micronet::published_hanlab(bits).tally(book);
    const auto strict = micronet::tally(book, micronet::official{});
    difference_report out{std::string(micronet::published_hanlab::name),
                          std::string(micronet::official::name),
                          {},
                          {}};
    for (const micronet::deviation& d : audit.items())
        out.items.push_back({std::string(d.group), d.delta, std::string(d.item)});
    const auto add = [&](const char* name, double parameters, double operations) {
        out.sums.push_back({name, parameters, operations,
                            parameters / micronet::wikitext103.parameters +
                                operations / micronet::wikitext103.operations});
    };
    const double rules = published.operations() + audit.sum("operations/rule");
    const double stored = published.total_size() + audit.sum("parameters/rule");
    add("published formula", published.total_size(), published.operations());
    add("plus every rule item", stored, rules);
    add("minus over-counts", stored + audit.sum("parameters/overcounted"),
        rules + audit.sum("operations/overcounted"));
    add("strict rules, as executed, cache full", strict.parameters(), strict.operations());
    return out;
}

}  // namespace tare::tool
