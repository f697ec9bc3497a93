// SPDX-License-Identifier: MIT
// Bad arguments at the public entries of the kernels: no memory, outputs over inputs, sizes whose
// product overflows. Each must throw in every build before it touches anything.
#include <functional>
#include <limits>
#include <string>

#include <tare/kernels/activation.hpp>
#include <tare/kernels/dropout.hpp>
#include <tare/kernels/elementwise.hpp>
#include <tare/kernels/exponential.hpp>
#include <tare/kernels/gather.hpp>
#include <tare/kernels/index_product.hpp>
#include <tare/kernels/integer_product.hpp>
#include <tare/kernels/k_means_assign.hpp>
#include <tare/kernels/layer_norm.hpp>
#include <tare/kernels/layer_norm_backward.hpp>
#include <tare/kernels/log_softmax_sums.hpp>
#include <tare/kernels/packed_product.hpp>
#include <tare/kernels/pick_log_softmax.hpp>
#include <tare/kernels/prepared_matrix.hpp>
#include <tare/kernels/reduce.hpp>
#include <tare/kernels/soft_cross_entropy.hpp>
#include <tare/kernels/softmax.hpp>
#include <tare/kernels/sparse_product.hpp>
#include <tare/kernels/thin_row.hpp>
#include <tare/kernels/top_k.hpp>
#include <tare/kernels/transpose.hpp>
#include <tare/kernels/weighted_layer_norm.hpp>
#include <tare/kernels/weighted_layer_norm_backward.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

using in_view = matrix_view<const float>;
using out_view = matrix_view<float>;

/// A kernel from 4 x 4 floats to 4 x 4 floats, as a user calls it.
struct entry {
    std::string name;
    std::function<void(in_view, out_view)> call;
};

const std::vector<std::int32_t>& indices() {
    static const std::vector<std::int32_t> four = {0, 1, 2, 3};
    return four;
}
std::span<float> four_floats() {
    static std::vector<float> values(4);
    return values;
}
in_view weights() {
    static const std::vector<float> w = uniform_values(16, 5);
    return {w.data(), 4, 4};
}

const std::vector<entry>& entries() {
    static const std::vector<entry> all = {
        {"softmax", [](in_view x, out_view y) { kernels::softmax(x, y); }},
        {"log_softmax", [](in_view x, out_view y) { kernels::log_softmax(x, y); }},
        {"softmax_backward", [](in_view x, out_view y) { kernels::softmax_backward(x, x, y); }},
        {"log_softmax_backward",
         [](in_view x, out_view y) { kernels::log_softmax_backward(x, x, y); }},
        {"layer_norm", [](in_view x, out_view y) { kernels::layer_norm(x, {}, {}, 1e-5F, y); }},
        {"layer_norm_backward",
         [](in_view x, out_view y) {
             kernels::layer_norm_backward(x, {}, four_floats(), four_floats(), x, y, {}, {});
         }},
        {"gather_rows", [](in_view x, out_view y) { kernels::gather_rows(x, indices(), y); }},
        {"scatter_add_rows",
         [](in_view x, out_view y) { kernels::scatter_add_rows(x, indices(), y); }},
        {"transpose", [](in_view x, out_view y) { kernels::transpose(x, y); }},
        {"add_to_rows", [](in_view x, out_view y) { kernels::add_to_rows(x, four_floats(), y); }},
        {"top_k",
         [](in_view x, out_view y) {
             std::vector<std::int32_t> places(16);
             kernels::top_k(x, y, {places.data(), 4, 4});
         }},
        {"matmul", [](in_view x, out_view y) { kernels::matmul(x, weights(), y); }},
        {"matmul prepared",
         [](in_view x, out_view y) { kernels::matmul(x, kernels::prepared_matrix(weights()), y); }},
        {"sparse_product",
         [](in_view x, out_view y) {
             kernels::sparse_product(x, kernels::bitmask_weights(weights()), y);
         }},
        {"sparse_product blocks",
         [](in_view x, out_view y) {
             kernels::sparse_product(x, kernels::block_weights(weights(), 4), y);
         }},
        {"index_product",
         [](in_view x, out_view y) {
             kernels::index_product(x, kernels::index_weights(weights()), y);
         }},
    };
    return all;
}

}  // namespace

