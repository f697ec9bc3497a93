// SPDX-License-Identifier: MIT
// The latency predictor against the released network's arithmetic, and on latencies made up of the
// features, where what there is to learn is known.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/io/npz_parameters.hpp>
#include <tare/train/latency_predictor.hpp>

#include "golden_distance.hpp"
#include "golden_gradient.hpp"
#include "golden_manifest.hpp"

using namespace tare;
using testing::far_apart;
using testing::golden_tensor;
using testing::values;
using train::latency_sample;

namespace {

// The fixture writes "layers_0_weight" where the network has "layers.0.weight".
std::string array_name(std::string label) {
    for (char& c : label)
        if (c == '.') c = '_';
    return label;
}

struct fixture_parameters {
    const io::npz_archive* golden;

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial&) const {
        tensor w = golden_tensor(*golden, "latency_mlp." + array_name(std::string(label)));
        REQUIRE(w.shape() == extents);
        return w;
    }
};

// Networks whose latency is a line in two features and a product of two others.
std::vector<latency_sample> made_up(std::size_t count) {
    std::vector<latency_sample> out;
    const random_stream random(5, 0);
    for (std::uint64_t i = 0; i < count; ++i) {
        latency_sample s;
        for (std::size_t f = 0; f < s.features.size(); ++f)
            s.features[f] = latency_scale{}.divisors[f] *
                            (0.5 + 0.5 * static_cast<double>(random.uniform(10 * i + f)));
        const auto& x = s.features;
        s.milliseconds = 10.0 + x[0] / 64.0 + 20.0 * x[5] / 6.0 * (x[6] / 2048.0) + 8.0 * x[5];
        out.push_back(s);
    }
    return out;
}

}  // namespace

TEST_CASE("the latency network predicts and learns as the released one does") {
    const auto golden = testing::golden("daq/misc.npz");
    const auto info = testing::golden_cases("daq", "misc.npz").at("latency_mlp").at("info");
    const tensor x = golden_tensor(golden, "latency_mlp.x");
    latency_network_sizes sizes;
    sizes.features = x.shape()[1];
    sizes.hidden = info.at("hidden");
    sizes.hidden_layers = info.at("hidden_layers");
    const fixture_parameters given{&golden};
    fixture_parameters source = given;
    const tensor prediction = latency_network<tensor>(source, sizes)(x);
    CHECK(far_apart(prediction.values(), values<float>(golden, "latency_mlp.prediction")) == 0);

    train::latency_predictor predictor(given, sizes);
    std::vector<float> losses;
    for (int step = 0; step < info.at("steps").get<int>(); ++step)
        losses.push_back(static_cast<float>(
            predictor.step(x, golden_tensor(golden, "latency_mlp.y"), info.at("lr"))));
    CHECK(far_apart(losses, values<float>(golden, "latency_mlp.losses")) == 0);
    std::vector<std::string> labels{"first_layer", "predict"};
    for (std::size_t i = 0; i < sizes.hidden_layers; ++i)
        labels.push_back(message("layers.", i));
    for (const std::string& label : labels)
        for (const char* part : {".weight", ".bias"}) {
            CAPTURE(label);
            CHECK(far_apart(predictor.values_of(label + part),
                            values<float>(golden, "latency_mlp.after_" + array_name(label + part)),
                            testing::gradient_relative) == 0);
        }
}

TEST_CASE("a predictor learns latencies that it was not shown, the same from the same seed") {
    const latency_network_sizes sizes{.hidden = 32, .hidden_layers = 1};
    train::latency_fit_options options;
    options.steps = 600;
    options.batch = 32;
    options.rate = 2e-3;
    const auto fit = [&](train::latency_predictor& predictor) {
        return train::fit_latency(predictor, made_up(200), options);
    };
    train::latency_predictor predictor(random_parameters<float>(3), sizes, {.milliseconds = 100});
    const auto before = predictor.error_over(made_up(200));
    const train::latency_fit found = fit(predictor);
    // Latencies spread by 12 ms about their mean: a constant prediction would be 12 ms off.
    CHECK(before.root_mean_square > 30.0);
    CHECK(found.learnt.root_mean_square < 2.0);
    CHECK(found.tested.root_mean_square < 3.0);
    CHECK(found.tested.mean_relative < 0.05);
    // One network alone gets what it gets among others.
    const auto one = made_up(1).front();
    CHECK(predictor(one.features) == doctest::Approx(one.milliseconds).epsilon(0.1));

    train::latency_predictor again(random_parameters<float>(3), sizes, {.milliseconds = 100});
    set_threads(4);
    const train::latency_fit repeated = fit(again);
    set_threads(1);
    CHECK(repeated.tested.root_mean_square == found.tested.root_mean_square);
    CHECK(repeated.checked.mean_relative == found.checked.mean_relative);
}

TEST_CASE("features are scaled as published, and what makes no sense is refused") {
    const network_features raw{640, 6, 1024, 3, 512, 3, 2048, 6, 4, 3};
    CHECK(latency_scale{}.normalized(raw) ==
          network_features{1, 1, 0.5, 0.5, 0.8, 0.5, 1, 1, 4.0 / 6, 1.5});
    latency_scale none;
    none.divisors[3] = 0;
    CHECK_THROWS_WITH_AS(static_cast<void>(none.normalized(raw)), doctest::Contains("feature 3"),
                         error);
    const latency_network_sizes small{.hidden = 2, .hidden_layers = 0};
    train::latency_predictor predictor(random_parameters<float>(1), small);
    CHECK_THROWS_WITH_AS(predictor.step(std::vector<latency_sample>{}, 1e-3),
                         doctest::Contains("without samples"), error);
    CHECK_THROWS_WITH_AS(predictor.step(tensor({2, 10}), tensor(shape{3}), 1e-3),
                         doctest::Contains("latencies (3,)"), error);
    CHECK_THROWS_WITH_AS(train::fit_latency(predictor, made_up(1)),
                         doctest::Contains("0 of 1 samples"), error);
    CHECK_THROWS_WITH_AS(
        static_cast<void>(predictor.error_over(std::vector<latency_sample>{{raw, 0.0}})),
        doctest::Contains("0 ms"), error);
}
