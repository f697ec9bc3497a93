// SPDX-License-Identifier: MIT
// Packed weights against the simulated ones: single products, whole models, chunks and online.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/io/packed.hpp>
#include <tare/micronet/weigh.hpp>
#include <tare/models/packed_model.hpp>
#include <tare/models/stored_parameters.hpp>
#include <tare/train/quantization_aware.hpp>

#include "io/scratch.hpp"

using namespace tare;

namespace {

/// The contract of packed_weight.hpp: sums in another order and with other roundings, ...
double product_bound(extent inputs, double products) {
    return static_cast<double>(inputs + 8) * 0x1p-24 * products;
}
/// ... and floats cut into digits.
double digit_bound(double largest, double weights) {
    return 0x1p-22 * largest * weights;
}

struct parameters {
    bool prune;
    random_parameters<float> random{11};

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        tensor out = random.parameter(label, extents, start).clone();
        const std::span<float> values = out.mutable_values();
        if (!prune || extents.rank() != 2 || micronet::stays_at_32_bits(label)) return out;
        for (std::size_t i = 0; i < values.size(); ++i)
            if (i % 5 < 2) values[i] = 0.0F;
        return out;
    }
};

transformer_xl_config config() {
    transformer_xl_config c;
    c.layers = 2;
    c.width = 36;
    c.heads = 3;
    c.key_width = 7;
    c.value_width = 6;
    c.inner = 51;
    c.window = 8;
    c.vocabulary = 211;
    c.cutoffs = {23, 71};
    c.widths = {36, 13, 4};
    c.cache = {9, false, 0.05, 0.2, false};
    return c;
}

std::vector<token> stream_of(std::size_t count) {
    std::vector<token> out(count);
    for (std::size_t i = 0; i < count; ++i)
        out[i] = static_cast<token>((i * i * 13 + i * 5) % 211);
    return out;
}

stored_model make_model(int bits, bool pruned) {
    micronet::compression how;
    how.bits = bits;
    train::quantization_aware<> t(parameters{pruned}, config(), how);
    const std::vector<token> words = stream_of(65);
    static_cast<void>(t.observe(std::span(words).first(64), std::span(words).subspan(1)));
    return t.store();
}

template <class Weight>
std::vector<float> losses(const transformer_xl<tensor, Weight>& model, std::size_t chunk) {
    transformer_xl_state<tensor> state;
    neural_cache<tensor> cache(model.config().cache.capacity);
    const std::vector<token> words = stream_of(97);
    std::vector<float> out;
    for (std::size_t at = 0; at < 96; at += chunk) {
        const auto labels = std::span(words).subspan(at + 1, chunk);
        const tensor h = model.hidden(std::span(words).subspan(at, chunk), 1, state);
        const tensor logp = model.softmax().log_probability(h, labels, &cache);
        out.insert(out.end(), logp.values().begin(), logp.values().end());
        cache.push(h, labels);
    }
    return out;
}

double mean(const std::vector<float>& values) {
    double sum = 0.0;
    for (const float v : values)
        sum += static_cast<double>(v);
    return sum / static_cast<double>(values.size());
}

/// How far the mean loss moves when each row of each matrix is off by what the contract allows its
/// products to differ: (K + 8) 2^-24 of them, up or down. Activations on the edge between two codes
/// fall on the other side then, as they do where sums are rounded otherwise.
double rounding_sensitivity(const stored_model& stored, std::size_t chunk, double unperturbed) {
    double most = 0.0;
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
        const random_stream random(seed, 77);
        std::uint64_t next = 0;
        stored_model moved = stored;
        for (auto& [label, t] : moved.tensors) {
            if (t.extents.rank() != 2) continue;
            const double size = product_bound(t.extents[1], 1.0);
            for (float& step : t.factors)
                step *= static_cast<float>(1.0 + (random.uniform(next++) < 0.5F ? size : -size));
        }
        stored_parameters source(moved);
        const transformer_xl<tensor> model(source, moved.config);
        most = std::max(most, std::abs(mean(losses(model, chunk)) - unperturbed));
    }
    return most;
}
/// Six trials see a typical largest movement, not the largest there is; and what the loss itself
/// is rounded to.
double mean_tolerance(double sensitivity, double loss) {
    constexpr double margin = 4.0;
    return margin * sensitivity + 64.0 * 0x1p-24 * loss;
}

