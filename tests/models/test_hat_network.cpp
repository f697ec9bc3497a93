// SPDX-License-Identifier: MIT
// Sub networks of HAT's super network against its own: states, logits, attention, loss, gradients
// of all super weights; and the choices of its space against its draws, genes and features.
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <tare/io/npz_parameters.hpp>
#include <tare/models/hat_weights.hpp>
#include <tare/models/translation_transformer.hpp>
#include <tare/ops/mean.hpp>
#include <tare/ops/multiply_columns.hpp>
#include <tare/search/hat_space.hpp>
#include <tare/testing/check_gradient.hpp>
#include <tare/train/label_smoothing.hpp>
#include <tare/train/translation_dropout.hpp>

#include "hat_config.hpp"
#include "translation_arrays.hpp"

using namespace tare;
using nlohmann::json;
using testing::check_array;

namespace {

void run_case(const io::npz_archive& golden, const std::string& set, const std::string& name,
              const json& cases) {
    INFO(name);
    tape record;
    using source_type = io::npz_parameters<float>;
    tape_parameters<source_type, float> source(record, source_type(golden, set + ".params."));
    hat_weights<variable> weights(source,
                                  testing::super_network(cases.at(set + ".params").at("info")));
    const auto config = sub_network_config(
        weights.sizes(), testing::hat_network_of(cases.at(name).at("info").at("config")));
    const translation_transformer<variable> model(weights, config);

    const extent batch = testing::array(golden, set + ".batch.src").extents[0];
    const auto encoded = model.encode(testing::words_by_time(golden, set + ".batch.src"), batch);
    const auto decoded = model.decode(testing::words_by_time(golden, set + ".batch.prev"), encoded);
    const variable logits = model.logits(decoded.hidden);
    const auto close = [&](const std::string& what, const variable& got) {
        check_array(golden, name + what, got.value().values(), testing::forward_tolerance);
    };
    close(".encoder_out", encoded.memory);
    for (std::size_t i = 0; i < config.states(); ++i)
        close(message(".encoder_layer", i), encoded.states[i + 1]);
    testing::check_close(logits.value().values(), testing::rows_by_time(golden, name + ".logits"),
                         testing::forward_tolerance);
    if (golden.contains(name + ".attn")) {
        // The last layer's attention to the encoder: the layer runs again for its queries.
        const auto& last = model.decoder_layers().back();
        const extent earlier = config.decoder_layers.span().back().earlier_states;
        const attention_mask mask = encoded.mask_with(earlier);
        const variable memory = encoded.memory_with(earlier);
        tensor mean;
        static_cast<void>(last.run(
            decoded.states[config.decoder_layers.size() - 1],
            [&](const variable& y) {
                return last.self_attn().heads(y, y, {true, {}});
            },
            [&](const variable& y) {
                const auto& cross = last.encoder_attn();
                const op::multi_head_attention<> attention{cross.sizes.heads, 1.0, mask, {}};
                mean =
                    attention.mean_weights(cross.queries(y).value(), cross.k_proj(memory).value());
                return cross.heads(y, memory, mask);
            }));
        testing::check_close(mean.values(), testing::rows_by_time(golden, name + ".attn"),
                             testing::forward_tolerance);
    }

    const auto targets =
        train::without_padding(testing::words_by_time(golden, set + ".batch.target"), 1);
    const extent classes = config.decoder.vocabulary;
    const variable loss = train::smoothed_cross_entropy(
        reshape(logits, shape{static_cast<extent>(targets.size()), classes}), targets,
        train::label_smoothing::over_all(cases.at(name).at("info").at("label_smoothing"), classes));
    close(".loss", loss);
    record.backward(loss);
    int checked = 0;
    weights.visit([&](std::string_view label, const variable& parameter) {
        const std::string gradient = message(name, ".grad.", label);
        if (!golden.contains(gradient)) return;
        check_array(golden, gradient, parameter.gradient().values(), testing::gradient_tolerance);
        ++checked;
    });
    CHECK(checked >= 10);
}

const std::vector<extent> numbers(const json& list) {
    return list.get<std::vector<extent>>();
}

}  // namespace

TEST_CASE("sub networks of one set of weights compute and learn what HAT's do") {
    const io::npz_archive golden = testing::golden("daq/transformer.npz");
    const json cases = testing::golden_cases("daq", "transformer.npz");
    int run = 0;
    for (const auto& [name, about] : cases.items())
        if (about.contains("info") && about.at("info").contains("config")) {
            run_case(golden, name.substr(0, name.find('.')), name, cases);
            ++run;
        }
    CHECK(run >= 1);
}

