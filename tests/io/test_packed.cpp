// SPDX-License-Identifier: MIT
// Packed model files: payload bits against the ledger, losses against the simulated model, damage.
#include <cmath>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/io/packed.hpp>
#include <tare/micronet/rules.hpp>
#include <tare/micronet/weigh.hpp>
#include <tare/models/stored_parameters.hpp>
#include <tare/train/quantization_aware.hpp>

#include "io/scratch.hpp"
#include "small_model.hpp"

using namespace tare;

namespace {

transformer_xl_config small_config(bool trained_cache) {
    transformer_xl_config c = testing::small_model_config();
    c.cache = {7, trained_cache, 0.05, 0.2, false};
    return c;
}

/// Random parameters of which every third element, and every element of one row, is pruned.
struct pruned_parameters {
    bool prune;
    random_parameters<float> random{7};

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        tensor out = random.parameter(label, extents, start).clone();
        const std::span<float> values = out.mutable_values();
        if (!prune || extents.rank() != 2 || micronet::stays_at_32_bits(label)) return out;
        for (std::size_t i = 0; i < values.size(); ++i)
            if (i % 3 == 1 || i < static_cast<std::size_t>(extents.columns())) values[i] = 0.0F;
        return out;
    }
};

std::vector<token> stream_of(std::size_t count) {
    std::vector<token> out(count);
    for (std::size_t i = 0; i < count; ++i)
        out[i] = static_cast<token>((i * i * 7 + i * 3) % 53);
    return out;
}

stored_model make_model(int bits, bool pruned, bool trained_cache,
                        std::vector<micronet::tensor_width> widths = {}) {
    micronet::compression how;
    how.bits = bits;
    how.widths = std::move(widths);
    train::quantization_aware<> t(pruned_parameters{pruned}, small_config(trained_cache), how);
    const std::vector<token> words = stream_of(25);
    static_cast<void>(t.observe(std::span(words).first(24), std::span(words).subspan(1)));
    return t.store();
}

std::vector<float> losses(const stored_model& stored) {
    stored_parameters source(stored);
    const transformer_xl<tensor> model(source, stored.config);
    transformer_xl_state<tensor> state;
    neural_cache<tensor> cache(stored.config.cache.capacity);
    const std::vector<token> words = stream_of(49);
    std::vector<float> out;
    for (std::size_t at = 0; at < 48; at += 16) {
        const auto labels = std::span(words).subspan(at + 1, 16);
        const tensor h = model.hidden(std::span(words).subspan(at, 16), 1, state);
        const tensor logp = model.softmax().log_probability(h, labels, &cache);
        out.insert(out.end(), logp.values().begin(), logp.values().end());
        cache.push(h, labels);
    }
    return out;
}

std::int64_t stored_bits(const ledger& book) {
    std::int64_t sum = 0;
    for (const ledger_item& item : book.items())
        sum += item.cost.total_bits();
    return sum;
}

std::string slurp(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

}  // namespace

TEST_CASE("payload bits are the ledger's storage bits; losses are the simulated model's") {
    const testing::scratch_folder folder;
    const std::string path = folder.file("model.safetensors");
    const std::vector<token> stream = stream_of(12);
    for (const int bits : {2, 3, 4, 5, 6, 7, 8, 9, 10, 32})
        for (const bool pruned : {false, true})
            for (const bool trained : {false, true}) {
                INFO(bits, " bits, pruned ", pruned, ", trained cache ", trained);
                const stored_model model = make_model(bits, pruned, trained);
                io::save_packed(path, model);
                const io::packed_file file = io::load_packed(path);
                const ledger book = micronet::weigh(model.config, io::remaining_of(model),
                                                    std::span<const token>(stream));
                CHECK(file.payload_bits == stored_bits(book));
                // Each stream ends on a byte: less than one byte each is lost.
                const auto streams =
                    static_cast<std::int64_t>(io::load_safetensors(path).tensors.size());
                CHECK(8 * file.payload_bytes >= file.payload_bits);
                CHECK(8 * file.payload_bytes < file.payload_bits + 8 * streams);
                CHECK(losses(file.model) == losses(model));
                // The score from the file's tensors is the one from its payload.
                const ledger again = micronet::weigh(file.model.config, file.model.how,
                                                     std::span<const token>(stream));
                const micronet::totals sums = micronet::tally(again, micronet::official{});
                CHECK(sums.parameters() == static_cast<double>(file.payload_bits) / 32.0);
                CHECK(sums.operations() ==
                      micronet::tally(book, micronet::official{}).operations());
            }
}

TEST_CASE("tensors keep widths of their own") {
    const testing::scratch_folder folder;
    const std::string path = folder.file("model.safetensors");
    const stored_model model =
        make_model(9, true, false, {{"layers.1.fc.0.weight", 4}, {"loss.clusters.weight", 32}});
    io::save_packed(path, model);
    const io::packed_file file = io::load_packed(path);
    CHECK(file.model.at("layers.1.fc.0.weight").bits == 4);
    CHECK(file.model.at("loss.clusters.weight").bits == 32);
    CHECK(losses(file.model) == losses(model));
    const std::vector<token> stream = stream_of(5);
    CHECK(file.payload_bits == stored_bits(micronet::weigh(model.config, file.model.how,
                                                           std::span<const token>(stream))));
}

