#pragma once
// SPDX-License-Identifier: MIT
// The small language model that the fixtures in tests/golden/hanlab/ belong to.

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <tare/io/npz_parameters.hpp>
#include <tare/models/transformer_xl_config.hpp>
#include <tare/ops/gather.hpp>

#include "golden.hpp"

namespace tare::testing {

inline nlohmann::json hanlab_manifest() {
    std::ifstream in(std::string(TARE_GOLDEN_DIR) + "/hanlab/manifest.json");
    return nlohmann::json::parse(in);
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
