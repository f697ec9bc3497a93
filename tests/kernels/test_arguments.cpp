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
#include <tare/kernels/packed_product.hpp>
#include <tare/kernels/pick_log_softmax.hpp>
#include <tare/kernels/prepared_matrix.hpp>
#include <tare/kernels/reduce.hpp>
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
    std::vector<float> gradient(6);
    const kernels::logit_gradient wanted[] = {{{gradient.data(), 3, 2}}, {}};
    const kernels::softmax_statistics<const float> read{maximum, sum};
    CHECK_NOTHROW(kernels::pick_log_softmax_backward(blocks, targets, read, out, wanted));
    CHECK_THROWS_AS(
        kernels::pick_log_softmax_backward(blocks, targets, read, out, std::span(wanted).first(1)),
        error);
    const kernels::logit_gradient misshapen[] = {{{gradient.data(), 2, 3}}, {}};
    CHECK_THROWS_AS(kernels::pick_log_softmax_backward(blocks, targets, read, out, misshapen),
                    error);
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
