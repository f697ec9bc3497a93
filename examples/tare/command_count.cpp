// SPDX-License-Identifier: MIT
// tare count: weigh a model from its configuration.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>

#include <tare/io/text_corpus.hpp>
#include <tare/micronet/audit_hanlab.hpp>
#include <tare/micronet/report.hpp>
#include <tare/micronet/rules_difference.hpp>
#include <tare/micronet/weigh.hpp>

#include "command.hpp"
#include "language_model.hpp"
#include "model_options.hpp"
#include "report_files.hpp"
#include "rule_sets.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

struct options {
    model_options model;
    std::string rules = std::string(micronet::official::name);
    std::vector<std::string> diff;
    std::vector<extent> shares;
    std::string tokens;
    std::string vocabulary;
    std::string json;
    std::string csv;
    double limit = 0.0;
};

/// Counts of test tokens per bin: given, or those of WikiText-103's test split.
micronet::bin_counts bin_counts_of(const options& o, const transformer_xl_config& config) {
    if (!o.shares.empty()) return {o.shares.begin(), o.shares.end()};
    const micronet::bin_counts known = micronet::wikitext103_test_bins();
    if (config.bins() == 1) return {known[0] + known[1] + known[2]};
    require(config.cutoffs == size_list{3500, 25000},
            "tare count: the shares of the bins are known for cutoffs 3500 and 25000 only; give "
            "--bin-counts N0,N1,..., or --tokens FILE with --vocabulary FILE");
    return known;
}

ledger weigh(const options& o, const described_model& m) {
    if (o.tokens.empty()) return micronet::weigh(m.config, m.how, bin_counts_of(o, m.config));
    const text::vocabulary words =
        o.vocabulary.empty()
            ? io::build_vocabulary({o.tokens}, 0, static_cast<std::size_t>(m.config.vocabulary))
            : io::load_vocabulary(o.vocabulary);
    const std::vector<token> stream = read_words(o.tokens, words);
    const auto begin = std::chrono::steady_clock::now();
    ledger book = micronet::weigh(m.config, m.how, std::span<const token>(stream));
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    std::cerr << message("counted ", stream.size(), " tokens one at a time in ", time.count(),
                         " s\n");
    return book;
}

void print_published(const ledger& book, int bits) {
    const auto t = micronet::published_hanlab(bits).tally(book);
    std::printf("rules %s\n", std::string(micronet::published_hanlab::name).c_str());
    std::printf("%-32s %20.3f\n", "non-zero parameters", t.nonzeros);
    std::printf("%-32s %20.3f\n", "parameter size", t.parameter_size);
    std::printf("%-32s %20.3f\n", "mask size", t.mask_size);
    std::printf("%-32s %20.3f\n", "quantization size", t.quantization_size);
    std::printf("%-32s %20.3f\n", "total size", t.total_size());
    std::printf("%-32s %20.3f\n", "multiplications", t.multiplications);
    std::printf("%-32s %20.3f\n", "multiplications at their width", t.quantized_multiplications());
    std::printf("%-32s %20.3f\n", "additions", t.additions);
    std::printf("%-32s %20.3f\n", "others", t.others);
    std::printf("%-32s %20.3f\n", "operations", t.operations());
    std::printf("%-32s %20.12f\n", "score", t.score());
}

/// Two rule sets, sort of line by sort of line.
void print_difference(const ledger& book, const any_rules& first, const any_rules& second) {
    const micronet::totals a = micronet::tally(book, first);
    const micronet::totals b = micronet::tally(book, second);
    std::printf("%-12s %16s  %s\n", "group", "delta", "item");
    for (const micronet::rules_difference& d : micronet::difference(book, first, second))
        std::printf("%-12s %16.1f  %s\n", d.group.c_str(), d.delta, d.item.c_str());
    std::printf("\n%-40s %16s %16s %10s\n", "", "parameters", "operations", "score");
    for (const auto& [rules, sum] : {std::pair{&first, &a}, std::pair{&second, &b}})
        std::printf("%-40s %16.1f %16.1f %10.6f\n", rules->name.c_str(), sum->parameters(),
                    sum->operations(), sum->score(micronet::wikitext103));
}

