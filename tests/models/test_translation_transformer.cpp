// SPDX-License-Identifier: MIT
// The translation Transformer against fairseq's: states, logits, loss and gradients.
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <tare/io/npz_parameters.hpp>
#include <tare/models/translation_transformer.hpp>
#include <tare/train/label_smoothing.hpp>

#include "golden_manifest.hpp"
#include "translation_arrays.hpp"

using namespace tare;
using testing::check_array;
using testing::check_close;
using testing::forward_tolerance;
using testing::gradient_tolerance;

namespace {

/// transformer_iwslt_de_en in the fixture's sizes.
translation_transformer_config fairseq_config(const io::npz_archive& golden) {
    const auto rows = [&](const char* name) {
        return testing::array(golden, std::string("w.") + name).extents[0];
    };
    const nlohmann::json about = testing::golden_manifest("pet").at("config");
    std::size_t layers = 0;
    while (golden.contains(message("w.encoder.layers.", layers, ".fc1.weight")))
        ++layers;
    return translation_transformer_config::uniform(
        rows("encoder.embed_tokens.weight"), rows("decoder.embed_tokens.weight"), layers,
        about.at("d"), rows("encoder.layers.0.fc1.weight"), about.at("heads"));
}

}  // namespace

TEST_CASE("states, logits, losses and gradients are those of fairseq") {
    const io::npz_archive golden = testing::golden("pet/transformer.npz");
    const auto config = fairseq_config(golden);
    const auto words = testing::words_by_time(golden, "src_tokens");
    const auto previous = testing::words_by_time(golden, "prev_output_tokens");
    const extent batch = testing::array(golden, "src_tokens").extents[0];

    tape record;
    using source_type = io::npz_parameters<float>;
    tape_parameters<source_type, float> source(record, source_type(golden, "w."));
    translation_transformer<variable> model(source, config);
    const auto encoded = model.encode(words, batch);
    const auto decoded = model.decode(previous, encoded);
    const variable logits = model.logits(decoded.hidden);
    for (std::size_t i = 0; i <= config.encoder_layers.size(); ++i)
        check_array(golden, message("enc.state.", i), encoded.states[i].value().values(),
                    forward_tolerance);
    for (std::size_t i = 0; i <= config.decoder_layers.size(); ++i)
        check_array(golden, message("dec.state.", i), decoded.states[i].value().values(),
                    forward_tolerance);
    check_close(logits.value().values(), testing::rows_by_time(golden, "logits"),
                forward_tolerance);

    const auto targets = train::without_padding(testing::words_by_time(golden, "target"), 1);
    const extent classes = config.decoder.vocabulary;
    const variable flat = reshape(logits, shape{static_cast<extent>(targets.size()), classes});
    const variable loss = train::smoothed_cross_entropy(
        flat, targets, train::label_smoothing::over_others(0.1, classes));
    check_array(golden, "loss.eps0.1", loss.value().values(), forward_tolerance);
    record.backward(loss);
    int checked = 0;
    model.visit([&](std::string_view label, const variable& parameter) {
        const std::string name = message("g.", label);
        if (!golden.contains(name)) return;
        check_array(golden, name, parameter.gradient().values(), gradient_tolerance);
        ++checked;
    });
    CHECK(checked >= 30);

    SUBCASE("padding on the right gives the same logits") {
        source_type values(golden, "w.");
        const translation_transformer<tensor> plain(values, config);
        const auto right = testing::words_by_time(golden, "src_tokens_right");
        const auto from_right = plain.decode(previous, plain.encode(right, batch));
        check_close(plain.logits(from_right.hidden).values(),
                    testing::rows_by_time(golden, "logits_right"), forward_tolerance);
    }
}
