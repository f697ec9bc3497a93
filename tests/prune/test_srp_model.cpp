// SPDX-License-Identifier: MIT
// Selectively regularised pruning of a translation Transformer against the reference: connectivity,
// its gradients, selection, removal in one stage and in two, and updates of the pruning phase.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/io/npz_parameters.hpp>
#include <tare/micronet/compressed_parameters.hpp>
#include <tare/models/translation_transformer.hpp>
#include <tare/nn/srp_layer_norm.hpp>
#include <tare/prune/srp_connectivity.hpp>
#include <tare/prune/srp_removal.hpp>
#include <tare/train/adam.hpp>
#include <tare/train/label_smoothing.hpp>
#include <tare/train/translation_distillation.hpp>

#include "golden_manifest.hpp"
#include "translation_arrays.hpp"

using namespace tare;
using testing::check_array;
using testing::check_close;

namespace {

/// The manifest's: 2e-5 of the largest value, gradients 2e-4 (importances are small differences of
/// large sums).
constexpr double value_tolerance = 2e-5;
constexpr double gradient_tolerance = 2e-4;

/// The arrays of one file, and those of the network that its weights came from where it has none.
struct fixture {
    io::npz_archive golden;
    io::npz_archive weights;
    std::string prefix;
    std::vector<token> words, previous, targets;
    extent batch = 0;

    explicit fixture(const std::string& file, std::string prefix_ = "w.")
        : golden(testing::golden("pet/" + file)), prefix(std::move(prefix_)) {
        const bool own = golden.contains(prefix + "encoder.embed_tokens.weight");
        weights = own ? golden : testing::golden("pet/transformer.npz");
        words = testing::words_by_time(golden, "src_tokens");
        previous = testing::words_by_time(golden, "prev_output_tokens");
        targets = train::without_padding(testing::words_by_time(golden, "target"), 1);
        batch = testing::array(golden, "src_tokens").extents[0];
    }
    [[nodiscard]] translation_transformer_config config() const {
        const auto rows = [&](const char* name) {
            return testing::array(weights, prefix + name).extents[0];
        };
        const nlohmann::json about = testing::golden_manifest("pet").at("config");
        std::size_t layers = 0;
        while (weights.contains(message(prefix, "encoder.layers.", layers, ".fc1.weight")))
            ++layers;
        return translation_transformer_config::uniform(
            rows("encoder.embed_tokens.weight"), rows("decoder.embed_tokens.weight"), layers,
            about.at("d"), rows("encoder.layers.0.fc1.weight"), about.at("heads"));
    }
    /// The masks named `head` + label; 1 says pruned there.
    [[nodiscard]] prune::unit_masks masks(const std::string& head) const {
        prune::unit_masks out;
        for (const auto& entry : golden) {
            if (!entry.first.starts_with(head)) continue;
            prune::mask keep;
            for (const std::int64_t pruned : entry.second.as<std::int64_t>())
                keep.push_back(pruned != 0 ? 0 : 1);
            out.set(entry.first.substr(head.size()), std::move(keep));
        }
        return out;
    }
    [[nodiscard]] prune::srp_counts counts(const std::string& name) const {
        const auto v = testing::values<std::int64_t>(golden, name);
        return {v.at(0), v.at(1), v.at(2), v.at(3), v.at(4)};
    }
};

/// What a batch gives.
struct passed {
    encoded_source<variable> source;
    decoded_target<variable> target;
    variable logits;  ///< (T, B, n)
};
template <class Model>
passed pass(const Model& model, const fixture& f) {
    passed out;
    out.source = model.encode(f.words, f.batch);
    out.target = model.decode(f.previous, out.source);
    out.logits = model.logits(out.target.hidden);
    return out;
}
variable loss_of(const variable& logits, const fixture& f) {
    const extent n = logits.shape().columns();
    return train::smoothed_cross_entropy(reshape(logits, shape{logits.shape().rows(), n}),
                                         f.targets, train::label_smoothing::over_others(0.1, n));
}

/// Logits stored (sentences, length, classes) and loss.
void check_results(const fixture& f, const std::string& head, const passed& p) {
    INFO(head);
    const auto want = testing::rows_by_time(f.golden, head + "logits");
    check_close(p.logits.value().values(), want, value_tolerance);
    check_array(f.golden, head + "loss", loss_of(p.logits, f).value().values(), value_tolerance);
}
void check_gradient_of(const fixture& f, const std::string& name, const variable& x, int& checked) {
    if (!f.golden.contains(name)) return;
    check_array(f.golden, name, x.gradient().values(), gradient_tolerance);
    ++checked;
}

template <bool Weighted>
using srp_model = translation_transformer<variable, variable, srp_layer_norm<variable, Weighted>>;

/// Values by name from anywhere as leaves of a tape: one type, so that each model is compiled once.
struct leaves {
    tape* record;
    std::function<tensor(std::string_view, const shape&)> values;
    std::function<extent(std::string_view)> created = [](std::string_view) { return extent{0}; };

