// SPDX-License-Identifier: MIT
// The explicit quantized model against the reference's: every quantization point of a layer, hidden
// states, memories, losses, evaluation.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/models/stored_model.hpp>
#include <tare/models/transformer_xl.hpp>

#include "hanlab_quantized.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

/// Values on the grid of a quantization point are equal or, where an input lies on the edge between
/// two codes, one step apart; at most this share of them may be.
constexpr double edge_share = 0.01;

/// The reference's stored arrays as a parameter source. The output layer's version of a tied table
/// is the one that is evaluated.
struct reference_stored {
    const io::npz_archive* archive;
    int bits;

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        if (label.starts_with("loss.cache_"))
            return tensor(shape{}, static_cast<float>(start.constant));
        std::string name(label);
        if (name.starts_with("embed.layers.")) name.replace(0, 5, "loss");
        return tensor(extents, values<float>(*archive, "stored." + name));
    }
    [[nodiscard]] activation_point<tensor> point(std::string_view label) const {
        const std::string m = "stored." + point_module(std::string(label));
        return {bits, values<float>(*archive, m + ".max_abs")[0],
                values<float>(*archive, m + ".inv_scale")[0]};
    }
};

/// The published quantized model attends to zeros before the start of a stream.
transformer_xl_state<tensor> zero_memories(const transformer_xl_config& c) {
    transformer_xl_state<tensor> state;
    for (extent i = 0; i < c.layers; ++i)
        state.memory.emplace_back(shape{c.window, 1, c.heads * (c.key_width + c.value_width)},
                                  0.0F);
    return state;
}

/// Returns how many values are a step apart.
std::size_t check_grid(std::span<const float> got, const std::vector<float>& want, float step) {
    REQUIRE(got.size() == want.size());
    std::size_t apart = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        if (got[i] == want[i]) continue;
        ++apart;
        REQUIRE(std::abs(got[i] - want[i]) <= 1.001F * step);
    }
    CHECK(static_cast<double>(apart) <= edge_share * static_cast<double>(got.size()));
    return apart;
}

/// The largest weight of the stored output layers.
double largest_output_weight(const io::npz_archive& archive, const transformer_xl_config& config) {
    double largest = 0.0;
    for (std::size_t bin = 0; bin < config.bins(); ++bin)
        for (const float w : values<float>(archive, message("stored.loss.layers.", bin, ".weight")))
            largest = std::max(largest, std::abs(static_cast<double>(w)));
    return largest;
}

double mean_loss(const transformer_xl<tensor>& model, std::span<const token> tokens) {
    transformer_xl_state<tensor> state = zero_memories(model.config());
    neural_cache<tensor> cache(model.config().cache.capacity);
    double sum = 0.0;
    const auto chunk = static_cast<std::size_t>(hanlab_chunk());
    for (std::size_t at = 0; at + 1 < tokens.size(); at += chunk) {
        const std::size_t count = std::min(chunk, tokens.size() - 1 - at);
        const auto labels = tokens.subspan(at + 1, count);
        const tensor h = model.hidden(tokens.subspan(at, count), 1, state);
        for (const float v : model.softmax().log_probability(h, labels, &cache).values())
            sum -= static_cast<double>(v);
        cache.push(h, labels);
    }
    return sum / static_cast<double>(tokens.size() - 1);
}

}  // namespace

TEST_CASE("the explicit model equals the reference's chunk by chunk") {
    const auto tokens = golden("hanlab/tokens.npz");
    const std::vector<token> valid = tokens_of(tokens, "valid");
    const std::span<const token> stream(valid);
    const auto length = static_cast<std::size_t>(hanlab_chunk());
    for (const int bits : {8, 9}) {
        const io::npz_archive archive = golden(message("hanlab/quant_bits", bits, ".npz"));
        reference_stored source{&archive, bits};
        const transformer_xl_config config = quantized_case_config();
        const transformer_xl<tensor> model(source, config);
        transformer_xl_state<tensor> state = zero_memories(config);
        neural_cache<tensor> cache(config.cache.capacity);
        const float step = values<float>(archive, "stored.quant.inv_scale")[0];
        const double largest = largest_output_weight(archive, config);
        // Codes that differ, in this chunk or in what later ones remember. The reduced file does
        // not show the last point's.
        std::size_t apart = archive.contains("explicit.chunk0.tap.quant") ? 0 : 1;
        for (std::size_t chunk = 0; chunk < 2; ++chunk) {
            const std::string head = message("explicit.chunk", chunk, '.');
            INFO(bits, " bits, ", head);
            const auto words = stream.subspan(length * chunk, length);
            const auto labels = stream.subspan(length * chunk + 1, length);
            const tensor h = model.hidden(words, 1, state);
            if (archive.contains(head + "tap.quant"))
                apart += check_grid(h.values(), values<float>(archive, head + "tap.quant"), step);
            for (std::size_t l = 0; l < state.memory.size(); ++l)
                apart += check_grid(state.memory[l].values(),
                                    values<float>(archive, message(head, "state", l)),
                                    values<float>(archive, message("stored.layers.", l,
                                                                   ".quant_qkv.inv_scale"))[0]);
            const std::vector<float> want = values<float>(archive, head + "nll");
            const tensor logp = model.softmax().log_probability(h, labels, &cache);
            const double allowed =
                nll_tolerance +
                (apart == 0 ? 0.0 : edge_tolerance(config, static_cast<double>(step), largest));
            for (std::size_t i = 0; i < want.size(); ++i)
                CHECK(std::abs(static_cast<double>(-logp.values()[i]) -
                               static_cast<double>(want[i])) <= allowed);
            cache.push(h, labels);
        }
        for (const char* name : {"valid", "test"}) {
            INFO(name);
            const std::vector<token> words = tokens_of(tokens, name);
            const std::vector<float> want =
                values<float>(archive, message("explicit.", name, "_loss"));
            CHECK(std::abs(mean_loss(model, words) - static_cast<double>(want[0])) <=
                  mean_tolerance(config, static_cast<double>(step), largest, words.size() - 1));
        }
    }
}

