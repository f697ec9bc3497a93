// SPDX-License-Identifier: MIT
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/ops/decode_codebook.hpp>
#include <tare/ops/linear.hpp>
#include <tare/ops/relu.hpp>
#include <tare/ops/reshape.hpp>
#include <tare/quantize/daq.hpp>
#include <tare/readings/gradient.hpp>
#include <tare/testing/check_gradient.hpp>
#include <tare/train/staged_parameters.hpp>

#include "golden_distance.hpp"
#include "golden_gradient.hpp"
#include "golden_manifest.hpp"

using tare::entry_gradient;
using tare::extent;
using tare::shape;
using tare::tensor;
using tare::token;
using tare::variable;
using tare::testing::far_apart;
using tare::testing::golden_tensor;
using tare::testing::gradient_relative;
using tare::testing::value_relative;
using tare::testing::values;
using tare::testing::weigh;

namespace {

const char* const layers = "pq_layers.npz";

// Codes in the order of memory out of the reference's, block column after block column.
tare::block_codes codes_in_memory(const tare::product_matrix& coded) {
    return std::make_shared<const std::vector<token>>(coded.row_codes());
}
tare::product_matrix coded_as_given(const tare::io::npz_archive& golden, const std::string& name,
                                    const shape& weight) {
    const auto codebook = golden_tensor(golden, name + ".centroids");
    const auto codes = values<std::int64_t>(golden, name + ".assignments");
    return {tare::whole_grid(weight[0], weight.size() / weight[0], codebook.shape()[1]),
            codebook.shape()[0],
            {codes.begin(), codes.end()},
            {codebook.values().begin(), codebook.values().end()}};
}

}  // namespace

TEST_CASE("a linear layer of codes decodes, computes and learns as the reference does") {
    const auto golden = tare::testing::golden(tare::message("daq/", layers));
    const tensor w = golden_tensor(golden, "linear.W");
    const auto codes = codes_in_memory(coded_as_given(golden, "linear", w.shape()));
    for (const auto& [how, array] :
         {std::pair(entry_gradient::sum, "linear.grad_centroids"),
          std::pair(entry_gradient::mean, "linear.grad_centroids_avg")}) {
        tare::tape t;
        const variable codebook = t.parameter(golden_tensor(golden, "linear.centroids"));
        const variable bias = t.parameter(golden_tensor(golden, "linear.bias"));
        const variable x = t.parameter(golden_tensor(golden, "linear.x"));
        const variable weight = decode_codebook(codebook, codes, w.shape(), how);
        CHECK(far_apart(weight.value().values(), values<float>(golden, "linear.weight"), 0) == 0);
        const variable y = linear(x, weight, bias);
        CHECK(far_apart(y.value().values(), values<float>(golden, "linear.y"), value_relative) ==
              0);
        t.backward(weigh(y, golden_tensor(golden, "linear.gy")));
        const auto wrong = [&](const variable& v, const char* name) {
            return far_apart(v.gradient().values(), values<float>(golden, name), gradient_relative);
        };
        CHECK(wrong(x, "linear.grad_x") == 0);
        CHECK(wrong(bias, "linear.grad_bias") == 0);
        CHECK(wrong(codebook, array) == 0);
    }
}

TEST_CASE("an embedding of codes learns from look-ups, but not of the padding") {
    const auto golden = tare::testing::golden(tare::message("daq/", layers));
    const auto cases = tare::testing::golden_cases("daq", layers);
    const token padding = cases.at("embedding").at("info").at("padding_idx");
    const tensor w = golden_tensor(golden, "embedding.W");
    const auto codes = codes_in_memory(coded_as_given(golden, "embedding", w.shape()));
    tare::tape t;
    const variable codebook = t.parameter(golden_tensor(golden, "embedding.centroids"));
    const variable weight = decode_codebook(codebook, codes, w.shape());
    CHECK(far_apart(weight.value().values(), values<float>(golden, "embedding.weight"), 0) == 0);
    const auto index = values<std::int64_t>(golden, "embedding.idx");
    const std::vector<token> words(index.begin(), index.end());
    const variable y = gather(weight, words);
    CHECK(far_apart(y.value().values(), values<float>(golden, "embedding.y"), 0) == 0);
    tensor gradient = golden_tensor(golden, "embedding.gy");
    const extent width = w.shape()[1];
    for (std::size_t i = 0; i < words.size(); ++i)
        if (words[i] == padding)
            std::fill_n(gradient.mutable_values().begin() + static_cast<extent>(i) * width, width,
                        0.0F);
    t.backward(weigh(y, gradient));
    CHECK(far_apart(codebook.gradient().values(), values<float>(golden, "embedding.grad_centroids"),
                    gradient_relative) == 0);
}