    leaves(tape& record_, const fixture& f)
        : record(&record_), values([&f](std::string_view label, const shape& extents) {
              const io::npz_parameters<float> all(f.weights, f.prefix);
              return all.parameter(label, extents, {});
          }) {}
    leaves(tape& record_, const prune::removed_parameters& left)
        : record(&record_),
          values([&left](std::string_view label, const shape& extents) {
              return left.parameter(label, extents, {});
          }),
          created([&left](std::string_view label) { return left.created_columns(label); }) {}
    [[nodiscard]] variable parameter(std::string_view label, const shape& extents, const initial&) {
        return record->parameter(values(label, extents));
    }
    [[nodiscard]] extent created_columns(std::string_view label) const { return created(label); }
};

/// Where connectivity vectors start.
enum class start_at { off, one, given };

/// A model on a tape; given vectors are those of the fixture.
template <bool Weighted>
struct connected_model {
    static auto maker(tape& record, start_at start, const io::npz_archive& given) {
        return [&record, start, &given](std::string_view label, extent width) {
            if (start == start_at::off) return variable{};
            if (start == start_at::one) return record.parameter(tensor(shape{width}, 1.0F));
            return record.parameter(
                tensor(shape{width}, testing::values<float>(given, message("c.", label))));
        };
    }
    using make_type =
        decltype(maker(std::declval<tape&>(), start_at::off, std::declval<io::npz_archive&>()));

    tape record;
    prune::connected_parameters<leaves, make_type> source;
    srp_model<Weighted> model;
    prune::srp_pruner<variable> pruner;

