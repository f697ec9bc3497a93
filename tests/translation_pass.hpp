#pragma once
// SPDX-License-Identifier: MIT
// What tests of whole translation models share: a stored batch, what a model on a tape makes of it,
// and the comparison with the states, gradients and sizes of an archive.

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <tare/models/translation_transformer.hpp>
#include <tare/train/label_smoothing.hpp>

#include "golden_manifest.hpp"
#include "translation_arrays.hpp"
#include "translation_config.hpp"

namespace tare::testing {

/// The batch of an archive; targets are -1 where there is none.
struct golden_batch {
    std::vector<token> words;
    std::vector<token> previous;
    std::vector<token> targets;
    extent sentences;

    explicit golden_batch(const io::npz_archive& golden)
        : words(words_by_time(golden, "src_tokens")),
          previous(words_by_time(golden, "prev_output_tokens")),
          targets(train::without_padding(words_by_time(golden, "target"), 1)),
          sentences(array(golden, "src_tokens").extents[0]) {}
};

/// What a model on a tape makes of a batch.
struct golden_pass {
    encoded_source<variable> source;
    decoded_target<variable> target;
    variable logits;  ///< (T, B, classes)

    template <class Model>
    golden_pass(const Model& model, const golden_batch& batch)
        : source(model.encode(batch.words, batch.sentences)),
          target(model.decode(batch.previous, source)),
          logits(model.logits(target.hidden)) {}
    /// The two sums that losses are made of.
    [[nodiscard]] variable sums(const golden_batch& batch) const {
        const extent classes = logits.shape().columns();
        return log_softmax_sums(reshape(logits, shape{logits.shape().rows(), classes}),
                                batch.targets);
    }
    /// Summed loss of labels smoothed by 0.1, as all the arrays have it.
    [[nodiscard]] variable loss(const golden_batch& batch) const {
        return train::smoothed_loss(
            sums(batch), train::label_smoothing::over_others(0.1, logits.shape().columns()));
    }
    /// Checks the states that an archive has, as `head` + "enc.state.0" and so on; how many.
    std::size_t check_states(const io::npz_archive& golden, const std::string& head,
                             double tolerance) const {
        std::size_t checked = 0;
        const auto check = [&](const char* side, const std::vector<variable>& states) {
            for (std::size_t i = 0; i < states.size(); ++i) {
                const std::string name = message(head, side, ".state.", i);
                if (!golden.contains(name)) continue;
                check_array(golden, name, states[i].value().values(), tolerance);
                ++checked;
            }
        };
        check("enc", source.states);
        check("dec", target.states);
        return checked;
    }
};

/// Checks the gradients of all parameters that an archive has one for, as `head` + name; how many.
template <class Model>
int check_gradients(const io::npz_archive& golden, const std::string& head, Model& model,
                    double tolerance) {
    int checked = 0;
    model.visit([&](std::string_view label, const variable& parameter) {
        const std::string name = message(head, label);
        if (!golden.contains(name)) return;
        check_array(golden, name, parameter.gradient().values(), tolerance);
        ++checked;
    });
    return checked;
}

}  // namespace tare::testing
