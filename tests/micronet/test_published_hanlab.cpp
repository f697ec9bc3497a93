// SPDX-License-Identifier: MIT
// The published tally of every configuration, density and width, to the last printed digit.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <tare/micronet/published_hanlab.hpp>
#include <tare/micronet/weigh.hpp>

#include "csv.hpp"

using namespace tare;

namespace {

using row = std::map<std::string, std::string>;

double number(const row& r, const char* column) { return std::strtod(r.at(column).c_str(), nullptr); }
extent integer(const row& r, const char* column) { return std::stoll(r.at(column)); }

size_list sizes(const std::string& text) {
    std::vector<extent> out;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, ';');)
        out.push_back(std::stoll(part));
    return size_list(std::span<const extent>(out));
}

transformer_xl_config config_of(const row& r) {
    transformer_xl_config c;
    c.layers = integer(r, "n_layers");
    c.width = integer(r, "n_embed");
    c.heads = integer(r, "n_head");
    c.key_width = integer(r, "n_k");
    c.value_width = integer(r, "n_v");
    c.inner = integer(r, "n_inner");
    c.window = integer(r, "n_seq");
    c.vocabulary = integer(r, "n_vocab");
    c.cutoffs = sizes(r.at("cutoffs"));
    c.widths = sizes(r.at("n_embeds"));
    c.cache.capacity = integer(r, "use_cache") != 0 ? integer(r, "n_cache") : 0;
    c.cache.trained = integer(r, "trained_cache_scalars") == 2;
    return c;
}

nlohmann::json inputs() {
    std::ifstream in(std::string(TARE_GOLDEN_DIR) + "/micronet/hanlab_counts_inputs.json");
    return nlohmann::json::parse(in);
}

micronet::bin_counts bins(const transformer_xl_config& c) {
    return c.bins() == 1 ? micronet::bin_counts{245569} : micronet::wikitext103_test_bins();
}

}  // namespace

TEST_CASE("every row of the published tally comes out to the last digit") {
    const nlohmann::json counts = inputs();
    int compared = 0;
    for (const row& r : testing::csv("micronet/hanlab_counts.csv")) {
        if (r.at("variant") == "published") continue;
        INFO(r.at("name"), " ", r.at("variant"));
        const transformer_xl_config config = config_of(r);
        const int bits = static_cast<int>(integer(r, "bits"));
        const bool dense_operations = r.at("variant") == "dense_ops";
        micronet::compression how{bits, {}};
        std::vector<micronet::nominal_nonzeros> nominal;
        for (const auto& [label, nonzeros] : counts.at(r.at("name") + "|" + r.at("variant")).items()) {
            how.sparse.push_back({short_text(label), nonzeros.get<extent>(), -1});
            nominal.push_back({short_text(label), nonzeros.get<double>()});
        }
        const ledger book = micronet::weigh(config, how, bins(config));
        if (r.at("variant") != "target_fraction") nominal.clear();
        const auto t = micronet::published_hanlab(bits, dense_operations, nominal).tally(book);
        ++compared;
        CHECK(t.nonzeros == number(r, "nonzero_params"));
        CHECK(t.elements == number(r, "total_params"));
        CHECK(t.mask_size == number(r, "mask_size"));
        CHECK(t.parameter_size == number(r, "param_size"));
        CHECK(t.total_size() == number(r, "total_size"));
        CHECK(t.multiplications == number(r, "muls"));
        CHECK(t.quantized_multiplications() == number(r, "muls_quantized"));
        CHECK(t.additions == number(r, "adds"));
        CHECK(t.others == number(r, "others"));
        CHECK(t.operations() == number(r, "total_ops"));
        CHECK(t.score() == number(r, "score"));
    }
    CHECK(compared == 66);
}
