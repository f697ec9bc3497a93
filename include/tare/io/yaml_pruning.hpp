#pragma once
// SPDX-License-Identifier: MIT
// The compression plans beside the entry's configurations, read as they are: which tensor is pruned
// when and how far (distiller_prune*.yaml), how the model is quantized (distiller_quantize.yaml),
// and the result of the cache search (cache_step*.yaml).
// Source: Distiller's schedule files (Zmora et al. 2019), sections "policies", "pruners" and
// "quantizers"; automated gradual pruning: Zhu and Gupta 2017.

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/io/yaml_config.hpp>
#include <tare/io/yaml_map.hpp>
#include <tare/text/edit_distance.hpp>
#include <tare/text/name_pattern.hpp>

namespace tare::io {

/// One tensor of a plan, or several by a regular expression.
struct pruning_rule {
    std::string tensor;  ///< name, or pattern (see text::name_pattern)
    bool is_pattern = false;
    double initial_sparsity = 0;  ///< share of zeros at starting_epoch
    double final_sparsity = 0;    ///< share of zeros from ending_epoch - 1 on
    extent starting_epoch = 0;
    extent ending_epoch = 0;  ///< exclusive
    extent frequency = 1;     ///< epochs between two changes
    int line = 0;             ///< where the plan names the tensor, for messages

    bool operator==(const pruning_rule&) const = default;
};

/// A whole plan in the order of its policies.
struct pruning_plan {
    std::string path;
    std::vector<pruning_rule> rules;
};

/// distiller_quantize.yaml: bits and options of the quantization-aware step.
struct quantization_plan {
    extent bits_activations = 0;
    extent bits_weights = 0;
    extent bits_bias = 0;
    double ema_decay = 0.999;  ///< of the tracked activation ranges
    bool per_channel_weights = false;
    bool quantize_inputs = false;
    extent starting_epoch = 0;
    extent ending_epoch = 0;
    extent frequency = 1;

    bool operator==(const quantization_plan&) const = default;
};

/// cache_step*.yaml: constants that the search of the cache found.
struct cache_constants {
    double cache_lambda = 0;
    double cache_theta = 0;
    extent n_cache = 0;