TEST_CASE("every entry takes sound arguments") {
    const auto x = uniform_values(16, 1);
    for (const entry& e : entries()) {
        std::vector<float> y(16, 0.0F);
        CAPTURE(e.name);
        CHECK_NOTHROW(e.call({x.data(), 4, 4}, {y.data(), 4, 4}));
    }
}

TEST_CASE("views without memory are errors") {
    const auto x = uniform_values(16, 1);
    for (const entry& e : entries()) {
        std::vector<float> y(16, 0.0F);
        CAPTURE(e.name);
        CHECK_THROWS_AS(e.call({nullptr, 4, 4}, {y.data(), 4, 4}), error);
        // top_k's values are optional: no memory says "not wanted".
        if (e.name != "top_k") CHECK_THROWS_AS(e.call({x.data(), 4, 4}, {nullptr, 4, 4}), error);
    }
    std::vector<std::uint8_t> codes(4);
    CHECK_THROWS_AS(
        kernels::k_means_assign(weights(), weights(),
                                std::span<std::uint8_t>(static_cast<std::uint8_t*>(nullptr), 4)),
        error);
    CHECK_THROWS_AS(kernels::log_sum_exp(
                        weights(), std::span<float>(static_cast<float*>(nullptr), std::size_t{4})),
                    error);
}

TEST_CASE("outputs that half overlap their inputs are errors") {
    for (const entry& e : entries()) {
        std::vector<float> both = uniform_values(20, 2);
        const std::vector<float> before = both;
        CAPTURE(e.name);
        CHECK_THROWS_AS(e.call({both.data(), 4, 4}, {both.data() + 3, 4, 4}), error);
        CHECK(same_bits(both, before));
    }
    std::vector<float> x = uniform_values(16, 3);
    const std::span<std::uint8_t> inside(reinterpret_cast<std::uint8_t*>(x.data() + 4), 4);
    CHECK_THROWS_AS(kernels::k_means_assign({x.data(), 4, 4}, weights(), inside), error);
    CHECK_THROWS_AS(kernels::k_means_assign(weights(), {x.data(), 4, 4}, inside), error);
    const std::span<std::int32_t> places(reinterpret_cast<std::int32_t*>(x.data() + 4), 4);
    CHECK_THROWS_AS(kernels::arg_max_rows({x.data(), 4, 4}, places), error);
    CHECK_THROWS_AS(kernels::top_k({x.data(), 4, 4}, {}, {places.data(), 4, 1}), error);
    CHECK_THROWS_AS(kernels::column_sums({x.data(), 4, 4}, {x.data() + 2, 4}), error);
    CHECK_THROWS_AS(kernels::add_to_rows(weights(), {x.data() + 2, 4}, {x.data(), 4, 4}), error);
    CHECK_THROWS_AS(kernels::layer_norm(weights(), {x.data(), 4}, {}, 0.0F, {x.data(), 4, 4}),
                    error);
    CHECK_THROWS_AS(kernels::layer_norm(weights(), {}, {x.data(), 4}, 0.0F, {x.data(), 4, 4}),
                    error);
    const std::span<float> line(x);
    CHECK_THROWS_AS(kernels::exp(line.first(8), line.subspan(1, 8)), error);
    CHECK_THROWS_AS(kernels::activate<kernels::gelu>(line.first(8), line.subspan(1, 8)), error);
    CHECK_THROWS_AS(kernels::dropout(line.first(8), 0.1F, random_stream(1, 1), line.subspan(1, 8)),
                    error);
}

TEST_CASE("reductions and maps of spans without memory are errors") {
    const std::span<const float> nowhere(static_cast<const float*>(nullptr), std::size_t{4});
    CHECK_THROWS_AS(static_cast<void>(kernels::sum(nowhere)), error);
    CHECK_THROWS_AS(static_cast<void>(kernels::dot(nowhere, nowhere)), error);
    CHECK_THROWS_AS(static_cast<void>(kernels::min_max(nowhere)), error);
    CHECK_THROWS_AS(static_cast<void>(kernels::abs_max(nowhere)), error);
    CHECK_THROWS_AS(static_cast<void>(kernels::arg_max(nowhere)), error);
    CHECK_THROWS_AS(static_cast<void>(kernels::mean_and_variance(nowhere)), error);
    CHECK_THROWS_AS(kernels::exp(nowhere, four_floats()), error);
    CHECK_THROWS_AS(kernels::add(four_floats(), nowhere, four_floats()), error);
}

