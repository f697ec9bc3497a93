#pragma once
// SPDX-License-Identifier: MIT
// The config.yaml of the MicroNet language-model entry, read as it is into a plain struct and
// checked: unknown keys, impossible sizes and contradictions name file, line and key.
// visit_entry_fields() is the one list of keys, types and ranges; reading, writing and comparing
// all walk it.
// Source: the keys of the entry's published configurations; Dai et al. 2019 (Transformer-XL),
// Baevski and Auli 2019 (adaptive widths), Grave et al. 2017 (cache).

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/io/yaml_map.hpp>

namespace tare::io {

/// All keys of the entry's configurations. The eight sizes are required; other members show the
/// value that a missing key stands for (those of the entry's 8.3M baseline).
struct entry_config {
    // Sizes: vocabulary, decoder layers, width d, heads, query/key and value width per head, inner
    // width of the feed-forward block, segment length S (tokens).
    extent n_vocab = 0;
    extent n_layers = 0;
    extent n_embed = 0;
    extent n_head = 0;
    extent n_k = 0;
    extent n_v = 0;
    extent n_inner = 0;
    extent n_seq = 0;
    std::vector<extent> cutoffs;   ///< first id of bins 1, 2, ...; empty: one bin
    std::vector<extent> n_embeds;  ///< width of each bin; after loading always cutoffs + 1 of them
    extent adaptive_ratio = 1;     ///< used for n_embeds only when that is missing: d / ratio^i
    std::string pos_emb = "trained";
    double dropout = 0;

    // Non-parametric cache: fixed constants or trained ones with initial values.
    bool use_cache = false;
    extent n_cache = 0;
    std::optional<double> cache_theta;
    std::optional<double> cache_lambda;
    std::optional<double> cache_theta_init;
    std::optional<double> cache_lambda_init;

    // Hebbian softmax: counts below hebbian_t are updated, with at least the rate hebbian_gamma.
    bool hebbian = false;
    extent hebbian_t = 500;  ///< key hebbian_T
    double hebbian_gamma = 0.01;

    // Distillation: weight of the hard labels rises from min to max.
    bool distill = false;
    bool distill_first_bin = false;
    double annealing_hard_min = 0.5;
    double annealing_hard_max = 0.95;

    // Compression: the pruning or quantization plan beside the file, bits of the quantized model.
    std::optional<std::string> compress;
    std::optional<extent> bits;
    std::string model = "model.Transformer";

    // Training: learning rate, schedule ("cosine", "rsqrt", "constant"), warm-up (-1: none), steps,
    // tokens per sample and samples per step; evaluation in chunks of eval_chunk tokens.
    double lr = 0.001;
    std::string scheduler = "constant";
    extent step_warmup = 0;
    extent steps = 200'000;
    extent steps_per_epoch = 1000;
    extent step_eval = 500;
    extent step_save = 5000;
    extent train_batch = 1;
    extent train_chunk = 1152;
    extent eval_batch = 1;
    extent eval_chunk = 0;         ///< missing: 42 segments, the entry's 4032 tokens for S = 96
    std::string opt_level = "O0";  ///< mixed-precision level of the entry's framework; no effect
    bool disable_amp = false;      ///< as opt_level

