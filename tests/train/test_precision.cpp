// SPDX-License-Identifier: MIT
// Compressed training against the recorded steps of the reference: optimizers, and a network of two
// layers in which everything is compressed.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/formats/builtin.hpp>
#include <tare/formats/historical.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/layer_norm.hpp>
#include <tare/ops/leading_linear.hpp>
#include <tare/ops/linear.hpp>
#include <tare/ops/mean.hpp>
#include <tare/ops/pick_log_softmax.hpp>
#include <tare/ops/relu.hpp>
#include <tare/ops/scale.hpp>
#include <tare/ops/weighted_layer_norm.hpp>
#include <tare/quantize/smaq.hpp>
#include <tare/readings/gradient.hpp>
#include <tare/train/adam.hpp>
#include <tare/train/adamw.hpp>
#include <tare/train/precision.hpp>
#include <tare/train/sgd.hpp>

#include "golden_manifest.hpp"

using namespace tare;
using tare::testing::golden;
using tare::testing::values;

namespace {

using reference_smaq = smaq<smaq_faithful, smaq_stochastic>;
using truncating_smaq = smaq<smaq_faithful, smaq_truncating>;

// "Own statistics within 2e-6", of the larger of mean and deviation.
constexpr double statistics_tolerance = 2e-6;
// The rule of the fixtures: rounding flips in at most 3 % of the elements, since the value before
// rounding differs in its last bits between implementations.
constexpr double allowed_flips = 0.03;
// What one float32 step of an optimizer may differ by without compression: about ten roundings.
constexpr double step_tolerance = 10 * 0x1p-24;
// Of what the network hands to a compressor, relative to the tensor's largest: sums of at most 24
// products and a bias, and the three roundings of an update.
constexpr double input_tolerance = (24 + 1 + 3) * 0x1p-24;
// Of a loss: logits up to 2 of as many products, and ten roundings for softmax and mean.
constexpr double loss_tolerance = (2 * (24 + 1) + 10) * 0x1p-24;
// The arrays' own for losses where a code may flip: a step of a weight is about 0.02, its gradient
// 0.05.
constexpr double flipped_loss_tolerance = 0.02 * 0.05;

/// The random draws and statistics of a run, handed out in the order of the calls.
struct recording {
    std::vector<float> draws;
    std::vector<float> mean_std;
    std::size_t draw = 0;
    std::size_t call = 0;
    int calls_by_tag[3] = {};  // gradient, weight, state

    std::span<const float> take(std::size_t count) {
        REQUIRE(draw + count <= draws.size());
        draw += count;
        return std::span(draws).subspan(draw - count, count);
    }
};

/// SmaQ with the recorded statistics (checked against its own) and draws.
template <class Q>
struct recorded_smaq {
    static constexpr std::string_view name = "recorded_smaq";
    std::shared_ptr<recording> from{};

    void operator()(std::span<float> x, const train::compressor_call&) const {
        const std::size_t at = 2 * from->call++;
        if (x.size() < 8) return;
        const smaq_params p{from->mean_std.at(at), from->mean_std.at(at + 1)};
        const Q q;
        const smaq_params own = q.fit(x);
        const double unit = std::abs(double(p.mean)) + std::abs(double(p.deviation));
        CHECK(std::abs(double(own.mean) - double(p.mean)) <= statistics_tolerance * unit);
        CHECK(std::abs(double(own.deviation) - double(p.deviation)) <= statistics_tolerance * unit);
        if (from->draws.empty()) {
            q.fake_quantize(x, p, x);
        } else {
            q.fake_quantize(x, p, from->take(x.size()), x);
        }
    }
};

/// A historical format with the recorded random integers.
template <class F>
struct recorded_format {
    static constexpr std::string_view name = "recorded_format";
    std::shared_ptr<recording> from{};

