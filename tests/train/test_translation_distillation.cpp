// SPDX-License-Identifier: MIT
// What translation students learn from teachers: losses and gradients against the reference, the
// operations against difference quotients and their prices, the kernel against its plain form.
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <tare/readings/cost.hpp>
#include <tare/testing/check_gradient.hpp>
#include <tare/testing/counted.hpp>
#include <tare/train/patient_distillation.hpp>
#include <tare/train/simplified_task.hpp>
#include <tare/train/translation_distillation.hpp>

#include "golden.hpp"
#include "kernels/kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

constexpr double u = 0x1p-24;

/// Both sides are float32 and sum a few thousand terms in different orders; values within the first
/// bound of the array's largest, gradients (differences of probabilities) within the second.
constexpr double loss_tolerance = 1e-5;
constexpr double gradient_tolerance = 1e-4;

/// The arrays of the reference, and a tape with the student's as parameters.
struct distilled_arrays {
    io::npz_archive archive = golden("pet/kd.npz");
    tape record;

    [[nodiscard]] tensor value(const std::string& name) const {
        const io::npy_array& a = array(archive, name);
        const auto v = a.as<float>();
        return tensor(a.extents, v);
    }
    [[nodiscard]] variable student(const std::string& name) {
        return record.parameter(value("student." + name));
    }
    [[nodiscard]] variable teacher(const std::string& name) {
        return record.constant(value("teacher." + name));
    }
    [[nodiscard]] std::vector<token> target() const {
        const auto v = values<std::int64_t>(archive, "target");
        return {v.begin(), v.end()};
    }
    /// States 0, 1, ... of a side.
    template <class Make>
    [[nodiscard]] std::vector<variable> states(const std::string& side, const std::string& of,
                                               Make make) const {
        std::vector<variable> out;
        for (int i = 0; archive.contains(message(of, '.', side, '.', i)); ++i)
            out.push_back(make(message(side, '.', i)));
        return out;
    }

    static double distance(std::span<const float> got, const std::vector<float>& want) {
        REQUIRE(got.size() == want.size());
        double worst = 0.0;
        double largest = 1e-30;
        for (std::size_t i = 0; i < want.size(); ++i) {
            worst = std::max(worst,
                             std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])));
            largest = std::max(largest, std::abs(static_cast<double>(want[i])));
        }
        return worst / largest;
    }
    void check(const std::string& name, std::span<const float> got, double tolerance) const {
        INFO(name);
        CHECK(distance(got, values<float>(archive, name)) <= tolerance);
    }
    /// The value of a loss, then the gradients of everything that it has one for.
    void check_loss(const std::string& name, const variable& loss,
                    const std::vector<std::pair<std::string, variable>>& by) {
        check(name, loss.value().values(), loss_tolerance);
        record.backward(loss);
        for (const auto& [label, x] : by)
            if (archive.contains(message(name, ".g.student.", label)))
                check(message(name, ".g.student.", label), x.gradient().values(),
                      gradient_tolerance);
    }
};

struct both_sides {
    std::vector<variable> student[2];
    std::vector<variable> teacher[2];
    std::vector<token> rows[2];
    std::vector<std::pair<std::string, variable>> named;

    explicit both_sides(distilled_arrays& a) {
        const std::string sides[] = {"enc", "dec"};
        for (std::size_t s = 0; s < 2; ++s) {
            student[s] = a.states(sides[s], "student", [&](auto n) { return a.student(n); });
            teacher[s] = a.states(sides[s], "teacher", [&](auto n) { return a.teacher(n); });
            for (std::size_t i = 0; i < student[s].size(); ++i)
                named.emplace_back(message(sides[s], '.', i), student[s][i]);
            const shape& e = student[s][0].shape();
            rows[s] = train::published_last_column_rows(e[0], e[1]);
        }
    }
    [[nodiscard]] variable loss(std::size_t s, const train::patient_options& options) const {
        return train::patient_loss(std::span<const variable>(student[s]),
                                   std::span<const variable>(teacher[s]), rows[s], options);
    }
    [[nodiscard]] variable mean(const train::patient_options& options) const {
        return scale_by(add(loss(0, options), loss(1, options)), 0.5);
    }
};

variable flattened(const variable& x) {
    return reshape(x, shape{x.shape().rows(), x.shape().columns()});
}

basic_tensor<double> doubles(const shape& extents, std::uint64_t seed, double size = 1.0) {
    basic_tensor<double> out(extents);
    const random_stream random(seed, 5);
    std::uint64_t i = 0;
    for (double& v : out.mutable_values())
        v = size * (2.0 * static_cast<double>(random.uniform(i++)) - 1.0);
    return out;
}

}  // namespace

