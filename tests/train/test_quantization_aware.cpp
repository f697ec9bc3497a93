// SPDX-License-Identifier: MIT
// Quantization-aware training against the reference's own driver: one step at 8 and at 9 bits.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/train/quantization_aware.hpp>

#include "hanlab_quantized.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

/// Disturbs what every operation leaves, forwards and backwards, as another order of summation
/// would: sums of n terms in two orders differ by about sqrt(n) / 2 roundings of 2^-24 of their
/// partial sums, n <= 97 here (a window of attention) and partial sums taken as the element or the
/// median of its tensor, whichever is larger. Uniform in +-8 x 2^-24 of that: 4.6 in the root mean
/// square. `seed` 0 disturbs nothing.
struct rounding_noise {
    static inline std::uint64_t seed = 0;
    static inline std::uint64_t tensors = 0;

    /// Quantized values are codes times a step, and moved ones what they were: both exact.
    template <class Op>
    void activation(const Op&, tensor& result) {
        constexpr std::string_view exact[]{"clamp_quantize", "quantize_parameter",
                                           "gather",         "reshape",
                                           "roll",           "attention_memory"};
        if (std::ranges::find(exact, Op::name) == std::end(exact)) disturb(result);
    }
    template <class Op>
    void activation_gradient(const Op&, tensor& gradient) {
        disturb(gradient);
    }

  private:
    /// Scores that stand for "never" begin here; they are not sums.
    static constexpr float impossible = 1e6F;

    static void disturb(tensor& t) {
        if (seed == 0) return;
        const random_stream random(seed, ++tensors);
        if (t.size() == 0) return;
        std::vector<float> sizes;
        for (const float v : t.values())
            sizes.push_back(std::abs(v));
        const auto half = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
        std::nth_element(sizes.begin(), half, sizes.end());
        std::uint64_t i = 0;
        for (float& v : t.mutable_values())
            if (std::abs(v) < impossible)
                v += (2.0F * random.uniform(i++) - 1.0F) * 0x1p-21F * std::max(std::abs(v), *half);
    }
};

using noisy_trainer = train::quantization_aware<train::adam, basic_variable<float, rounding_noise>>;

/// How far disturbed runs lie from the undisturbed one, by parameter and by point.
struct sensitivity {
    std::map<std::string, double> gradients;  ///< clipped; of the element that moves most
    std::map<std::string, double> ranges;     ///< of minimum or maximum
};

/// Adam's first step is rate g / (|g| + 1e-8): noise in g shows only where |g| is near it or near
/// 1e-8. One per cent of the rate, the last place of the weight, and what noise can do there.
constexpr double rate = 1e-4;
double step_tolerance(double gradient, double noise) {
    return 0.01 * rate + std::min(2.0 * rate, rate * noise / (std::abs(gradient) + 1e-8));
}

struct fixture {
    explicit fixture(int bits_)
        : bits(bits_),
          archive(golden(message("hanlab/quant_bits", bits_, ".npz"))),
          starts(golden("hanlab/quant_bits9.npz")) {}

    /// As the published driver works: it evaluates before it trains, and the cache stays filled.
    template <class Trainer = train::quantization_aware<>>
    [[nodiscard]] std::unique_ptr<Trainer> trainer() const {
        micronet::compression how;
        how.bits = bits;
        return std::make_unique<Trainer>(float_parameters{&starts, "start."},
                                         quantized_case_config(), how,
                                         train::quantization_options{0.5, true, true, true});
    }
    [[nodiscard]] std::vector<float> at(const std::string& name) const {
        return values<float>(archive, name);
    }
    [[nodiscard]] bool has(const std::string& name) const { return archive.contains(name); }
    /// The array of a parameter's float copy or, where it is not quantized, of the parameter.
    [[nodiscard]] std::string copy_name(const std::string& head, const std::string& label) const {
        const std::string own = head + float_name(label);
        return has(own) ? own : head + label;
    }

