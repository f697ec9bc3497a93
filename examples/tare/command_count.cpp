// SPDX-License-Identifier: MIT
// tare count: weigh a model from its configuration.
#include <chrono>
#include <iostream>
#include <memory>
#include <sstream>

#include <CLI/CLI.hpp>

#include <tare/io/text_corpus.hpp>
#include <tare/micronet/report.hpp>
#include <tare/micronet/weigh.hpp>

#include "command.hpp"
#include "count_report.hpp"
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
    if (o.tokens.empty()) return tool::weigh(m.config, m.how, bin_counts_of(o, m.config));
    const text::vocabulary words =
        o.vocabulary.empty()
            ? io::build_vocabulary({o.tokens}, 0, static_cast<std::size_t>(m.config.vocabulary))
            : io::load_vocabulary(o.vocabulary);
    const std::vector<token> stream = read_words(o.tokens, words);
    const auto begin = std::chrono::steady_clock::now();
    ledger book = tool::weigh(m.config, m.how, std::span<const token>(stream));
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    std::cerr << message("counted ", stream.size(), " tokens one at a time in ", time.count(),
                         " s\n");
    return book;
}

/// Writes a report where JSON and CSV were asked for, and its table where neither goes to standard
/// output.
template <class Report>
void write(const Report& report, const options& o) {
    if (!o.csv.empty()) write_text(o.csv, report.to_csv());
    if (!o.json.empty()) write_text(o.json, report.to_json().dump(1) + "\n");
    if (o.json != "-" && o.csv != "-") report.print();
}

int check_limit(double score, const options& o) {
    if (o.limit <= 0.0 || score <= o.limit) return done;
    std::cerr << message("tare: the score ", score, " is above the limit ", o.limit, '\n');
    return check_failed;
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
    return check_limit(r.score(), o);
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
    require(o.json != "-" || o.csv != "-",
            "tare count: --json - and --csv - would mix on standard output; give one a file");
    require(o.diff.empty() || o.limit <= 0.0,
            "tare count: --diff has two scores; give --limit with --rules");
    const described_model m = o.model.describe();
    const ledger book = weigh(o, m);
    if (m.payload_bits >= 0) check_payload(book, m.payload_bits);
    const std::string published(micronet::published_hanlab::name);
    if (!o.diff.empty()) {
        if (o.diff[0] == published && o.diff[1] == micronet::official::name) {
            write(audit_report(book, m.how.bits), o);
        } else {
            require(o.diff[0] != published && o.diff[1] != published, "--diff ", o.diff[0], ' ',
                    o.diff[1], ": ", published, " is explained against ", micronet::official::name,
                    " only, in this order");
            write(rules_report(book, find_rules(o.diff[0]), find_rules(o.diff[1])), o);
        }
        return done;
    }
    if (o.rules == published) {
        const published_report report{micronet::published_hanlab(m.how.bits).tally(book)};
        write(report, o);
        return check_limit(report.sums.score(), o);
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