TEST_CASE("what is written beside the result overlaps nothing either") {
    std::vector<float> x = uniform_values(16, 6);
    const std::vector<float> before = x;
    std::vector<float> y(16), four(4), other(4);
    const out_view to(y.data(), 4, 4);
    const in_view in(x.data(), 4, 4);
    const std::span<float> inside = std::span(x).first(4);
    const std::span<float> result = std::span(y).last(4);
    // One copy of each kernel: a compiler takes minutes where every check has its own.
    const std::function norm = [&](std::span<float> mean, std::span<float> rstd) {
        kernels::layer_norm(in, {}, {}, 0.0F, to, {mean, rstd});
    };
    const std::function norm_backward = [&](std::span<float> gamma, std::span<float> mean,
                                            std::span<float> dgamma, std::span<float> dbeta) {
        kernels::layer_norm_backward(in, gamma, mean, four, in, to, dgamma, dbeta);
    };
    const std::function weighted = [&](std::span<float> weight, std::span<float> mean) {
        kernels::weighted_layer_norm(in, weight, 0, {}, {}, 0.0F, to, {mean, four});
    };
    const std::function weighted_backward = [&](std::span<float> deviation, std::span<float> weight,
                                                std::span<float> gamma) {
        kernels::weighted_layer_norm_backward(in, {}, 0, {}, 0.0F, {four, deviation}, in,
                                              {to, weight, gamma, {}});
    };
    CHECK_NOTHROW(norm(four, other));
    CHECK_NOTHROW(norm_backward({}, four, other, {}));
    CHECK_NOTHROW(weighted({}, other));
    CHECK_NOTHROW(weighted_backward(four, other, {}));
    for (const std::span<float> bad : {inside, result}) {
        CHECK_THROWS_AS(norm(bad, {}), error);
        CHECK_THROWS_AS(norm(four, bad), error);
        CHECK_THROWS_AS(norm_backward({}, four, bad, {}), error);
        CHECK_THROWS_AS(norm_backward({}, four, {}, bad), error);
        CHECK_THROWS_AS(weighted({}, bad), error);
        CHECK_THROWS_AS(weighted_backward(four, bad, {}), error);
    }
    CHECK_THROWS_AS(norm(four, four), error);
    CHECK_THROWS_AS(norm_backward({}, four, four, {}), error);
    CHECK_THROWS_AS(norm_backward(result, four, {}, {}), error);
    CHECK_THROWS_AS(norm_backward({}, result, {}, {}), error);
    CHECK_THROWS_AS(weighted(result, other), error);
    CHECK_THROWS_AS(weighted_backward(other, other, {}), error);
    CHECK_THROWS_AS(weighted_backward(result, {}, {}), error);
    CHECK_THROWS_AS(weighted_backward(four, other, other), error);
    const std::span<const std::int32_t> places(reinterpret_cast<std::int32_t*>(y.data()), 4);
    CHECK_THROWS_AS(kernels::gather_rows(in, places, to), error);
    CHECK_THROWS_AS(kernels::scatter_add_rows(in, places, to), error);
    // One row of 32 outputs, padded, from a depth of 4.
    const std::vector<float> strips = uniform_values(128, 7);
    const std::function thin = [&](const float* w, std::span<float> out) {
        kernels::thin_row(inside, w, four, out);
    };
    CHECK_NOTHROW(thin(strips.data(), other));
    CHECK_THROWS_AS(thin(strips.data(), inside), error);
    CHECK_THROWS_AS(thin(strips.data(), four), error);
    CHECK_THROWS_AS(thin(strips.data(), std::span(y).first(5)), error);
    CHECK_THROWS_AS(thin(nullptr, other), error);
    CHECK(same_bits(x, before));
}

