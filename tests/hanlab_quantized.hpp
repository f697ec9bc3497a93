#pragma once
// SPDX-License-Identifier: MIT
// The fixtures of the quantized language model: configuration, words, names of the reference.

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <tare/io/npz.hpp>
#include <tare/models/stored_model.hpp>

#include "hanlab_model.hpp"

namespace tare::testing {

/// Sizes of the hanlab fixtures with the constant cache of the quantized cases.
inline transformer_xl_config quantized_case_config() {
    const std::string file = "quant_bits9.npz";
    transformer_xl_config c = hanlab_config();
    c.cache = {static_cast<extent>(hanlab_number(file, "n_cache")), false,
               hanlab_number(file, "theta"), hanlab_number(file, "lambda"), true};
    return c;
}

/// Loss of one word in two float32 computations that see the same codes. A logit is at most 24
/// products one after the other (16 of the projection, 8 of the table) with sum |x w| < 9, so its
/// partial sums are 4.5 on average and each addition is off by 4.5 2^-24 / sqrt(3) in the root mean
/// square: sqrt(24) 4.5 / sqrt(3) = 12.7 units of 2^-24 in all. A loss is the difference of two
/// such numbers, computed twice: 25 units. Six of these standard deviations.
inline constexpr double nll_tolerance = 6.0 * 25.0 * 0x1p-24;

/// What an activation on the edge between two codes moves, summed over all losses that see it: the
/// window of each layer above, and its own. A hidden value moves by one `step` of the last point,
/// and with it the logits of target and maximum by at most step times the `largest` weight of the
/// output layers each.
inline double edge_tolerance(const transformer_xl_config& c, double step, double largest) {
    return 2.0 * step * largest * static_cast<double>(c.layers * c.window + 1);
}

/// Mean of `count` losses in which one activation may lie on such an edge.
inline double mean_tolerance(const transformer_xl_config& c, double step, double largest,
                             std::size_t count) {
    return nll_tolerance + edge_tolerance(c, step, largest) / static_cast<double>(count);
}

/// The reference's module of a quantization point.
inline std::string point_module(const std::string& label) {
    const auto ends = [&label](std::string_view tail) { return label.ends_with(tail); };
    const std::string layer = label.substr(0, label.find('.', 7));
    if (label == "final") return "quant";
    if (ends(".attn_out")) return layer + ".quant_attnv";
    if (ends(".attn")) return layer + ".quant_attn";
    if (ends(".relu")) return layer + ".fc.1";
    if (ends(".fc.3")) return layer + ".fc.4";
    return layer + ".quant_" + label.substr(label.rfind('.') + 1);
}

/// All quantization points of a model.
inline std::vector<std::string> point_labels(const transformer_xl_config& config) {
    std::vector<std::string> out{"final"};
    for (extent i = 0; i < config.layers; ++i)
        for (const char* part : {"ln1", "qkv", "attn", "attn_out", "ln2", "relu", "fc.3"})
            out.push_back(message("layers.", i, '.', part));
    return out;
}

/// "layers.0.qkv.weight" to "layers.0.qkv.float_weight": the float copy of a quantized parameter.
inline std::string float_name(const std::string& label) {
    const std::size_t dot = label.rfind('.') + 1;
    return message(label.substr(0, dot), "float_", label.substr(dot));
}

/// Parameters by name from `head` + name, or `head` + the name of the float copy; the constants of
/// the cache as the configuration has them.
struct float_parameters {
    const io::npz_archive* archive;
    std::string head;

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        if (label.starts_with("loss.cache_"))
            return tensor(shape{}, static_cast<float>(start.constant));
        std::string name(label);
        if (!archive->contains(head + name)) name = float_name(name);
        return tensor(extents, values<float>(*archive, head + name));
    }
};

}  // namespace tare::testing