    template <class Values>
    connected_model(const fixture& f, const Values& values,
                    const translation_transformer_config& config, start_at start)
        : source(leaves(record, values), maker(record, start, f.golden)),
          model(source, config),
          pruner(source.connections()) {}
    connected_model(const fixture& f, start_at start) : connected_model(f, f, f.config(), start) {}
    connected_model(const fixture& f, const prune::removed_network& left, start_at start)
        : connected_model(f, left.parameters, left.config, start) {}
    /// Gradients of the loss at the vectors' values.
    void score(const fixture& f) { record.backward(loss_of(pass(model, f).logits, f)); }
};

template <bool Weighted>
void check_connectivity() {
    const fixture f("srp.npz");
    const std::string head = Weighted ? "w1." : "w0.";
    {
        connected_model<Weighted> off(f, start_at::off);
        const passed p = pass(off.model, f);
        check_results(f, head + "off.", p);
        off.record.backward(loss_of(p.logits, f));
        int checked = 0;
        off.model.visit([&](std::string_view label, const variable& parameter) {
            check_gradient_of(f, message("off.g.", label), parameter, checked);
        });
        CHECK(checked >= 10);
    }
    {
        connected_model<Weighted> ones(f, start_at::one);
        check_results(f, head + "ones.", pass(ones.model, f));
        ones.record.clear();
        ones.score(f);
        int checked = 0;
        for (const auto& c : ones.source.connections())
            check_gradient_of(f, message(head, "ones.gc.", c.label.view()), c.factors, checked);
        CHECK(checked >= 2);
    }
    connected_model<Weighted> random(f, start_at::given);
    const passed p = pass(random.model, f);
    check_results(f, head + "rand.", p);
    const auto check_states = [&](const std::string& side, const std::vector<variable>& states) {
        for (std::size_t i = 0; i < states.size(); ++i) {
            const std::string name = message(head, "rand.", side, ".state.", i);
            // The reference multiplies the decoder's last state in place once more.
            const bool last = side == "dec" && i + 1 == states.size();
            if (f.golden.contains(name))
                check_array(f.golden, name, (last ? p.target.hidden : states[i]).value().values(),
                            value_tolerance);
        }
    };
    check_states("enc", p.source.states);
    check_states("dec", p.target.states);
    random.record.backward(loss_of(p.logits, f));
    int checked = 0;
    for (const auto& c : random.source.connections())
        check_gradient_of(f, message(head, "rand.g.", c.label.view()), c.factors, checked);
    CHECK(checked == static_cast<int>(random.source.connections().size()));
    random.model.visit([&](std::string_view label, const variable& parameter) {
        check_gradient_of(f, message(head, "rand.g.", label), parameter, checked);
    });
}

template <bool Weighted>
void check_removal() {
    const fixture f("removal.npz");
    const std::string head = Weighted ? "w1." : "w0.";
    connected_model<Weighted> full(f, start_at::one);
    full.score(f);
    full.pruner.select(f.counts(head + "counts"), prune::published_srp_slices);
    const prune::unit_masks want = f.masks(head + "mask.");
    for (const auto& c : full.source.connections()) {
        INFO(c.label.view());
        REQUIRE(want.find(c.label) != nullptr);
        CHECK(*full.pruner.masks().find(c.label) == *want.find(c.label));
    }
    full.pruner.mask_selected();
    check_results(f, head + "masked.", pass(full.model, f));

    const prune::removed_network left = prune::remove_units(full.model, full.pruner.masks());
    for (const auto& entry : left.parameters.tensors()) {
        const std::string name = message(head, "pruned.w.", entry.first);
        if (!f.golden.contains(name)) continue;
        INFO(name);
        const auto v = testing::values<float>(f.golden, name);
        CHECK(std::equal(v.begin(), v.end(), entry.second.values().begin(),
                         entry.second.values().end()));
    }
    const auto check_columns = [&](const char* name, const std::vector<token>& columns) {
        const auto v = testing::values<std::int64_t>(f.golden, message(head, "pruned.", name));
        CHECK(std::equal(v.begin(), v.end(), columns.begin(), columns.end()));
    };
    check_columns("encoder_positions", left.config.encoder.position_columns);
    check_columns("decoder_positions", left.config.decoder.position_columns);

    connected_model<Weighted> narrow(f, left, start_at::off);
    const passed p = pass(narrow.model, f);
    check_results(f, head + "pruned.", p);
    narrow.record.backward(loss_of(p.logits, f));
    int checked = 0;
    narrow.model.visit([&](std::string_view label, const variable& parameter) {
        check_gradient_of(f, message(head, "pruned.g.", label), parameter, checked);
    });
    CHECK((checked >= 10 || !Weighted));
}

/// One parameter of the small optimizer loop below.
struct trained {
    std::string label;
    variable value;
    tensor moments[2];
};

/// Three updates of the pruning phase, as the published code makes them.
void check_updates(const std::string& head, double share) {
    const fixture f("srp_adam.npz", "w0.");
    connected_model<true> m(f, start_at::one);
    m.pruner.select(f.masks("mask."));
    // The teacher has some weights of its own.
    connected_model<true> teacher(f, start_at::off);
    teacher.model.visit([&](std::string_view label, variable& x) {
        const std::string name = message(head, "teacher.", label);
        if (!f.golden.contains(name)) return;
        const auto own = testing::values<float>(f.golden, name);
        std::copy(own.begin(), own.end(), x.mutable_value().mutable_values().begin());
    });
    const tensor soft = pass(teacher.model, f).logits.value();
    std::vector<trained> parameters;
    m.model.visit([&](std::string_view label, variable& x) {
        parameters.push_back(
            {std::string(label), x, {tensor(x.shape(), 0.0F), tensor(x.shape(), 0.0F)}});
    });
    // Subtracting 1/8 of one, exactly: a fall over nine steps.
    const auto shrink = prune::srp_shrinking::arithmetic_steps(1, 9).as_published();
    CHECK(shrink.rate() == testing::values<float>(f.golden, head + "shrink")[0]);
    const train::adam optimizer{0.9, 0.98, 1e-8, true};
    constexpr double rate = 5e-4;
    constexpr double decay = rate * 1e-4;
    const auto tokens = static_cast<float>(testing::values<std::int64_t>(f.golden, "ntokens")[0]);
    for (extent update = 0; update < 3; ++update) {
        m.pruner.before_step(update, shrink);
        const variable z = pass(m.model, f).logits;
        const variable hard = loss_of(z, f);
        const variable loss =
            share > 0.0 ? train::srp_loss(hard, z, m.record.constant(soft), share) : hard;
        check_array(f.golden, message(head, "loss", update), loss.value().values(),
                    value_tolerance);
        m.record.backward(loss);
        for (trained& p : parameters) {
            const std::span<float> arrays[] = {p.value.mutable_gradient().mutable_values(),
                                               p.moments[0].mutable_values(),
                                               p.moments[1].mutable_values()};
            if (update > 0) m.pruner.freeze(p.label, p.value.shape(), arrays);
            optimizer.update_decayed(p.value.mutable_value().mutable_values(), arrays[0],
                                     std::span(arrays).subspan(1),
                                     {update + 1, rate, 1.0F / tokens}, decay);
            p.value.clear_gradient();
        }
        m.pruner.forget_gradients();
        // Where a gradient is rounding noise Adam makes whole steps of it: the manifest asks for
        // 2e-5 of 99 % of the weights, and keys' biases, whose gradient is zero, are left out.
        std::size_t seen = 0;
        std::size_t far = 0;
        for (const trained& p : parameters) {
            const std::string name = message(head, 'w', update + 1, '.', p.label);
            if (p.label.ends_with("k_proj.bias") || !f.golden.contains(name)) continue;
            const auto want = testing::values<float>(f.golden, name);
            const auto got = p.value.value().values();
            REQUIRE(got.size() == want.size());
            for (std::size_t i = 0; i < want.size(); ++i)
                far += std::abs(got[i] - want[i]) > 2e-5F ? 1 : 0;
            seen += want.size();
        }
        CHECK(100 * far <= seen);
        CHECK((seen > 0 || update == 1 || head == "kd."));
    }
}

}  // namespace