TEST_CASE("sizes whose product overflows are errors") {
    // 2^32 rows of 2^32 columns: 2^64 elements, 0 after wrapping.
    constexpr extent huge = extent{1} << 32;
    float one = 0.0F;
    for (const entry& e : entries()) {
        CAPTURE(e.name);
        CHECK_THROWS_AS(e.call({&one, huge, huge}, {&one, huge, huge}), error);
        CHECK_THROWS_AS(e.call({&one, 4, 4, std::numeric_limits<extent>::max() / 2}, {&one, 4, 4}),
                        error);
        CHECK_THROWS_AS(e.call({&one, -4, 4}, {&one, -4, 4}), error);
    }
    CHECK_THROWS_AS(kernels::prepared_matrix({&one, huge, huge}), error);
    CHECK_THROWS_AS(kernels::bitmask_weights({&one, huge, huge}), error);
    CHECK_THROWS_AS(kernels::block_weights({&one, huge, huge}, 4), error);
    CHECK_THROWS_AS(kernels::index_weights({&one, huge, huge}), error);
    const std::int8_t code = 0;
    CHECK_THROWS_AS(kernels::integer_weights<std::int8_t>({&code, huge, huge}), error);
    const std::int16_t wide = 0;
    CHECK_THROWS_AS(kernels::packed_weights({&wide, huge, huge}, 4), error);
}

TEST_CASE("picking a logarithm checks its blocks, targets and outputs") {
    const auto z = uniform_values(12, 4);
    std::vector<float> out(3), maximum(3), sum(3);
    const std::vector<std::int32_t> targets = {0, 1, 3};
    const matrix_view<const float> blocks[] = {{z.data(), 3, 2}, {z.data() + 6, 3, 2}};
    const kernels::softmax_statistics<float> saved{maximum, sum};
    CHECK_NOTHROW(kernels::pick_log_softmax(blocks, targets, out, saved));
    const auto fails = [&](kernels::logit_blocks<float> b, std::span<const std::int32_t> t,
                           std::span<float> o, kernels::softmax_statistics<float> s) {
        CHECK_THROWS_AS(kernels::pick_log_softmax(b, t, o, s), error);
    };
    fails(blocks, std::vector<std::int32_t>{0, 1, 4}, out, saved);
    fails(blocks, std::vector<std::int32_t>{0, 1, -1}, out, saved);
    fails(blocks, std::vector<std::int32_t>{0, 1}, out, saved);
    fails(blocks, targets, out, {std::span(maximum).first(2), sum});
    fails(blocks, targets, out, {out, sum});
    fails(blocks, targets, out, {sum, sum});
    const matrix_view<const float> uneven[] = {{z.data(), 3, 2}, {z.data() + 6, 2, 2}};
    fails(uneven, targets, out, saved);
    const matrix_view<const float> nowhere[] = {{z.data(), 3, 2}, {nullptr, 3, 2}};
    fails(nowhere, targets, out, saved);
    fails(blocks, targets, out, {maximum, std::span(sum).first(2)});
    fails(blocks, targets, out, {maximum, out});
    // Outputs within a block.
    std::vector<float> logits = z;
    const matrix_view<const float> own[] = {{logits.data(), 3, 2}, {logits.data() + 6, 3, 2}};
    const std::span<float> within = std::span(logits).subspan(7, 3);
    fails(own, targets, within, saved);
    fails(own, targets, out, {within, sum});
    fails(own, targets, out, {maximum, within});
    std::vector<float> gradient(6);
    const kernels::logit_gradient wanted[] = {{{gradient.data(), 3, 2}}, {}};
    const kernels::softmax_statistics<const float> read{maximum, sum};
    CHECK_NOTHROW(kernels::pick_log_softmax_backward(blocks, targets, read, out, wanted));
    CHECK_THROWS_AS(
        kernels::pick_log_softmax_backward(blocks, targets, read, out, std::span(wanted).first(1)),
        error);
    const auto gradient_fails = [&](std::span<const std::int32_t> t, auto&&... to) {
        const kernels::logit_gradient both[] = {{to}...};
        CHECK_THROWS_AS(kernels::pick_log_softmax_backward(own, t, read, out, both), error);
    };
    const out_view sound(gradient.data(), 3, 2);
    gradient_fails(std::vector<std::int32_t>{0, 1, 4}, sound, out_view());
    gradient_fails(targets, out_view(gradient.data(), 3, 2, 1), out_view());
    gradient_fails(targets, out_view(logits.data(), 3, 2), out_view());
    gradient_fails(targets, sound, sound);
    std::vector<float> wide(9);
    const kernels::softmax_statistics<const float> inside{std::span(wide).first(3), sum};
    const kernels::logit_gradient over[] = {{{wide.data() + 2, 3, 2}}, {}};
    CHECK_THROWS_AS(kernels::pick_log_softmax_backward(own, targets, inside, out, over), error);
    const kernels::logit_gradient misshapen[] = {{{gradient.data(), 2, 3}}, {}};
    CHECK_THROWS_AS(kernels::pick_log_softmax_backward(blocks, targets, read, out, misshapen),
                    error);
}

