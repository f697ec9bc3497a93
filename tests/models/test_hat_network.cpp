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
#include <tare/search/hat_space.hpp>
#include <tare/train/label_smoothing.hpp>

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