/// The entry's published tally against the strict rules: its known departures, item by item.
void print_audit(const ledger& book, int bits) {
    const micronet::audit_hanlab audit(book, bits);
    const auto published = micronet::published_hanlab(bits).tally(book);
    const auto strict = micronet::tally(book, micronet::official{});
    std::printf("%-24s %16s  %s\n", "group", "delta", "item");
    for (const micronet::deviation& d : audit.items())
        std::printf("%-24s %16.1f  %s\n", std::string(d.group).c_str(), d.delta,
                    std::string(d.item).c_str());
    const double rules = published.operations() + audit.sum("operations/rule");
    const double stored = published.total_size() + audit.sum("parameters/rule");
    const auto score = [](double parameters, double operations) {
        return parameters / micronet::wikitext103.parameters +
               operations / micronet::wikitext103.operations;
    };
    std::printf("\n%-52s %16s %16s %10s\n", "", "parameters", "operations", "score");
    std::printf("%-52s %16.1f %16.1f %10.6f\n", "published formula", published.total_size(),
                published.operations(), published.score());
    std::printf("%-52s %16.1f %16.1f %10.6f\n", "plus every rule item", stored, rules,
                score(stored, rules));
    std::printf("%-52s %16.1f %16.1f %10.6f\n", "minus over-counts",
                stored + audit.sum("parameters/overcounted"),
                rules + audit.sum("operations/overcounted"),
                score(stored + audit.sum("parameters/overcounted"),
                      rules + audit.sum("operations/overcounted")));
    std::printf("%-52s %16.1f %16.1f %10.6f\n", "strict rules, as executed, cache full",
                strict.parameters(), strict.operations(), strict.score(micronet::wikitext103));
}

int print_report(const ledger& book, const any_rules& rules, const options& o,
                 const described_model& m) {
    const micronet::report r = micronet::make_report(book, rules, micronet::wikitext103);
    if (!o.csv.empty()) write_text(o.csv, to_csv(book, rules));
    if (!o.json.empty())
        write_text(o.json, to_json(book, rules, r, "tare count " + m.origin).dump(1) + "\n");
    if (o.json != "-" && o.csv != "-") {
        std::cout << m.origin << ": " << m.how.bits << " bits, cache " << m.config.cache.capacity
                  << ", " << book.tokens() << " tokens\n";
        std::cout << micronet::to_table(r);
    }
    if (o.limit > 0.0 && r.score() > o.limit) {
        std::cerr << message("tare: the score ", r.score(), " is above the limit ", o.limit, '\n');
        return check_failed;
    }
    return done;
}

/// What is counted must be what is stored. Says so, or throws.
void check_payload(const ledger& book, std::int64_t payload_bits) {
    std::int64_t counted = 0;
    for (const ledger_item& item : book.items())
        counted += item.cost.total_bits();
    require(counted == payload_bits, "tare count: the ledger charges ", counted,
            " bits of storage, the packed file holds ", payload_bits);
    std::cerr << message("the file's payload of ", payload_bits,
                         " bits is the storage that is counted\n");
}

int run(const options& o) {
    const described_model m = o.model.describe();
    const ledger book = weigh(o, m);
    if (m.payload_bits >= 0) check_payload(book, m.payload_bits);
    const std::string published(micronet::published_hanlab::name);
    if (!o.diff.empty()) {
        if (o.diff[0] == published && o.diff[1] == micronet::official::name) {
            print_audit(book, m.how.bits);
        } else {
            require(o.diff[0] != published && o.diff[1] != published, "--diff ", o.diff[0], ' ',
                    o.diff[1], ": ", published, " is explained against ", micronet::official::name,
                    " only, in this order");
            print_difference(book, find_rules(o.diff[0]), find_rules(o.diff[1]));
        }
        return done;
    }
    if (o.rules == published) {
        print_published(book, m.how.bits);
        return done;
    }
    return print_report(book, find_rules(o.rules), o, m);
}

const registration count{
    {"count", [](CLI::App& app) {
         auto o = std::make_shared<options>();
         CLI::App* sub =
             app.add_subcommand("count", "Weigh a model: parameters, operations, score");
         o->model.add(*sub);
         const std::string known =
             message(rule_set_names(), ", ", micronet::published_hanlab::name);
         sub->add_option("--rules", o->rules, "Rule set: " + known)->capture_default_str();
         sub->add_option("--diff", o->diff, "Two rule sets: what the second counts otherwise")
             ->expected(2);
         sub->add_option(
                "--tokens", o->tokens,
                "Text file (.gz too): count these tokens one at a time, caches empty at first")
             ->check(CLI::ExistingFile);
         sub->add_option("--vocabulary", o->vocabulary,
                         "Vocabulary file of the model; the text's own words by default")
             ->check(CLI::ExistingFile);
         sub->add_option("--bin-counts", o->shares, "Test tokens in each bin of the vocabulary")
             ->delimiter(',');
         sub->add_option("--json", o->json, "Write the report as JSON; - for standard output");
         sub->add_option("--csv", o->csv, "Write one row per charge as CSV; - for standard output");
         sub->add_option("--limit", o->limit, "Exit with 1 when the score is above this");
         return std::function<int()>([o] { return run(*o); });
     }}};

}  // namespace
