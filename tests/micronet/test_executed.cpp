// SPDX-License-Identifier: MIT
// What is counted is what is executed: each operation's plain form runs on a type that counts its
// own additions, multiplications and the rest; the tally equals the price, as integers.
#include <vector>

#include <doctest/doctest.h>

#include <tare/micronet/weigh.hpp>
#include <tare/models/translation_transformer.hpp>
#include <tare/ops/confidence_classes.hpp>
#include <tare/ops/convolution.hpp>
#include <tare/ops/image.hpp>
#include <tare/ops/log_softmax_sums.hpp>
#include <tare/ops/mean.hpp>
#include <tare/ops/mean_squared_error.hpp>
#include <tare/ops/multi_head_attention.hpp>
#include <tare/ops/soft_cross_entropy.hpp>
#include <tare/ops/swap_last_axes.hpp>
#include <tare/ops/unit_rows.hpp>
#include <tare/ops/weighted_layer_norm.hpp>
#include <tare/ops/weighted_sum.hpp>
#include <tare/testing/counted.hpp>

using namespace tare;
using testing::counted;
using testing::operation_tally;
using counted_tensor = basic_tensor<counted>;

namespace {

/// Distinct values without structure, so that no comparison is decided by ties.
counted_tensor values(const shape& extents, std::uint64_t seed = 1, float low = -1.0F,
                      float high = 1.0F) {
    counted_tensor out(extents);
    const random_stream random(seed, 7);
    std::uint64_t i = 0;
    for (counted& v : out.mutable_values())
        v = counted(low + (high - low) * random.uniform(i++));
    return out;
}

operation_tally sum_of(std::span<const charge> charges) {
    operation_tally t;
    for (const charge& c : charges) {
        if (c.kind == math::multiplication) t.multiplications += c.count;
        if (c.kind == math::addition) t.additions += c.count;
        if (c.kind == math::other) t.others += c.count;
    }
    return t;
}

/// All that a ledger was charged.
operation_tally priced_in(const ledger& book) {
    operation_tally all;
    for (const ledger_module& m : book.modules())
        for (const ledger_entry& e : m.entries) {
            const operation_tally t = sum_of(e.charges);
            all.multiplications += t.multiplications;
            all.additions += t.additions;
            all.others += t.others;
        }
    return all;
}

/// Runs and prices one operation on the same inputs.
template <class Op, class... Tensors>
void check(const Op& op, const Tensors&... inputs) {
    CAPTURE(std::string(Op::name));
    counted::tally() = {};
    const counted_tensor out = apply(op, inputs...);
    const operation_tally executed = counted::tally();
    const std::array<operand, sizeof...(Tensors)> operands{operand::dense(inputs.shape())...};
    const operation_tally priced = sum_of(op.cost(operands, operand::dense(out.shape())).charges());
    CHECK(executed.multiplications == priced.multiplications);
    CHECK(executed.additions == priced.additions);
    CHECK(executed.others == priced.others);
}

}  // namespace

TEST_CASE("every operation executes what it charges") {
    for (const extent n : {1, 2, 7}) {
        check(op::linear{}, values({n, 5}), values({3, 5}), values({3}));
        check(op::linear{}, values({n, 1}), values({4, 1}));
        check(op::add{}, values({n, 4}), values({n, 4}, 2));
        check(op::scale_by{0.5}, values({n, 4}));
        check(op::scale{}, values({n, 4}), values({}));
        check(op::relu{}, values({n, 4}));
        check(op::mean{}, values({n, 3}));
        check(op::layer_norm{}, values({n, 6}), values({6}), values({6}));
        check(op::layer_norm{}, values({n, 1}), values({1}), values({1}));
        check(op::softplus{}, values({n}));
        check(op::sigmoid{}, values({n}));
        check(op::log_mixture{}, values({n}), values({n}, 2), values({}, 3, 0.1F, 0.9F));
        check(op::fake_quantize{8, 0.7F, 0.01F}, values({n, 5}));
        check(op::add_at{{0}}, values({n}), values({1}));
        check(op::gather{{0, 0}}, values({n, 3}));
        check(op::pick_log_softmax{std::vector<token>(static_cast<std::size_t>(n), 4)},
              values({n, 3}), values({n, 2}, 2));
        check(op::pick_log_softmax{std::vector<token>(static_cast<std::size_t>(n), 0)},
              values({n, 6}));
        check(op::log_softmax_sums{std::vector<token>(static_cast<std::size_t>(n), 4)},
              values({n, 5}));
        check(op::weighted_sum{std::vector<double>(static_cast<std::size_t>(n), 0.5)}, values({n}));
        for (const bool divergence : {false, true})
            check(op::soft_cross_entropy{10.0, divergence}, values({n, 4}, 1), values({n, 4}, 2));
        check(op::mean_squared_error{}, values({n, 3}, 1), values({n, 3}, 2));
        check(op::unit_rows{}, values({n, 3}));
        check(op::swap_last_axes{}, values({2, n, 3}));
        const counted_tensor row = values({n}, 3, 0.5F);
        check(op::weighted_layer_norm{}, values({3, n}), row, row, row);
        for (const extent created : {extent{0}, n, n + 2})
            check(op::weighted_layer_norm{1e-5, created}, values({3, n}), row, row);
        check(op::block{0, n, 2}, values({n, 3}));
        check(op::concatenate{}, values({n, 3}), values({2, 3}));
        check(op::multiply_columns{}, values({n, 3}), values({3}));
        check(op::add_sinusoids{std::vector<token>(static_cast<std::size_t>(n), 3), {4}},
              values({n, 4}));
        check(op::attention_memory{2, 3, 2, 4}, values({n, 1, 16}));
        check(op::roll{2}, values({n, 3}));
        check(op::reshape{shape{3, n}}, values({n, 3}));
        check(op::merge_rows{{{0}, {1}}}, values({1, n}), values({1, n}, 2));
    }
    // A target that is not on top of its row, as the price says.
    const counted_tensor rising(shape{1, 3},
                                std::vector<counted>{counted(1.0F), counted(2.0F), counted(3.0F)});
    check(op::confidence_classes{{1}}, rising);
}