    bool operator==(const cache_constants&) const = default;
};

namespace detail {

inline constexpr extent most_epochs = extent{1} << 40;

/// Epochs of a policy. Frequency and range as the schedules know them.
template <class Rule>
void read_epochs(yaml_map& policy, Rule& rule) {
    rule.starting_epoch = policy.integer("starting_epoch", 0, most_epochs);
    rule.ending_epoch = policy.integer("ending_epoch", 0, most_epochs);
    rule.frequency = policy.integer("frequency", 1, most_epochs);
    if (rule.ending_epoch <= rule.starting_epoch)
        policy.refuse("ending_epoch", rule.ending_epoch, " is not after starting_epoch ",
                      rule.starting_epoch);
}

/// The sequence under "policies", each as a map. Throws tare::file_error when there is none.
inline std::vector<yaml_map> read_policies(const yaml_document& document, yaml_map& root) {
    const YAML::Node list = root.value("policies");
    if (!list.IsSequence() || list.size() == 0)
        document.fail(list, "policies: is ", list.IsSequence() ? "empty" : yaml_map::kind(list),
                      ", expected a list of policies");
    std::vector<yaml_map> out;
    for (const YAML::Node& item : list)
        out.emplace_back(document, item, message("policies[", out.size(), ']'));
    return out;
}

/// The instance that a policy refers to, under `kind` ("pruner" or "quantizer").
inline std::string read_instance(const yaml_document& document, yaml_map& policy,
                                 const std::string& kind) {
    yaml_map reference(document, policy.value(kind), kind);
    std::string name = reference.text("instance_name");
    reference.finish();
    return name;
}

/// What one entry under "pruners" says; the epochs come from the policy.
inline std::vector<pruning_rule> read_pruner(const yaml_document& document, const YAML::Node& node,
                                             const std::string& name) {
    yaml_map pruner(document, node, "pruners." + name);
    if (const std::string kind = pruner.text("class"); kind != "AutomatedGradualPruner")
        pruner.refuse("class", '"', kind, "\"; only AutomatedGradualPruner is known");
    pruning_rule rule;
    rule.initial_sparsity = pruner.number("initial_sparsity", 0, 1);
    rule.final_sparsity = pruner.number("final_sparsity", 0, 1);
    if (rule.initial_sparsity > rule.final_sparsity)
        pruner.refuse("initial_sparsity", rule.initial_sparsity, " exceeds final_sparsity ",
                      rule.final_sparsity);
    const YAML::Node weights = pruner.value("weights");
    if (!weights.IsSequence() || weights.size() == 0)
        pruner.refuse("weights", "expected a list of tensor names");
    std::vector<pruning_rule> out;
    for (const YAML::Node& weight : weights) {
        if (!weight.IsScalar() || weight.Scalar().empty())
            document.fail(weight, "pruners.", name, ".weights: ", yaml_map::kind(weight),
                          " is not a tensor name");
        rule.tensor = weight.Scalar();
        rule.line = yaml_document::line(weight);
        rule.is_pattern = text::name_pattern::is_pattern(rule.tensor);
        if (rule.is_pattern) {
            try {
                (void)text::name_pattern(rule.tensor);
            } catch (const error& reason) {
                document.fail(weight, "pruners.", name, ".weights: ", reason.what());
            }
        }
        out.push_back(rule);
    }
    pruner.finish();
    return out;
}

inline pruning_plan read_pruning_plan(const yaml_document& document) {
    yaml_map root(document, document.root);
    std::vector<yaml_map> policies = read_policies(document, root);
    const yaml_map pruners(document, root.value("pruners"), "pruners");
    root.finish();

    std::map<std::string, std::vector<pruning_rule>> by_name;
    std::vector<std::string> names;
    for (const auto& [name, pair] : pruners.values()) {
        by_name[name] = read_pruner(document, pair.second, name);
        names.push_back(name);
    }
    pruning_plan out{document.path, {}};
    std::set<std::string> used;
    for (yaml_map& policy : policies) {
        const std::string name = read_instance(document, policy, "pruner");
        if (!by_name.contains(name))
            policy.refuse("pruner", "no pruner is named \"", name, "\".",
                          text::did_you_mean(name, names));
        used.insert(name);
        for (pruning_rule rule : by_name[name]) {
            read_epochs(policy, rule);
            out.rules.push_back(std::move(rule));
        }
        policy.finish();
    }
    // A pruner that no policy runs would silently leave its tensors dense.
    for (const auto& [name, pair] : pruners.values())
        if (!used.contains(name))
            document.fail(pair.first, "pruners.", name, ": no policy refers to this pruner");
    return out;
}

inline quantization_plan read_quantization_plan(const yaml_document& document) {
    yaml_map root(document, document.root);
    std::vector<yaml_map> policies = read_policies(document, root);
    const yaml_map quantizers(document, root.value("quantizers"), "quantizers");
    root.finish();
    if (policies.size() != 1 || quantizers.values().size() != 1)
        root.refuse("policies", "found ", policies.size(), " policies and ",
                    quantizers.values().size(), " quantizers, expected one of each");

    quantization_plan out;
    const std::string name = read_instance(document, policies[0], "quantizer");
    const auto& [known, pair] = *quantizers.values().begin();
    if (name != known)
        policies[0].refuse("quantizer", "no quantizer is named \"", name, "\". Did you mean ",
                           known, '?');
    read_epochs(policies[0], out);
    policies[0].finish();

    yaml_map quantizer(document, pair.second, "quantizers." + known);
    constexpr const char* only_class = "QuantAwareTrainRangeLinearQuantizer";
    if (const std::string kind = quantizer.text("class"); kind != only_class)
        quantizer.refuse("class", '"', kind, "\"; only ", only_class, " is known");
    if (const std::string mode = quantizer.text("mode"); mode != "SYMMETRIC")
        quantizer.refuse("mode", '"', mode, "\"; only SYMMETRIC is known");
    out.bits_activations = quantizer.integer("bits_activations", 2, 32);
    out.bits_weights = quantizer.integer("bits_weights", 2, 32);
    out.bits_bias = quantizer.integer("bits_bias", 2, 32);
    out.ema_decay = quantizer.number("ema_decay", 0, 1);
    out.per_channel_weights = quantizer.flag("per_channel_wts");
    out.quantize_inputs = quantizer.flag("quantize_inputs");
    quantizer.finish();
    return out;
}

}  // namespace detail

/// Reads a pruning plan. Throws tare::file_error naming file, line, key and what is wrong.
[[nodiscard]] inline pruning_plan load_pruning_plan(const std::string& path) {
    return detail::read_pruning_plan(yaml_document::load(path));
}

/// Reads a quantization plan. Throws tare::file_error naming file, line, key and what is wrong.
[[nodiscard]] inline quantization_plan load_quantization_plan(const std::string& path) {
    return detail::read_quantization_plan(yaml_document::load(path));
}

/// Reads the result of a cache search. Throws tare::file_error naming file, line and key.
[[nodiscard]] inline cache_constants load_cache_constants(const std::string& path) {
    const yaml_document document = yaml_document::load(path);
    yaml_map map(document, document.root);
    cache_constants out;
    out.cache_lambda = map.number("cache_lambda", 0, 1);
    out.cache_theta = map.number("cache_theta", 0, 1e6);
    out.n_cache = map.integer("n_cache", 1, extent{1} << 40);
    if (map.has("use_cache") && !map.flag("use_cache"))
        map.refuse("use_cache", "false beside the constants of a cache");
    map.finish();
    return out;
}

/// The configuration with the searched constants in place of its own cache.
[[nodiscard]] inline entry_config with_cache(entry_config config, const cache_constants& cache) {
    config.use_cache = true;
    config.n_cache = cache.n_cache;
    config.cache_lambda = cache.cache_lambda;
    config.cache_theta = cache.cache_theta;
    config.cache_lambda_init.reset();
    config.cache_theta_init.reset();
    return config;
}

/// The rule of each tensor of a model: tensor name -> rule.
/// Throws tare::file_error naming file and line when a rule fits no tensor (and the nearest name),
/// or when two rules fit the same one.
[[nodiscard]] inline std::map<std::string, pruning_rule>
assign_rules(const pruning_plan& plan, const std::vector<std::string>& tensors) {
    std::map<std::string, pruning_rule> out;
    for (const pruning_rule& rule : plan.rules) {
        bool fits = false;
        std::optional<text::name_pattern> pattern;
        if (rule.is_pattern) pattern.emplace(rule.tensor);
        for (const std::string& tensor : tensors) {
            if (pattern.has_value() ? !pattern->matches(tensor) : tensor != rule.tensor) continue;
            fits = true;
            const auto [other, fresh] = out.emplace(tensor, rule);
            if (!fresh)
                throw file_error(message(plan.path, ':', rule.line, ": tensor ", tensor,
                                         " is already pruned by line ", other->second.line));
        }
        if (!fits)
            throw file_error(message(plan.path, ':', rule.line, ": no tensor of the model fits ",
                                     rule.tensor, '.', text::did_you_mean(rule.tensor, tensors)));
    }
    return out;
}

}  // namespace tare::io
