// SPDX-License-Identifier: MIT
// PET's two stages: what each loses is the sum of its parts, the student's shared weights learn
// from it, and a student that is its teacher has nothing to follow.
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <tare/models/pet_config.hpp>
#include <tare/train/pet_training.hpp>
#include <tare/train/translation_trainer.hpp>

#include "small_translation.hpp"

using namespace tare;
using namespace tare::train;

namespace {

using teacher_type = translation_transformer<tensor>;

/// The same sums by another route: float32 products and logarithms of terms near 1.
constexpr double same_loss = 1e-5;

const pet_widths widths{16, 24, 12, 20, 2};

struct school {
    text::translation_batch batch = testing::whole_batch(testing::random_pairs(12));
    translation_trainer<> teacher{pet_teacher_config(16, 16, 6, widths),
                                  random_parameters<float>(2),
                                  {.dropout = {0.0}},
                                  translation_adam()};

    school() {
        for (int i = 0; i < 20; ++i)
            teacher.step(batch, 3e-3);
    }
    template <class Method>
    [[nodiscard]] method_trainer<Method> student(Method method) const {
        return {pet_student_config(16, 16, 2, widths),
                random_parameters<float>(3),
                {.dropout = {0.0}},
                translation_adam(),
                {},
                std::move(method)};
    }
};

/// Losses of updates at one rate.
template <class Trainer>
std::vector<double> losses(Trainer& trainer, const text::translation_batch& batch, int updates) {
    std::vector<double> out;
    for (int i = 0; i < updates; ++i)
        out.push_back(trainer.step(batch, 3e-3).loss);
    return out;
}

}  // namespace

TEST_CASE("the last word of a sentence stands before its padding on the right, last on the left") {
    text::padded_sentences s{{5, 6, 7, 8, 1, 9}, 2, 3};
    CHECK(last_word_rows(s) == std::vector<token>{2, 5});
    s.ids = {1, 6, 7, 8, 9, 9};
    CHECK(last_word_rows(s) == std::vector<token>{4, 5});
    s.ids = {1, 6, 1, 8, 1, 9};
    CHECK_THROWS_AS(static_cast<void>(last_word_rows(s)), error);
}

TEST_CASE("the loss of distillation is the weighed sum of its parts") {
    const school s;
    const teacher_type teacher = s.teacher.plain_model();
    const translation_pass<tensor> seen = run_pass(teacher, s.batch);
    const auto first = [&](const pet_weights& weights) {
        auto t = s.student(pet_distillation(teacher, {.weights = weights}));
        return t.step(s.batch, 0.0);
    };
    const step_report labels = first({0.0, 0.0});
    const double soft = first({1.0, 0.0}).loss;
    const double both = first({0.1, 50.0}).loss;
    const double patient = first({0.0, 1.0}).loss - labels.loss;
    CHECK(both == doctest::Approx(0.9 * labels.loss + 0.1 * soft + 50.0 * patient).epsilon(1e-4));
    CHECK(patient > 0.0);
    // A cross-entropy against the softened teacher: near ln 16, as both are nearly flat at T = 10.
    CHECK(soft == doctest::Approx(std::log(16.0)).epsilon(0.02));
    // By hand, a state at a time.
    auto plain = s.student(plain_translation{});
    const translation_pass<tensor> own = run_pass(plain.plain_model(), s.batch);
    const auto side = [&](const auto& student, const auto& master, const auto& words) {
        return static_cast<double>(patient_loss(std::span<const tensor>(student),
                                                std::span<const tensor>(master),
                                                last_word_rows(words))
                                       .values()[0]);
    };
    const double hand = (side(own.source.states, seen.source.states, s.batch.source) +
                         side(own.target.states, seen.target.states, s.batch.previous)) /
                        2.0 / own.count();
    CHECK(std::abs(hand - patient) <= same_loss);
}

TEST_CASE("both stages teach the student") {
    const school s;
    const teacher_type teacher = s.teacher.plain_model();
    auto warm = s.student(pet_warm_up(teacher));
    const std::vector<double> first = losses(warm, s.batch, 30);
    CHECK(first.back() < 0.9 * first.front());
    method_trainer<pet_distillation<teacher_type>> student(warm.config(), warm.weights(),
                                                           {.dropout = {0.0}}, translation_adam(),
                                                           {}, pet_distillation(teacher));
    const std::vector<double> second = losses(student, s.batch, 30);
    CHECK(second.back() < 0.9 * second.front());
    // The warm-up's student is as it was left: another trainer has weights of its own.
    CHECK(warm.values_of("encoder.layers.0.fc1.weight")[0] !=
          student.values_of("encoder.layers.0.fc1.weight")[0]);
}

TEST_CASE("a teacher of too few states or other widths is refused") {
    const school s;
    const auto refused = [&](std::size_t layers, const pet_widths& of) {
        translation_trainer<> other(pet_teacher_config(16, 16, layers, of),
                                    random_parameters<float>(2), {}, translation_adam());
        auto t = s.student(pet_distillation(other.plain_model()));
        CHECK_THROWS_AS(t.step(s.batch, 1e-3), error);
    };
    refused(3, widths);
    refused(6, {20, 24, 12, 20, 2});
}