TEST_CASE("losses from the teacher's logits equal the reference") {
    distilled_arrays a;
    const auto run = [&](const std::string& name, auto loss) {
        const variable z = a.student("logits");
        a.check_loss(name, loss(z, a.teacher("logits")), {{"logits", z}});
    };
    constexpr double ten = train::translation_temperature;
    run("distill_used", [&](auto& s, auto t) { return soft_cross_entropy(s, t, ten); });
    run("distill_vanilla",
        [&](auto& s, auto t) { return train::published_plain_divergence(s, t); });
    run("srp_prob_kd", [&](auto& s, auto t) { return train::scaled_divergence(s, t); });
}

TEST_CASE("patient distillation equals the reference in all its kinds") {
    for (const bool last : {false, true})
        for (const bool unit : {true, false}) {
            distilled_arrays a;
            const both_sides sides(a);
            const std::string name =
                message("patience.", last ? "last" : "skip", ".norm", unit ? 1 : 0);
            a.check_loss(name, sides.mean({unit, last, 2}), sides.named);
        }
}

TEST_CASE("the whole loss of the second stage equals the reference") {
    distilled_arrays a;
    both_sides sides(a);
    const variable z = a.student("logits");
    sides.named.emplace_back("logits", z);
    const auto rows = static_cast<extent>(a.target().size());
    const variable hard =
        train::smoothed_cross_entropy(flattened(z), train::without_padding(a.target(), 1),
                                      train::label_smoothing::over_others(0.1, rows));
    a.check_loss(
        "total_stage2",
        train::pet_loss(hard, z, a.teacher("logits"), sides.loss(0, {}), sides.loss(1, {})),
        sides.named);
}

TEST_CASE("the simplified task equals the reference, its labels the intended ones") {
    distilled_arrays a;
    const std::vector<token> target = a.target();
    const auto flat = [](const tensor& x) {
        return x.reshaped(shape{x.shape().rows(), x.shape().columns()});
    };
    const std::vector<token> labels =
        train::simplified_labels(flat(a.value("teacher.logits")), target);
    const auto intended = values<std::int64_t>(a.archive, "ptp.label_intended");
    const auto published = values<std::int64_t>(a.archive, "ptp.label_reference");
    CHECK(std::vector<token>(intended.begin(), intended.end()) == labels);
    const std::vector<token> zeros = train::published_simplified_labels(labels.size());
    CHECK(std::vector<token>(published.begin(), published.end()) == zeros);
    const auto counted_rows = values<std::int64_t>(a.archive, "ptp.statistic_reference");
    const auto statistics = train::published_simplified_statistics(labels);
    CHECK(std::equal(counted_rows.begin(), counted_rows.end(), statistics.begin()));

    const variable z = a.student("logits");
    const variable classes = confidence_classes(flattened(z), target);
    a.check("ptp.logprobs", classes.value().values(), loss_tolerance);
    const auto sentences = a.value("student.logits").shape()[0];
    const auto check = [&](const std::vector<token>& of, const std::string& which) {
        const std::vector<token> used = train::without_padding(of, 1);
        const auto label = train::label_smoothing::over_others(0.1, sentences);
        a.check("ptp.loss_" + which, train::simplified_loss(classes, used, label).value().values(),
                loss_tolerance);
        a.check("ptp.nll_" + which, train::simplified_loss(classes, used, {}).value().values(),
                loss_tolerance);
    };
    check(labels, "intended");
    check(zeros, "reference");
    const auto w = values<float>(a.archive, "ptp.weight");
    a.record.backward(weighted_sum(classes, {w.begin(), w.end()}));
    a.check("ptp.g", z.gradient().values(), gradient_tolerance);
}

TEST_CASE("rows without a target have no class and no loss") {
    const tensor z(shape{2, 3}, std::vector<float>{0.0F, 9.0F, 0.0F, 1.0F, 0.0F, 0.0F});
    const std::vector<token> labels = train::simplified_labels(z, std::vector<token>{1, -1});
    CHECK(labels == std::vector<token>{0, -1});
    const tensor classes = confidence_classes(z, {1, 0});
    const tensor one = train::simplified_loss(classes, labels, {});
    CHECK(one.values()[0] == -classes.values()[0]);
    CHECK_THROWS_AS(static_cast<void>(train::simplified_labels(z, std::vector<token>{1, 3})),
                    error);
    CHECK_THROWS_AS(
        static_cast<void>(train::simplified_loss(classes, std::vector<token>{4, 0}, {})), error);
}

