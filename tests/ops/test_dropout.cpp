// SPDX-License-Identifier: MIT
// Dropout in training: the gradient passes where the value did, masks depend on seed, step and
// place alone, and a training with dropout resumes with the same bits.
#include <cmath>

#include <doctest/doctest.h>

#include <tare/nn/dropout_place.hpp>
#include <tare/ops/mean.hpp>
#include <tare/readings/gradient.hpp>
#include <tare/train/trainer.hpp>

#include "hanlab_model.hpp"

using namespace tare;

TEST_CASE("the gradient passes where the value did, with the same factor") {
    const op::dropout half{0.5F, random_stream(3, 1)};
    for (const extent size : {extent{1}, extent{15}, extent{16}, extent{17}, extent{1000}}) {
        tape record;
        tensor ones(shape{size}, 1.0F);
        const variable x = record.parameter(ones);
        const variable y = apply(half, x);
        record.backward(scale_by(mean(y), static_cast<double>(size)));
        for (std::size_t i = 0; i < static_cast<std::size_t>(size); ++i) {
            const float v = y.value().values()[i];
            CHECK((v == 0.0F || v == 2.0F));
            // d(sum)/dx is the kept factor itself; the mean's 1/n and n round to it exactly where
            // n is a power of two, within one rounding elsewhere.
            CHECK(x.gradient().values()[i] ==
                  doctest::Approx(static_cast<double>(v)).epsilon(1e-6));
        }
    }
}

TEST_CASE("double and float drop the same elements") {
    const op::dropout some{0.3F, random_stream(9, 4)};
    std::vector<float> narrow(100, 1.0F);
    std::vector<double> broad(100, 1.0);
    std::vector<float> a(100);
    std::vector<double> b(100);
    kernels::dropout(narrow, some.probability, some.stream, a);
    kernels::plain::dropout<double>(broad, some.probability, some.stream, b);
    for (std::size_t i = 0; i < a.size(); ++i)
        CHECK((a[i] == 0.0F) == (b[i] == 0.0));
}

TEST_CASE("masks differ from step to step and from place to place, and repeat with them") {
    const auto clock = std::make_shared<dropout_clock>(dropout_clock{0.5F, 7, 0});
    const auto mask = [&](std::string_view label) {
        const op::dropout now = dropout_place(clock, label).now();
        std::vector<float> x(256, 1.0F);
        kernels::dropout(x, now.probability, now.stream, x);
        return x;
    };
    const std::vector<float> first = mask("layers.0.relu");
    CHECK(first == mask("layers.0.relu"));
    CHECK(first != mask("layers.1.relu"));
    clock->step = 1;
    CHECK(first != mask("layers.0.relu"));
    clock->step = 0;
    CHECK(first == mask("layers.0.relu"));
    CHECK(dropout_place::is_one("layers.3.fc.3"));
    CHECK_FALSE(dropout_place::is_one("layers.3.qkv"));
}

namespace {

std::vector<float> trained(double dropout, std::uint64_t seed, int count) {
    set_threads(count);
    const std::vector<token> words =
        testing::tokens_of(testing::golden("hanlab/tokens.npz"), "train");
    train::trainer_options options;
    options.dropout = dropout;
    options.seed = seed;
    train::trainer<> t(testing::hanlab_config(), testing::hanlab_parameters{}, options);
    for (extent s = 0; s < 3; ++s) {
        const auto at = words.begin() + 24 * s;
        t.step(std::vector<token>(at, at + 24), std::vector<token>(at + 1, at + 25), 1e-2);
    }
    set_threads(1);
    std::vector<float> all;
    for (auto& p : t.parameters())
        all.insert(all.end(), p.value.value().values().begin(), p.value.value().values().end());
    return all;
}

}  // namespace

TEST_CASE("training with dropout depends on probability and seed, not on threads") {
    const std::vector<float> one = trained(0.3, 1, 1);
    CHECK(one == trained(0.3, 1, 4));
    CHECK(one != trained(0.3, 2, 1));
    CHECK(one != trained(0.0, 1, 1));
    CHECK(trained(0.0, 1, 1) == trained(0.0, 2, 1));
    CHECK_THROWS_WITH_AS(trained(1.0, 1, 1), doctest::Contains("dropout"), error);
}