TEST_CASE("connectivity with weighted norms: results and gradients equal the reference") {
    check_connectivity<true>();
}
TEST_CASE("connectivity with unweighted norms: results and gradients equal the reference") {
    check_connectivity<false>();
}
TEST_CASE("a masked network, with weighted norms, is the network without the masked units") {
    check_removal<true>();
}
TEST_CASE("a masked network, with unweighted norms, is the network without the masked units") {
    check_removal<false>();
}

TEST_CASE("two stages: columns, then the insides of what is left") {
    const fixture f("removal.npz");
    const auto check_stage = [&](const std::string& head, connected_model<true>& m) {
        m.score(f);
        int checked = 0;
        for (const auto& c : m.source.connections())
            check_gradient_of(f, message(head, "gc.", c.label.view()), c.factors, checked);
        CHECK(checked >= 2);
        m.pruner.select(f.counts(head + "counts"), prune::published_srp_slices);
        const prune::unit_masks want = f.masks(head + "mask.");
        for (const auto& c : m.source.connections())
            CHECK(*m.pruner.masks().find(c.label) == *want.find(c.label));
        prune::removed_network left = prune::remove_units(m.model, m.pruner.masks());
        const connected_model<true> narrow(f, left, start_at::off);
        check_results(f, head, pass(narrow.model, f));
        return left;
    };
    connected_model<true> wide(f, start_at::one);
    const prune::removed_network first = check_stage("two.stage1.", wide);
    connected_model<true> narrow(f, first, start_at::one);
    const prune::removed_network second = check_stage("two.stage2.", narrow);
    extent parameters = 0;
    for (const auto& entry : second.parameters.tensors())
        parameters += entry.second.size();
    CHECK(parameters == testing::values<std::int64_t>(f.golden, "two.params")[0]);
}

TEST_CASE("updates of the pruning phase equal the reference") {
    check_updates("ce.", 0.0);
}
TEST_CASE("updates of the pruning phase with a teacher equal the reference") {
    check_updates("kd.", train::srp_share);
}

