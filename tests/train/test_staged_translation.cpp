// SPDX-License-Identifier: MIT
// A small translation Transformer through DAQ's stages: what each stage takes, that training goes
// on through all of them, that shared codebooks are one parameter, and that the file holds the
// model.
#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/io/product_file.hpp>
#include <tare/micronet/rules.hpp>
#include <tare/micronet/weigh_products.hpp>
#include <tare/models/product_weight.hpp>
#include <tare/train/staged_translation.hpp>

#include "io/scratch.hpp"

using namespace tare;
using train::product_stage;

namespace {

// Two pairs of sentences, left padding on the source's side.
text::translation_batch batch() {
    text::translation_batch out;
    out.source = {{1, 5, 6, 7, 7, 8, 2, 2}, 2, 4};
    out.previous = {{2, 2, 9, 10, 11, 12}, 2, 3};
    out.target = {{9, 10, 11, 12, 2, 2}, 2, 3};
    out.target_tokens = 6;
    return out;
}

train::staged_options stages(float noise = 0.0F) {
    train::staged_options out;
    out.rules = {{"fc", 8, 4}, {"attn", 4, 8}, {"emb", 8, 4}};
    out.search.iterations = 4;
    out.noise = noise;
    return out;
}
using network = train::staged_translation<>;

// Logits are of size 1 and pass through two layers, each of which changes few last places; a wrong
// entry of a codebook changes them by 0.01 and more.
constexpr float order_of_sums = 1e-5F;

network small(float noise = 0.0F) {
    return {translation_transformer_config::uniform(16, 16, 1, 16, 24, 2),
            random_parameters<float>(3),
            {.dropout = {0.0}, .smoothing = 0.1},
            stages(noise),
            train::translation_adam()};
}
double learn(network& net, int steps, double rate) {
    double loss = 0.0;
    for (int i = 0; i < steps; ++i)
        loss = net.step(batch(), rate).hard_loss;
    return loss;
}
template <class Weight>
std::vector<float> logits_of(const translation_transformer<tensor, Weight>& model) {
    const auto b = batch();
    const auto encoded = model.encode(b.source.ids, 2);
    const tensor out = model.logits(model.decode(b.previous.ids, encoded).hidden);
    return {out.values().begin(), out.values().end()};
}
/// The loss of now, without noise: mean of -log softmax at the targets.
double loss_of(network& net) {
    const std::vector<float> logits = logits_of(net.plain_model());
    const auto targets = batch().target.ids;
    double sum = 0.0;
    for (std::size_t row = 0; row < targets.size(); ++row) {
        double all = 0.0;
        for (std::size_t word = 0; word < 16; ++word)
            all += std::exp(static_cast<double>(logits[16 * row + word]));
        const auto word = static_cast<std::size_t>(targets[row]);
        sum += std::log(all) - static_cast<double>(logits[16 * row + word]);
    }
    return sum / static_cast<double>(targets.size());
}
io::product_file file_of(network& net) {
    io::product_file out;
    net.weights().visit_products([&](const std::string& label, const std::string& owner) {
        out.products.emplace(label, net.weights().product(label));
        if (owner != label) out.shared.emplace(label, owner);
    });
    net.weights().visit([&](const std::string& label, const variable& leaf) {
        if (!label.ends_with(".codebooks")) out.floats.emplace(label, leaf.value());
    });
    return out;
}

using coded_model = translation_transformer<tensor, product_weight>;

micronet::stored_products stored_of(network& net) {
    micronet::stored_products out;
    net.weights().visit_products([&](const std::string& label, const std::string&) {
        out.emplace(label, micronet::stored_product{net.weights().layout(label),
                                                    net.weights().storage(label)});
    });
    return out;
}

}  // namespace

TEST_CASE("DAQ's stages take all linear layers and tables, and training goes on between them") {
    network net = small(0.1F);
    learn(net, 60, 1e-2);
    std::set<std::string> taken;
    std::int64_t bits = net.weights().storage_bits();
    double quantized = 0.0;
    double tuned = 0.0;
    for (const product_stage& stage : train::daq_stages(2)) {
        CAPTURE(stage.pattern);
        const auto layers = net.quantize(stage);
        CHECK(!layers.empty());
        for (const std::string& layer : layers)
            CHECK(taken.insert(layer).second);
        CHECK(net.weights().storage_bits() < bits);
        bits = net.weights().storage_bits();
        quantized += loss_of(net);
        learn(net, 40, 1e-2);
        tuned += loss_of(net);
    }
    // Over all stages: noise makes a single one end a little above where it began.
    CHECK(tuned < quantized);
    // Both tables, four projections and two inner layers on the encoder's side, ten on the other.
    CHECK(taken.size() == 2 + 6 + 10);
    CHECK(loss_of(net) < 0.5);
    net.weights().visit([](const std::string& label, const variable& leaf) {
        CAPTURE(label);
        CHECK((leaf.shape().rank() == 1 || label.ends_with(".codebooks")));
    });
}

