// SPDX-License-Identifier: MIT
// The attention kernels inside a whole decoder layer, against layer outputs and states that the
// reference implementation of a published language model computed.
#include <cmath>

#include <doctest/doctest.h>

#include <tare/kernels/attention_step.hpp>
#include <tare/kernels/segment_attention.hpp>

#include "hanlab_model.hpp"

using tare::extent;
using tare::kernels::segment_layout;

namespace {

const extent width = tare::testing::hanlab_config().width;
// Activations are of order 4 and the reference is in float itself: about 30 roundings of 2^-24 * 4
// per layer on either side, at most 1e-5 after two layers.
constexpr double tolerance = 1e-5;

using row = std::vector<float>;

/// One layer's parameters and the parts around the attention, for one position, summed in double.
struct decoder_layer {
    tare::io::npz_archive weights = tare::testing::golden("hanlab/weights.npz");
    std::string prefix;

    explicit decoder_layer(extent index) : prefix("param.layers." + std::to_string(index) + '.') {}
    [[nodiscard]] row get(const std::string& name) const {
        return tare::testing::values<float>(weights, prefix + name);
    }
    [[nodiscard]] static row linear(const row& w, const row& bias, const row& x) {
        row y(w.size() / x.size());
        for (std::size_t o = 0; o < y.size(); ++o) {
            double sum = bias.empty() ? 0.0 : static_cast<double>(bias[o]);
            for (std::size_t i = 0; i < x.size(); ++i)
                sum += static_cast<double>(w[o * x.size() + i]) * static_cast<double>(x[i]);
            y[o] = static_cast<float>(sum);
        }
        return y;
    }
    [[nodiscard]] row norm(const std::string& name, const row& x) const {
        double mean = 0.0;
        double variance = 0.0;
        for (const float v : x)
            mean += static_cast<double>(v) / static_cast<double>(width);
        for (const float v : x)
            variance += std::pow(static_cast<double>(v) - mean, 2.0) / static_cast<double>(width);
        const row gain = get(name + ".weight");
        const row shift = get(name + ".bias");
        row y(x.size());
        for (std::size_t i = 0; i < y.size(); ++i)
            y[i] =
                static_cast<float>((static_cast<double>(x[i]) - mean) / std::sqrt(variance + 1e-5) *
                                       static_cast<double>(gain[i]) +
                                   static_cast<double>(shift[i]));
        return y;
    }
    [[nodiscard]] row projected(const row& x) const {
        return linear(get("qkv.weight"), get("qkv.bias"), norm("ln1", x));
    }
    [[nodiscard]] row finished(row x, const row& attended) const {
        const row joined = linear(get("out.weight"), {}, attended);
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] += joined[i];
        row hidden = linear(get("fc.0.weight"), get("fc.0.bias"), norm("ln2", x));
        for (float& h : hidden)
            h = std::max(h, 0.0F);
        const row added = linear(get("fc.3.weight"), get("fc.3.bias"), hidden);
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] += added[i];
        return x;
    }
};

row slice(const row& all, extent index, extent size) {
    return {all.begin() + index * size, all.begin() + (index + 1) * size};
}

double distance(const row& a, const row& b) {
    double worst = a.size() == b.size() ? 0.0 : HUGE_VAL;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    return worst;
}

/// Runs the chunks of a fixture through all layers, whole and token by token.
void check_chunks(const std::string& file, const std::vector<std::string>& chunks) {
    const auto fixture = tare::testing::golden(file);
    const extent batch = tare::testing::array(fixture, "chunk0.inputs").extents[1];
    const tare::transformer_xl_config model = tare::testing::hanlab_config();
    const segment_layout sizes{1,           batch, model.heads, model.key_width, model.value_width,
                               model.window};
    const extent qkv_width = sizes.heads * sizes.head_width();
    const extent out_width = sizes.heads * sizes.value_width;
    const extent memory_width = sizes.heads * sizes.memory_width();
    for (extent index = 0; index < model.layers; ++index) {
        const decoder_layer layer(index);
        const row positions = layer.get("pos_emb");
        const tare::matrix_view<const float> table(positions.data(), sizes.key_width,
                                                   sizes.entries());
        const tare::kernels::position_table prepared(table);
        tare::kernels::attention_cache cache(sizes);
        row memory;
        for (const std::string& chunk : chunks) {
            const std::string below =
                index == 0 ? ".embed_out" : tare::message(".layer", index - 1, "_out");
            const row x = tare::testing::values<float>(fixture, chunk + below);
            auto layout = sizes;
            layout.tokens = static_cast<extent>(x.size()) / (batch * width);
            const extent rows = layout.tokens * batch;
            row qkv;
            for (extent r = 0; r < rows; ++r) {
                const row one = layer.projected(slice(x, r, width));
                qkv.insert(qkv.end(), one.begin(), one.end());
            }
            tare::kernels::segment_inputs<float> in{{qkv.data(), rows, qkv_width}, {}, table};
            if (!memory.empty()) in.memory = {memory.data(), sizes.window * batch, memory_width};
            row attended(static_cast<std::size_t>(rows * out_width));
            const tare::matrix_view<float> out(attended.data(), rows, out_width);
            tare::kernels::segment_attention_forward(layout, in, out);
            row stepped(attended.size());
            const tare::matrix_view<float> step_out(stepped.data(), rows, out_width);
            for (extent r = 0; r < rows; r += batch)
                tare::kernels::attention_step(cache, prepared, in.qkv.rows_between(r, r + batch),
                                              step_out.rows_between(r, r + batch));
            CHECK(stepped == attended);

            row result;
            for (extent r = 0; r < rows; ++r) {
                const row one = layer.finished(slice(x, r, width), slice(attended, r, out_width));
                result.insert(result.end(), one.begin(), one.end());
            }
            const std::string name = chunk + ".layer" + std::to_string(index) + "_out";
            CHECK(distance(result, tare::testing::values<float>(fixture, name)) < tolerance);
            row next(static_cast<std::size_t>(sizes.window * batch * memory_width));
            tare::kernels::segment_memory(
                layout, in,
                tare::matrix_view<float>(next.data(), sizes.window * batch, memory_width));
            memory = next;
            const std::string state = chunk + ".state" + std::to_string(index);
            CHECK(distance(memory, tare::testing::values<float>(fixture, state)) < tolerance);
        }
    }
}

}  // namespace

TEST_CASE("layers around segment attention give the reference's outputs and states") {
    check_chunks("hanlab/lm_plain.npz", {"chunk0", "chunk1", "chunk2"});
    check_chunks("hanlab/lm_batch.npz", {"chunk0", "chunk1"});
}
