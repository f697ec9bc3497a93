// SPDX-License-Identifier: MIT
// PET's student, which runs through its layers twice: states, logits, loss and gradients against
// the reference, its size, and one cache for each pass.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/io/npz_parameters.hpp>
#include <tare/micronet/weigh_translation.hpp>
#include <tare/models/pet_config.hpp>
#include <tare/models/translation_stream.hpp>

#include "translation_pass.hpp"

using namespace tare;
using testing::check_array;
using testing::check_close;
using testing::forward_tolerance;

namespace {

/// The manifest's: sums of several uses of one matrix.
constexpr double gradient_tolerance = 2e-4;

translation_transformer_config student_config(const io::npz_archive& golden) {
    const auto rows = [&](const char* name) {
        return testing::array(golden, std::string("w.") + name).extents[0];
    };
    const nlohmann::json about = testing::golden_manifest("pet").at("config");
    std::size_t layers = 0;
    while (golden.contains(message("w.encoder.layers.", layers, ".fc1.weight")))
        ++layers;
    const pet_widths widths{about.at("pet_enc"), about.at("pet_encf"), about.at("pet_dec"),
                            about.at("pet_decf"), about.at("heads")};
    return pet_student_config(rows("encoder.embed_tokens.weight"),
                              rows("decoder.embed_tokens.weight"), layers, widths);
}

extent parameters_of(const translation_transformer_config& config) {
    extent all = 0;
    for (const ledger_item& item : micronet::weigh(config, {}, 2, 2).items())
        all += item.what.extents.size();
    return all;
}

}  // namespace

TEST_CASE("states, logits, loss and gradients of the student are those of the reference") {
    const io::npz_archive golden = testing::golden("pet/pet.npz");
    const auto config = published_pet_roles(student_config(golden));
    const testing::golden_batch batch(golden);
    tape record;
    using source_type = io::npz_parameters<float>;
    tape_parameters<source_type, float> source(record, source_type(golden, "w."));
    translation_transformer<variable> model(source, config);
    const testing::golden_pass pass(model, batch);
    CHECK(pass.source.states.size() == 2 * config.encoder_layers.size() + 1);
    CHECK(pass.target.states.size() == 2 * config.decoder_layers.size() + 1);
    CHECK(pass.check_states(golden, "", forward_tolerance) ==
          pass.source.states.size() + pass.target.states.size());
    check_close(pass.logits.value().values(), testing::rows_by_time(golden, "logits"),
                forward_tolerance);
    check_array(golden, "nll", train::smoothed_loss(pass.sums(batch), {}).value().values(),
                forward_tolerance);
    const variable loss = pass.loss(batch);
    check_array(golden, "loss", loss.value().values(), forward_tolerance);
    record.backward(loss);
    CHECK(testing::check_gradients(golden, "g.", model, gradient_tolerance) >= 20);
    // Every stored parameter is visited once, a shared projection under one name.
    std::vector<std::string> names;
    model.visit([&](std::string_view label, const variable&) { names.emplace_back(label); });
    for (const auto& entry : golden)
        if (entry.first.starts_with("w."))
            CHECK(std::count(names.begin(), names.end(), entry.first.substr(2)) == 1);
}

TEST_CASE("word by word each pass has keys and values of its own") {
    const io::npz_archive golden = testing::golden("pet/pet.npz");
    io::npz_parameters<float> source(golden, "w.");
    const testing::golden_batch all(golden);
    const extent batch = all.sentences;
    const auto length = static_cast<extent>(all.previous.size()) / batch;
    const auto published = published_pet_roles(student_config(golden));
    for (const auto& config : {student_config(golden), published}) {
        const translation_transformer<tensor> model(source, config);
        const auto encoded = model.encode(all.words, batch);
        const tensor whole = model.decode(all.previous, encoded).hidden;
        translation_stream stream(model, encoded);
        std::vector<token> rows;
        for (extent b = 0; b < batch; ++b)
            rows.push_back(static_cast<token>(b));
        for (extent t = 0; t < length; ++t) {
            // Without padding before it, a position sees the same in both ways.
            const auto last =
                std::span(all.previous)
                    .subspan(static_cast<std::size_t>(t * batch), static_cast<std::size_t>(batch));
            if (std::find(last.begin(), last.end(), config.padding) != last.end()) break;
            const tensor step = stream.step(last, rows);
            check_close(step.values(), whole.slice(t, t + 1).values(), forward_tolerance);
        }
        CHECK(stream.position() >= 2);
    }
}

TEST_CASE("sizes are the published ones") {
    CHECK(parameters_of(pet_student_config(8848, 6632)) == 7'420'160);
    CHECK(parameters_of(pet_teacher_config(8848, 6632)) == 13'761'440);
    CHECK(parameters_of(pet_student_config(6632, 8848)) == 7'242'880);
    CHECK(parameters_of(translation_transformer_config::uniform(8848, 6632)) == 39'469'056);
}

TEST_CASE("two passes cost what four layers cost, but are stored once") {
    const pet_widths small{16, 24, 12, 20, 2};
    const auto executed = [](const translation_transformer_config& config) {
        const ledger book = micronet::weigh(config, {}, 5, 3);
        extent all = 0;
        for (const ledger_module& m : book.modules())
            for (const ledger_entry& e : m.entries)
                for (const charge& c : e.charges)
                    all += c.count;
        return all;
    };
    CHECK(executed(pet_student_config(20, 30, 2, small)) ==
          executed(pet_teacher_config(20, 30, 4, small)));
    CHECK(parameters_of(pet_student_config(20, 30, 2, small)) <
          parameters_of(pet_teacher_config(20, 30, 2, small)));
}

TEST_CASE(
    "the shared projection starts as that of cross-attention, and impossible roles are refused") {
    struct recorder {
        double bound = 0.0;
        tensor parameter(std::string_view label, const shape& extents, const initial& start) {
            if (label == "decoder.layers.0.self_attn.q_proj.weight") bound = start.bound;
            CHECK(label.find("encoder_attn.q_proj") == std::string_view::npos);
            return tensor(extents, 0.0F);
        }
    };
    recorder apart;
    const translation_transformer<tensor> student(apart, pet_student_config(8, 8));
    CHECK(apart.bound == doctest::Approx(std::sqrt(6.0 / 480.0)));
    recorder alike;
    const pet_widths one{64, 64, 64, 64, 4};
    const translation_transformer<tensor> square(alike, pet_student_config(8, 8, 1, one));
    CHECK(alike.bound == doctest::Approx(std::sqrt(6.0 / 128.0) / std::sqrt(2.0)));

    auto config = pet_student_config(8, 8);
    config.encoder_layers[1].self.value_width = 160;
    CHECK_THROWS_AS(config.check(), error);
    config = pet_student_config(8, 8);
    config.decoder_layers[0].cross.key_width = 120;
    CHECK_THROWS_AS(config.check(), error);
    config = pet_student_config(8, 8);
    config.decoder_passes = {};
    CHECK_THROWS_AS(config.check(), error);
}