TEST_CASE("a convolution of codes decodes, and its entries take mean gradients") {
    const auto golden = tare::testing::golden(tare::message("daq/", layers));
    const tensor w = golden_tensor(golden, "conv.W");
    const tensor x = golden_tensor(golden, "conv.x");
    const tensor dy = golden_tensor(golden, "conv.gy");
    const auto codes = codes_in_memory(coded_as_given(golden, "conv", w.shape()));
    tare::tape t;
    const variable codebook = t.parameter(golden_tensor(golden, "conv.centroids"));
    const variable weight = decode_codebook(codebook, codes, w.shape(), entry_gradient::mean);
    CHECK(far_apart(weight.value().values(), values<float>(golden, "conv.weight"), 0) == 0);
    // The weight's gradient, from the definition: padding of one, images (N, C, H, W).
    const shape& k = w.shape();
    const shape& in = x.shape();
    tensor dw(k, 0.0F);
    std::size_t next = 0;
    for (extent n = 0; n < in[0]; ++n)
        for (extent o = 0; o < k[0]; ++o)
            for (extent i = 0; i < in[2]; ++i)
                for (extent j = 0; j < in[3]; ++j) {
                    const float g = dy.values()[next++];
                    for (extent tap = 0; tap < k[1] * 9; ++tap) {
                        const extent row = i + tap % 9 / 3 - 1;
                        const extent column = j + tap % 3 - 1;
                        if (row < 0 || row >= in[2] || column < 0 || column >= in[3]) continue;
                        const extent at = ((n * in[1] + tap / 9) * in[2] + row) * in[3] + column;
                        dw.mutable_values()[std::size_t(o * k[1] * 9 + tap)] +=
                            g * x.values()[std::size_t(at)];
                    }
                }
    t.backward(weigh(weight, dw));
    CHECK(far_apart(codebook.gradient().values(), values<float>(golden, "conv.grad_centroids"),
                    gradient_relative) == 0);
}

TEST_CASE("sub networks of divided weights compute and learn as the reference does") {
    const auto golden = tare::testing::golden("daq/daq_buckets.npz");
    const auto cases = tare::testing::golden_cases("daq", "daq_buckets.npz");
    for (const auto& [key, about] : cases.items()) {
        const auto& info = about.at("info");
        if (!info.is_object() || info.value("kind", "") != "linear") continue;
        const std::string name = key;
        CAPTURE(name);
        const extent rows = info.at("shape")[0];
        const extent columns = info.at("shape")[1];
        tare::product_matrix coded{tare::daq_grid(rows, columns, info.at("block"),
                                                  info.at("n_centroids"), info.at("bucket_num")),
                                   info.at("n_centroids"),
                                   {},
                                   {}};
        for (const std::int64_t code : values<std::int64_t>(golden, name + ".assignment_buckets"))
            coded.codes.push_back(static_cast<tare::codebook_entry>(code));
        const tensor books = golden_tensor(golden, name + ".centroids");
        const shape flat{books.size() / coded.grid.block, coded.grid.block};
        tare::tape t;
        const variable codebook = t.parameter(tensor(flat, books.values()));
        const variable weight = decode_codebook(codebook, codes_in_memory(coded), {rows, columns});
        CHECK(far_apart(weight.value().values(), values<float>(golden, name + ".decoded"), 0) == 0);
        // A leading block of the weight: the rest of x is zero, the rest of y is not looked at.
        const extent sub_out = info.at("sub_out");
        const extent sub_in = info.at("sub_in");
        const auto x_given = values<float>(golden, name + ".x");
        const auto y_given = values<float>(golden, name + ".y");
        const auto dy_given = values<float>(golden, name + ".gy");
        const auto batch = static_cast<extent>(x_given.size()) / sub_in;
        tensor x({batch, columns}, 0.0F);
        tensor dy({batch, rows}, 0.0F);
        for (extent b = 0; b < batch; ++b) {
            std::copy_n(x_given.begin() + b * sub_in, sub_in,
                        x.mutable_values().begin() + b * columns);
            std::copy_n(dy_given.begin() + b * sub_out, sub_out,
                        dy.mutable_values().begin() + b * rows);
        }
        const variable y =
            linear(t.constant(x), weight, t.constant(golden_tensor(golden, name + ".bias")));
        std::vector<float> leading;
        for (extent b = 0; b < batch; ++b)
            leading.insert(leading.end(), y.value().values().begin() + b * rows,
                           y.value().values().begin() + b * rows + sub_out);
        CHECK(far_apart(leading, y_given, value_relative) == 0);
        t.backward(weigh(y, dy));
        CHECK(far_apart(codebook.gradient().values(),
                        values<float>(golden, name + ".grad_centroids"), gradient_relative) == 0);
    }
}