TEST_CASE("sizes after pruning are those of the published counts, weighed") {
    const auto parameters = [](const translation_transformer_config& config) {
        ledger book;
        const micronet::compression none;
        micronet::compressed_parameters source(book, none);
        const translation_transformer<cost, cost, srp_layer_norm<cost, true>> model(source, config);
        extent all = 0;
        for (const ledger_item& item : book.items())
            all += item.what.extents.size();
        return all;
    };
    const auto base = translation_transformer_config::uniform(8848, 6632);
    const prune::srp_sizes sizes{512, 4, 6, 6, 12288, 8848, 6632};
    CHECK(parameters(base) == 39'469'056);
    CHECK(parameters(base) == prune::srp_parameters_of(sizes).all());
    const prune::srp_parameters n = prune::published_srp_parameters(sizes);
    const std::pair<double, extent> left[] = {{0.05, 1'941'953},  {0.10, 3'898'752},
                                              {0.15, 5'882'940},  {0.20, 7'827'714},
                                              {0.30, 11'746'174}, {0.50, 19'666'340}};
    for (const auto& [rate, want] : left) {
        INFO("rate ", rate);
        const prune::srp_counts counts = prune::counts_for(sizes, prune::kept_fraction(n, rate));
        // Gradients that fall along every vector: the first units go; of inner units those of the
        // first layers, all but one, since a layer keeps at least one.
        std::vector<std::string> labels{"encoder.embedding_c", "decoder.embedding_c"};
        for (const char* side : {"encoder.", "decoder."})
            for (int l = 0; l < 6; ++l)
                for (const char* place : {"self_attn_qk_c", "self_attn_vo_c", "encoder_attn_qk_c",
                                          "encoder_attn_vo_c", "fc_c"})
                    if (side[0] == 'd' || place[0] != 'e')
                        labels.push_back(message(side, "layers.", l, '.', place));
        std::vector<std::vector<float>> falling;
        for (const std::string& label : labels) {
            const int layer = label.find("layers.") == std::string::npos ? 0 : label[15] - '0';
            std::vector<float> g(label.ends_with("fc_c") ? 1024 : 512);
            for (std::size_t i = 0; i < g.size(); ++i)
                g[i] = static_cast<float>(i + 1 == g.size() ? 0 : 100000 - 1024 * layer) -
                       static_cast<float>(i) - (label[0] == 'd' ? 0.5F : 0.0F);
            falling.push_back(std::move(g));
        }
        std::vector<prune::connectivity_gradient> gradients;
        for (std::size_t i = 0; i < labels.size(); ++i)
            gradients.push_back({labels[i], falling[i]});
        const std::vector<prune::mask> keep = prune::select_units(gradients, counts, 4);
        prune::unit_masks masks;
        for (std::size_t i = 0; i < labels.size(); ++i)
            masks.set(labels[i], keep[i]);
        CHECK(parameters(prune::removed_config(base, masks)) == want);
    }
}

TEST_CASE("what cannot be removed is refused") {
    auto config = translation_transformer_config::uniform(8, 8, 1, 8, 4, 2);
    const auto refused = [&](const char* label, prune::mask keep) {
        prune::unit_masks masks;
        masks.set(label, std::move(keep));
        CHECK_THROWS_AS(static_cast<void>(prune::removed_config(config, masks)), error);
    };
    refused("encoder.layers.0.fc_c", {0, 0, 0, 0});
    refused("encoder.layers.0.fc_c", {1, 0, 0});
    refused("decoder.layers.0.encoder_attn_qk_c", {1, 1, 1, 0, 1, 0, 0, 0});
    refused("decoder.layers.0.self_attn_vo_c", {0, 0, 0, 0, 0, 0, 0, 0});
    prune::unit_masks masks;
    masks.set("decoder.layers.0.self_attn_vo_c", {0, 1, 1, 0, 1, 0, 0, 1});
    CHECK(prune::removed_config(config, masks).decoder_layers[0].self.value_width == 4);
    config.share_embeddings = true;
    CHECK_THROWS_AS(static_cast<void>(prune::removed_config(config, masks)), error);
    CHECK_THROWS_AS(static_cast<void>(prune::units_of("layers.0.qkv.weight")), error);
    CHECK_THROWS_AS(static_cast<void>(prune::units_of("decoder.layers.0.fc1.range")), error);
    const prune::removed_parameters empty(config);
    CHECK_THROWS_AS(static_cast<void>(empty.at("decoder.layers.0.fc1.bias")), error);

    struct nothing {};
    prune::connected_parameters vectors(
        nothing{}, [](std::string_view, extent width) { return tensor(shape{width}, 1.0F); });
    const tensor once = vectors.gate("encoder.embedding_c", 4);
    CHECK(vectors.gate("encoder.embedding_c", 4).identity() == once.identity());
    CHECK_THROWS_AS(static_cast<void>(vectors.gate("encoder.embedding_c", 5)), error);
}
