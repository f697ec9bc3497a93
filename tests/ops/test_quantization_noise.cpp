// SPDX-License-Identifier: MIT
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/ops/gather.hpp>
#include <tare/ops/linear.hpp>
#include <tare/ops/quantization_noise.hpp>
#include <tare/ops/reshape.hpp>
#include <tare/quantize/histogram_observer.hpp>
#include <tare/readings/gradient.hpp>

#include "golden_distance.hpp"
#include "golden_gradient.hpp"
#include "golden_manifest.hpp"

using tare::extent;
using tare::integer_grid;
using tare::noise_mask;
using tare::shape;
using tare::tensor;
using tare::token;
using tare::variable;
using tare::testing::far_apart;
using tare::testing::golden_tensor;
using tare::testing::gradient_relative;
using tare::testing::value_relative;
using tare::testing::values;
using tare::testing::weigh;

namespace {

// `noised` is what the reference writes for a noised block or element.
noise_mask mask_of(const tare::io::npz_archive& golden, const std::string& name, float noised) {
    std::vector<std::uint8_t> mask;
    for (const float m : values<float>(golden, name))
        mask.push_back(m == noised ? 1 : 0);
    return std::make_shared<const std::vector<std::uint8_t>>(std::move(mask));
}

}  // namespace

TEST_CASE("block noise computes and learns as the reference does, and leaves the parameter alone") {
    const auto golden = tare::testing::golden("daq/quant_noise.npz");
    const auto cases = tare::testing::golden_cases("daq", "quant_noise.npz");
    for (const auto& [key, about] : cases.items()) {
        const std::string name = key;
        if (!name.starts_with("linear")) continue;
        CAPTURE(name);
        const auto& info = about.at("info");
        // The reference writes the noise over the parameter: its second step starts from there.
        for (const char* const step : {"1", "2"}) {
            CAPTURE(step);
            const auto get = [&, prefix = name + "."](const char* array) {
                return golden_tensor(golden, tare::message(prefix, array, step));
            };
            const tensor start = step[0] == '1' ? golden_tensor(golden, name + ".weight")
                                                : golden_tensor(golden, name + ".noised_weight1");
            tare::tape t;
            const variable w = t.parameter(start.clone());
            const variable x = t.parameter(get("x"));
            const variable noised =
                block_noise(w, info.at("block"), info.at("p"),
                            mask_of(golden, tare::message(name, ".mask", step), 1.0F));
            CHECK(far_apart(noised.value().values(),
                            values<float>(golden, tare::message(name, ".noised_weight", step)),
                            value_relative) == 0);
            const variable y = linear(x, noised, t.constant(golden_tensor(golden, name + ".bias")));
            const auto wrong = [&](std::span<const float> got, const char* array, double relative) {
                return far_apart(got, values<float>(golden, tare::message(name, '.', array, step)),
                                 relative);
            };
            CHECK(wrong(y.value().values(), "y", value_relative) == 0);
            t.backward(weigh(y, get("gy")));
            CHECK(wrong(w.gradient().values(), "grad_weight", gradient_relative) == 0);
            CHECK(wrong(x.gradient().values(), "grad_x", gradient_relative) == 0);
            CHECK(std::ranges::equal(w.value().values(), start.values()));
        }
    }
}

TEST_CASE("embeddings and kernels are noised block by block") {
    const auto golden = tare::testing::golden("daq/quant_noise.npz");
    const auto cases = tare::testing::golden_cases("daq", "quant_noise.npz");
    for (const std::string name : {"embedding", "conv3x3"}) {
        CAPTURE(name);
        const auto& info = cases.at(name).at("info");
        tare::tape t;
        const variable noised =
            block_noise(t.parameter(golden_tensor(golden, name + ".weight")), info.at("block"),
                        info.at("p"), mask_of(golden, name + ".mask", 1.0F));
        CHECK(far_apart(noised.value().values(), values<float>(golden, name + ".noised_weight"),
                        value_relative) == 0);
        if (name != "embedding") continue;
        const auto index = values<std::int64_t>(golden, "embedding.idx");
        const variable y = gather(noised, std::vector<token>(index.begin(), index.end()));
        CHECK(far_apart(y.value().values(), values<float>(golden, "embedding.y"), value_relative) ==
              0);
    }
}