TEST_CASE("operations of vision networks execute what they charge") {
    for (const bool same : {true, false})
        for (const extent stride : {1, 2})
            for (const extent k : {1, 2, 3}) {
                const window_options window{stride, same};
                check(op::convolution{window}, values({5, 4, 2}), values({k, k, 2, 3}),
                      values({3}));
                check(op::convolution{window}, values({5, 4, 2}), values({k, k, 2, 1}));
                check(op::depthwise_convolution{window}, values({5, 4, 2}), values({k, k, 2, 1}),
                      values({2}));
            }
    check(op::global_average{}, values({3, 2, 4}));
    check(op::channel_scale{}, values({3, 2, 4}), values({1, 1, 4}));
    check(op::swish{}, values({3, 2, 4}));
}

TEST_CASE("attention executes what it charges, with every length of memory") {
    const op::segment_attention<> attention{2, 3, 2, {}};
    for (const extent tokens : {1, 2, 5, 9}) {
        check(attention, values({tokens, 2, 16}), values({3, 5}));
        for (const extent memory : {1, 3, 4})
            check(attention, values({tokens, 2, 16}), values({3, 5}), values({memory, 2, 10}));
    }
    check(op::segment_attention<>{1, 1, 1, {}}, values({3, 1, 3}), values({1, 2}));
}

TEST_CASE("multi-head attention executes what it charges under every mask") {
    const std::vector<std::uint8_t> padding{1, 0, 0, 1, 0, 1, 1, 1, 1, 1};
    for (const double scale : {1.0, 0.5})
        for (const extent queries : {1, 3, 5})
            for (const bool causal : {false, true})
                for (const bool padded : {false, true}) {
                    const attention_mask mask{causal,
                                              padded ? padding : std::vector<std::uint8_t>{}};
                    check(op::multi_head_attention<>{2, scale, mask, {}}, values({queries, 2, 6}),
                          values({5, 2, 6}, 2), values({5, 2, 2}, 3));
                }
}

TEST_CASE("distributions execute what they charge") {
    const auto single = values({}, 9, 0.1F, 0.9F);
    check(op::adaptive_distribution{0, false, {}}, values({2, 5}));
    check(op::adaptive_distribution{2, false, {}}, values({2, 5}), values({2, 2}, 2),
          values({2, 4}, 3), values({2, 1}, 4));
    check(op::adaptive_distribution{1, true, {}}, values({1, 5}), values({1, 1}, 2),
          values({1, 4}, 3), single);
    const std::vector<token> remembered{3, 8, 3};
    check(op::adaptive_distribution{1, true, remembered}, values({1, 5}), values({1, 1}, 2),
          values({1, 4}, 3), values({1, 3}, 4), single);
}

TEST_CASE("a cache over a chunk executes what it charges") {
    const std::vector<token> words{1, 2, 1, 3, 1, 1};
    const op::cache_log_probability fresh{4, {}, words};
    check(fresh, values({6, 3}), values({6, 3}, 2));
    const op::cache_log_probability stored{4, {1, 5, 2}, words};
    check(stored, values({6, 3}), values({6, 3}, 2), values({3, 3}, 3));
}