    void operator()(std::span<float> x, const train::compressor_call&) const {
        ++from->call;
        const std::span<const float> draws = from->take(x.size());
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = round_to<F>(x[i], static_cast<std::uint32_t>(draws[i]));
    }
};

struct plain {
    static constexpr std::string_view name = "plain";
    std::shared_ptr<recording> from{};
    void operator()(std::span<float>, const train::compressor_call&) const {}
};

/// A compressor that makes everything smaller by one.
struct shifts {
    static constexpr std::string_view name = "shifts";
    void operator()(std::span<float> x, const train::compressor_call&) const {
        for (float& v : x)
            v -= 1.0F;
    }
};

/// Policies that use nothing of train::precision, each one half of what there is to define.
struct own_tape_policy {
    int results = 0;
    int gradients = 0;
    template <class Op>
    void activation(const Op&, tensor&) {
        ++results;
    }
    template <class Op>
    void activation_gradient(const Op&, tensor&) {
        ++gradients;
    }
};
struct own_update_policy {
    struct schedule {
        static constexpr bool master_copy = false;
    };
    int before = 0;
    int after = 0;
    void before_update(std::span<const train::updated_parameter>) { ++before; }
    template <train::optimizer Optimizer>
    void after_update(const Optimizer&, std::span<const train::updated_parameter>) {
        ++after;
    }
};

const std::vector<std::string> labels{"bn", "W", "b"};

/// The steps of one case, each from the stored state of the step before.
template <class Compressor, train::optimizer Optimizer>
void check_case(const Optimizer& optimizer, const std::string& name,
                std::span<const std::string> moment_names, double rate) {
    CAPTURE(name);
    const auto data = golden("smaq/optim.npz");
    const auto recorded = std::make_shared<recording>();
    for (const char* draws : {"/u", "/r"})
        if (data.contains(name + draws)) recorded->draws = values<float>(data, name + draws);
    if (data.contains(name + "/mean_std"))
        recorded->mean_std = values<float>(data, name + "/mean_std");
    using policy = train::uniform_precision<Compressor, train::reference_schedule>;
    const Compressor c{recorded};
    policy precision({c, c, c, c, c});
    constexpr bool exact = std::is_same_v<Compressor, plain>;

    const auto steps = static_cast<std::size_t>(testing::array(data, "grad/W").extents[0]);
    const auto step_of = [&](const std::string& array, std::size_t step) {
        const std::vector<float> all = values<float>(data, array);
        const std::size_t n = all.size() / steps;
        return std::vector<float>(all.begin() + std::ptrdiff_t(step * n),
                                  all.begin() + std::ptrdiff_t((step + 1) * n));
    };
    std::size_t elements = 0;
    std::size_t different = 0;
    const auto compare = [&](std::span<const float> got, const std::string& array,
                             std::size_t step) {
        const std::vector<float> want = step_of(array, step);
        REQUIRE(want.size() == got.size());
        for (std::size_t i = 0; i < want.size(); ++i) {
            const double off = std::abs(double(got[i]) - double(want[i]));
            elements += 1;
            different += exact ? off > step_tolerance * (1.0 + std::abs(double(want[i])))
                               : !(got[i] == want[i]);
        }
    };
    for (std::size_t step = 0; step < steps; ++step) {
        std::vector<std::vector<float>> weight, gradient;
        std::vector<std::vector<std::vector<float>>> moments;
        for (const std::string& label : labels) {
            weight.push_back(step == 0 ? values<float>(data, "p0/" + label)
                                       : step_of(name + "/p/" + label, step - 1));
            gradient.push_back(step_of("grad/" + label, step));
            moments.emplace_back();
            for (const std::string& moment : moment_names)
                moments.back().push_back(
                    step == 0 ? std::vector<float>(weight.back().size())
                              : step_of(name + "/" + moment + "/" + label, step - 1));
        }
        std::vector<std::vector<std::span<float>>> spans;
        for (auto& of_parameter : moments)
            spans.emplace_back(of_parameter.begin(), of_parameter.end());
        std::vector<train::updated_parameter> list;
        for (std::size_t i = 0; i < labels.size(); ++i)
            list.push_back({weight[i], gradient[i], spans[i], {}, labels[i] != "bn"});
        train::update_parameters(optimizer, precision,
                                 std::span<const train::updated_parameter>(list),
                                 {.number = extent(step) + 1, .rate = rate});
        for (std::size_t i = 0; i < labels.size(); ++i) {
            compare(weight[i], name + "/p/" + labels[i], step);
            compare(gradient[i], name + "/g/" + labels[i], step);
            for (std::size_t m = 0; m < moment_names.size(); ++m)
                compare(moments[i][m], name + "/" + moment_names[m] + "/" + labels[i], step);
        }
    }
    CAPTURE(elements);
    CHECK(double(different) <= (exact ? 0.0 : allowed_flips) * double(elements));
    CHECK(recorded->draw == recorded->draws.size());
    if (!recorded->mean_std.empty()) CHECK(2 * recorded->call == recorded->mean_std.size());
}

template <train::optimizer Optimizer>
void check_optimizer(const Optimizer& optimizer, const std::string& name,
                     const std::vector<std::string>& moments, double rate) {
    check_case<plain>(optimizer, name + "_none", moments, rate);
    check_case<recorded_smaq<truncating_smaq>>(optimizer, name + "_smaq_trunc", moments, rate);
    check_case<recorded_smaq<reference_smaq>>(optimizer, name + "_smaq", moments, rate);
    check_case<recorded_format<historical::fp8>>(optimizer, name + "_fp8", moments, rate);
    check_case<recorded_format<historical::bf16>>(optimizer, name + "_bf16", moments, rate);
}

/// A module that holds others: its result is theirs, compressed once more.
struct container {
    static constexpr std::string_view name = "container";
    static constexpr bool compressed_result = true;
    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        for (extent i = 0; i < out.size(); ++i)
            out[i] = in[0][i];
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> dy,
                  const saved<Scalar>&, gradient_views<Scalar> dx) const {
        for (extent i = 0; i < dy.size(); ++i)
            dx[0][i] = dx[0][i] + dy[i];
    }
    constexpr price cost(std::span<const operand>, const operand&) const { return {}; }
};