TEST_CASE("the file of a finished model is as large as its bits and holds the same model") {
    network net = small();
    learn(net, 5, 1e-2);
    net.quantize({R"(encoder\.layers\.\d+\.fc[12])", 1, true});
    for (const product_stage& stage : train::daq_stages(2))
        net.quantize(stage);
    learn(net, 5, 1e-2);
    net.finish();
    const testing::scratch_folder folder;
    const std::string path = folder.file("model.safetensors");
    const io::product_file before = file_of(net);
    CHECK(before.payload_bits() == net.weights().storage_bits());
    CHECK(before.shared.size() == 1);  // fc2 of the one layer reads fc1's
    io::save_products(path, before);
    const io::product_file after = io::load_products(path);
    CHECK(after.payload_bits() == before.payload_bits());
    CHECK(after.shared == before.shared);
    CHECK(after.products.at("decoder.embed_tokens.weight").grid.buckets() == 2);
    product_source source(after.products, after.floats);
    const auto floats = logits_of(net.plain_model());
    const auto coded = logits_of(coded_model(source, net.config()));
    REQUIRE(coded.size() == floats.size());
    // Codebooks of a power of two: only the order of a row's 16 to 24 sums differs by tables.
    product_source tables(after.products, after.floats, true);
    const auto by_tables = logits_of(coded_model(tables, net.config()));
    for (std::size_t i = 0; i < floats.size(); ++i) {
        CHECK(std::fabs(coded[i] - floats[i]) < order_of_sums);
        CHECK(std::fabs(by_tables[i] - floats[i]) < order_of_sums);
    }
    // What is charged is stored.
    const ledger book = micronet::weigh_products(net.config(), stored_of(net), true, 4, 4);
    CHECK(micronet::tally(book, micronet::official{}).storage_bits ==
          static_cast<double>(after.payload_bits()));
}

TEST_CASE("products by codes are charged as they are executed") {
    ledger book;
    const kernels::codebook_layout layout{96, 24, 8, 2, 1, 16};
    const shape extents{96, 24};
    const micronet::stored_products stored{{"w", {layout, {.value_bits = 96 * 3 * 4}}}};
    micronet::product_parameters source(book, stored, true);
    const auto w = source.weight("w", extents, {});
    const auto bias = source.parameter("b", {96}, {});
    const cost x(book, operand::dense({5, 24}, 32));
    CHECK(linear(x, w, bias).shape() == shape{5, 96});
    book.end_token();
    const auto sum = micronet::tally(book, micronet::official{});
    // Two buckets down of 16 entries; three blocks. The plain kernel executes the same
    // (tests/kernels/test_codebook_product.cpp).
    CHECK(sum.multiplications() == 5 * 2 * 16 * 24);
    CHECK(sum.additions() == 5 * (2 * 16 * (24 - 3) + 96 * 2 + 96));
    CHECK(sum.storage_bits == 96 * 3 * 4 + 96 * 32);
    // A layer with fewer outputs than entries is that of the decoded matrix.
    ledger other;
    micronet::product_parameters few(other, {{"w", {{16, 24, 8, 1, 1, 16}, {}}}}, true);
    static_cast<void>(
        linear(cost(other, operand::dense({1, 24}, 32)), few.weight("w", {16, 24}, {})));
    other.end_token();
    CHECK(micronet::tally(other, micronet::official{}).multiplications() == 16 * 24);
    // The weight decides in the same way.
    product_matrix coded{whole_grid(96, 24, 8), 16, std::vector<codebook_entry>(96 * 3, 5), {}};
    coded.codebooks.assign(16 * 8, 0.5F);
    CHECK(product_weight(coded).by_tables(15));
    CHECK(!product_weight(coded).by_tables(16));
    CHECK(product_weight(coded, true).by_tables(16));
    CHECK(!product_weight(tensor({96, 24})).by_tables(1));
    const tensor y = linear(tensor({2, 24}, 1.0F), product_weight(coded), tensor({96}, 1.0F));
    CHECK(std::ranges::count(y.values(), 13.0F) == 2 * 96);
}

TEST_CASE("layers that share a codebook learn one") {
    network net = small();
    const std::string attention = R"(decoder\..*attn\..*_proj)";
    CHECK(net.quantize({attention, 1, true}).size() == 8);
    std::vector<std::string> books;
    net.weights().visit([&](const std::string& label, const variable& leaf) {
        if (!label.ends_with(".codebooks")) return;
        books.push_back(label);
        CHECK(leaf.shape() == shape{8, 4});
    });
    CHECK(books ==
          std::vector<std::string>{"decoder.layers.0.encoder_attn.k_proj.weight.codebooks"});
    learn(net, 3, 1e-2);
    const auto one = net.weights().product("decoder.layers.0.encoder_attn.k_proj.weight");
    const auto other = net.weights().product("decoder.layers.0.self_attn.v_proj.weight");
    CHECK(one.codebooks == other.codebooks);
    CHECK(one.codes != other.codes);
    // Eight matrices of 16 x 16 in codes of three bits, one codebook in fp16.
    const std::int64_t floats = network(small()).weights().storage_bits();
    CHECK(net.weights().storage_bits() == floats - 8 * 256 * 32 + 8 * 64 * 3 + 8 * 4 * 16);
    // A file whose matrices only say that they share is refused.
    io::product_file file = file_of(net);
    file.products.at("decoder.layers.0.self_attn.v_proj.weight").codebooks[0] += 1.0F;
    const testing::scratch_folder folder;
    CHECK_THROWS_WITH_AS(io::save_products(folder.file("f"), file),
                         doctest::Contains("self_attn.v_proj.weight is said to share"), error);
}

TEST_CASE("the same seed goes through the same stages, on any number of threads") {
    const auto run = [](int threads) {
        set_threads(threads);
        network net = small(0.2F);
        learn(net, 4, 1e-2);
        net.quantize(train::daq_stages(2)[3]);
        learn(net, 4, 1e-2);
        set_threads(1);
        return logits_of(net.plain_model());
    };
    const auto once = run(1);
    CHECK(run(1) == once);
    CHECK(run(4) == once);
}