    int bits;
    io::npz_archive archive;
    io::npz_archive starts;  // the reduced file leaves its start out: it is the other's
};

/// The reference's sample after its two evaluations, and what gradients it leaves.
struct run_of_step {
    std::map<std::string, std::vector<float>> gradients;
    std::map<std::string, extremes> ranges;
};
template <class Trainer>
run_of_step run_step(const fixture& f, Trainer& t) {
    const auto tokens = golden("hanlab/tokens.npz");
    const std::vector<token> sample = testing::tokens_of(f.archive, "train_tokens");
    const std::span<const token> all(sample);
    for (const char* text : {"valid", "test"})
        static_cast<void>(t.evaluate(testing::tokens_of(tokens, text), hanlab_chunk()));
    static_cast<void>(t.accumulate(all.first(all.size() - 1), all.subspan(1)));
    run_of_step out;
    const float factor = t.gradient_factor();
    for (const std::string& label : t.labels())
        for (const float g : t.gradient(label).values())
            out.gradients[label].push_back(g * factor);
    for (const std::string& label : point_labels(quantized_case_config()))
        out.ranges[label] = t.range(label).tracker.range();
    return out;
}

/// Of three disturbed runs the middle one (an activation on the edge between two codes moves a run
/// by a whole step, which is no rounding), twice: the reference and we are two such runs, and
/// the largest of thousands of elements spreads by a factor of two.
sensitivity sensitivity_of(const fixture& f) {
    constexpr std::size_t runs = 3;
    constexpr double margin = 2.0;
    std::vector<run_of_step> all;
    for (rounding_noise::seed = 0; rounding_noise::seed <= runs; ++rounding_noise::seed) {
        rounding_noise::tensors = 0;
        auto t = f.trainer<noisy_trainer>();
        all.push_back(run_step(f, *t));
    }
    rounding_noise::seed = 0;
    const auto middle = [&](const auto& distance) {
        std::vector<double> far;
        for (std::size_t i = 1; i <= runs; ++i)
            far.push_back(distance(all[0], all[i]));
        std::ranges::sort(far);
        return margin * far[runs / 2];
    };
    sensitivity out;
    // Clang 14 lets no lambda capture a structured binding.
    for (const auto& gradient : all[0].gradients) {
        const std::string& label = gradient.first;
        out.gradients[label] = middle([&](const run_of_step& a, const run_of_step& b) {
            double most = 0.0;
            for (std::size_t i = 0; i < gradient.second.size(); ++i)
                most = std::max(most, std::abs(static_cast<double>(a.gradients.at(label)[i]) -
                                               static_cast<double>(b.gradients.at(label)[i])));
            return most;
        });
    }
    for (const auto& range : all[0].ranges) {
        const std::string& label = range.first;
        out.ranges[label] = middle([&](const run_of_step& a, const run_of_step& b) {
            const extremes x = a.ranges.at(label);
            const extremes y = b.ranges.at(label);
            return std::max(std::abs(static_cast<double>(x.low) - static_cast<double>(y.low)),
                            std::abs(static_cast<double>(x.high) - static_cast<double>(y.high)));
        });
    }
    return out;
}

void check_near(std::span<const float> got, const std::vector<float>& want, double tolerance) {
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i)
        REQUIRE(std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])) <= tolerance);
}

double largest(const std::vector<float>& values) {
    double out = 0.0;
    for (const float v : values)
        out = std::max(out, std::abs(static_cast<double>(v)));
    return out;
}