/// Every call of a network's training: the tensor that came must be the recorded one but for
/// rounding, what goes back is the recorded result.
struct replay {
    std::vector<float> in, out, draws;
    std::size_t at = 0;
    std::size_t draw = 0;
    std::size_t flips = 0;
    double farthest = 0.0;  ///< of an input from the recorded one, over the tensor's largest value
    std::vector<std::string> tags;
};

template <class Q>
struct replayed {
    static constexpr std::string_view name = "replayed";
    std::shared_ptr<replay> from{};

    void operator()(std::span<float> x, const train::compressor_call& call) const {
        replay& r = *from;
        r.tags.emplace_back(call.tag);
        REQUIRE(r.at + x.size() <= r.in.size());
        const std::span<const float> in = std::span(r.in).subspan(r.at, x.size());
        const std::span<const float> out = std::span(r.out).subspan(r.at, x.size());
        double largest = 0.0;
        double off = 0.0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            largest = std::max(largest, std::abs(double(in[i])));
            off = std::max(off, std::abs(double(in[i]) - double(x[i])));
        }
        r.farthest = std::max(r.farthest, largest > 0.0 ? off / largest : off);
        std::vector<float> y(x.size());
        const Q q;
        if (r.draws.empty() || x.size() < 8) {
            q.fake_quantize(in, q.fit(in), y);
        } else {
            q.fake_quantize(in, q.fit(in), std::span(r.draws).subspan(r.draw, x.size()), y);
            r.draw += x.size();
        }
        // The statistics are our own, so results of one code differ by their last bits.
        const smaq_params p = q.fit(in);
        const double unit = std::abs(double(p.mean)) + 4.0 * std::abs(double(p.deviation));
        for (std::size_t i = 0; i < x.size(); ++i)
            r.flips += std::abs(double(y[i]) - double(out[i])) > 2.0 * statistics_tolerance * unit;
        std::ranges::copy(out, x.begin());
        r.at += x.size();
    }
};

