#pragma once
// SPDX-License-Identifier: MIT
// The small language model that the fixtures in tests/golden/hanlab/ belong to: sizes and options
// come from the manifest, so that any other set of the same system is checked by the same tests.

#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <tare/io/npz_parameters.hpp>
#include <tare/models/transformer_xl_config.hpp>
#include <tare/ops/gather.hpp>

#include "golden_manifest.hpp"

namespace tare::testing {

inline nlohmann::json hanlab_manifest() {
    return golden_manifest("hanlab");
}

inline transformer_xl_config hanlab_config() {
    const nlohmann::json m = hanlab_manifest();
    const auto& a = m["architecture"];
    const auto sizes = [](const nlohmann::json& list) {
        return size_list(std::span<const extent>(list.get<std::vector<extent>>()));
    };
    transformer_xl_config c;
    c.layers = a["n_layers"];
    c.width = a["n_embed"];
    c.heads = a["n_head"];
    c.key_width = a["n_k"];
    c.value_width = a["n_v"];
    c.inner = a["n_inner"];
    c.window = a["n_seq"];
    c.vocabulary = a["n_vocab"];
    c.cutoffs = sizes(a["cutoffs"]);
    c.widths = sizes(a["n_embeds"]);
    return c;
}

/// The same with a cache of `capacity` pairs.
inline transformer_xl_config hanlab_config(extent capacity, double theta, double lambda,
                                           bool trained) {
    transformer_xl_config c = hanlab_config();
    c.cache = {capacity, trained, theta, lambda, true};
    return c;
}

/// The same with the cache of the cases in hanlab/<file>, shared between streams as theirs is. The
/// manifest's files name its scalars in several ways; initial values are those of trained ones.
inline transformer_xl_config hanlab_cached_config(const std::string& file, bool trained) {
    transformer_xl_config c = hanlab_config();
    const nlohmann::json m = hanlab_manifest();
    const nlohmann::json about = m.at("files").at(file).at("meaning").at("config");
    const auto any_of = [&](std::initializer_list<const char*> names) {
        for (const char* name : names)
            if (about.contains(name)) return about[name].get<double>();
        fail("golden: the manifest gives ", file, " no ", *names.begin());
    };
    c.cache.capacity = about.at("n_cache");
    c.cache.trained = trained;
    c.cache.theta = any_of({"theta", "theta0", "cache_theta", "cache_theta_init"});
    c.cache.lambda = any_of({"lam", "lambda0", "cache_lambda", "cache_lambda_init"});
    c.cache.shared = true;
    return c;
}

/// A number that only the sentence about hanlab/<file> gives: the one that follows `word`.
inline double hanlab_number(const std::string& file, const std::string& word) {
    const nlohmann::json m = hanlab_manifest();
    const std::string about = m.at("files").at(file).at("about");
    const std::size_t at = about.find(message(word, ' '));
    require(at != std::string::npos, "golden: \"", about, "\" gives no ", word);
    return std::strtod(about.c_str() + at + word.size(), nullptr);
}

/// Words in a chunk of training and evaluation: three segments in every set.
inline extent hanlab_chunk() {
    return 3 * hanlab_config().window;
}

/// The weights of the set; the two scalars of the cache start as the configuration says.
class hanlab_parameters {
  public:
    hanlab_parameters() : archive_(golden("hanlab/weights.npz")) {}

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        if (label.starts_with("loss.cache_"))
            return tensor(extents, static_cast<float>(start.constant));
        return io::npz_parameters<float>(archive_, "param.").parameter(label, extents, start);
    }

  private:
    io::npz_archive archive_;
};

inline std::vector<token> tokens_of(const io::npz_archive& archive, const std::string& name) {
    std::vector<token> out;
    for (const std::int64_t w : values<std::int64_t>(archive, name))
        out.push_back(static_cast<token>(w));
    return out;
}

/// Largest distance between two arrays of one size.
inline double distance(std::span<const float> a, std::span<const float> b) {
    require(a.size() == b.size(), "distance: ", a.size(), " values and ", b.size());
    double largest = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        largest = d < 0 ? std::max(largest, -d) : std::max(largest, d);
        if (d != d) return d;
    }
    return largest;
}

}  // namespace tare::testing
