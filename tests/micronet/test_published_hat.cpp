// SPDX-License-Identifier: MIT
// The published tally of every network of HAT (and of DAQ's copies), as integers, part by part; and
// what the MicroNet rules count instead.
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include <tare/micronet/published_hat.hpp>
#include <tare/micronet/rules_difference.hpp>
#include <tare/micronet/weigh_translation.hpp>
#include <tare/models/hat_network.hpp>

#include "csv.hpp"

using namespace tare;

namespace {

using row = std::map<std::string, std::string>;

extent integer(const row& r, const char* column) {
    return r.at(column).empty() ? 0 : std::stoll(r.at(column));
}
layer_list list(const row& r, const char* column) {
    layer_list out;
    std::istringstream in(r.at(column));
    for (std::string part; std::getline(in, part, '|');)
        out.push_back(std::stoll(part));
    return out;
}

hat_super_network super_network(const row& r) {
    hat_super_network all;
    // Some dictionaries are not public; only the output layer depends on them.
    const extent unknown = 1000;
    all.source_vocabulary = integer(r, "vocab_src") > 0 ? integer(r, "vocab_src") : unknown;
    all.target_vocabulary = integer(r, "vocab_tgt") > 0 ? integer(r, "vocab_tgt") : unknown;
    all.share_embeddings = all.source_vocabulary == all.target_vocabulary;
    all.qkv_width = integer(r, "qkv_dim");
    all.encoder_width = all.decoder_width = integer(r, "super_embed_dim");
    all.encoder_inner = all.decoder_inner = 3072;
    return all;
}

hat_network network(const row& r) {
    hat_network n;
    n.encoder_width = integer(r, "enc_embed");
    n.encoder_layers = static_cast<std::size_t>(integer(r, "enc_layers"));
    n.encoder_inner = list(r, "enc_ffn");
    n.encoder_heads = list(r, "enc_self_heads");
    n.decoder_width = integer(r, "dec_embed");
    n.decoder_layers = static_cast<std::size_t>(integer(r, "dec_layers"));
    n.decoder_inner = list(r, "dec_ffn");
    n.decoder_self_heads = list(r, "dec_self_heads");
    n.decoder_cross_heads = list(r, "dec_ende_heads");
    n.decoder_arbitrary = list(r, "dec_arbitrary_ende");
    return n;
}

/// Whole numbers held in doubles stay exact below 2^53.
extent whole(double x) {
    CHECK(x == std::floor(x));
    return static_cast<extent>(x);
}

/// Multiply-accumulates of one operation in all modules.
extent macs(const ledger& book, std::string_view operation) {
    extent bits = 0;
    for (const ledger_module& m : book.modules())
        for (const ledger_entry& e : m.entries)
            for (const charge& line : e.charges)
                if (e.operation == operation)
                    bits += micronet::published_hat{}.operation_bits(m, e, line);
    return bits / 64;
}

extent flops(const ledger& book, const micronet::published_hat& rules) {
    const micronet::totals all = micronet::tally(book, rules);
    return whole((all.multiplication_bits + all.addition_bits + all.other_bits) / 32.0);
}

}  // namespace

TEST_CASE("all published networks are tallied to the digit") {
    const auto rows = testing::csv("micronet/hat_counts.csv");
    CHECK(rows.size() == 62);
    for (const row& r : rows) {
        INFO(message(r.at("repo"), ' ', r.at("task"), ' ', r.at("hardware"), ' ',
                     r.at("params_ref")));
        const extent length = integer(r, "dummy_len");
        const auto config = sub_network_config(super_network(r), network(r));
        const ledger book = micronet::weigh(config, {}, length, length);
        CHECK(whole(micronet::tally(book, micronet::published_hat{}).parameters()) ==
              integer(r, "params_ref"));
        CHECK(macs(book, "linear") == integer(r, "macs_linear_no_last"));
        CHECK(macs(book, "layer_norm") == integer(r, "macs_layernorm"));
        // The three shapes of each attention are charged where its products are.
        const extent attentions =
            static_cast<extent>(config.encoder_layers.size() + 2 * config.decoder_layers.size());
        CHECK(macs(book, "multi_head_attention") == integer(r, "macs_bmm") + 3 * attentions);
        CHECK(macs(book, "scale") + macs(book, "add_sinusoids") + 3 * attentions ==
              integer(r, "macs_mul"));
        CHECK(flops(book, {}) == integer(r, "flops_no_last_ref"));
        if (integer(r, "flops_total") > 0)
            CHECK(flops(book, {.count_output = true}) == integer(r, "flops_total"));
    }
}

