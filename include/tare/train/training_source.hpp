#pragma once
// SPDX-License-Identifier: MIT
// Where a model that is trained takes its parts from: parameters become leaves of a tape, and the
// places of dropout (nn/dropout_place.hpp) drop where a clock runs.

#include <memory>
#include <string_view>
#include <utility>

#include <tare/nn/activation_point.hpp>
#include <tare/nn/dropout_place.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/readings/gradient.hpp>
#include <tare/train/trainer_options.hpp>

namespace tare::train {

/// The clock that dropout goes by; null without dropout. **Throws** tare::error unless the
/// probability is one below 1.
[[nodiscard]] inline std::shared_ptr<dropout_clock> make_dropout_clock(const trainer_options& o) {
    require(o.dropout >= 0.0 && o.dropout < 1.0, "trainer: dropout ", o.dropout,
            "; it is a probability below 1");
    if (o.dropout == 0.0) return nullptr;
    return std::make_shared<dropout_clock>(dropout_clock{static_cast<float>(o.dropout), o.seed, 0});
}

/// Values of `Source` as leaves of a tape, and points that drop.
template <class Source, class Precision>
struct training_source : tape_parameters<Source, float, Precision> {
    using base = tape_parameters<Source, float, Precision>;
    using point_type = activation_point<basic_variable<float, Precision>>;
    std::shared_ptr<const dropout_clock> clock;

    training_source(basic_tape<float, Precision>& tape, Source source,
                    std::shared_ptr<const dropout_clock> shared)
        : base(tape, std::move(source)), clock(std::move(shared)) {}
    [[nodiscard]] point_type point(std::string_view label) const {
        return dropout_place::is_one(label) ? dropout_point(label) : point_type();
    }
    [[nodiscard]] point_type dropout_point(std::string_view label) const {
        if (!clock) return {};
        return point_type(std::make_shared<const dropout_place>(clock, label));
    }
};

}  // namespace tare::train