TEST_CASE("a mask is written only where it lowers the score") {
    stored_tensor t;
    t.extents = shape{4, 8};
    t.bits = 4;
    t.codes.assign(32, 1);
    t.factors.assign(4, 0.5F);
    CHECK(!io::describe(t).masked);
    // A zero of 4 bits saves those and, per token, 4/32 + 1 operations of 16 bits each: 22 in all,
    // so that two of them pay for 32 bits of mask and one does not.
    t.codes[3] = 0;
    CHECK(!io::describe(t).masked);
    t.codes[4] = 0;
    CHECK(io::describe(t).masked);
    for (std::size_t i = 0; i < 9; ++i)
        t.codes[i] = 0;
    CHECK(io::describe(t).masked);
    CHECK(io::describe(t).kept == 23);
    micronet::compression how;
    how.bits = 4;
    io::note_remaining(how, "x", t, io::describe(t));
    CHECK(how.sparse[0].filled_rows == 3);
}

TEST_CASE("damaged packed files are refused with a reason") {
    const testing::scratch_folder folder;
    const std::string path = folder.file("model.safetensors");
    const std::string bad = folder.file("bad.safetensors");
    io::save_packed(path, make_model(9, true, false));
    const std::string bytes = slurp(path);
    SUBCASE("cut off at any place") {
        for (std::size_t size = 0; size < bytes.size(); size += 997) {
            testing::dump(bad, bytes.substr(0, size));
            CHECK_THROWS_AS(static_cast<void>(io::load_packed(bad)), file_error);
        }
    }
    SUBCASE("flipped bits") {
        for (std::size_t at = 3; at < bytes.size(); at += 1009) {
            std::string flipped = bytes;
            flipped[at] = static_cast<char>(flipped[at] ^ 4);
            testing::dump(bad, flipped);
            CHECK_THROWS_AS(static_cast<void>(io::load_packed(bad)), file_error);
        }
    }
    SUBCASE("numbers in the description that are no integers, or too large ones") {
        const io::safetensors_archive archive = io::load_safetensors(path);
        std::vector<io::tensor_ref> streams;
        for (const auto& [name, t] : archive.tensors)
            streams.push_back(t);
        for (const char* const shape : {"2.5", "2e37", "18446744073709551615", "true",
                                        "4611686018427387904", "-1", "3,", "3,,4", " 3"}) {
            INFO(shape);
            auto metadata = archive.metadata;
            metadata["tare.tensor.a"] = message(shape, " linear_symmetric 8 bitmask 0");
            io::save_safetensors(bad, streams, metadata);
            const std::string reason =
                testing::raised<file_error>([&] { static_cast<void>(io::load_packed(bad)); });
            CHECK(reason.find("description is wrong") != std::string::npos);
        }
    }
    SUBCASE("a file of another kind") {
        const std::vector<float> one{1.0F};
        const io::tensor_ref t = io::tensor_ref::of<float>("x", shape{1}, one);
        io::save_safetensors(bad, std::span(&t, 1));
        const std::string reason =
            testing::raised<file_error>([&] { static_cast<void>(io::load_packed(bad)); });
        CHECK(reason.find("not a packed model") != std::string::npos);
    }
    SUBCASE("streams and descriptions that do not belong together") {
        const io::safetensors_archive archive = io::load_safetensors(path);
        std::vector<io::tensor_ref> streams;
        for (const auto& [name, t] : archive.tensors)
            if (name != "layers.0.qkv.weight.mask") streams.push_back(t);
        io::save_safetensors(bad, streams, archive.metadata);
        CHECK_THROWS_AS(static_cast<void>(io::load_packed(bad)), file_error);

        streams.clear();
        for (const auto& [name, t] : archive.tensors)
            streams.push_back(t);
        streams.push_back(streams.front());
        streams.back().name = "one.more";
        io::save_safetensors(bad, streams, archive.metadata);
        CHECK_THROWS_AS(static_cast<void>(io::load_packed(bad)), file_error);

        struct damage {
            std::string key;
            std::string value;
            std::string said;
        };
        for (const damage& d :
             std::vector<damage>{{"tare.packed", "1", "this program reads 2"},
                                 {"tare.bits", "1", "2 to 16 and 32"},
                                 {"tare.bits", "x", "a number"},
                                 {"tare.config.layers", "two", "tare.config.layers"},
                                 {"tare.config.layers", "0", "layers is 0"},
                                 {"tare.config.cutoffs", "11;29", "a number"},
                                 {"tare.config.cache.trained", "1", "true or false"},
                                 {"tare.tensor.a", "1", "shape, format, bits"},
                                 {"tare.tensor.a", "2 linear_symmetric 17 dense 2", "17 bits"},
                                 {"tare.tensor.a", "2 fp32 8 dense 2", "the format fp32"},
                                 {"tare.tensor.a", "2 fp32 32 sparse 2", "the form sparse"},
                                 {"tare.tensor.a", "2 fp32 32 dense 1", "1 values"},
                                 {"tare.tensor.a", "2 fp32 32 dense 2", "\"a\""},
                                 {"tare.points", "no.such", "no.such.range"}}) {
            INFO(d.key, " = ", d.value);
            std::map<std::string, std::string> metadata = archive.metadata;
            metadata[d.key] = d.value;
            streams.pop_back();
            io::save_safetensors(bad, streams, metadata);
            streams.push_back(streams.front());
            const std::string reason =
                testing::raised<file_error>([&] { static_cast<void>(io::load_packed(bad)); });
            CHECK(reason.find(d.said) != std::string::npos);
        }
    }
}
