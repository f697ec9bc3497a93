// SPDX-License-Identifier: MIT
// The model against the reference implementation: states, hidden states, losses and gradients.
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <tare/io/npz_parameters.hpp>
#include <tare/models/transformer_xl.hpp>
#include <tare/ops/mean.hpp>

#include "hanlab_model.hpp"

using namespace tare;

namespace {

/// The reference rounds too: two float32 computations of one number differ by at most the sum of
/// their distances to the exact one. Ours is allowed eight times the reference's own distance (the
/// largest that the manifest gives for that quantity in any chunk of the case: for a single number
/// one chunk alone is luck, and for five still 8.2 was measured), or eight units in the last place
/// of the largest element.
constexpr double distance_factor = 8.0 + 1.0;
constexpr double ulps = 8.0 * 1.1920929e-07;

struct comparison {
    nlohmann::json arrays;
    io::npz_archive archive;

    void check(const std::string& name, std::span<const float> got) const {
        INFO(name);
        const auto& want = testing::array(archive, name);
        const std::vector<float> values = want.as<float>();
        REQUIRE(values.size() == got.size());
        const auto& about = arrays.at(name);
        const double largest = about.value("max_abs", 1.0);
        double distance = 0.0;
        for (const auto& [other, description] : arrays.items())
            if (other.ends_with(name.substr(name.find('.'))))
                distance = std::max(distance, description.value("float64_max_abs_diff", 0.0));
        const double bound = std::max(distance_factor * distance, ulps * largest);
        for (std::size_t i = 0; i < values.size(); ++i)
            REQUIRE(std::abs(static_cast<double>(got[i]) - static_cast<double>(values[i])) <=
                    bound);
    }
    bool has(const std::string& name) const { return archive.contains(name); }
    std::vector<token> words(const std::string& name) const {
        return testing::tokens_of(archive, name);
    }
};

/// Reads the trained cache scalars from the case, everything else from the weights.
struct parameters_of_case {
    io::npz_parameters<float> weights;
    const io::npz_archive* archive;
    const transformer_xl_config* config;

    tensor parameter(std::string_view label, const shape& extents, const initial& start) const {
        const auto scalar = [&](const char* name) {
            return archive->contains(name) ? tensor(shape{}, testing::values<float>(*archive, name))
                                           : tensor(shape{}, static_cast<float>(start.constant));
        };
        if (label.starts_with("loss.cache_theta")) return scalar("theta_raw");
        if (label.starts_with("loss.cache_lambda")) return scalar("lambda_raw");
        return weights.parameter(label, extents, start);
    }
};

void run_case(const std::string& file) {
    const nlohmann::json m = testing::hanlab_manifest();
    const auto& about = m["files"][file + ".npz"];
    const comparison golden{about["arrays"], testing::golden("hanlab/" + file + ".npz")};
    const io::npz_archive weights = testing::golden("hanlab/weights.npz");
    transformer_xl_config config = testing::hanlab_config();
    // The case of a shared cache says "as lm_cache_trained".
    const std::string described = (file == "lm_cache_batch" ? "lm_cache_trained" : file) + ".npz";
    const auto& meaning = m["files"][described]["meaning"];
    if (meaning.contains("config"))
        config = testing::hanlab_cached_config(described,
                                               meaning["config"].contains("cache_theta_init"));
    tape record;
    const parameters_of_case values{{weights, "param."}, &golden.archive, &config};
    tape_parameters<parameters_of_case, float> source(record, values);
    transformer_xl<variable> model(source, config);
    parameters_of_case plain_values = values;
    transformer_xl<tensor> plain(plain_values, config);

    transformer_xl_state<variable> state;
    transformer_xl_state<tensor> plain_state;
    neural_cache<variable> cache(config.cache.capacity);
    neural_cache<tensor> plain_cache(config.cache.capacity);
    const bool cached = config.cache.capacity > 0;

    for (int chunk = 0; golden.has("chunk" + std::to_string(chunk) + ".loss"); ++chunk) {
        const std::string head = "chunk" + std::to_string(chunk) + ".";
        INFO(file, " ", head);
        std::vector<token> words = golden.words(head + "inputs");
        const std::vector<token> labels = golden.words(head + "labels");
        const extent batch = testing::array(golden.archive, head + "inputs").extents[1];
        // The reference pads with word 0 up to a whole number of segments and cuts afterwards.
        const std::size_t used = words.size();
        words.resize(
            static_cast<std::size_t>((static_cast<extent>(used) / batch + config.window - 1) /
                                     config.window * config.window * batch));

        const tensor hidden = plain.hidden(words, batch, plain_state);
        golden.check(head + "layer" + std::to_string(config.layers - 1) + "_out", hidden.values());
        golden.check(head + "embed_out", plain.embedding()(words).values());
        for (extent l = 0; l < config.layers; ++l)
            golden.check(head + "state" + std::to_string(l),
                         plain_state.memory[static_cast<std::size_t>(l)].values());
        const tensor rows = hidden.slice(0, static_cast<extent>(used));
        std::vector<float> nll;
        const tensor logp =
            plain.softmax().log_probability(rows, labels, cached ? &plain_cache : nullptr);
        for (const float v : logp.values())
            nll.push_back(-v);
        golden.check(head + "nll", nll);
        if (golden.has(head + "cache_logprob"))
            golden.check(head + "cache_logprob",
                         plain.softmax().cache_log_probability(rows, labels, plain_cache).values());

        const variable all = model.hidden(words, batch, state);
        std::vector<token> first(used);
        for (std::size_t i = 0; i < used; ++i)
            first[i] = static_cast<token>(i);
        const variable kept = gather(all, first);
        const variable loss = scale_by(
            mean(model.softmax().log_probability(kept, labels, cached ? &cache : nullptr)), -1.0);
        golden.check(head + "loss", loss.value().values());
        if (cached) {
            cache.push(kept, labels);
            plain_cache.push(rows, labels);
            golden.check(head + "cache_keys", plain_cache.keys().values());
            const std::vector<token> stored = golden.words(head + "cache_values");
            REQUIRE(std::equal(stored.begin(), stored.end(), plain_cache.words().begin(),
                               plain_cache.words().end()));
        }
        record.backward(loss);
        std::size_t checked = 0;
        model.visit([&](std::string_view label, variable& parameter) {
            const std::string name = head + "grad." + std::string(label);
            if (golden.has(name)) {
                golden.check(name, parameter.gradient().values());
                ++checked;
            }
            parameter.clear_gradient();
        });
        std::size_t given = 0;
        for (const auto& [name, values_] : golden.archive)
            given += name.starts_with(head + "grad.") ? 1 : 0;
        CHECK(checked == given);
    }
}

}  // namespace

TEST_CASE("the plain model equals the reference") {
    run_case("lm_plain");
}
TEST_CASE("a batch of streams equals the reference") {
    run_case("lm_batch");
}
TEST_CASE("a trained cache equals the reference") {
    run_case("lm_cache_trained");
}
TEST_CASE("a fixed cache equals the reference") {
    run_case("lm_cache_fixed");
}
TEST_CASE("streams that share a cache equal the reference") {
    run_case("lm_cache_batch");
}