TEST_CASE("the gradient of a codebook is that of its decoding") {
    const tare::basic_tensor<double> codebook({3, 2}, 0.5);
    const auto codes = std::make_shared<const std::vector<token>>(
        std::vector<token>{2, 0, 2, 2, 0, 2});  // the middle entry is not used
    constexpr double rounding = 1e-9;           // of the difference quotient of a linear function
    CHECK(tare::testing::gradient_error(tare::op::decode_codebook{codes, {3, 4}}, {codebook}) <
          rounding);
    tare::tape t;
    const variable c = t.parameter(tensor({3, 2}, 1.0F));
    CHECK_THROWS_WITH_AS(static_cast<void>(decode_codebook(c, codes, {5, 4})),
                         doctest::Contains("cannot fill a weight (5,4)"), tare::error);
    const auto outside = std::make_shared<const std::vector<token>>(6, 3);
    CHECK_THROWS_AS(static_cast<void>(decode_codebook(c, outside, {3, 4})), tare::error);
    // An entry that no block has keeps a mean of nothing: zero.
    t.backward(
        weigh(decode_codebook(c, codes, {3, 4}, entry_gradient::mean), tensor({3, 4}, 6.0F)));
    CHECK(std::ranges::equal(c.gradient().values(), std::vector<float>{6, 6, 0, 0, 6, 6}));
}

TEST_CASE("stages take the layers and leave the sizes that the reference reports") {
    const auto cases = tare::testing::golden_cases("daq", layers);
    const auto& info = cases.at("ipq_stages").at("info");
    const auto names = info.at("param_names").get<std::vector<std::string>>();
    const extent dim = info.at("dim");
    const extent ffn = info.at("ffn");
    const extent vocabulary = info.at("vocab");
    // The reference's tables: one for linear layers, one for embeddings.
    const auto& linear_blocks = info.at("block_sizes").at("Linear")[1];
    const extent linear_entries = info.at("n_centroids").at("Linear")[1].at("*");
    const std::vector<tare::train::product_rule> rules = {
        {"fc", linear_blocks.at("fc"), linear_entries},
        {"attn", linear_blocks.at("attn"), linear_entries},
        {"emb", info.at("block_sizes").at("Embedding")[1].at("emb"),
         info.at("n_centroids").at("Embedding")[1].at("*")}};
    const auto weight_of = [&](const std::string& layer) {
        if (layer.ends_with("fc1")) return shape{ffn, dim};
        if (layer.ends_with("fc2")) return shape{dim, ffn};
        return layer.ends_with("embed_tokens") ? shape{vocabulary, dim} : shape{dim, dim};
    };
    constexpr double megabyte = 1024.0 * 1024.0;
    constexpr double exact = 1e-12;  // sums of a few dozen doubles
    tare::train::product_sizes sizes;
    for (const auto& one : info.at("log")) {
        if (one.contains("non_compressed_MB")) {
            sizes.floats = double(one.at("non_compressed_MB")) * megabyte;
            continue;
        }
        const auto found = tare::train::stage_layers(one.at("regex"), names);
        CHECK(found == one.at("layers").get<std::vector<std::string>>());
        for (const std::string& layer : found) {
            const auto& rule = tare::train::rule_for(layer, rules);
            const shape w = weight_of(layer);
            const auto grid = tare::whole_grid(w[0], w[1], rule.block);
            sizes.quantize(grid, rule.entries);
        }
        CHECK(sizes.codes / megabyte == doctest::Approx(double(one.at("index_MB"))).epsilon(exact));
        CHECK(sizes.codebooks / megabyte ==
              doctest::Approx(double(one.at("centroids_MB"))).epsilon(exact));
        CHECK(sizes.floats / megabyte ==
              doctest::Approx(double(one.at("other_MB"))).epsilon(exact));
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(tare::train::rule_for("head", rules)),
                         doctest::Contains("head"), tare::error);
}