TEST_CASE("every size of the rows' kernels is checked by itself") {
    std::vector<float> values = uniform_values(64, 8);
    const std::span<float> all(values);
    const in_view x(values.data(), 4, 4);
    const in_view dy(values.data() + 16, 4, 4);
    const out_view y(values.data() + 32, 4, 4);
    const std::span<float> four = all.subspan(48, 4);
    const std::span<float> other = all.subspan(52, 4);
    const std::span<float> three = all.subspan(48, 3);
    const float* const none = nullptr;
    const std::span<const float> nowhere(none, 4);
    // The columns of rows and their weights.
    const std::function norm = [&](std::span<const float> gamma, std::span<const float> beta,
                                   kernels::layer_norm_saved<> saved) {
        kernels::layer_norm(x, gamma, beta, 0.0F, y, saved);
    };
    CHECK_NOTHROW(norm({}, {}, {four, other}));
    CHECK_THROWS_AS(norm(three, {}, {}), error);
    CHECK_THROWS_AS(norm({}, three, {}), error);
    CHECK_THROWS_AS(norm({}, {}, {three, {}}), error);
    CHECK_THROWS_AS(norm({}, {}, {{}, three}), error);
    const std::function norm_backward = [&](in_view from, std::span<const float> gamma,
                                            std::span<const float> mean,
                                            std::span<const float> rstd, in_view d, out_view dx,
                                            std::span<float> dgamma, std::span<float> dbeta) {
        kernels::layer_norm_backward(from, gamma, mean, rstd, d, dx, dgamma, dbeta);
    };
    const std::span<float> more = all.subspan(56, 4);
    CHECK_NOTHROW(norm_backward(x, {}, four, other, dy, y, more, {}));
    CHECK_THROWS_AS(norm_backward(x, three, four, other, dy, y, {}, {}), error);
    CHECK_THROWS_AS(norm_backward(x, {}, three, other, dy, y, {}, {}), error);
    CHECK_THROWS_AS(norm_backward(x, {}, other, three, dy, y, {}, {}), error);
    CHECK_THROWS_AS(norm_backward(x, {}, four, other, dy, y, more.first(3), {}), error);
    CHECK_THROWS_AS(norm_backward(x, {}, four, other, dy, y, {}, more.first(3)), error);
    CHECK_THROWS_AS(norm_backward({none, 4, 4}, {}, four, other, dy, y, {}, {}), error);
    CHECK_THROWS_AS(norm_backward(x, {}, four, other, {none, 4, 4}, y, {}, {}), error);
    CHECK_THROWS_AS(norm_backward(x, {}, four, other, dy.rows_between(0, 3), y, {}, {}), error);
    CHECK_THROWS_AS(norm_backward(x, {}, four, other, dy, y.columns_between(0, 3), {}, {}), error);
    CHECK_THROWS_AS(norm_backward(x, {}, four, other, dy, {values.data() + 1, 4, 4}, {}, {}),
                    error);
    CHECK_THROWS_AS(norm_backward(x, {}, four, other, dy, {values.data() + 17, 4, 4}, {}, {}),
                    error);
    const std::function weighted = [&](out_view to, std::span<const float> gamma,
                                       std::span<const float> beta, std::span<float> mean,
                                       std::span<float> deviation) {
        kernels::weighted_layer_norm(x, {}, 0, gamma, beta, 0.0F, to, {mean, deviation});
    };
    CHECK_NOTHROW(weighted(y, {}, {}, four, other));
    CHECK_THROWS_AS(weighted(y.rows_between(0, 3), {}, {}, four, other), error);
    CHECK_THROWS_AS(weighted(y, three, {}, {}, {}), error);
    CHECK_THROWS_AS(weighted(y, {}, three, {}, {}), error);
    CHECK_THROWS_AS(weighted(y, {}, {}, three, other), error);
    CHECK_THROWS_AS(weighted(y, {}, {}, other, three), error);
    using gradients = kernels::weighted_layer_norm_gradients<>;
    const std::function weighted_backward = [&](std::span<const float> weight,
                                                std::span<float> mean, std::span<float> deviation,
                                                in_view d, const gradients& to) {
        kernels::weighted_layer_norm_backward(x, weight, 0, {}, 0.0F, {mean, deviation}, d, to);
    };
    CHECK_NOTHROW(weighted_backward({}, four, other, dy, {y, more, {}, {}}));
    CHECK_THROWS_AS(weighted_backward(three, four, other, dy, {y, {}, {}, {}}), error);
    CHECK_THROWS_AS(weighted_backward({}, three, other, dy, {y, {}, {}, {}}), error);
    CHECK_THROWS_AS(weighted_backward({}, other, three, dy, {y, {}, {}, {}}), error);
    CHECK_THROWS_AS(weighted_backward({}, four, other, dy.rows_between(0, 3), {y, {}, {}, {}}),
                    error);
    CHECK_THROWS_AS(weighted_backward({}, four, other, dy, {y, more.first(3), {}, {}}), error);
    CHECK_THROWS_AS(weighted_backward({}, four, other, dy, {y, {}, more.first(3), {}}), error);
    CHECK_THROWS_AS(weighted_backward({}, four, other, dy, {y, {}, {}, more.first(3)}), error);
    const std::function softmax = [&](out_view to) { kernels::softmax(x, to); };
    CHECK_THROWS_AS(softmax(y.rows_between(0, 3)), error);
    // One value a row.
    std::vector<std::int32_t> places(4);
    std::vector<std::uint8_t> codes(3);
    CHECK_THROWS_AS(kernels::arg_max_rows(x, std::span(places).first(3)), error);
    CHECK_THROWS_AS(kernels::arg_max_rows({none, 4, 4}, places), error);
    CHECK_THROWS_AS(kernels::log_sum_exp({none, 4, 4}, four), error);
    CHECK_THROWS_AS(kernels::log_sum_exp(x, std::span(values).subspan(2, 4)), error);
    CHECK_THROWS_AS(kernels::k_means_assign(x, dy, std::span(codes)), error);
    codes.resize(4);
    CHECK_THROWS_AS(kernels::k_means_assign({none, 4, 4}, dy, std::span(codes)), error);
    CHECK_THROWS_AS(kernels::k_means_assign(x, {none, 4, 4}, std::span(codes)), error);
    CHECK_THROWS_AS(kernels::scatter_add_rows(dy, indices(), y.columns_between(0, 3)), error);
    CHECK_THROWS_AS(static_cast<void>(kernels::dot(nowhere, four)), error);
    // What is found: shapes beside one another, and none over the other.
    const std::function best = [&](in_view from, out_view found, matrix_view<std::int32_t> where) {
        kernels::top_k(from, found, where);
    };
    std::vector<std::int32_t> where(8);
    CHECK_NOTHROW(best(x, {}, {where.data(), 4, 2}));
    CHECK_THROWS_AS(best({none, 4, 4}, {}, {where.data(), 4, 2}), error);
    CHECK_THROWS_AS(best(x, y, {where.data(), 4, 2}), error);
    CHECK_THROWS_AS(best(x, {y.data, 4, 2, 1}, {where.data(), 4, 2}), error);
    CHECK_THROWS_AS(best(x, {values.data(), 4, 2}, {where.data(), 4, 2}), error);
    CHECK_THROWS_AS(
        best(x, {y.data, 4, 2, 4}, {reinterpret_cast<std::int32_t*>(y.data) + 1, 4, 2, 4}), error);
    const std::function thin = [&](std::span<const float> from, std::span<float> out) {
        kernels::thin_row(from, values.data(), std::span<const float>(four), out);
    };
    CHECK_THROWS_AS(thin(nowhere, other), error);
    CHECK_THROWS_AS(thin(x.row(0), {static_cast<float*>(nullptr), 4}), error);
    // Products: each output's shape, and what follows a product.
    const kernels::index_weights listed(weights());
    CHECK_THROWS_AS(kernels::index_product(x.rows_between(0, 3), listed, y), error);
    CHECK_THROWS_AS(kernels::index_product(x, listed, y.rows_between(0, 3)), error);
    CHECK_THROWS_AS(kernels::index_product(x, listed, y.columns_between(0, 3)), error);
    const kernels::add_bias brief(three);
    CHECK_THROWS_AS(kernels::sparse_product(x, kernels::bitmask_weights(weights()), y, brief),
                    error);
    CHECK_THROWS_AS(kernels::sparse_product(x, kernels::block_weights(weights(), 4), y, brief),
                    error);
}