/// Quantized parameters and their scales follow exactly from the float copies.
void check_quantized(const fixture& f, const io::npz_archive& copies, const std::string& from,
                     const std::string& head) {
    std::size_t checked = 0;
    for (const auto& entry : f.archive) {
        const std::string& name = entry.first;
        const std::string_view tail(name);
        if (!tail.starts_with(head) || !tail.ends_with("_scale")) continue;
        const std::string label = name.substr(head.size(), name.size() - head.size() - 6);
        INFO(name);
        // The output layer's table is the embedding's, quantized by row.
        std::string source = label;
        if (label.starts_with("loss.layers.") && label.ends_with(".weight"))
            source.replace(0, 4, "embed");
        const bool embedding = label.starts_with("embed.layers.");
        const std::string copy =
            copies.contains(from + float_name(source)) ? from + float_name(source) : from + source;
        const auto& description = testing::array(copies, copy);
        const tensor w(shape(std::span<const extent>(description.extents.extents())),
                       values<float>(copies, copy));
        const bool by_row = w.shape().rank() == 2 && !embedding;
        const tensor got = apply(op::quantize_parameter{f.bits, by_row}, w);
        check_near(got.values(), f.at(head + label), 0.0);
        const std::vector<float> scales = f.at(name);
        const extent rows = by_row ? w.shape()[0] : 1;
        REQUIRE(static_cast<extent>(scales.size()) == rows);
        for (extent r = 0; r < rows; ++r) {
            const auto row = by_row ? w.slice(r, r + 1).values() : w.values();
            CHECK(symmetric_levels::fit(row, f.bits).scale == scales[static_cast<std::size_t>(r)]);
        }
        ++checked;
    }
    // Three parameters of a bin and two of a projection, of which the first bin has none, the
    // clusters' two, seven of a layer.
    const transformer_xl_config config = quantized_case_config();
    const std::size_t bins = config.bins();
    const std::size_t all = 3 * bins + 2 * (bins - 1) + (bins > 1 ? 2 : 0) +
                            7 * static_cast<std::size_t>(config.layers);
    CHECK(checked == (f.has(head + "embed.layers.0.weight") ? all : 0));
}

void check_stored(const fixture& f) {
    std::size_t given = 0;
    std::size_t checked = 0;
    for (const auto& entry : f.archive) {
        const std::string& name = entry.first;
        if (!name.starts_with("stored.")) continue;
        ++given;
        const std::string label = name.substr(7);
        if (label.ends_with(".inv_scale") || label.ends_with(".max_abs")) continue;
        INFO(name);
        std::string source = label;
        if (label.starts_with("loss.layers.") && label.ends_with(".weight"))
            source.replace(0, 4, "embed");
        const std::string copy = f.copy_name("after.", source);
        const tensor w(testing::array(f.archive, copy).extents, f.at(copy));
        const int bits = micronet::stays_at_32_bits(label) ? 32 : f.bits;
        const stored_tensor stored = store_tensor(w, bits, !label.starts_with("embed.layers."));
        check_near(stored.decode().values(), f.at(name), 0.0);
        ++checked;
    }
    for (const std::string& label : point_labels(quantized_case_config())) {
        INFO(label);
        const std::string m = point_module(label);
        const extremes range{f.at("after." + m + ".fake_q.tracked_min")[0],
                             f.at("after." + m + ".fake_q.tracked_max")[0]};
        const stored_point point = store_point(range.magnitude(), f.bits);
        CHECK(point.max_abs == f.at("stored." + m + ".max_abs")[0]);
        CHECK(point.inverse_scale == f.at("stored." + m + ".inv_scale")[0]);
        CHECK(symmetric_levels::from_magnitude(range.magnitude(), f.bits).scale ==
              f.at("after." + m + ".fake_q.scale")[0]);
        checked += 2;
    }
    CHECK(checked == given);
}