/// Three steps of Linear-ReLU-Linear in a container with cross entropy and SGD. Returns losses.
template <class Compressor, class Schedule>
std::array<double, 3> train_network(const io::npz_archive& data, const Compressor& c) {
    using policy = train::uniform_precision<Compressor, Schedule>;
    using variable = basic_variable<float, policy>;
    basic_tape<float, policy> tape(policy({c, c, c, c, c}));
    const auto tensor_of = [&](const char* label) {
        const auto& array = testing::array(data, label);
        return tensor(array.extents, std::span<const float>(array.as<float>()));
    };
    std::vector<variable> parameters;
    std::vector<std::vector<float>> momentum, master;
    for (const char* label : {"W1", "b1", "W2", "b2"}) {
        parameters.push_back(tape.parameter(tensor_of(label)));
        const auto start = parameters.back().value().values();
        momentum.emplace_back(start.size());
        master.emplace_back(start.begin(), start.end());
    }
    const std::vector<float> x = values<float>(data, "X");
    const auto y = values<std::int64_t>(data, "Y");
    const shape& sizes = testing::array(data, "X").extents;
    const extent rows = sizes[1];
    const extent columns = sizes[2];
    const auto count = static_cast<std::size_t>(rows * columns);
    const train::sgd sgd{.momentum = 0.9};
    std::array<double, 3> losses{};
    for (std::size_t step = 0; step < 3; ++step) {
        const variable input =
            tape.constant(tensor(shape{rows, columns}, std::span(x).subspan(step * count, count)));
        const variable hidden = relu(linear(input, parameters[0], parameters[1]));
        const variable logits = apply(container{}, linear(hidden, parameters[2], parameters[3]));
        const std::vector<token> target(y.begin() + rows * std::ptrdiff_t(step),
                                        y.begin() + rows * std::ptrdiff_t(step + 1));
        const variable loss = scale_by(mean(apply(op::pick_log_softmax{target}, logits)), -1.0);
        losses[step] = double(loss.value().values()[0]);
        tape.backward(loss);
        std::vector<std::array<std::span<float>, 1>> moments;
        for (std::vector<float>& m : momentum)
            moments.push_back({std::span<float>(m)});
        std::vector<train::updated_parameter> list;
        for (std::size_t i = 0; i < parameters.size(); ++i)
            list.push_back(
                {parameters[i].mutable_value().mutable_values(),
                 parameters[i].mutable_gradient().mutable_values(), moments[i],
                 Schedule::master_copy ? std::span<float>(master[i]) : std::span<float>()});
        train::update_parameters(sgd, tape.precision(),
                                 std::span<const train::updated_parameter>(list),
                                 {.number = extent(step) + 1, .rate = 0.1});
        for (variable& p : parameters)
            p.clear_gradient();
    }
    return losses;
}

template <class Q>
void check_network(const std::string& name) {
    CAPTURE(name);
    const auto data = golden("smaq/net.npz");
    const auto record = std::make_shared<replay>();
    record->in = values<float>(data, name + "/call_in");
    record->out = values<float>(data, name + "/call_out");
    if (data.contains(name + "/u")) record->draws = values<float>(data, name + "/u");
    const auto losses =
        train_network<replayed<Q>, train::reference_schedule>(data, replayed<Q>{record});
    const auto want = values<float>(data, name + "/loss");
    for (std::size_t i = 0; i < 3; ++i)
        CHECK(std::abs(losses[i] - double(want[i])) <= loss_tolerance);
    CHECK(record->farthest <= input_tolerance);
    CHECK(record->at == record->in.size());
    CHECK(record->draw == record->draws.size());
    CHECK(double(record->flips) <= allowed_flips * double(record->in.size()));
    // The order of a step: four results forward, four backward, gradients, gradients, weights,
    // states.
    REQUIRE(record->tags.size() == 72);
    for (std::size_t i = 0; i < 24; ++i)
        CHECK(record->tags[i] == (i < 4    ? "activation"
                                  : i < 8  ? "activation_gradient"
                                  : i < 16 ? "gradient"
                                  : i < 20 ? "weight"
                                           : "state"));
}

}  // namespace

