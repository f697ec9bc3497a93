#pragma once
// SPDX-License-Identifier: MIT
// How PET's student learns from a teacher, in two stages:
//     warm-up       the student predicts how the teacher fares at each word, in four classes
//     distillation  labels, the teacher's softened distribution, and its states layer by layer
// The sharing of weights is the configuration's (models/pet_config.hpp): both are methods for any
// pair of models over the same dictionaries; distillation wants equal widths, and states enough
// in the teacher. Teachers do not drop anything.
// The published warm-up ran without gradients and left the student as it began; this one trains.
// Source: PET, PLOS ONE 18(7) e0288060 (2023), and its code.

#include <utility>
#include <vector>

#include <tare/train/patient_distillation.hpp>
#include <tare/train/simplified_task.hpp>
#include <tare/train/translation_distillation.hpp>
#include <tare/train/translation_method.hpp>

namespace tare::train {

/// Row of the last word of each sentence in states (T, B, width); padding on either side.
/// **Throws** as last_token_rows().
[[nodiscard]] inline std::vector<token> last_word_rows(const text::padded_sentences& sentences) {
    std::vector<token> by_sentence;
    for (extent b = 0; b < sentences.sentences; ++b)
        for (extent t = 0; t < sentences.length; ++t)
            by_sentence.push_back(
                sentences.ids[static_cast<std::size_t>(t * sentences.sentences + b)]);
    return last_token_rows(by_sentence, sentences.sentences, text::padding_id);
}

/// The first stage. `Teacher` is a translation_transformer<tensor, ...>.
template <class Teacher>
class pet_warm_up : public plain_translation {
  public:
    explicit pet_warm_up(Teacher teacher, simplified_task_limits limits = {},
                         double smoothing = 0.1)
        : teacher_(std::move(teacher)),
          limits_(limits),
          label_(label_smoothing::over_others(smoothing, classes)) {}

    /// The labels' smoothing is over the four classes, whatever the trainer's.
    template <class T>
    [[nodiscard]] T loss(const translation_pass<T>& pass, const T&, const label_smoothing&) const {
        const tensor seen = run_pass(teacher_, *pass.batch).logits;
        const std::vector<token> fared = simplified_labels(seen, pass.words, limits_);
        return scale_by(simplified_loss(confidence_classes(pass.logits, pass.words), fared, label_),
                        1.0 / pass.count());
    }

  private:
    static constexpr extent classes = 4;

    Teacher teacher_;
    simplified_task_limits limits_;
    label_smoothing label_;
};

/// What the second stage goes by.
struct pet_distillation_options {
    pet_weights weights{};
    patient_options patient{};
    double temperature = translation_temperature;
};

/// The second stage. **Throws** (loss) as patient_loss(), where states are too few or of another
/// width.
template <class Teacher>
class pet_distillation : public plain_translation {
  public:
    explicit pet_distillation(Teacher teacher, const pet_distillation_options& options = {})
        : teacher_(std::move(teacher)), options_(options) {}

    /// All terms are sums over the batch, divided by its target tokens together.
    template <class T>
    [[nodiscard]] T loss(const translation_pass<T>& pass, const T& sums,
                         const label_smoothing& label) const {
        auto& tape = pass.logits.tape();
        const translation_pass<tensor> seen = run_pass(teacher_, *pass.batch);
        const auto follow = [&](const std::vector<T>& student, const std::vector<tensor>& teacher,
                                const text::padded_sentences& words) {
            std::vector<T> states;
            for (const tensor& state : teacher)
                states.push_back(tape.constant(state));
            return patient_loss(std::span<const T>(student), std::span<const T>(states),
                                last_word_rows(words), options_.patient);
        };
        const T encoder = follow(pass.source.states, seen.source.states, pass.batch->source);
        const T decoder = follow(pass.target.states, seen.target.states, pass.batch->previous);
        return scale_by(pet_loss(smoothed_loss(sums, label), pass.logits,
                                 tape.constant(seen.logits), encoder, decoder, options_.weights,
                                 options_.temperature),
                        1.0 / pass.count());
    }

  private:
    Teacher teacher_;
    pet_distillation_options options_;
};

}  // namespace tare::train