TEST_CASE("every quantization point of a layer equals the reference's") {
    const io::npz_archive archive = golden("hanlab/quant_bits9.npz");
    const auto tokens = golden("hanlab/tokens.npz");
    const std::vector<token> valid = tokens_of(tokens, "valid");
    const transformer_xl_config config = quantized_case_config();
    reference_stored source{&archive, 9};
    const transformer_xl<tensor> model(source, config);
    const auto take = [&](const char* name) {
        const std::string full = message("stored.layers.0.", name);
        return tensor(array(archive, full).extents, values<float>(archive, full));
    };
    const auto tap = [&](const char* label, const tensor& x) {
        const std::string m = point_module(message("layers.0.", label));
        INFO(m);
        const tensor y = source.point(message("layers.0.", label))(x);
        check_grid(y.values(), values<float>(archive, "explicit.chunk0.tap." + m),
                   values<float>(archive, "stored." + m + ".inv_scale")[0]);
        return y;
    };
    const extent length = hanlab_chunk();
    const std::span<const token> words(valid.data(), static_cast<std::size_t>(length));
    const tensor x = reshape(model.embedding()(words), shape{length, 1, config.width});
    const tensor qkv =
        tap("qkv", linear(tap("ln1", layer_norm(x, take("ln1.weight"), take("ln1.bias"))),
                          take("qkv.weight"), take("qkv.bias")));
    const tensor zeros = zero_memories(config).memory[0];
    tensor p(shape{length * config.heads, config.window + 1});
    const kernels::segment_layout layout{.tokens = length,
                                         .batch = 1,
                                         .heads = config.heads,
                                         .key_width = config.key_width,
                                         .value_width = config.value_width,
                                         .window = config.window};
    const tensor positions = take("pos_emb");
    kernels::segment_attention_forward(
        layout, {qkv.view().matrix(), zeros.view().matrix(), positions.view().matrix()}, {},
        p.mutable_view().matrix());
    // The reference keeps segments apart, heads outside positions.
    tensor by_segment(p.shape());
    for (extent row = 0; row < p.shape()[0]; ++row) {
        const extent t = row / config.heads;
        const extent to = (t / config.window * config.heads + row % config.heads) * config.window +
                          t % config.window;
        std::copy_n(&p.view().matrix()(row, 0), config.window + 1,
                    &by_segment.mutable_view().matrix()(to, 0));
    }
    static_cast<void>(tap("attn", by_segment));
    const tensor attended =
        tap("attn_out", source.point("layers.0.attn").with_rows([&](const auto& rows) {
            const op::segment_attention<std::decay_t<decltype(rows)>> attention{
                config.heads, config.key_width, config.value_width, rows};
            return apply(attention, qkv, positions, zeros);
        }));
    const tensor middle = add(x, linear(attended, take("out.weight")));
    const tensor inner = tap(
        "relu", relu(linear(tap("ln2", layer_norm(middle, take("ln2.weight"), take("ln2.bias"))),
                            take("fc.0.weight"), take("fc.0.bias"))));
    const tensor out =
        add(middle, tap("fc.3", linear(inner, take("fc.3.weight"), take("fc.3.bias"))));
    const std::vector<float> want = values<float>(archive, "explicit.chunk0.tap.layers.0");
    for (std::size_t i = 0; i < want.size(); ++i)
        CHECK(std::abs(static_cast<double>(out.values()[i]) - static_cast<double>(want[i])) <=
              nll_tolerance);
}

TEST_CASE("the stored form of awkward tensors") {
    SUBCASE("no rows, no columns, zeros") {
        for (const shape& s : {shape{0, 4}, shape{4, 0}, shape{3, 2}, shape{}, shape{5}}) {
            const stored_tensor t = store_tensor(tensor(s, 0.0F), 9);
            CHECK(t.nonzeros() == 0);
            CHECK(t.decode().size() == s.size());
        }
    }
    SUBCASE("products with codes are exact: every value has at most 24 significant bits") {
        tensor w(shape{3, 37});
        for (std::size_t i = 0; i < 111; ++i)
            w.mutable_values()[i] = std::sin(static_cast<float>(i) * 1.7F);
        for (int bits = 2; bits <= 16; ++bits) {
            const stored_tensor t = store_tensor(w, bits);
            for (extent i = 0; i < 111; ++i) {
                const auto code = static_cast<double>(t.codes[static_cast<std::size_t>(i)]);
                const auto step = static_cast<double>(t.factors[static_cast<std::size_t>(i / 37)]);
                CHECK(static_cast<double>(t.value(i)) == code * step);
            }
        }
    }
    SUBCASE("widths") {
        CHECK_THROWS_AS(static_cast<void>(store_tensor(tensor(shape{2}, 1.0F), 1)), error);
        CHECK_THROWS_AS(static_cast<void>(store_tensor(tensor(shape{2}, 1.0F), 17)), error);
    }
}
