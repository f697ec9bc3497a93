// SPDX-License-Identifier: MIT
// Attention with memory and relative positions at the size of a published language model (8 heads
// of 24, 96 positions before the own one), forward and backward, and its one-token step. The rate
// counts the products alone: 2 (2 nk + nv) flop per score forward, 2 (4 nk + 2 nv) backward;
// fma_peak beside it says what the machine can do.

#include <memory>

#include <tare/kernels/attention_step.hpp>
#include <tare/kernels/segment_attention_backward.hpp>

#include "peak.hpp"

namespace {

using tare::extent;
using namespace tare::kernels;

struct operands {
    segment_layout layout;
    tare::aligned_vector<float> qkv, memory, positions, out, probabilities, d_out, d_qkv,
        d_positions;

    explicit operands(extent tokens) : layout{tokens, 1, 8, 24, 24, 96} {
        const extent width = layout.heads * layout.head_width();
        qkv = bench::values(tokens * width, 1);
        memory = bench::values(layout.window * layout.heads * layout.memory_width(), 2);
        positions = bench::values(layout.key_width * layout.entries(), 3);
        d_out = bench::values(tokens * layout.heads * layout.value_width, 4);
        out = d_out;
        d_qkv = qkv;
        d_positions = positions;
        probabilities.resize(static_cast<std::size_t>(tokens * layout.heads * layout.entries()));
    }
    [[nodiscard]] segment_inputs<float> inputs() const {
        return {{qkv.data(), layout.tokens, layout.heads * layout.head_width()},
                {memory.data(), layout.window, layout.heads * layout.memory_width()},
                {positions.data(), layout.key_width, layout.entries()}};
    }
    [[nodiscard]] tare::matrix_view<float> outputs(tare::aligned_vector<float>& v) const {
        return {v.data(), layout.tokens, layout.heads * layout.value_width};
    }
    [[nodiscard]] tare::matrix_view<float> saved() {
        return {probabilities.data(), layout.tokens * layout.heads, layout.entries()};
    }
    [[nodiscard]] double products(extent per_score) const {
        return 2.0 *
               static_cast<double>(layout.tokens * layout.heads * layout.entries() * per_score);
    }
};

/// What one call of each kind multiplies and adds.
double forward_ops(const operands& x) {
    return x.products(2 * x.layout.key_width + x.layout.value_width);
}
double backward_ops(const operands& x) {
    return x.products(4 * x.layout.key_width + 2 * x.layout.value_width);
}

/// Registers run(operands) and, beside ours, as many multiply-adds from registers.
template <class Run>
void add(const std::string& kernel, const std::string& who, extent tokens, int threads, double ops,
         Run run) {
    bench::add(kernel, who, tare::message("T", tokens, "_H8_D24_W96"), threads, ops, 0.0, [=] {
        auto x = std::make_shared<operands>(tokens);
        // What backward passes read.
        segment_attention_forward(x->layout, x->inputs(), x->outputs(x->out), x->saved());
        return [=] { run(*x); };
    });
    if (who == "tare")
        bench::add(kernel, "fma_peak", tare::message("T", tokens, "_H8_D24_W96"), threads, ops, 0.0,
                   [=] { return [=] { bench::fma_peak(ops); }; });
}

const bool registered = [] {
    for (const int threads : bench::thread_counts()) {
        for (const extent tokens : {1152, 4032}) {
            const operands sizes(tokens);
            add("attention_forward", "tare", tokens, threads, forward_ops(sizes), [](operands& x) {
                segment_attention_forward(x.layout, x.inputs(), x.outputs(x.out), {});
            });
            add("attention_forward_saving", "tare", tokens, threads, forward_ops(sizes),
                [](operands& x) {
                    segment_attention_forward(x.layout, x.inputs(), x.outputs(x.out), x.saved());
                });
            add("attention_backward", "tare", tokens, threads, backward_ops(sizes),
                [](operands& x) {
                    const segment_gradients<float> gradients{
                        {x.d_qkv.data(), x.layout.tokens, x.layout.heads * x.layout.head_width()},
                        {x.d_positions.data(), x.layout.key_width, x.layout.entries()},
                        {}};
                    segment_attention_backward(x.layout, x.inputs(), x.saved(), x.outputs(x.d_out),
                                               gradients);
                });
        }
    }
    const operands sizes(1152);
    add("attention_forward", "plain", 1152, 1, forward_ops(sizes), [](operands& x) {
        segment_attention_forward_plain(x.layout, x.inputs(), x.outputs(x.out));
    });
    // One position after another, from a cache that rolls along.
    bench::add("attention_step", "tare", "H8_D24_W96", 1, forward_ops(sizes) / 1152, 0.0, [] {
        struct rolling {
            operands x{1152};
            position_table table{x.inputs().positions};
            attention_cache cache{x.layout};
            extent t = 0;
        };
        auto r = std::make_shared<rolling>();
        r->cache.assign(r->x.inputs().memory);
        return [r] {
            attention_step(r->cache, r->table, r->x.inputs().qkv.rows_between(r->t, r->t + 1),
                           r->x.outputs(r->x.out).rows_between(r->t, r->t + 1));
            r->t = (r->t + 1) % r->x.layout.tokens;
        };
    });
    return true;
}();

}  // namespace