/// The step itself: loss, ranges, clipped gradients, updated copies, evaluation after it.
void check_step(const fixture& f) {
    const sensitivity noise = sensitivity_of(f);
    const auto owner = f.trainer();
    auto& t = *owner;
    const auto tokens = golden("hanlab/tokens.npz");
    const std::vector<token> valid = testing::tokens_of(tokens, "valid");
    const std::vector<token> test = testing::tokens_of(tokens, "test");
    const extent chunk = hanlab_chunk();
    static_cast<void>(t.evaluate(valid, chunk));
    static_cast<void>(t.evaluate(test, chunk));
    const std::vector<token> sample = testing::tokens_of(f.archive, "train_tokens");
    const std::span<const token> all(sample);
    const double loss = t.accumulate(all.first(all.size() - 1), all.subspan(1));
    CHECK(std::abs(loss - static_cast<double>(f.at("step_loss")[0])) <= nll_tolerance);
    for (const std::string& label : point_labels(quantized_case_config())) {
        INFO(label);
        const extremes range = t.range(label).tracker.range();
        const std::string m = "after." + point_module(label) + ".fake_q.";
        const double tolerance = noise.ranges.at(label);
        check_near(std::vector{range.low}, f.at(m + "tracked_min"), tolerance);
        check_near(std::vector{range.high}, f.at(m + "tracked_max"), tolerance);
    }
    std::size_t given = 0;
    for (const auto& entry : f.archive)
        given += entry.first.starts_with("grad_clipped.") ? 1 : 0;
    std::size_t gradients = 0;
    const float factor = t.gradient_factor();
    for (const std::string& label : t.labels()) {
        const std::string name = f.copy_name("grad_clipped.", label);
        if (!f.has(name)) continue;
        INFO(name);
        std::vector<float> got;
        for (const float g : t.gradient(label).values())
            got.push_back(g * factor);
        check_near(got, f.at(name), noise.gradients.at(label));
        ++gradients;
    }
    CHECK(gradients == given);
    std::map<std::string, std::vector<double>> tolerances;
    for (const std::string& label : t.labels()) {
        std::vector<double> slopes;
        for (const float g : t.gradient(label).values())
            slopes.push_back(static_cast<double>(g * factor));
        for (const double g : slopes)
            tolerances[label].push_back(step_tolerance(g, noise.gradients.at(label)));
    }
    t.update(rate);
    for (const std::string& label : t.labels()) {
        if (label.starts_with("loss.cache_")) continue;
        INFO(label);
        const auto got = t.value(label).values();
        const std::vector<float> want = f.at(f.copy_name("after.", label));
        REQUIRE(got.size() == want.size());
        for (std::size_t i = 0; i < got.size(); ++i)
            REQUIRE(std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])) <=
                    tolerances[label][i]);
    }
    const tracked_range& last = t.range("final");
    const double step =
        1.0 / static_cast<double>(
                  symmetric_levels::from_magnitude(last.tracker.range().magnitude(), f.bits).scale);
    const transformer_xl_config config = quantized_case_config();
    double weight = 0.0;
    for (std::size_t bin = 0; bin < config.bins(); ++bin) {
        const auto table = t.value(message("embed.layers.", bin, ".weight")).values();
        weight = std::max(weight, largest({table.begin(), table.end()}));
    }
    CHECK(std::abs(t.evaluate(valid, chunk) - static_cast<double>(f.at("val_loss")[0])) <=
          mean_tolerance(config, step, weight, valid.size() - 1));
    CHECK(std::abs(t.evaluate(test, chunk) - static_cast<double>(f.at("test_loss")[0])) <=
          mean_tolerance(config, step, weight, test.size() - 1));
}

}  // namespace

TEST_CASE("quantized parameters and scales equal the reference's before and after the step") {
    for (const int bits : {8, 9}) {
        const fixture f(bits);
        check_quantized(f, f.starts, "start.", "before.");
        check_quantized(f, f.archive, "after.", "after.");
    }
}

TEST_CASE("the stored form equals the reference's") {
    check_stored(fixture(8));
    check_stored(fixture(9));
}

TEST_CASE("a training step equals the reference's") {
    check_step(fixture(8));
    check_step(fixture(9));
}

