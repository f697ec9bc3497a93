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
std::vector<float> logits_of(const translation_transformer<tensor>& model) {
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

// A file's matrices as floats.
struct file_parameters {
    const io::product_file* from;

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial&) const {
        const auto found = from->products.find(label);
        if (found == from->products.end()) return from->floats.find(label)->second;
        tensor w(extents);
        decode_product(found->second, w.mutable_view().matrix());
        return w;
    }
};

}  // namespace

TEST_CASE("DAQ's stages take all linear layers and tables, and training goes on between them") {
    network net = small(0.1F);
    learn(net, 60, 1e-2);
    std::set<std::string> taken;
    std::int64_t bits = net.weights().storage_bits();
    for (const product_stage& stage : train::daq_stages(2)) {
        CAPTURE(stage.pattern);
        const auto layers = net.quantize(stage);
        CHECK(!layers.empty());
        for (const std::string& layer : layers)
            CHECK(taken.insert(layer).second);
        CHECK(net.weights().storage_bits() < bits);
        bits = net.weights().storage_bits();
        const double before = loss_of(net);
        learn(net, 40, 1e-2);
        CHECK(loss_of(net) < before);
    }
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
    file_parameters source{&after};
    CHECK(logits_of(translation_transformer<tensor>(source, net.config())) ==
          logits_of(net.plain_model()));
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
