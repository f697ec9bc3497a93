// SPDX-License-Identifier: MIT
// The loss with smoothed labels: its kernel against the plain form in double, its gradient against
// difference quotients, all three definitions against the reference.
#include <cmath>
#include <limits>
#include <vector>

#include <tare/testing/check_gradient.hpp>
#include <tare/train/label_smoothing.hpp>

#include "golden.hpp"
#include "kernels/kernel_test.hpp"

using namespace tare;
using namespace tare::testing;
using train::label_smoothing;

namespace {

constexpr double u = 0x1p-24;

/// A row's logarithm: see log_softmax(); |x - max| <= 12 here.
double row_bound(extent columns, double log_probability) {
    return u * (2 * std::abs(log_probability) + 12 + static_cast<double>(columns) / 2048 + 44);
}

const std::vector<extent> widths = {1, 2, 15, 16, 17, 63, 64, 65, 97, 2047, 2049, 4376};

/// Targets over the columns, each third row without one.
std::vector<std::int32_t> some_targets(extent rows, extent columns) {
    std::vector<std::int32_t> out;
    for (extent r = 0; r < rows; ++r)
        out.push_back(r % 3 == 1 ? -1 : static_cast<std::int32_t>((7 * r) % columns));
    return out;
}

}  // namespace

TEST_CASE("the two sums agree with the plain form in double") {
    constexpr extent rows = 5;
    for (const extent columns : widths) {
        CAPTURE(columns);
        guarded_matrix in(rows, columns);
        in.fill(uniform_values(rows * columns, 21, -6.0F, 6.0F));
        const std::vector<double> wide = widen(in.dense());
        const std::vector<std::int32_t> targets = some_targets(rows, columns);
        std::vector<double> top(rows), sum(rows);
        const auto want = kernels::plain::log_softmax_sums<double>({wide.data(), rows, columns},
                                                                   targets, {top, sum});
        std::vector<float> peaks(rows, -7.0F), totals(rows, -7.0F);
        const auto got = kernels::log_softmax_sums(in.view(), targets, {peaks, totals});
        // Rows 0, 2 and 3 count. `all` sums up to 24 + ln C for each column.
        const double all_bound = 3 * static_cast<double>(columns) * row_bound(columns, 24.0);
        CHECK(std::abs(got.picked - want.picked) <= 3 * row_bound(columns, 24.0));
        CHECK(std::abs(got.all - want.all) <= all_bound);
        CHECK(peaks[1] == -7.0F);
        CHECK(totals[4] == -7.0F);

        guarded_matrix added(rows, columns, 1);
        const std::vector<float> before = uniform_values(rows * columns, 22);
        added.fill(before);
        std::vector<double> d_want = widen(before);
        kernels::plain::log_softmax_sums_backward<double>({wide.data(), rows, columns}, targets,
                                                          {top, sum}, {-0.75, -0.125},
                                                          {d_want.data(), rows, columns});
        const kernels::softmax_sums<float> d_sums{-0.75F, -0.125F};
        kernels::log_softmax_sums_backward(in.view(), targets, {peaks, totals}, d_sums,
                                           {added.view(), false});
        CHECK(added.intact());
        const std::vector<float> d_got = added.dense();
        // A probability times p + C a, and a few additions of numbers below 4.
        const double whole = 0.75 + 0.125 * static_cast<double>(columns);
        const double bound = whole * row_bound(columns, 0.0) + 16 * u;
        for (std::size_t i = 0; i < d_got.size(); ++i)
            REQUIRE(std::abs(static_cast<double>(d_got[i]) - d_want[i]) <= bound);

        guarded_matrix started(rows, columns);
        kernels::log_softmax_sums_backward(in.view(), targets, {peaks, totals}, d_sums,
                                           {started.view(), true});
        CHECK(started.intact());
        const std::vector<float> fresh = started.dense();
        for (std::size_t i = 0; i < fresh.size(); ++i)
            REQUIRE(std::abs(static_cast<double>(fresh[i]) + static_cast<double>(before[i]) -
                             d_want[i]) <= bound);
        for (extent c = 0; c < columns; ++c)
            CHECK(fresh[static_cast<std::size_t>(columns + c)] == 0.0F);
    }
}

TEST_CASE("a bad row that counts spoils the sums, one that does not count is not read") {
    std::vector<float> z = uniform_values(2 * 33, 5);
    z[40] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> peaks(2), totals(2);
    const std::vector<std::int32_t> first{3, -1};
    const std::vector<std::int32_t> both{3, 4};
    CHECK(std::isfinite(kernels::log_softmax_sums({z.data(), 2, 33}, first, {peaks, totals}).all));
    CHECK(std::isnan(kernels::log_softmax_sums({z.data(), 2, 33}, both, {peaks, totals}).picked));
    z[40] = -std::numeric_limits<float>::infinity();
    const auto sums = kernels::log_softmax_sums({z.data(), 2, 33}, both, {peaks, totals});
    CHECK(std::isfinite(sums.picked));
    CHECK(sums.all == -std::numeric_limits<double>::infinity());
}

TEST_CASE("any number of threads gives the same loss and gradient") {
    const std::vector<float> z = uniform_values(70 * 1502, 41, -9.0F, 9.0F);
    const std::vector<std::int32_t> targets = some_targets(70, 1502);
    CHECK(same_for_any_threads([&] {
        std::vector<float> out(z.size() + 2), peaks(70), totals(70);
        const auto sums = kernels::log_softmax_sums({z.data(), 70, 1502}, targets, {peaks, totals});
        out[0] = static_cast<float>(sums.picked);
        out[1] = static_cast<float>(sums.all);
        kernels::log_softmax_sums_backward({z.data(), 70, 1502}, targets, {peaks, totals},
                                           {-0.9F, -0.001F}, {{out.data() + 2, 70, 1502}, true});
        return out;
    }));
}