TEST_CASE("the last token of a sentence is found on either side of its padding") {
    const std::vector<token> tokens{1, 5, 2, 5, 2, 1};
    CHECK(train::last_token_rows(tokens, 2, 1) == std::vector<token>{4, 3});
    CHECK(train::published_last_column_rows(3, 2) == std::vector<token>{4, 5});
    CHECK_THROWS_AS(static_cast<void>(train::last_token_rows(tokens, 4, 1)), error);
    CHECK_THROWS_AS(static_cast<void>(train::last_token_rows(std::vector<token>{1, 1}, 1, 1)),
                    error);
    CHECK(train::teacher_states(3, 5, false) == std::vector<std::size_t>{0, 2, 4});
    CHECK(train::teacher_states(3, 5, true) == std::vector<std::size_t>{2, 3, 4});
    CHECK_THROWS_AS(static_cast<void>(train::teacher_states(3, 4, false)), error);
    CHECK_THROWS_AS(static_cast<void>(train::teacher_states(3, 2, true)), error);
}

TEST_CASE("gradients of the operations equal difference quotients") {
    // The quotient is good to about 1e-9 (see gradient_error); third derivatives stay near one.
    constexpr double tolerance = 1e-7;
    const auto check = [&](const auto& op, std::vector<basic_tensor<double>> in, std::size_t n) {
        CAPTURE(std::string(op.name));
        CHECK(gradient_error(op, std::move(in), n) < tolerance);
    };
    for (const bool divergence : {false, true})
        check(op::soft_cross_entropy{2.5, divergence},
              {doubles({4, 7}, 1, 4.0), doubles({4, 7}, 2, 4.0)}, 1);
    check(op::unit_rows{}, {doubles({3, 5}, 3)}, 1);
    check(op::mean_squared_error{}, {doubles({3, 5}, 4), doubles({3, 5}, 5)}, 2);
    check(op::swap_last_axes{}, {doubles({2, 3, 4}, 6)}, 1);
    check(op::confidence_classes{{0, 3, 2, 6}}, {doubles({4, 7}, 7, 2.0)}, 1);
    // A row of zeros has no direction: its length is the constant 1e-12.
    tape record;
    const variable zeros = record.parameter(tensor(shape{1, 2}, 0.0F));
    const variable rows = unit_rows(zeros);
    CHECK(rows.value().values()[1] == 0.0F);
    record.backward(weighted_sum(rows, {1.0, 2.0}));
    CHECK(zeros.gradient().values()[1] == 2.0F / 1e-12F);
}

TEST_CASE("what the operations charge is what they execute") {
    using cells = basic_tensor<counted>;
    const auto some = [](const shape& extents, std::uint64_t seed) {
        cells out(extents);
        const basic_tensor<double> v = doubles(extents, seed);
        for (std::size_t i = 0; i < v.values().size(); ++i)
            out.mutable_values()[i] = counted(static_cast<float>(v.values()[i]));
        return out;
    };
    const auto check = [](const auto& op, const auto&... in) {
        CAPTURE(std::string(op.name));
        counted::tally() = {};
        const cells out = apply(op, in...);
        const operation_tally done = counted::tally();
        const std::array<operand, sizeof...(in)> operands{operand::dense(in.shape())...};
        operation_tally priced;
        for (const charge& c : op.cost(operands, operand::dense(out.shape())).charges())
            (c.kind == math::multiplication ? priced.multiplications
             : c.kind == math::addition     ? priced.additions
                                            : priced.others) += c.count;
        CHECK(done == priced);
    };
    for (const extent n : {2, 3, 9}) {
        check(op::soft_cross_entropy{10.0, false}, some({3, n}, 1), some({3, n}, 2));
        check(op::soft_cross_entropy{10.0, true}, some({3, n}, 1), some({3, n}, 2));
        check(op::mean_squared_error{}, some({3, n}, 1), some({3, n}, 2));
        check(op::unit_rows{}, some({3, n}, 1));
        check(op::swap_last_axes{}, some({3, n}, 1));
    }
    cells sloped(shape{1, 4});
    for (std::size_t i = 0; i < 4; ++i)
        sloped.mutable_values()[i] = counted(static_cast<float>(i));
    check(op::confidence_classes{{1}}, sloped);
}