TEST_CASE("the output reads the leading columns of a wider table as it would a copy of them") {
    const auto numbered = [](const shape& extents) {
        basic_tensor<double> out(extents);
        double next = -1.0;
        for (double& v : out.mutable_values())
            v = next += 0.125;
        return out;
    };
    // The difference quotient of a bilinear function is exact but for rounding.
    CHECK(testing::gradient_error(op::leading_linear{}, {numbered({3, 4}), numbered({5, 6})}) <
          1e-8);
    tape record;
    const random_parameters<float> values(2);
    const variable x = record.parameter(values.parameter("x", {7, 4}, initial::normal(1.0)));
    const variable w = record.parameter(values.parameter("w", {9, 6}, initial::normal(1.0)));
    // Values, then the gradient of their mean with respect to w.
    const auto run = [&](const auto& output) {
        const variable y = output();
        std::vector<float> out(y.value().values().begin(), y.value().values().end());
        record.backward(mean(reshape(y, shape{7 * 9})));
        variable leaf = w;
        out.insert(out.end(), w.gradient().values().begin(), w.gradient().values().end());
        leaf.clear_gradient();
        return out;
    };
    const auto in_place = run([&] { return leading_linear(x, w); });
    CHECK(in_place == run([&] { return linear(x, leading_columns(w, 4)); }));
    CHECK(std::ranges::count(in_place, 0.0F) == 9 * 2);  // the columns that nobody read
    CHECK_THROWS_WITH_AS(static_cast<void>(leading_linear(w, x)),
                         doctest::Contains("at least as many columns"), error);
}

TEST_CASE("networks are drawn, coded and described as HAT does it") {
    const json about = testing::golden_cases("daq", "misc.npz").at("sampling").at("info");
    for (const json& drawn : about.at("samples")) {
        const search::hat_space space =
            drawn.at("space") == "space0" ? search::hat_space::wmt() : search::hat_space::iwslt();
        const hat_network n = search::sample(space, drawn.at("seed"), 6);
        CHECK(n == testing::hat_network_of(drawn.at("config")));
        const auto gene = search::gene_of(n, 6, 6);
        CHECK(gene == numbers(drawn.at("gene")));
        CHECK(search::network_of(gene, 6, 6) == testing::hat_network_of(drawn.at("back")));
        const auto features = search::latency_features(n);
        for (std::size_t i = 0; i < features.size(); ++i)
            CHECK(features[i] ==
                  doctest::Approx(drawn.at("features")[i].get<double>()).epsilon(1e-15));
    }
    // The published spaces, value by value.
    const json& spaces = about.at("spaces");
    for (const auto& [name, space] :
         {std::pair{"space0", search::hat_space::wmt()}, {"space1", search::hat_space::iwslt()}}) {
        const json& want = spaces.at(name);
        const auto same = [&](const char* key, const search::hat_space::choices& got) {
            CHECK(std::ranges::equal(got.span(), numbers(want.at(key))));
        };
        same("encoder_embed_choice", space.encoder_width);
        same("decoder_embed_choice", space.decoder_width);
        same("encoder_ffn_embed_dim_choice", space.encoder_inner);
        same("decoder_ffn_embed_dim_choice", space.decoder_inner);
        same("encoder_layer_num_choice", space.encoder_layers);
        same("decoder_layer_num_choice", space.decoder_layers);
        same("encoder_self_attention_heads_choice", space.encoder_heads);
        same("decoder_self_attention_heads_choice", space.decoder_self_heads);
        same("decoder_ende_attention_heads_choice", space.decoder_cross_heads);
        same("decoder_arbitrary_ende_attn_choice", space.decoder_arbitrary);
    }
}

TEST_CASE("training is validated on the largest and on the smallest network") {
    const hat_network most = search::extreme(search::hat_space::iwslt(), true, 6);
    CHECK(most.encoder_width == 640);
    CHECK(most.decoder_layers == 6);
    CHECK(most.decoder_inner == layer_list(6, 2048));
    CHECK(most.decoder_arbitrary == layer_list(6, 1));
    const hat_network least = search::extreme(search::hat_space::iwslt(), false, 6);
    CHECK(least.decoder_width == 512);
    CHECK(least.decoder_layers == 1);
    CHECK(least.encoder_heads == layer_list(6, 2));
    CHECK(least.decoder_cross_heads == layer_list{2});
}

TEST_CASE("what a super network does not have is refused, by name") {
    hat_super_network all;
    all.source_vocabulary = all.target_vocabulary = 8;
    hat_network sub = search::sample(search::hat_space::iwslt(), 1, 6);
    sub.encoder_width = 641;
    CHECK_THROWS_WITH_AS(static_cast<void>(sub_network_config(all, sub)),
                         doctest::Contains("encoder_width is 641; the super network has 640"),
                         error);
    sub.encoder_width = 640;
    sub.decoder_arbitrary[0] = 3;
    CHECK_THROWS_WITH_AS(static_cast<void>(sub_network_config(all, sub)),
                         doctest::Contains("decoder_arbitrary 3"), error);
}

TEST_CASE("a sub network drops in proportion to its width, attention aside") {
    hat_super_network all;
    hat_network sub;
    sub.encoder_width = 320;
    const train::translation_dropout whole{0.4, 0.1, 0.2};
    train::translation_dropout part = whole.of_sub_network(all, sub);
    CHECK(whole.probability_at("encoder.embed") == 0.4);
    CHECK(part.probability_at("encoder.embed") == 0.2);
    CHECK(part.probability_at("encoder.layers.0.fc2") == 0.2);
    CHECK(part.probability_at("encoder.layers.0.relu") == 0.1);
    CHECK(part.probability_at("encoder.layers.0.self_attn.probabilities") == 0.1);
    CHECK(part.probability_at("decoder.layers.0.encoder_attn.out_proj") == 0.4);
    CHECK(part.probability_at("encoder.layers.0.self_attn.out_proj") == 0.2);
    part.published_encoder_attention = true;
    CHECK(part.probability_at("encoder.layers.0.self_attn.out_proj") == 0.4);
    CHECK(part.probability_at("encoder.layers.0.self_attn.q_proj") == 0.0);
}