stored_tensor random_weight(extent rows, extent columns, int bits, bool pruned) {
    return store_tensor(
        parameters{pruned}.parameter("w", shape{rows, columns}, initial::uniform(0.7)), bits);
}

}  // namespace

TEST_CASE("a NaN in a row makes that row NaN and no other, however the product is made") {
    for (const int bits : {5, 9, 12})
        for (const extent m : {3, 40})
            for (const int in : {8, 9, 32}) {
                INFO(bits, " bits, M ", m, ", inputs of ", in, " bits");
                const stored_tensor w = random_weight(67, 31, bits, false);
                tensor x(shape{m, 31}, 0.25F);
                x.mutable_values()[31 + 7] = std::numeric_limits<float>::quiet_NaN();
                const tensor y = linear(x, packed_weight(w, {in, 0.25F, false}));
                for (extent i = 0; i < y.size(); ++i)
                    REQUIRE(std::isnan(y.values()[static_cast<std::size_t>(i)]) == (i / 67 == 1));
            }
}

TEST_CASE("products of packed weights keep their bound; exact ones keep the bits") {
    for (const int bits : {2, 3, 5, 8, 9, 10, 15, 16})
        for (const bool pruned : {false, true})
            for (const extent columns : {1, 4, 31, 64, 257})
                for (const extent m : {1, 3, 8, 9, 40}) {
                    INFO(bits, " bits, pruned ", pruned, ", K ", columns, ", M ", m);
                    const stored_tensor w = random_weight(67, columns, bits, pruned);
                    const int in = std::min(bits, 12);
                    const float step = 0.01F;
                    tensor x(shape{m, columns});
                    const int n = (1 << (in - 1)) - 1;
                    for (std::size_t i = 0; i < x.values().size(); ++i)
                        x.mutable_values()[i] =
                            static_cast<float>(static_cast<int>(i * 7919) % (2 * n + 1) - n) * step;
                    const tensor want = linear(x, w.decode());
                    const tensor exact = linear(x, packed_weight(w, {in, step, true}));
                    const tensor integer = linear(x, packed_weight(w, {in, step, false}));
                    const tensor blocks = linear(x, packed_weight(w, {}));
                    const tensor values = w.decode();
                    for (extent i = 0; i < want.size(); ++i) {
                        const auto at = static_cast<std::size_t>(i);
                        double size = 0.0;
                        double top = 0.0;
                        double weights = 0.0;
                        for (extent k = 0; k < columns; ++k) {
                            const auto a = static_cast<double>(x.view().matrix()(i / 67, k));
                            const auto b = static_cast<double>(values.view().matrix()(i % 67, k));
                            size += std::abs(a * b);
                            top = std::max(top, std::abs(a));
                            weights += std::abs(b);
                        }
                        const double bound = product_bound(columns, size);
                        const double digits =
                            m < packed_weight::many_rows ? digit_bound(top, weights) : 0.0;
                        const auto wanted = static_cast<double>(want.values()[at]);
                        REQUIRE(exact.values()[at] == want.values()[at]);
                        REQUIRE(std::abs(static_cast<double>(integer.values()[at]) - wanted) <=
                                bound);
                        REQUIRE(std::abs(static_cast<double>(blocks.values()[at]) - wanted) <=
                                bound + digits);
                    }
                }
}

TEST_CASE("rows of packed tables are the stored values") {
    for (const bool pruned : {false, true})
        for (const int in : {9, 32}) {
            const stored_tensor w = random_weight(701, 37, 9, pruned);
            const packed_weight packed(w, {in, 0.1F, false});
            const std::vector<token> index{0, 700, 3, 3, 441, 442, 443};
            const tensor got = gather(packed, index);
            const tensor want = gather(w.decode(), std::span<const token>(index));
            for (std::size_t i = 0; i < got.values().size(); ++i)
                REQUIRE(got.values()[i] == want.values()[i]);
            const std::vector<token> outside{701};
            CHECK_THROWS_AS(static_cast<void>(gather(packed, outside)), error);
        }
}