TEST_CASE("SGD, Adam and AdamW with compression follow the reference step by step") {
    const nlohmann::json cases = testing::golden_cases("smaq", "optim.npz");
    const auto hyper = [&](const char* optimizer) {
        const auto found = std::ranges::find_if(
            cases, [&](const auto& c) { return c.at("optimizer") == optimizer; });
        REQUIRE(found != cases.end());
        return found->at("hyper");
    };
    const auto sgd = hyper("sgd"), adam = hyper("adam"), adamw = hyper("adamw");
    const double decay = adamw.at("weight_decay");
    check_optimizer(train::sgd{.momentum = sgd.at("momentum"), .decay = sgd.at("weight_decay")},
                    "sgd", {"momentum_buffer"}, sgd.at("lr"));
    check_optimizer(train::adam{}, "adam", {"exp_avg", "exp_avg_sq"}, adam.at("lr"));
    check_optimizer(train::adamw{{}, decay}, "adamw", {"exp_avg", "exp_avg_sq"}, adamw.at("lr"));
}

TEST_CASE("a network with everything compressed trains as the reference's, call by call") {
    check_network<truncating_smaq>("smaq_trunc");
    check_network<reference_smaq>("smaq");
}

TEST_CASE("left to itself the network follows the reference's losses") {
    const auto data = golden("smaq/net.npz");
    const auto check = [&](const auto& losses, const char* name, double tolerance) {
        CAPTURE(name);
        const auto want = values<float>(data, name);
        for (std::size_t i = 0; i < 3; ++i)
            CHECK(std::abs(losses[i] - double(want[i])) <= tolerance);
    };
    // Three steps, each of which passes its roundings on.
    check(train_network<train::uncompressed, train::reference_schedule>(data, {}), "fp32/loss",
          3 * loss_tolerance);
    check(train_network<train::uncompressed, train::master_schedule>(data, {}), "fp32/loss",
          3 * loss_tolerance);
    check(train_network<train::quantized<truncating_smaq>, train::reference_schedule>(data, {}),
          "smaq_trunc/loss", flipped_loss_tolerance);
}

TEST_CASE("results of layers are compressed, those of bookkeeping are not") {
    using train::compresses_result;
    CHECK(compresses_result<op::linear>());
    CHECK(compresses_result<op::leading_linear>());
    CHECK(compresses_result<op::layer_norm>());
    CHECK(compresses_result<op::weighted_layer_norm>());
    CHECK(compresses_result<op::relu>());
    CHECK(compresses_result<container>());
    CHECK_FALSE(compresses_result<op::gather>());
    CHECK_FALSE(compresses_result<op::scale>());
    CHECK_FALSE(compresses_result<op::pick_log_softmax>());
}

TEST_CASE("a master copy keeps updates that are smaller than a step of the format") {
    // bf16 has 8 bits of precision: 1 - 0.001 rounds back to 1.
    using coarse = train::rounded<bf16>;
    const train::sgd sgd{.momentum = 0.0};
    std::vector<float> weight{1.0F}, master{1.0F}, alone{1.0F}, buffer{0.0F};
    const std::array<std::span<float>, 1> moments{std::span<float>(buffer)};
    train::precision<coarse, train::uncompressed> with_master;
    train::precision<coarse, train::uncompressed, coarse, coarse, train::uncompressed,
                     train::reference_schedule>
        without;
    for (extent step = 1; step <= 10; ++step) {
        std::vector<float> gradient{1.0F};
        const train::updated_parameter kept{weight, gradient, moments, master};
        update_parameters(sgd, with_master, std::span(&kept, 1), {.number = step, .rate = 0.001});
        const train::updated_parameter lost{alone, gradient, moments};
        update_parameters(sgd, without, std::span(&lost, 1), {.number = step, .rate = 0.001});
    }
    // Ten differences below 1, rounded to 2^-25, of a rate that is rounded far finer.
    CHECK(std::abs(double(master[0]) - 0.99) <= 11 * 0x1p-25);
    CHECK(weight[0] == round_to<bf16>(master[0]));
    CHECK(weight[0] < 1.0F);
    CHECK(alone[0] == 1.0F);
}