TEST_CASE("integer layers compute and learn as the reference does, in training and evaluation") {
    const auto golden = tare::testing::golden("daq/scalar_quant.npz");
    for (const std::string name : {"intlinear_tensor", "intlinear_histogram"}) {
        if (golden.find(name + ".weight") == golden.end()) continue;  // a large case, given only
        CAPTURE(name);
        const integer_grid grid{values<float>(golden, name + ".scale")[0],
                                std::int32_t(values<float>(golden, name + ".zero_point")[0]),
                                {}};
        for (const bool training : {true, false}) {
            CAPTURE(training);
            const std::string mode = name + (training ? ".train_" : ".eval_");
            tare::tape t;
            const variable w = t.parameter(golden_tensor(golden, name + ".weight"));
            tare::op::scalar_noise noise{{grid}, {}, true};
            if (training) noise.mask = mask_of(golden, name + ".keep_mask", 0.0F);
            const variable y =
                linear(t.constant(golden_tensor(golden, mode + "x")), apply(noise, w),
                       t.constant(golden_tensor(golden, name + ".bias")));
            CHECK(far_apart(y.value().values(), values<float>(golden, mode + "y"),
                            value_relative) == 0);
            t.backward(weigh(y, golden_tensor(golden, mode + "gy")));
            CHECK(far_apart(w.gradient().values(), values<float>(golden, mode + "grad_weight"),
                            gradient_relative) == 0);
        }
    }
    const integer_grid grid{values<float>(golden, "activation.scale")[0],
                            std::int32_t(values<float>(golden, "activation.zero_point")[0]),
                            {}};
    tare::tape t;
    const variable x = t.parameter(golden_tensor(golden, "activation.x"));
    tare::op::scalar_noise noise{{grid}, mask_of(golden, "activation.keep_mask", 0.0F), true};
    const variable y =
        apply(noise, linear(x, t.constant(golden_tensor(golden, "activation.weight"))));
    CHECK(far_apart(y.value().values(), values<float>(golden, "activation.y"), value_relative) ==
          0);
    t.backward(weigh(y, golden_tensor(golden, "activation.gy")));
    CHECK(far_apart(x.gradient().values(), values<float>(golden, "activation.grad_x"),
                    gradient_relative) == 0);
}

TEST_CASE("evaluation quantizes everything, also with scales for each input feature") {
    const auto golden = tare::testing::golden("daq/scalar_quant.npz");
    const auto cases = tare::testing::golden_cases("daq", "scalar_quant.npz");
    int checked = 0;
    for (const auto& [key, about] : cases.items()) {
        const std::string name = key;
        if (!name.starts_with("emulate_")) continue;
        CAPTURE(name);
        const auto& info = about.at("info");
        // The reference's four bits keep the scale of eight and end at 15.
        const tare::code_range codes = tare::unsigned_codes(info.at("bits").get<int>());
        const auto scales = values<float>(golden, name + ".scale");
        const auto zeros = values<float>(golden, name + ".zero_point");
        std::vector<integer_grid> grids;
        for (std::size_t i = 0; i < scales.size(); ++i)
            grids.push_back({scales[i], std::int32_t(zeros[i]), codes});
        tare::tape t;
        const variable x = t.constant(golden_tensor(
            golden, tare::message("data_", info.at("data").get<std::string>(), ".x")));
        CHECK(far_apart(scalar_noise(x, grids).value().values(),
                        values<float>(golden, name + ".dequant"), value_relative) == 0);
        ++checked;
    }
    CHECK(checked >= 3);
}

TEST_CASE("what lies outside the range comes to its end, quantized or not") {
    tare::tape t;
    const integer_grid grid = tare::affine_grid({-1.0F, 1.0F}, tare::unsigned_codes(2));
    const tensor values_in({1, 4}, std::vector<float>{-5.0F, 5.0F, -5.0F, 0.1F});
    const auto mask =
        std::make_shared<const std::vector<std::uint8_t>>(std::vector<std::uint8_t>{1, 0, 0, 1});
    const variable x = t.parameter(values_in);
    const variable y = scalar_noise(x, {grid}, mask);
    CHECK(std::ranges::equal(y.value().values(), std::vector<float>{grid.lowest(), grid.highest(),
                                                                    grid.lowest(), 0.0F}));
    t.backward(weigh(y, tensor({1, 4}, 3.0F)));
    CHECK(std::ranges::equal(x.gradient().values(), std::vector<float>{0, 0, 0, 3}));
}

TEST_CASE("masks are drawn with their probability, and misuse is refused by name") {
    const tare::random_stream draws(5, 0);
    const auto mask = tare::draw_noise(10000, 0.2F, draws);
    const auto noised = std::ranges::count(*mask, std::uint8_t{1});
    CHECK(std::abs(double(noised) - 2000.0) < 5.0 * 40.0);  // five standard deviations
    CHECK(*tare::draw_noise(10000, 0.2F, draws) == *mask);
    CHECK_THROWS_AS(static_cast<void>(tare::draw_noise(1, 1.5F, draws)), tare::error);
    tare::tape t;
    const variable w = t.parameter(tensor({3, 12}, 1.0F));
    const variable noisy = block_noise(w, 4, 0.5F, draws);
    for (std::size_t i = 0; i < 36; ++i) {
        const float v = noisy.value().values()[i];
        CHECK((v == 0.0F || v == 2.0F));
        CHECK(v == noisy.value().values()[i / 4 * 4]);
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(block_noise(w, 8, 0.5F, draws)),
                         doctest::Contains("blocks of 8"), tare::error);
    CHECK_THROWS_WITH_AS(static_cast<void>(block_noise(w, 4, 1.0F, draws)),
                         doctest::Contains("[0, 1)"), tare::error);
    CHECK_THROWS_WITH_AS(static_cast<void>(block_noise(w, 4, 0.5F, mask)),
                         doctest::Contains("10000 entries"), tare::error);
    CHECK_THROWS_WITH_AS(static_cast<void>(scalar_noise(w, std::vector<integer_grid>(5))),
                         doctest::Contains("5 scales"), tare::error);
}