TEST_CASE("a packed file gives the simulated model's losses") {
    const testing::scratch_folder folder;
    const std::string path = folder.file("model.safetensors");
    for (const int bits : {4, 9, 32})
        for (const bool pruned : {false, true}) {
            INFO(bits, " bits, pruned ", pruned);
            const stored_model stored = make_model(bits, pruned);
            io::save_packed(path, stored);
            stored_parameters source(stored);
            const transformer_xl<tensor> simulated(source, stored.config);
            const auto exact = make_packed_model(io::load_packed(path).model, true);
            const auto fast = make_packed_model(io::load_packed(path).model);
            for (const std::size_t chunk : {std::size_t{96}, std::size_t{24}, std::size_t{1}}) {
                INFO("chunks of ", chunk);
                const std::vector<float> want = losses(simulated, chunk);
                CHECK(losses(exact, chunk) == want);
                const double allowed = mean_tolerance(
                    rounding_sensitivity(stored, chunk, mean(want)), std::abs(mean(want)));
                CHECK(std::abs(mean(losses(fast, chunk)) - mean(want)) <= allowed);
                // A tolerance that let everything pass would be none.
                CHECK(allowed < 2e-3);
            }
        }
}

TEST_CASE("the whole distribution online; the same bits for any number of threads") {
    const stored_model stored = make_model(9, true);
    packed_parameters source(stored);
    const transformer_xl<tensor, packed_weight> model(source, stored.config);
    std::vector<float> first;
    for (const int threads : {1, 2, 3, 4}) {
        set_threads(threads);
        transformer_xl_state<tensor> state;
        neural_cache<tensor> cache(stored.config.cache.capacity);
        std::vector<float> all;
        for (const token word : stream_of(12)) {
            tensor hidden;
            const tensor p = micronet::step(model, word, state, &cache, hidden);
            double sum = 0.0;
            for (const float v : p.values())
                sum += static_cast<double>(v);
            CHECK(sum > 0.79);  // an empty cache loses its share of 0.2
            CHECK(sum < 1.001);
            all.insert(all.end(), p.values().begin(), p.values().end());
            cache.push(hidden, std::vector<token>{word});
        }
        if (first.empty()) first = all;
        CHECK(all == first);
    }
}

TEST_CASE("a stream, which remembers codes, gives the bits of steps that copy their memory") {
    for (const bool exact : {false, true}) {
        const auto model = make_packed_model(make_model(9, true), exact);
        transformer_xl_stream stream;
        transformer_xl_state<tensor> state;
        for (const token word : stream_of(40)) {
            tensor hidden;
            const tensor got = micronet::step(model, word, stream, nullptr, hidden);
            const tensor want = micronet::step(model, word, state, nullptr, hidden);
            REQUIRE(std::equal(got.values().begin(), got.values().end(), want.values().begin()));
        }
    }
}

TEST_CASE("packed weights take fewer bytes than their 16-bit codes") {
    const stored_tensor w = random_weight(2048, 64, 9, true);
    CHECK(packed_weight(w, {}).bytes() < 2048 * 64 * 9 / 8 + 2048 * 4);
    CHECK(packed_weight(w, {9, 1.0F, false}).bytes() <= 2048 * 64 * 9 / 8 + 2048 * 4);
}

TEST_CASE("shapes that do not fit are refused") {
    const packed_weight w(random_weight(5, 7, 8, false), {});
    CHECK_THROWS_AS(static_cast<void>(linear(tensor(shape{2, 6}, 0.0F), w)), error);
    CHECK_THROWS_AS(static_cast<void>(linear(tensor(shape{2, 7}, 0.0F), w, tensor(shape{4}, 0.0F))),
                    error);
    CHECK_THROWS_AS(packed_weight(store_tensor(tensor(shape{4}, 1.0F), 8), {}), error);
}