TEST_CASE("the kernel agrees with its plain form in double, with any number of threads") {
    constexpr extent rows = 3;
    constexpr float temperature = 2.5F;
    constexpr double t = 2.5;
    for (const extent columns : {1, 2, 15, 16, 17, 63, 64, 65, 2047, 2049, 6632}) {
        CAPTURE(columns);
        guarded_matrix z(rows, columns);
        guarded_matrix y(rows, columns, 1);
        z.fill(uniform_values(rows * columns, 31, -6.0F, 6.0F));
        y.fill(uniform_values(rows * columns, 32, -6.0F, 6.0F));
        const std::vector<double> wide_z = widen(z.dense());
        const std::vector<double> wide_y = widen(y.dense());
        std::vector<double> cross(rows), own(rows), s[4];
        for (auto& one : s)
            one.resize(rows);
        kernels::plain::soft_cross_entropy<double>({wide_z.data(), rows, columns},
                                                   {wide_y.data(), rows, columns}, t, cross, own,
                                                   {s[0], s[1], s[2], s[3]});
        std::vector<float> got(rows), got_own(rows), kept[4];
        for (auto& one : kept)
            one.resize(rows);
        const kernels::softened_statistics<> statistics{kept[0], kept[1], kept[2], kept[3]};
        kernels::soft_cross_entropy(z.view(), y.view(), temperature, got, got_own, statistics);
        // See the kernel: |max - x| / T <= 12 / 2.5.
        const double bound = u * (static_cast<double>(columns) / 2048 + 48) * (1 + 12 / t);
        for (std::size_t r = 0; r < rows; ++r) {
            CHECK(std::abs(static_cast<double>(got[r]) - cross[r]) <= bound);
            CHECK(std::abs(static_cast<double>(got_own[r]) - own[r]) <= bound);
        }
        std::vector<double> want(wide_z.size());
        kernels::plain::soft_cross_entropy_backward<double>(
            {wide_z.data(), rows, columns}, {wide_y.data(), rows, columns}, t,
            {s[0], s[1], s[2], s[3]}, 0.75, {want.data(), rows, columns}, false);
        for (const bool add : {false, true}) {
            guarded_matrix dz(rows, columns, 2);
            dz.fill(std::vector<float>(wide_z.size(), 1.0F));
            kernels::soft_cross_entropy_backward(z.view(), y.view(), temperature,
                                                 {kept[0], kept[1], kept[2], kept[3]}, 0.75F,
                                                 dz.view(), add);
            CHECK(dz.intact());
            const std::vector<float> d = dz.dense();
            for (std::size_t i = 0; i < d.size(); ++i)
                REQUIRE(std::abs(static_cast<double>(d[i]) - want[i] - (add ? 1.0 : 0.0)) <= bound);
        }
    }
    CHECK(same_for_any_threads([] {
        constexpr extent n = 4001;
        const std::vector<float> z = uniform_values(40 * n, 33);
        const std::vector<float> y = uniform_values(40 * n, 34);
        std::vector<float> out(40), own(40), s[4];
        for (auto& one : s)
            one.resize(40);
        kernels::soft_cross_entropy({z.data(), 40, n}, {y.data(), 40, n}, 10.0F, out, own,
                                    {s[0], s[1], s[2], s[3]});
        std::vector<float> dz(z.size());
        kernels::soft_cross_entropy_backward({z.data(), 40, n}, {y.data(), 40, n}, 10.0F,
                                             {s[0], s[1], s[2], s[3]}, 1.0F, {dz.data(), 40, n},
                                             false);
        dz.insert(dz.end(), own.begin(), own.end());
        return dz;
    }));
}

TEST_CASE("equal logits diverge by nothing, and only the student gets a gradient") {
    tape record;
    const tensor z(shape{2, 3}, std::vector<float>{1.0F, -2.0F, 3.0F, 0.5F, 0.5F, 0.25F});
    const variable student = record.parameter(z);
    const variable teacher = record.parameter(z.clone());
    const variable loss = soft_divergence(student, teacher, 2.0);
    CHECK(std::abs(loss.value().values()[0]) <= 8 * u);
    record.backward(loss);
    for (const float g : student.gradient().values())
        CHECK(std::abs(g) <= 2 * u);
    for (const float g : teacher.gradient().values())
        CHECK(g == 0.0F);
    CHECK_THROWS_AS(record.backward(apply(op::soft_cross_entropy{2.0}, student, teacher)), error);
    CHECK_THROWS_AS(static_cast<void>(soft_cross_entropy(z, z, 0.0)), error);
    CHECK_THROWS_AS(static_cast<void>(soft_cross_entropy(z, z.slice(0, 1), 1.0)), error);
    CHECK_THROWS_AS(static_cast<void>(swap_last_axes(tensor(shape{4}, 0.0F))), error);
    CHECK_THROWS_AS(static_cast<void>(confidence_classes(z, {0, 3})), error);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const tensor bad(shape{1, 2}, std::vector<float>{nan, 0.0F});
    const tensor good(shape{1, 2}, std::vector<float>{1.0F, 0.0F});
    CHECK(std::isnan(soft_cross_entropy(bad, good, 1.0).values()[0]));
    CHECK(std::isnan(soft_cross_entropy(good, bad, 1.0).values()[0]));
}