TEST_CASE("losses of two distributions check every operand by itself") {
    std::vector<float> values = uniform_values(96, 9);
    const auto at = [&](std::size_t i) { return std::span(values).subspan(i, 4); };
    const in_view z(values.data(), 4, 4);
    const in_view t(values.data() + 16, 4, 4);
    const out_view dz(values.data() + 32, 4, 4);
    const float* const none = nullptr;
    const kernels::softened_statistics<> kept{at(48), at(52), at(56), at(60)};
    const kernels::softened_statistics<const float> read{at(48), at(52), at(56), at(60)};
    using statistics = kernels::softened_statistics<>;
    const std::function soft = [&](in_view a, in_view b, float temperature, std::span<float> cross,
                                   std::span<float> own, statistics s) {
        kernels::soft_cross_entropy(a, b, temperature, cross, own, s);
    };
    CHECK_NOTHROW(soft(z, t, 2.0F, at(64), at(68), kept));
    CHECK_THROWS_AS(soft({none, 4, 4}, t, 2.0F, at(64), {}, kept), error);
    CHECK_THROWS_AS(soft(z, {none, 4, 4}, 2.0F, at(64), {}, kept), error);
    CHECK_THROWS_AS(soft(z, t.columns_between(0, 3), 2.0F, at(64), {}, kept), error);
    CHECK_THROWS_AS(soft(z.columns_between(0, 0), t.columns_between(0, 0), 2.0F, at(64), {}, kept),
                    error);
    for (const float temperature : {0.0F, -1.0F, std::numeric_limits<float>::infinity(),
                                    std::numeric_limits<float>::quiet_NaN()})
        CHECK_THROWS_AS(soft(z, t, temperature, at(64), {}, kept), error);
    CHECK_THROWS_AS(soft(z, t, 2.0F, at(64).first(3), {}, kept), error);
    CHECK_THROWS_AS(soft(z, t, 2.0F, at(64), at(68).first(3), kept), error);
    CHECK_THROWS_AS(soft(z, t, 2.0F, at(64), at(64), kept), error);
    CHECK_THROWS_AS(soft(z, t, 2.0F, at(48), {}, kept), error);
    CHECK_THROWS_AS(soft(z, t, 2.0F, at(4), {}, kept), error);
    CHECK_THROWS_AS(soft(z, t, 2.0F, at(64), {}, {at(48).first(3), at(52), at(56), at(60)}), error);
    CHECK_THROWS_AS(soft(z, t, 2.0F, at(64), {}, {at(48), at(52).first(3), at(56), at(60)}), error);
    CHECK_THROWS_AS(soft(z, t, 2.0F, at(64), {}, {at(48), at(52), at(56).first(3), at(60)}), error);
    CHECK_THROWS_AS(soft(z, t, 2.0F, at(64), {}, {at(48), at(52), at(56), at(60).first(3)}), error);
    const std::function soft_backward = [&](in_view a, float temperature,
                                            kernels::softened_statistics<const float> s,
                                            out_view to, bool add) {
        kernels::soft_cross_entropy_backward(a, t, temperature, s, 1.0F, to, add);
    };
    CHECK_NOTHROW(soft_backward(z, 2.0F, read, dz, true));
    CHECK_THROWS_AS(soft_backward({none, 4, 4}, 2.0F, read, dz, false), error);
    CHECK_THROWS_AS(soft_backward(z, 0.0F, read, dz, false), error);
    CHECK_THROWS_AS(soft_backward(z, 2.0F, {at(48), at(52), at(56), {}}, dz, false), error);
    CHECK_THROWS_AS(soft_backward(z, 2.0F, read, {nullptr, 4, 4}, false), error);
    CHECK_THROWS_AS(soft_backward(z, 2.0F, read, dz.rows_between(0, 3), false), error);
    CHECK_THROWS_AS(soft_backward(z, 2.0F, read, {values.data(), 4, 4}, true), error);
    CHECK_THROWS_AS(soft_backward(z, 2.0F, read, {values.data() + 1, 4, 4, 4}, false), error);
    CHECK_THROWS_AS(
        soft_backward({values.data() + 64, 4, 4}, 2.0F, read, {values.data() + 20, 4, 4}, false),
        error);
    CHECK_THROWS_AS(soft_backward(z, 2.0F, read, {values.data() + 44, 4, 4}, false), error);
    // Sums of logarithms.
    const std::vector<std::int32_t> targets = {0, -1, 3, 1};
    const std::function sums = [&](in_view a, std::span<const std::int32_t> picks,
                                   kernels::softmax_statistics<float> s) {
        static_cast<void>(kernels::log_softmax_sums(a, picks, s));
    };
    CHECK_NOTHROW(sums(z, targets, {at(48), at(52)}));
    CHECK_THROWS_AS(sums({none, 4, 4}, targets, {at(48), at(52)}), error);
    CHECK_THROWS_AS(sums(z, std::span(targets).first(3), {at(48).first(3), at(52).first(3)}),
                    error);
    CHECK_THROWS_AS(sums(z, targets, {at(48).first(3), at(52)}), error);
    CHECK_THROWS_AS(sums(z, targets, {at(48), at(52).first(3)}), error);
    CHECK_THROWS_AS(sums(z, std::vector<std::int32_t>{0, 1, 2, 4}, {at(48), at(52)}), error);
    CHECK_THROWS_AS(sums(z, targets, {at(48), at(50)}), error);
    CHECK_THROWS_AS(sums(z, targets, {at(48), at(2)}), error);
    const std::function sums_backward = [&](std::span<const std::int32_t> picks, out_view to) {
        kernels::log_softmax_sums_backward(z, picks, {at(48), at(52)}, {1.0F, 1.0F}, {to});
    };
    CHECK_NOTHROW(sums_backward(targets, dz));
    CHECK_THROWS_AS(sums_backward(std::vector<std::int32_t>{0, 1, 2, 4}, dz), error);
    CHECK_THROWS_AS(sums_backward(targets, {nullptr, 4, 4}), error);
    CHECK_THROWS_AS(sums_backward(targets, dz.columns_between(0, 3)), error);
    CHECK_THROWS_AS(sums_backward(targets, {values.data() + 8, 4, 4}), error);
}