TEST_CASE("the published parameters and FLOPs round to the printed figures") {
    for (const row& r : testing::csv("micronet/hat_counts.csv")) {
        if (r.at("repo") != "HAT") continue;
        const double millions = static_cast<double>(integer(r, "params_ref")) / 1e6;
        const double giga = static_cast<double>(integer(r, "flops_no_last_ref")) / 1e9;
        CHECK(std::abs(millions - std::strtod(r.at("pub_params_M").c_str(), nullptr)) <= 0.005001);
        CHECK(std::abs(giga - std::strtod(r.at("pub_flops_G").c_str(), nullptr)) <= 0.005001);
    }
}

TEST_CASE("what the MicroNet rules count beyond HAT's tally is listed, and is all of it") {
    const row first = testing::csv("micronet/hat_counts.csv")[0];
    const ledger book =
        micronet::weigh(sub_network_config(super_network(first), network(first)), {}, 23, 23);
    const micronet::published_hat published;
    const micronet::official strict;
    const auto items = micronet::difference(book, published, strict);
    double operations = 0.0;
    double parameters = 0.0;
    const auto of = [&](std::string_view item) {
        for (const auto& d : items)
            if (d.item == item) return d.delta;
        return 0.0;
    };
    for (const auto& d : items)
        (d.group == "operations" ? operations : parameters) += d.delta;
    const auto a = micronet::tally(book, published);
    const auto b = micronet::tally(book, strict);
    CHECK(a.operations() + operations == doctest::Approx(b.operations()).epsilon(1e-12));
    CHECK(a.parameters() + parameters == doctest::Approx(b.parameters()).epsilon(1e-12));
    // A multiply-accumulate is worth two where the rules count one multiplication and one addition
    // less than that a row; so the sums make up for the products, but for the output layer.
    CHECK(of("linear: sum (additions)") > 0.0);
    CHECK(of("linear: bias (additions)") > 0.0);
    CHECK(of("multi_head_attention: softmax exponential (others)") > 0.0);
    CHECK(of("relu: comparison (others)") > 0.0);
    CHECK(of("add_sinusoids: positions (additions)") > 0.0);
    // Embeddings and output are stored too.
    CHECK(parameters > 0.0);
}

namespace {

constexpr double small_model_operations() {
    const auto config = translation_transformer_config::uniform(9, 8, 1, 4, 3, 2);
    return micronet::tally(micronet::weigh(config, {}, 2, 2), micronet::official{}).operations();
}

}  // namespace

// A translation model is weighed while the program compiles.
static_assert(small_model_operations() > 0.0);

TEST_CASE("decoding position by position reads keys once, so longer targets cost more a word") {
    const auto config = translation_transformer_config::uniform(90, 80, 2, 8, 12, 2);
    const auto per_word = [&](extent length) {
        return micronet::tally(micronet::weigh(config, {}, 4, length), micronet::official{})
            .operations();
    };
    // The encoder is shared by all words: the first words are the dearest.
    CHECK(per_word(1) > per_word(2));
    const auto in_all = [&](extent length) {
        return per_word(length) * static_cast<double>(length);
    };
    // A further word costs what the one before it did and its attention to one more key, in each
    // layer: 16 products, 14 sums and for both heads an exponential, a sum and a division.
    const double second = in_all(2) - in_all(1);
    const double third = in_all(3) - in_all(2);
    CHECK(third - second == doctest::Approx(2.0 * (16.0 + 14.0 + 2.0 * 3.0)));
}