TEST_CASE("gradients equal difference quotients") {
    basic_tensor<double> z(shape{4, 5});
    for (std::size_t i = 0; i < z.values().size(); ++i)
        z.mutable_values()[i] = static_cast<double>(random_stream(3, 1).normal(i));
    // See gradient_error: the quotient is good to about 1e-9; exp has larger third derivatives.
    CHECK(gradient_error(op::log_softmax_sums{{4, -1, 0, 2}}, {z}) < 1e-7);
    CHECK(gradient_error(op::weighted_sum{std::vector<double>(20, -0.3)}, {z}) < 1e-7);
}

TEST_CASE("what does not fit is refused") {
    const tensor z(shape{2, 3}, 0.0F);
    CHECK_THROWS_AS((void)log_softmax_sums(z, {0}), error);
    CHECK_THROWS_AS((void)log_softmax_sums(z, {0, 3}), error);
    CHECK_THROWS_AS((void)log_softmax_sums(z, {0, -2}), error);
    CHECK_THROWS_AS((void)log_softmax_sums(tensor(shape{6}, 0.0F), {0}), error);
    CHECK_THROWS_AS((void)weighted_sum(z, {1.0}), error);
    CHECK_THROWS_AS((void)label_smoothing::over_others(0.1, 1), error);
    CHECK_THROWS_AS((void)label_smoothing::over_all(1.0, 5), error);
    CHECK_THROWS_AS((void)train::smoothed_cross_entropy(z, {0, 1}, {}, 0.0), error);
    std::vector<float> one(1), values(6);
    const std::vector<std::int32_t> targets{0, 1};
    const matrix_view<const float> logits(values.data(), 2, 3);
    CHECK_THROWS_AS((void)kernels::log_softmax_sums(logits, targets, {one, one}), error);
    const std::span<float> inside(values.data(), 2);
    std::vector<float> two(2);
    CHECK_THROWS_AS((void)kernels::log_softmax_sums(logits, targets, {two, inside}), error);
    CHECK_THROWS_AS(kernels::log_softmax_sums_backward(logits, targets, {two, two}, {},
                                                       {{values.data(), 2, 3}, true}),
                    error);
}

namespace {

/// The fixtures are float32 results of another order of summation.
constexpr double loss_tolerance = 1e-5;
constexpr double gradient_tolerance = 1e-5;

/// Loss and gradient of logits (rows, classes) against arrays of the reference.
void check_reference(const io::npz_archive& archive, const std::string& logits,
                     std::vector<token> targets, const label_smoothing& label,
                     const std::string& loss, const std::string& nll, const std::string& gradient) {
    CAPTURE(loss);
    const std::vector<float> z = values<float>(archive, logits);
    const auto rows = static_cast<extent>(targets.size());
    basic_tape<float> tape;
    tensor leaf(shape{rows, static_cast<extent>(z.size()) / rows});
    std::ranges::copy(z, leaf.mutable_values().begin());
    const auto x = tape.parameter(leaf);
    const auto sums = log_softmax_sums(x, std::move(targets));
    const auto got = train::smoothed_loss(sums, label);
    const auto close = [](float a, float b, double tolerance) {
        const double wanted = static_cast<double>(b);
        return std::abs(static_cast<double>(a) - wanted) <=
               tolerance * std::max(1.0, std::abs(wanted));
    };
    CHECK(close(got.value().values()[0], values<float>(archive, loss)[0], loss_tolerance));
    CHECK(close(-sums.value().values()[0], values<float>(archive, nll)[0], loss_tolerance));
    tape.backward(got);
    const std::vector<float> want = values<float>(archive, gradient);
    for (std::size_t i = 0; i < want.size(); ++i)
        REQUIRE(close(x.gradient().values()[i], want[i], gradient_tolerance));
}

std::vector<token> golden_targets(const io::npz_archive& archive, const std::string& name) {
    std::vector<token> out;
    for (const std::int64_t t : values<std::int64_t>(archive, name))
        out.push_back(t == 1 ? -1 : static_cast<token>(t));  // 1 is the padding of all fixtures
    return out;
}

}  // namespace

TEST_CASE("the loss over all classes equals the reference") {
    const io::npz_archive archive = golden("daq/misc.npz");
    const auto classes = static_cast<extent>(array(archive, "label_smoothing.logits").extents[1]);
    check_reference(archive, "label_smoothing.logits",
                    golden_targets(archive, "label_smoothing.target"),
                    label_smoothing::over_all(0.1, classes), "label_smoothing.loss",
                    "label_smoothing.nll", "label_smoothing.grad");
}

TEST_CASE("the loss over the other classes, and PET's, equal the reference") {
    const io::npz_archive archive = golden("pet/kd.npz");
    const auto& extents = array(archive, "student.logits").extents;
    const auto batch = static_cast<extent>(extents[0]);
    const auto rows = batch * static_cast<extent>(extents[1]);
    const std::vector<token> targets = golden_targets(archive, "target");
    const auto check = [&](const std::string& name, const label_smoothing& label) {
        check_reference(archive, "student.logits", targets, label, name, message(name, ".nll"),
                        message(name, ".g.student.logits"));
    };
    check("ls_fairseq", label_smoothing::over_others(0.1, static_cast<extent>(extents[2])));
    check("ls_pet_flat", label_smoothing::over_others(0.1, rows));
    check("ls_pet_3d", label_smoothing::over_others(0.1, batch));
}