TEST_CASE("patterns of Python match from the start of a layer's name") {
    using tare::train::stage_layers;
    const std::vector<std::string> names = {
        "module.encoder.layers.10.fc1.weight", "encoder.layers.2.fc1.weight",
        "encoder.layers.2.fc1.bias", "decoder.encoder.layers.2.fc2.weight"};
    CHECK(stage_layers(R"(encoder\.layers\.\d+\.fc[12])", names) ==
          std::vector<std::string>{"module.encoder.layers.10.fc1", "encoder.layers.2.fc1"});
    CHECK(stage_layers(R"(encoder\.\w+\.[\d]\.)", names) ==
          std::vector<std::string>{"encoder.layers.2.fc1"});
    CHECK(stage_layers("fc", names).empty());
    CHECK_THROWS_AS(static_cast<void>(stage_layers("(", names)), tare::error);
}

TEST_CASE("a layer's codes do not depend on other layers") {
    tensor w({32, 16});
    const tare::random_stream random(9, 0);
    for (std::size_t i = 0; i < w.values().size(); ++i)
        w.mutable_values()[i] = random.normal(i);
    const tare::train::product_rule rule{"fc", 8, 16};
    const auto one = tare::train::encode_layer("a.fc1", w, rule, {.iterations = 3});
    const auto again = tare::train::encode_layer("a.fc1", w, rule, {.iterations = 3});
    const auto other = tare::train::encode_layer("a.fc2", w, rule, {.iterations = 3});
    CHECK(one.codes == again.codes);
    CHECK(one.codebooks == again.codebooks);
    CHECK(one.codebooks != other.codebooks);
    CHECK_THROWS_WITH_AS(
        static_cast<void>(tare::train::encode_layer("a.norm", tensor({4}), rule, {})),
        doctest::Contains("a.norm"), tare::error);
}

namespace {

// Two linear layers that learn the outputs of two others, quantized one after the other.
struct two_layers {
    using source = tare::train::staged_parameters<tare::random_parameters<float>>;

    tare::tape t;
    source weights;
    tensor x;
    tensor target;

