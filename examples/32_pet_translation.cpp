// SPDX-License-Identifier: MIT
// PET on two texts: trains a teacher, then a student whose layers are run through twice, first on
// how the teacher fares, then by distillation; weighs and tests both.
//     32_pet_translation --help
#include <cstdio>

#include <CLI/CLI.hpp>

#include <tare/models/pet_config.hpp>
#include <tare/train/peak_schedule.hpp>
#include <tare/train/pet_training.hpp>
#include <tare/train/translation_trainer.hpp>

#include "translation_example.hpp"

namespace {

using namespace tare;
using teacher_type = translation_transformer<tensor>;

struct options : translation_example {
    extent updates = 1400;
    extent warm_up = 100;
    extent distillation = 1400;
    pet_widths widths{256, 512, 192, 384, 4};
    train::pet_distillation_options how;
    bool alone = false;

    explicit options(CLI::App& app) : translation_example(app) {
        add_count(app, "--updates", updates, "of the teacher");
        add_count(app, "--warm-up", warm_up, "updates of the student's first stage");
        add_count(app, "--distillation", distillation, "updates of its second");
        add_count(app, "--encoder-width", widths.encoder,
                  "of both models; multiples of 4, as the others");
        add_count(app, "--encoder-inner", widths.encoder_inner, "width");
        add_count(app, "--decoder-width", widths.decoder, "of both models");
        add_count(app, "--decoder-inner", widths.decoder_inner, "width");
        app.add_option("--soft", how.weights.soft, "share of the teacher's distribution")
            ->capture_default_str();
        app.add_option("--patient", how.weights.patient, "weight of the teacher's states")
            ->capture_default_str();
        app.add_flag("--alone", alone, "also train the student without a teacher");
    }
};

template <class Trainer>
void weigh_and_test(const char* what, const example_texts& texts, const Trainer& trainer) {
    std::printf("-- %s\n", what);
    weigh_example(trainer.config());
    static_cast<void>(test_example(texts, trainer.plain_model()));
}

void run(const options& o) {
    const example_texts texts(o);
    const train::translation_options how{.seed = o.seed};
    const train::adamw adam = train::translation_adam();
    const train::peaked_inverse_root rate{1e-3, {1000}};
    const auto source_words = static_cast<extent>(texts.pieces.source().size());
    const auto target_words = static_cast<extent>(texts.pieces.target().size());
    const random_parameters<float> start(o.seed);
    train::translation_trainer<> teacher(
        pet_teacher_config(source_words, target_words, 6, o.widths), start, how, adam);
    train_example(o, texts, teacher, o.updates, rate, "pet_teacher", {});
    weigh_and_test("teacher", texts, teacher);

    const translation_transformer_config small =
        pet_student_config(source_words, target_words, 2, o.widths);
    io::checkpoint_facts facts{{"teacher", message(o.updates, " updates")}};
    train::method_trainer<train::pet_warm_up<teacher_type>> first(
        small, start, how, adam, {}, train::pet_warm_up(teacher.plain_model()));
    std::printf("-- warm-up\n");
    train_example(o, texts, first, o.warm_up, rate, "pet_warm_up", facts);
    facts["stage"] = message("after ", o.warm_up, " of warm-up, soft ", o.how.weights.soft,
                             ", patient ", o.how.weights.patient);
    train::method_trainer<train::pet_distillation<teacher_type>> second(
        small, first.weights(), how, adam, {},
        train::pet_distillation(teacher.plain_model(), o.how));
    std::printf("-- distillation\n");
    train_example(o, texts, second, o.distillation, rate, "pet_student", facts);
    weigh_and_test("student", texts, second);
    if (!o.alone) return;
    train::translation_trainer<> alone(small, start, how, adam);
    std::printf("-- without a teacher\n");
    train_example(o, texts, alone, o.distillation, rate, "pet_alone", {});
    weigh_and_test("student without a teacher", texts, alone);
}

}  // namespace

int main(int count, char** words) {
    CLI::App app("Trains a Transformer of 6 + 6 layers on two texts, and from it one of 2 + 2 "
                 "layers that are each used twice.");
    const options o(app);
    CLI11_PARSE(app, count, words);
    return tare::run_example([&] { run(o); });
}