namespace {

/// Runs a model token by token on the counting type and weighs it on the same stream.
void check_model(const transformer_xl_config& config, std::span<const token> stream) {
    CAPTURE(config.bins());
    CAPTURE(config.layers);
    CAPTURE(config.cache.capacity);
    CAPTURE(config.cache.trained);
    random_parameters<counted> source(3);
    const transformer_xl<counted_tensor> model(source, config);
    transformer_xl_state<counted_tensor> state;
    neural_cache<counted_tensor> cache(config.cache.capacity);
    neural_cache<counted_tensor>* const used = config.cache.capacity > 0 ? &cache : nullptr;
    counted::tally() = {};
    for (std::size_t t = 0; t < stream.size(); ++t) {
        counted_tensor hidden;
        const counted_tensor p = micronet::step(model, stream[t], state, used, hidden);
        if (used != nullptr && t + 1 < stream.size()) cache.push(hidden, stream.subspan(t + 1, 1));
        float total = 0.0F;
        for (const counted& v : p.values())
            total += v.value();
        // Without entries the cache's share is lost: that is the published definition.
        const double mass = t == 0 && used != nullptr ? 1.0 - config.cache.lambda : 1.0;
        CHECK(static_cast<double>(total) == doctest::Approx(mass).epsilon(1e-5));
    }
    const operation_tally executed = counted::tally();

    const ledger book = micronet::weigh(config, micronet::compression{}, stream);
    const operation_tally priced = priced_in(book);
    CHECK(executed.multiplications == priced.multiplications);
    CHECK(executed.additions == priced.additions);
    CHECK(executed.others == priced.others);
    CHECK(book.tokens() == static_cast<extent>(stream.size()));
}

}  // namespace

TEST_CASE("a whole model executes what its ledger holds, token by token") {
    transformer_xl_config config;
    config.layers = 2;
    config.width = 6;
    config.heads = 2;
    config.key_width = 3;
    config.value_width = 2;
    config.inner = 7;
    config.window = 4;
    config.vocabulary = 23;
    config.cutoffs = {5, 11};
    config.widths = {6, 3, 1};
    const std::vector<token> stream{0, 7, 22, 3, 3, 12, 7, 1, 0, 19, 4, 10};
    for (const bool trained : {false, true})
        for (const extent capacity : {0, 1, 5, 100}) {
            config.cache = {capacity, trained, 0.3, 0.2, false};
            check_model(config, stream);
        }
}

TEST_CASE("models of odd sizes execute what their ledgers hold") {
    // Layers, width, heads, key and value widths, inner width, window; cutoffs and widths of bins.
    struct sizes {
        extent layers, width, heads, key_width, value_width, inner, window;
        size_list cutoffs, widths;
    };
    const std::vector<sizes> all{
        {1, 7, 1, 3, 5, 5, 3, {}, {7}},      // one bin
        {1, 1, 1, 1, 1, 1, 1, {1}, {1, 1}},  // nothing but ones, a bin of one word
        {3, 13, 5, 1, 2, 9, 2, {1, 9, 10}, {13, 5, 3, 1}},
        {2, 3, 2, 2, 1, 4, 11, {22}, {3, 2}},  // a tail of one word, a window never full
        {1, 37, 3, 9, 17, 8, 6, {4, 5, 6, 7, 9, 12, 21}, {37, 37, 2, 1, 19, 3, 4, 5}},  // the most
                                                                                        // bins
    };
    const std::vector<token> stream{22, 0, 7, 22, 3, 3, 12, 7, 1, 0, 19, 4, 10, 22, 9};
    for (const sizes& s : all) {
        transformer_xl_config config;
        config.layers = s.layers;
        config.width = s.width;
        config.heads = s.heads;
        config.key_width = s.key_width;
        config.value_width = s.value_width;
        config.inner = s.inner;
        config.window = s.window;
        config.vocabulary = 23;
        config.cutoffs = s.cutoffs;
        config.widths = s.widths;
        for (const extent capacity : {0, 2, 40}) {
            config.cache = {capacity, capacity == 2, 0.3, 0.2, false};
            check_model(config, stream);
        }
        check_model(config, std::span(stream).first(1));
    }
}

TEST_CASE("a translation model executes what its ledger holds, padding and all") {
    auto config = translation_transformer_config::uniform(23, 19, 2, 6, 7, 2);
    config.encoder.width = 8;
    config.encoder_layers[1].self = {1, 3, 5, 0.5};
    config.decoder_layers[1].earlier_states = 1;
    config.decoder_layers[0].cross = {3, 9, 3};
    const std::vector<token> words{1, 4, 5, 6, 2, 2};
    const std::vector<token> previous{2, 2, 7, 8, 9, 1};
    for (const bool pre_norm : {false, true}) {
        config.pre_norm = pre_norm;
        const auto run = [&](const auto& model) {
            const auto source = model.encode(words, 2);
            return model.logits(model.decode(previous, source).hidden);
        };
        random_parameters<counted> random(3);
        const translation_transformer<counted_tensor> model(random, config);
        counted::tally() = {};
        CHECK(run(model).shape() == shape{3, 2, 19});
        const operation_tally executed = counted::tally();

        ledger book;
        const micronet::compression whole;
        micronet::compressed_parameters source(book, whole);
        {
            const translation_transformer<cost> weighed(source, config);
            static_cast<void>(run(weighed));
        }
        CHECK(executed == priced_in(book));
    }
}