    explicit two_layers(float noise)
        : weights(t, tare::random_parameters<float>(3),
                  {.rules = {{"fc", 4, 8}}, .search = {.iterations = 5}, .noise = noise}),
          x({32, 8}),
          target({32, 4}) {
        const tare::random_stream random(8, 0);
        for (std::size_t i = 0; i < x.values().size(); ++i)
            x.mutable_values()[i] = random.normal(i);
        for (std::size_t i = 0; i < target.values().size(); ++i)
            target.mutable_values()[i] = x.values()[i / 4 * 8] - x.values()[i / 4 * 8 + i % 4 + 1];
    }
    variable forward() {
        const auto start = tare::initial::normal(0.3);
        const variable h =
            relu(linear(t.constant(x), weights.parameter("fc1.weight", {16, 8}, start),
                        weights.parameter("fc1.bias", {16}, start)));
        return linear(h, weights.parameter("fc2.weight", {4, 16}, start));
    }
    // Half the mean squared error; its gradient with respect to the result is the error itself.
    double step(std::uint64_t number, float rate) {
        weights.begin_step(number, rate > 0.0F);
        const variable y = forward();
        tensor error(y.shape());
        double sum = 0.0;
        for (std::size_t i = 0; i < error.values().size(); ++i) {
            const float off = y.value().values()[i] - target.values()[i];
            error.mutable_values()[i] = off / 32.0F;
            sum += double(off) * double(off);
        }
        t.backward(weigh(y, error));
        weights.visit([&](const std::string&, variable& leaf) {
            for (std::size_t i = 0; i < leaf.value().values().size(); ++i)
                leaf.mutable_value().mutable_values()[i] -= rate * leaf.gradient().values()[i];
            leaf.clear_gradient();
        });
        return sum / 64.0;
    }
};

}  // namespace

TEST_CASE("a network learns with noise and goes on learning between its stages") {
    two_layers net(0.1F);
    for (std::uint64_t i = 0; i < 300; ++i)
        static_cast<void>(net.step(i, 0.1F));
    const double floats = net.step(300, 0.0F);
    CHECK(floats < 0.5);
    const std::int64_t weights = 16 * 8 + 4 * 16;
    CHECK(net.weights.storage_bits() == 32 * (weights + 16));
    for (const std::string stage : {"fc1", "fc[12]"}) {
        CAPTURE(stage);
        CHECK(net.weights.quantize(stage) ==
              std::vector<std::string>{stage == "fc1" ? "fc1" : "fc2"});
        const double quantized = net.step(400, 0.0F);
        for (std::uint64_t i = 0; i < 200; ++i)
            static_cast<void>(net.step(500 + i, 0.02F));
        const double tuned = net.step(900, 0.0F);
        CHECK(tuned < quantized);
    }
    // Codes of three bits, two codebooks of eight entries of four fp16 values, a float bias.
    CHECK(net.weights.storage_bits() == weights / 4 * 3 + 2 * 8 * 4 * 16 + 32 * 16);
    std::vector<std::string> names;
    net.weights.visit([&](const std::string& name, variable&) { names.push_back(name); });
    CHECK(names ==
          std::vector<std::string>{"fc1.bias", "fc1.weight.codebooks", "fc2.weight.codebooks"});
    // What is stored decodes to what the network computes with.
    const tare::product_matrix stored = net.weights.product("fc1.weight");
    std::vector<float> w(16 * 8);
    tare::decode_product(stored, {w.data(), 16, 8});
    const variable used = net.weights.parameter("fc1.weight", {16, 8}, {});
    CHECK(std::ranges::equal(w, used.value().values()));
    CHECK_THROWS_WITH_AS(static_cast<void>(net.weights.product("fc1.bias")),
                         doctest::Contains("fc1.bias is no quantized weight"), tare::error);
    CHECK_THROWS_WITH_AS(static_cast<void>(net.weights.parameter("fc1.bias", {3}, {})),
                         doctest::Contains("(16,)"), tare::error);
}

TEST_CASE("noise is drawn for each step, for training alone and for weights alone") {
    two_layers net(0.5F);
    const auto used = [&](std::uint64_t step, bool training) {
        net.weights.begin_step(step, training);
        const auto w = net.weights.parameter("fc1.weight", {16, 8}, tare::initial::value(1.0));
        return std::vector<float>(w.value().values().begin(), w.value().values().end());
    };
    CHECK(used(1, false) == std::vector<float>(128, 1.0F));
    const auto noised = used(1, true);
    CHECK(std::ranges::count(noised, 0.0F) + std::ranges::count(noised, 2.0F) == 128);
    CHECK(std::ranges::count(noised, 0.0F) > 20);
    CHECK(used(1, true) == noised);
    CHECK(used(2, true) != noised);
    const auto bias = net.weights.parameter("fc1.bias", {16}, tare::initial::value(1.0));
    CHECK(std::ranges::count(bias.value().values(), 1.0F) == 16);
}