TEST_CASE("thread counts below one are errors") {
    CHECK_THROWS_AS(set_threads(0), error);
    CHECK_THROWS_AS(set_threads(-1), error);
    CHECK_THROWS_AS(set_threads(max_threads + 1), error);
    CHECK(threads() == 1);
}

TEST_CASE("ranges overlap where they share a byte; empty ones nowhere, for every check") {
    using namespace tare::kernels::detail;
    std::vector<float> memory(8);
    const std::span<float> all(memory);
    const auto apart = [](std::span<float> a, std::span<float> b) {
        CHECK_NOTHROW(require_apart("f", "a", a, "b", b));
        CHECK_NOTHROW(require_apart("f", "b", b, "a", a));
        CHECK_NOTHROW(require_all_apart("f", {{"a", a}, {"b", b}}, {}));
        CHECK_NOTHROW(require_all_apart("f", {{"b", b}}, {{"a", a}}));
        CHECK_NOTHROW(require_same_or_apart("f", "a", a, "b", b));
    };
    const auto together = [](std::span<float> a, std::span<float> b) {
        CHECK_THROWS_AS(require_apart("f", "a", a, "b", b), error);
        CHECK_THROWS_AS(require_apart("f", "b", b, "a", a), error);
        CHECK_THROWS_AS(require_all_apart("f", {{"a", a}, {"b", b}}, {}), error);
        CHECK_THROWS_AS(require_all_apart("f", {{"b", b}}, {{"a", a}}), error);
    };
    for (const std::size_t at : {0U, 3U, 8U}) {
        apart(all, all.subspan(at, 0));
        apart(all.subspan(at, 0), all.subspan(at, 0));
    }
    apart(all, {});
    apart(all.first(3), all.subspan(3));
    together(all, all);
    together(all, all.subspan(3, 1));
    together(all.first(4), all.subspan(3));
    // Views without rows or without columns are empty, too.
    const matrix_view<float> whole(memory.data(), 2, 4);
    for (const matrix_view<float>& none : {matrix_view<float>(memory.data() + 1, 0, 4),
                                           matrix_view<float>(memory.data() + 1, 2, 0)}) {
        CHECK_NOTHROW(require_apart("f", "a", whole, "b", none));
        CHECK_NOTHROW(require_all_apart("f", {{"a", whole}}, {{"b", none}}));
    }
}