TEST_CASE("a step gives the same bits on any number of threads") {
    const fixture f(9);
    const std::vector<token> sample = testing::tokens_of(f.archive, "train_tokens");
    const std::span<const token> all(sample);
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 3, 4}) {
        set_threads(threads);
        const auto owner = f.trainer();
        auto& t = *owner;
        static_cast<void>(t.accumulate(all.first(all.size() - 1), all.subspan(1)));
        t.update(1e-4);
        std::vector<float> values;
        for (const std::string& label : t.labels())
            values.insert(values.end(), t.value(label).values().begin(),
                          t.value(label).values().end());
        results.push_back(values);
        CHECK(results.back() == results.front());
    }
}

TEST_CASE("pruned elements stay zero and samples of a step add up") {
    const fixture f(9);
    micronet::compression how;
    how.bits = 9;
    train::quantization_aware<> t(float_parameters{&f.starts, "start."}, quantized_case_config(),
                                  how);
    const std::vector<token> sample = testing::tokens_of(f.archive, "train_tokens");
    const std::span<const token> all(sample);
    std::vector<std::vector<float>> before;
    const std::vector<std::string> pruned{"layers.0.qkv.weight", "loss.layers.1.bias"};
    for (const std::string& label : pruned) {
        before.emplace_back(t.value(label).values().begin(), t.value(label).values().end());
        REQUIRE(std::count(before.back().begin(), before.back().end(), 0.0F) > 0);
    }
    const std::size_t half = all.size() / 2;
    static_cast<void>(t.accumulate(all.first(half), all.subspan(1, half)));
    static_cast<void>(t.accumulate(all.subspan(half / 2, half), all.subspan(half / 2 + 1, half)));
    t.update(1e-2);
    for (std::size_t k = 0; k < pruned.size(); ++k) {
        const auto after = t.value(pruned[k]).values();
        for (std::size_t i = 0; i < after.size(); ++i)
            CHECK((before[k][i] == 0.0F) == (after[i] == 0.0F));
    }
}

TEST_CASE("pruned biases come back where the published code is asked for") {
    const fixture f(9);
    const auto owner = f.trainer();
    auto& t = *owner;
    const std::vector<token> sample = testing::tokens_of(f.archive, "train_tokens");
    const std::span<const token> all(sample);
    const auto zeros = [&] {
        const auto bias = t.value("loss.layers.1.bias").values();
        return std::count(bias.begin(), bias.end(), 0.0F);
    };
    REQUIRE(zeros() > 0);
    static_cast<void>(t.accumulate(all.first(all.size() - 1), all.subspan(1)));
    t.update(1e-2);
    CHECK(zeros() == 0);
}

TEST_CASE("every width from 2 to 16 trains and stores, others are refused") {
    const fixture f(9);
    const std::vector<token> sample = testing::tokens_of(f.archive, "train_tokens");
    const std::span<const token> all(sample);
    for (int bits = 2; bits <= 16; ++bits) {
        INFO(bits);
        micronet::compression how;
        how.bits = bits;
        how.widths = {{"layers.0.qkv.weight", 32}, {"layers.0.out.weight", 16}};
        train::quantization_aware<> t(float_parameters{&f.starts, "start."},
                                      quantized_case_config(), how);
        CHECK(std::isfinite(t.accumulate(all.first(all.size() - 1), all.subspan(1))));
        t.update(1e-4);
        const stored_model stored = t.store();
        const stored_tensor& w = stored.at("layers.0.fc.0.weight");
        CHECK(w.bits == bits);
        for (const std::int16_t code : w.codes)
            REQUIRE(std::abs(code) <= (1 << (bits - 1)) - 1);
        CHECK(!stored.at("layers.0.qkv.weight").quantized());
        CHECK(stored.at("layers.0.out.weight").bits == 16);
    }
    micronet::compression wrong;
    wrong.bits = 17;
    CHECK_THROWS_AS(train::quantization_aware<>(float_parameters{&f.starts, "start."},
                                                quantized_case_config(), wrong),
                    error);
}