TEST_CASE("second moments stay non-negative, and NaN is not hidden") {
    train::precision<train::uncompressed, train::uncompressed, train::uncompressed,
                     train::uncompressed, shifts>
        precision;
    std::vector<float> mean{0.0F, 0.0F}, square{0.25F, std::nanf("")};
    const std::array<std::span<float>, 2> moments{std::span<float>(mean), std::span<float>(square)};
    std::vector<float> weight(2), gradient(2);
    const train::updated_parameter p{weight, gradient, moments, {}, false};
    precision.after_update(train::adam{}, std::span(&p, 1));
    CHECK(mean[0] == -1.0F);
    CHECK(square[0] == 0.0F);
    CHECK(std::isnan(square[1]));
    CHECK(precision.calls() == 2);
}

TEST_CASE("a user's own policy is what its comments ask for") {
    const auto train_once = []<class Policy>(Policy policy) {
        basic_tape<float, Policy> tape(policy);
        const auto weight = tape.parameter(tensor(shape{3, 4}, 0.3F));
        const auto bias = tape.parameter(tensor(shape{3}, 0.1F));
        auto x = tape.constant(tensor(shape{2, 4}, 0.7F));
        tape.backward(mean(relu(linear(x, weight, bias))));
        std::vector<float> w(3), g(3), buffer(3);
        const std::array<std::span<float>, 1> moments{std::span<float>(buffer)};
        const train::updated_parameter p{w, g, moments};
        train::update_parameters(train::sgd{}, tape.precision(), std::span(&p, 1), {});
        return tape.precision();
    };
    const own_tape_policy on_tape = train_once(own_tape_policy{});
    CHECK(on_tape.results == 3);
    CHECK(on_tape.gradients == 3);
    CHECK_FALSE(train::compresses_updates<own_tape_policy>);
    const own_update_policy on_update = train_once(own_update_policy{});
    CHECK(on_update.before == 1);
    CHECK(on_update.after == 1);
    CHECK_FALSE(train::keeps_master<own_update_policy>);
}

TEST_CASE("two calls of a stochastic compressor draw differently, a repeated run alike") {
    const auto run = [](auto c, std::uint64_t call) {
        std::vector<float> x(64);
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = 0.013F * float(i) - 0.4F;
        c(std::span<float>(x), train::compressor_call{"gradient", call});
        return x;
    };
    const train::quantized<smaq<smaq_encodable, smaq_stochastic>> quantizer;
    CHECK(run(quantizer, 0) == run(quantizer, 0));
    CHECK(run(quantizer, 0) != run(quantizer, 1));
    const train::rounded<historical::bf16> format;
    CHECK(run(format, 3) == run(format, 3));
    CHECK(run(format, 3) != run(format, 4));
}

TEST_CASE("a schedule that needs a master copy says so") {
    std::vector<float> weight(3), gradient(3), buffer(3), master(2);
    const std::array<std::span<float>, 1> moments{std::span<float>(buffer)};
    train::uniform_precision<train::rounded<bf16>> with_master;
    train::uniform_precision<train::rounded<bf16>, train::reference_schedule> without;
    const auto update = [&](auto& policy, const train::updated_parameter& p) {
        update_parameters(train::sgd{}, policy, std::span(&p, 1), {});
    };
    CHECK_THROWS_AS(update(with_master, {weight, gradient, moments, {}}), tare::error);
    CHECK_THROWS_AS(update(with_master, {weight, gradient, moments, master}), tare::error);
    CHECK_THROWS_AS(update(without, {weight, gradient, moments, weight}), tare::error);
    CHECK_NOTHROW(update(with_master, {weight, gradient, moments, {}, false}));
}