    bool operator==(const entry_config&) const = default;
};

/// Inclusive bounds of a key.
template <class Number>
struct allowed {
    Number low;
    Number high;
};

/// Calls field(key, member, bounds) or field(key, member) for every key, in the order of the
/// struct.
template <class Config, class Visitor>
    requires(std::is_same_v<std::remove_const_t<Config>, entry_config>)
void visit_entry_fields(Config& c, Visitor&& field) {
    constexpr extent wide = extent{1} << 24;
    constexpr extent many = extent{1} << 40;
    field("n_vocab", c.n_vocab, allowed<extent>{2, (extent{1} << 31) - 1});
    field("n_layers", c.n_layers, allowed<extent>{1, 10'000});
    field("n_embed", c.n_embed, allowed<extent>{1, wide});
    field("n_head", c.n_head, allowed<extent>{1, wide});
    field("n_k", c.n_k, allowed<extent>{1, wide});
    field("n_v", c.n_v, allowed<extent>{1, wide});
    field("n_inner", c.n_inner, allowed<extent>{1, wide});
    field("n_seq", c.n_seq, allowed<extent>{1, wide});
    field("cutoffs", c.cutoffs, allowed<extent>{1, (extent{1} << 31) - 1});
    field("n_embeds", c.n_embeds, allowed<extent>{1, wide});
    field("adaptive_ratio", c.adaptive_ratio, allowed<extent>{1, wide});
    field("pos_emb", c.pos_emb);
    field("dropout", c.dropout, allowed<double>{0, 0.999});
    field("use_cache", c.use_cache);
    field("n_cache", c.n_cache, allowed<extent>{0, many});
    field("cache_theta", c.cache_theta, allowed<double>{0, 1e6});
    field("cache_lambda", c.cache_lambda, allowed<double>{0, 1});
    field("cache_theta_init", c.cache_theta_init, allowed<double>{1e-12, 1e6});
    field("cache_lambda_init", c.cache_lambda_init, allowed<double>{1e-12, 1 - 1e-12});
    field("hebbian", c.hebbian);
    field("hebbian_T", c.hebbian_t, allowed<extent>{0, many});
    field("hebbian_gamma", c.hebbian_gamma, allowed<double>{0, 1});
    field("distill", c.distill);
    field("distill_first_bin", c.distill_first_bin);
    field("annealing_hard_min", c.annealing_hard_min, allowed<double>{0, 1});
    field("annealing_hard_max", c.annealing_hard_max, allowed<double>{0, 1});
    field("compress", c.compress);
    field("bits", c.bits, allowed<extent>{2, 32});
    field("model", c.model);
    field("lr", c.lr, allowed<double>{0, 1e3});
    field("scheduler", c.scheduler);
    field("step_warmup", c.step_warmup, allowed<extent>{-1, many});
    field("steps", c.steps, allowed<extent>{0, many});
    field("steps_per_epoch", c.steps_per_epoch, allowed<extent>{1, many});
    field("step_eval", c.step_eval, allowed<extent>{1, many});
    field("step_save", c.step_save, allowed<extent>{1, many});
    field("train_batch", c.train_batch, allowed<extent>{1, wide});
    field("train_chunk", c.train_chunk, allowed<extent>{1, many});
    field("eval_batch", c.eval_batch, allowed<extent>{1, wide});
    field("eval_chunk", c.eval_chunk, allowed<extent>{1, many});
    field("opt_level", c.opt_level);
    field("disable_amp", c.disable_amp);
}

/// What is wrong with a configuration as a whole, and at which key.
struct config_problem {
    std::string key;
    std::string what;
};

/// Contradictions between keys, first found first; nothing when the configuration can be built.
/// Call it again after changing members of a loaded configuration.
[[nodiscard]] inline std::optional<config_problem> find_problem(const entry_config& c) {
    const auto problem = [](const char* key, const auto&... what) {
        return std::optional(config_problem{key, message(what...)});
    };
    for (std::size_t i = 0; i < c.cutoffs.size(); ++i)
        if (c.cutoffs[i] <= (i == 0 ? 0 : c.cutoffs[i - 1]) || c.cutoffs[i] >= c.n_vocab)
            return problem("cutoffs", c.cutoffs[i], " at place ", i,
                           "; expected rising ids below n_vocab ", c.n_vocab);
    if (c.n_embeds.size() != c.cutoffs.size() + 1)
        return problem("n_embeds", c.n_embeds.size(), " widths for ", c.cutoffs.size(),
                       " cutoffs; expected one more width than cutoffs");
    if (c.n_embeds[0] != c.n_embed)
        return problem("n_embeds", "the first width is ", c.n_embeds[0], ", expected n_embed ",
                       c.n_embed);
    for (const extent width : c.n_embeds)
        if (width < 1) return problem("n_embeds", "a width of ", width, ", expected at least 1");
    // In double: the product of the largest allowed sizes does not fit 64 bits.
    const double d = static_cast<double>(c.n_embed);
    const double heads = static_cast<double>(c.n_head);
    const double per_layer = d * heads * static_cast<double>(2 * c.n_k + 2 * c.n_v) +
                             2 * d * static_cast<double>(c.n_inner) +
                             static_cast<double>(c.n_k * (c.n_seq + 1));
    const double parameters =
        per_layer * static_cast<double>(c.n_layers) + d * static_cast<double>(c.n_vocab);
    if (parameters > 1e12)
        return problem("n_layers", "a model of up to ", parameters,
                       " parameters; at most 1e12 are accepted");
    if (c.pos_emb != "trained")
        return problem("pos_emb", '"', c.pos_emb, "\"; only \"trained\" is known");
    if (c.scheduler != "cosine" && c.scheduler != "rsqrt" && c.scheduler != "constant")
        return problem("scheduler", '"', c.scheduler, "\"; known are cosine, rsqrt and constant");
    if (c.eval_chunk % c.n_seq != 0)
        return problem("eval_chunk", c.eval_chunk, " is not a multiple of n_seq ", c.n_seq,
                       "; the state between chunks would hold padding");
    if (c.annealing_hard_min > c.annealing_hard_max)
        return problem("annealing_hard_min", c.annealing_hard_min, " exceeds annealing_hard_max ",
                       c.annealing_hard_max);
    if (!c.use_cache) return std::nullopt;
    if (c.n_cache < 1) return problem("n_cache", "use_cache needs at least one entry");
    const bool fixed = c.cache_theta.has_value() && c.cache_lambda.has_value();
    const bool trained = c.cache_theta_init.has_value() && c.cache_lambda_init.has_value();
    if (fixed == trained || c.cache_theta.has_value() != c.cache_lambda.has_value() ||
        c.cache_theta_init.has_value() != c.cache_lambda_init.has_value())
        return problem("use_cache", "expected either cache_theta and cache_lambda (constants) or "
                                    "cache_theta_init and cache_lambda_init (trained)");
    return std::nullopt;
}

namespace detail {

/// Fills in what follows from other keys: widths from the adaptive ratio, the evaluation chunk.
inline void derive_missing(entry_config& c) {
    if (c.n_embeds.empty()) {
        extent width = c.n_embed;
        for (std::size_t i = 0; i <= c.cutoffs.size(); ++i, width /= c.adaptive_ratio)
            c.n_embeds.push_back(width);
    }
    if (c.eval_chunk == 0) c.eval_chunk = 42 * c.n_seq;
}

inline entry_config read_entry_config(const yaml_document& document) {
    yaml_map map(document, document.root);
    entry_config out;
    const auto read = [&map](const std::string& key, auto& member, auto... bounds) {
        using member_type = std::remove_reference_t<decltype(member)>;
        constexpr bool integer = std::is_same_v<member_type, extent> ||
                                 std::is_same_v<member_type, std::optional<extent>>;
        constexpr bool number = std::is_same_v<member_type, double> ||
                                std::is_same_v<member_type, std::optional<double>>;
        // n_vocab to n_seq: sizes without which there is no model.
        const bool required = key.starts_with("n_") && key != "n_embeds" && key != "n_cache";
        if (!map.has(key) && !required) return;
        if constexpr (integer)
            member = map.integer(key, bounds.low..., bounds.high...);
        else if constexpr (number)
            member = map.number(key, bounds.low..., bounds.high...);
        else if constexpr (std::is_same_v<member_type, std::vector<extent>>)
            member = map.integers(key, bounds.low..., bounds.high...);
        else if constexpr (std::is_same_v<member_type, bool>)
            member = map.flag(key);
        else
            member = map.text(key);
    };
    // First pass over what is there, so that a misspelt key is reported as such and not as a
    // missing one.
    visit_entry_fields(out, [&map](const char* key, auto&&...) { (void)map.has(key); });
    map.finish();
    visit_entry_fields(out, read);
    derive_missing(out);
    if (const auto problem = find_problem(out)) map.refuse(problem->key, problem->what);
    return out;
}

}  // namespace detail

/// Reads a config.yaml. Throws tare::file_error naming file, line, key, what came and what was
/// expected; an unknown key also names the nearest known one.
[[nodiscard]] inline entry_config load_entry_config(const std::string& path) {
    return detail::read_entry_config(yaml_document::load(path));
}

/// As load_entry_config, from text; `path` only serves messages.
[[nodiscard]] inline entry_config parse_entry_config(const std::string& path,
                                                     const std::string& text) {
    return detail::read_entry_config(yaml_document::parse(path, text));
}

/// The resolved configuration as YAML, every key that has a value; load it back to get an equal
/// one.
[[nodiscard]] inline std::string to_yaml(const entry_config& config) {
    std::string out;
    const auto print = [](const auto& value) {
        using value_type = std::remove_cvref_t<decltype(value)>;
        if constexpr (std::is_same_v<value_type, double>) {
            // Shortest digits that read back as the same double.
            char digits[32];
            const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
            return std::string(digits, end);
        } else if constexpr (std::is_same_v<value_type, std::string>) {
            YAML::Emitter quoted;
            quoted << value;
            return std::string(quoted.c_str());
        } else {
            return message(value);
        }
    };
    visit_entry_fields(config, [&](const char* key, const auto& member, auto...) {
        using member_type = std::remove_cvref_t<decltype(member)>;
        if constexpr (std::is_same_v<member_type, std::vector<extent>>) {
            out += message(key, ": [");
            for (std::size_t i = 0; i < member.size(); ++i)
                out += message(i == 0 ? "" : ", ", member[i]);
            out += "]\n";
        } else if constexpr (requires { member.has_value(); }) {
            if (member.has_value()) out += message(key, ": ", print(*member), '\n');
        } else {
            out += message(key, ": ", print(member), '\n');
        }
    });
    return out;
}

}  // namespace tare::io