TEST_CASE("dropout inside attention turns gradients as it turns probabilities") {
    const auto values = [](const shape& extents, std::uint64_t seed) {
        basic_tensor<double> out(extents);
        const random_stream random(seed, 5);
        std::uint64_t i = 0;
        for (double& v : out.mutable_values())
            v = 2.0 * static_cast<double>(random.uniform(i++)) - 1.0;
        return out;
    };
    const dropout_rows drop{{}, {0.4F, random_stream(3, 8)}};
    const op::multi_head_attention<dropout_rows> attention{2, 1.0, {true, {}}, drop};
    // The quotient itself is good to about 1e-9 (testing/check_gradient.hpp).
    CHECK(testing::gradient_error(attention, {values({4, 2, 6}, 1), values({4, 2, 6}, 2),
                                              values({4, 2, 4}, 3)}) < 1e-7);
    // The fast kernels, forward and backward, drop what the plain ones do.
    const auto learnt = [&]<class Scalar>(Scalar) {
        basic_tape<Scalar> record;
        std::vector<basic_variable<Scalar>> inputs;
        for (std::uint64_t i = 0; i < 3; ++i) {
            const auto exact = values({19, 2, 6}, 4 + i);
            basic_tensor<Scalar> x(exact.shape());
            std::ranges::transform(exact.values(), x.mutable_values().begin(),
                                   [](double v) { return static_cast<Scalar>(v); });
            inputs.push_back(record.parameter(x));
        }
        const auto out = apply(attention, inputs[0], inputs[1], inputs[2]);
        basic_tensor<Scalar> weights(shape{6});
        for (std::size_t i = 0; i < 6; ++i)
            weights.mutable_values()[i] = Scalar(1) - static_cast<Scalar>(i) / Scalar(2);
        record.backward(
            mean(reshape(multiply_columns(out, record.constant(weights)), shape{19 * 2 * 6})));
        std::vector<float> all;
        for (const auto& input : inputs)
            for (const Scalar g : input.gradient().values())
                all.push_back(static_cast<float>(g));
        return all;
    };
    testing::check_close(learnt(0.0F), learnt(0.0), testing::forward_tolerance);
    // Half of a training step's attention is gone, and the rest is doubled: the mean stays.
    std::vector<float> row(4096, 1.0F);
    dropout_rows{{}, {0.5F, random_stream(1, 2)}}.probabilities(std::span<float>(row), 7);
    double sum = 0.0;
    for (const float p : row)
        sum += static_cast<double>(p);
    // Four standard deviations of a binomial count: 4 sqrt(4096) = 256.
    CHECK(std::abs(sum - 4096.0) < 256.0);
}

TEST_CASE("a sub network learns with dropout, and the same step drops the same") {
    hat_super_network all;
    all.source_vocabulary = all.target_vocabulary = 11;
    all.encoder_width = all.decoder_width = 8;
    all.encoder_layers = all.decoder_layers = 1;
    all.encoder_inner = all.decoder_inner = 6;
    all.qkv_width = 4;
    hat_network sub;
    sub.encoder_width = sub.decoder_width = 6;
    sub.encoder_layers = sub.decoder_layers = 1;
    sub.encoder_inner = sub.decoder_inner = {5};
    sub.encoder_heads = sub.decoder_self_heads = sub.decoder_cross_heads = {2};
    sub.decoder_arbitrary = layer_list{-1};

    tape record;
    tape_parameters<random_parameters<float>, float> leaves(record, random_parameters<float>(4));
    hat_weights<variable> weights(leaves, all);
    const auto clock = std::make_shared<dropout_clock>(dropout_clock{0.0F, 17, 0});
    const auto how = train::translation_dropout{0.3, 0.3, 0.3}.of_sub_network(all, sub);
    const std::vector<token> words{4, 5, 6, 2};
    const auto logits = [&] {
        train::dropping_source<variable, hat_weights<variable>> source(weights, clock, how);
        const translation_transformer<variable> model(source, sub_network_config(all, sub));
        return model.logits(model.decode(words, model.encode(words, 1)).hidden);
    };
    const variable first = logits();
    CHECK(std::ranges::equal(logits().value().values(), first.value().values()));
    clock->step = 1;
    CHECK(!std::ranges::equal(logits().value().values(), first.value().values()));
    // The gradient reaches the blocks of the super network's leaves.
    record.backward(mean(reshape(logits(), shape{4 * 11})));
    int reached = 0;
    weights.visit([&](std::string_view, const variable& parameter) {
        for (const float g : parameter.gradient().values())
            reached += g != 0.0F ? 1 : 0;
    });
    CHECK(reached > 0);
}
