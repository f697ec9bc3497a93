// SPDX-License-Identifier: MIT
#include <tare/kernels/cross_entropy.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

constexpr double u = 0x1p-24;

struct problem {
    extent rows = 6;
    extent columns;
    std::vector<float> logits;
    std::vector<std::int32_t> targets;

    explicit problem(extent columns_) : columns(columns_) {
        logits = uniform_values(rows * columns, 51, -5.0F, 5.0F);
        for (extent r = 0; r < rows; ++r)
            targets.push_back(static_cast<std::int32_t>((r * 7919) % columns));
        targets[2] = -1;
        targets.back() = static_cast<std::int32_t>(columns - 1);
    }
    [[nodiscard]] matrix_view<const float> view() const { return {logits.data(), rows, columns}; }
};

}  // namespace

TEST_CASE("loss and gradient agree with the plain form in double") {
    for (const extent columns : {1, 2, 15, 16, 17, 97, 1000, 4099}) {
        for (const float smoothing : {0.0F, 0.1F}) {
            const problem p(columns);
            kernels::target_weights weights;
            weights.on_each = columns > 1 ? smoothing / static_cast<float>(columns - 1) : 0.0F;
            weights.on_target = 1.0F - smoothing - weights.on_each;
            std::vector<float> losses(6);
            std::vector<float> fused(6);
            std::vector<float> gradient(p.logits.size());
            kernels::cross_entropy(p.view(), p.targets, losses, weights);
            kernels::cross_entropy_with_gradient(p.view(), p.targets, fused,
                                                 {gradient.data(), 6, columns}, 0.25F, weights);
            CHECK(same_bits(losses, fused));
            CHECK(losses[2] == 0.0F);

            const auto wide = widen(p.logits);
            std::vector<double> want(6);
            std::vector<double> want_gradient(wide.size());
            kernels::plain::cross_entropy_with_gradient<double>(
                {wide.data(), 6, columns}, p.targets, want, {want_gradient.data(), 6, columns},
                0.25, weights);
            // Absolute error of a log-softmax of size <= 20, twice where all classes count.
            const double bound = 2 * u * (2 * 20 + static_cast<double>(columns) / 2048 + 56);
            for (std::size_t r = 0; r < 6; ++r)
                CHECK(std::abs(static_cast<double>(losses[r]) - want[r]) <= bound);
            for (std::size_t i = 0; i < want_gradient.size(); ++i)
                REQUIRE(std::abs(static_cast<double>(gradient[i]) - want_gradient[i]) <=
                        bound * 0.25);
        }
    }
}

TEST_CASE("the gradient is the slope of the loss") {
    // Central differences in double, step 1e-5: error below 1e-9 for losses of this size.
    problem p(23);
    const kernels::target_weights weights{0.85F, 0.006F};
    auto wide = widen(p.logits);
    std::vector<double> losses(6);
    std::vector<double> gradient(wide.size());
    const auto loss_of = [&](std::size_t row) {
        kernels::plain::cross_entropy<double>({wide.data(), 6, 23}, p.targets, losses, weights);
        return losses[row];
    };
    kernels::plain::cross_entropy_with_gradient<double>({wide.data(), 6, 23}, p.targets, losses,
                                                        {gradient.data(), 6, 23}, 1.0, weights);
    for (std::size_t i = 0; i < wide.size(); ++i) {
        const double before = wide[i];
        wide[i] = before + 1e-5;
        const double up = loss_of(i / 23);
        wide[i] = before - 1e-5;
        const double down = loss_of(i / 23);
        wide[i] = before;
        REQUIRE(std::abs((up - down) / 2e-5 - gradient[i]) <= 1e-9);
    }
}

TEST_CASE("the gradient may overwrite the logits") {
    problem p(1000);
    std::vector<float> losses(6);
    std::vector<float> apart(p.logits.size());
    kernels::cross_entropy_with_gradient(p.view(), p.targets, losses, {apart.data(), 6, 1000});
    kernels::cross_entropy_with_gradient(p.view(), p.targets, losses, {p.logits.data(), 6, 1000});
    CHECK(same_bits(apart, p.logits));
}

TEST_CASE("any number of threads gives the same losses") {
    const auto logits = uniform_values(40 * 5003, 52);
    const std::vector<std::int32_t> targets(40, 77);
    CHECK(same_for_any_threads([&] {
        std::vector<float> out(40 + logits.size());
        kernels::cross_entropy_with_gradient({logits.data(), 40, 5003}, targets,
                                             std::span(out).first(40), {out.data() + 40, 40, 5003});
        return out;
    }));
}

TEST_CASE("a target outside the classes is an error") {
    problem p(10);
    std::vector<float> losses(6);
    p.targets[1] = 10;
    CHECK_THROWS_AS(kernels::cross_entropy(p.view(), p.targets, losses), error);
    p.targets[1] = 9;
    CHECK_THROWS_AS(kernels::cross_entropy(p.view(), p.targets, std::span(losses).first(5)), error);
}
