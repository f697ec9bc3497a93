#pragma once
// SPDX-License-Identifier: MIT
// Adaptive softmax with tied tables, and the cache that is mixed with it.
//     head = softmax([E_0 h + b_0, K h + b_K]),  tail_i = softmax(E_i Q_i h + b_i)
// Log probabilities of given words touch only the tails those words lie in; the whole distribution
// touches everything, as one that must exist before the next word is seen does.
// Source: Grave, Joulin, Cisse, Grangier, Jegou 2017; cluster entries stand in reverse order.

#include <cmath>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/core/short_text.hpp>
#include <tare/models/transformer_xl_config.hpp>
#include <tare/nn/adaptive_embedding.hpp>
#include <tare/nn/linear_layer.hpp>
#include <tare/nn/neural_cache.hpp>
#include <tare/ops/adaptive_distribution.hpp>
#include <tare/ops/add_at.hpp>
#include <tare/ops/cache_log_probability.hpp>
#include <tare/ops/linear_log_softmax.hpp>
#include <tare/ops/log_mixture.hpp>
#include <tare/ops/pick_log_softmax.hpp>
#include <tare/ops/prepared_weight.hpp>
#include <tare/ops/scale.hpp>
#include <tare/ops/sigmoid.hpp>
#include <tare/ops/softplus.hpp>

namespace tare {

template <class T, class Weight = T>
class adaptive_softmax {
  public:
    template <class Source>
    constexpr adaptive_softmax(Source& source, const transformer_xl_config& config,
                               const adaptive_embedding<T, Weight>& embedding)
        : config_(config) {
        const std::size_t tails = config.bins() - 1;
        for (std::size_t bin = 0; bin <= tails; ++bin) {
            linear_layer<T, Weight> layer;
            layer.label = join("loss.layers.", bin);
            layer.weight = tied_table(source, bin, embedding.table(bin));
            layer.bias = source.parameter(join(layer.label, ".bias"), shape{config.bin_size(bin)},
                                          initial::zeros());
            layers_.push_back(layer);
        }
        for (std::size_t bin = 1; bin <= tails; ++bin)
            projections_.emplace_back(source, join("loss.projections.", bin - 1), config.width,
                                      config.widths[bin], false);
        if (tails > 0)
            clusters_ = linear_layer<T, Weight>(source, "loss.clusters", config.width,
                                                static_cast<extent>(tails), true);
        if (config.cache.capacity > 0) {
            theta_ = source.parameter(theta_label(), shape{}, initial::value(start(true)));
            lambda_ = source.parameter(lambda_label(), shape{}, initial::value(start(false)));
        }
    }

    /// log p(word) for each row, in nats. **Shapes** h (N, d), words N; result (N).
    /// With a cache, its part is mixed in; the cache is not changed (see neural_cache::push).
    [[nodiscard]] constexpr T log_probability(const T& h, std::span<const token> words,
                                              const neural_cache<T>* cache = nullptr) const {
        return mix_cache(model_log_probability(h, words), h, words, cache);
    }

    /// The model's own log probabilities with the cache's mixed in, if there is a cache.
    [[nodiscard]] constexpr T mix_cache(const T& model, const T& h, std::span<const token> words,
                                        const neural_cache<T>* cache) const {
        if (cache == nullptr || config_.cache.capacity == 0) return model;
        [[maybe_unused]] const auto here = scope(h, "loss.cache");
        return log_mixture(model, cache_log_probability(h, words, *cache), lambda());
    }

    /// The cache's own log p(word) for each row.
    [[nodiscard]] constexpr T cache_log_probability(const T& h, std::span<const token> words,
                                                    const neural_cache<T>& cache) const {
        const T query = scale(h, theta());
        const op::cache_log_probability lookup{config_.cache.capacity,
                                               {cache.words().begin(), cache.words().end()},
                                               {words.begin(), words.end()}};
        return cache.empty() ? apply(lookup, query, h) : apply(lookup, query, h, cache.keys());
    }

    /// The whole distribution for each row. **Shapes** h (N, d); result (N, vocabulary).
    /// With a cache, h must be a single row.
    [[nodiscard]] constexpr T distribution(const T& h,
                                           const neural_cache<T>* cache = nullptr) const {
        // A weight that makes its outputs a stretch at a time needs no logits of a vocabulary.
        if constexpr (requires { logits_by_columns(h, layers_[0].weight, layers_[0].bias); })
            if (h.shape().rows() == 1) return distribution_by_pieces(h, cache);
        const std::size_t tails = projections_.size();
        std::vector<T> inputs{layers_[0](h)};
        if (tails > 0) inputs.push_back(clusters_(h));
        for (std::size_t i = 0; i < tails; ++i)
            inputs.push_back(layers_[i + 1](projections_[i](h)));
        op::adaptive_distribution mix{tails, cache != nullptr && config_.cache.capacity > 0, {}};
        if (mix.with_cache) {
            require(h.shape().rows() == 1,
                    "adaptive_softmax: a distribution with a cache is for one row at a time");
            mix.cache_words = cache->words();
            inputs.push_back(cache->empty() ? T{} : cache_scores(h, cache->keys()));
            inputs.push_back(lambda());
        }
        [[maybe_unused]] const auto here = scope(h, "loss");
        std::vector<const T*> pointers;
        for (const T& input : inputs)
            if (input.exists()) pointers.push_back(&input);
        return apply_all(mix, std::span<const T* const>(pointers));
    }

    /// Logits of a bin's words, from h (bin 0) or from the bin's projection of it.
    [[nodiscard]] constexpr const linear_layer<T, Weight>& layer(std::size_t bin) const {
        return layers_[bin];
    }
    /// What narrows h for bin `bin` >= 1.
    [[nodiscard]] constexpr const linear_layer<T, Weight>& projection(std::size_t bin) const {
        return projections_[bin - 1];
    }
    /// Logits of the tails, the last bin first.
    [[nodiscard]] constexpr const linear_layer<T, Weight>& clusters() const { return clusters_; }

    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        for (linear_layer<T, Weight>& layer : layers_)
            visitor(join(layer.label, ".bias"), layer.bias);
        for (linear_layer<T, Weight>& projection : projections_)
            projection.visit(visitor);
        if (!projections_.empty()) clusters_.visit(visitor);
        if (theta_.exists()) {
            visitor(theta_label(), theta_);
            visitor(lambda_label(), lambda_);
        }
    }

  private:
    [[nodiscard]] constexpr T model_log_probability(const T& h,
                                                    std::span<const token> words) const {
        const extent frequent = config_.bin_size(0);
        const std::size_t tails = projections_.size();
        std::vector<token> head_target(words.size());
        std::vector<std::vector<token>> rows(tails);
        std::vector<std::vector<token>> target(tails);
        for (std::size_t r = 0; r < words.size(); ++r) {
            const std::size_t bin = config_.bin_of(words[r]);
            head_target[r] = bin == 0
                                 ? words[r]
                                 : static_cast<token>(frequent + static_cast<extent>(tails - bin));
            if (bin == 0) continue;
            rows[bin - 1].push_back(static_cast<token>(r));
            target[bin - 1].push_back(static_cast<token>(words[r] - config_.bin_begin(bin)));
        }
        T result = pick(h, layers_[0], tails > 0 ? &clusters_ : nullptr, std::move(head_target));
        for (std::size_t i = 0; i < tails; ++i) {
            if (rows[i].empty()) continue;
            const T narrow = projections_[i](gather(h, rows[i]));
            result = add_at(result, pick(narrow, layers_[i + 1], nullptr, std::move(target[i])),
                            std::move(rows[i]));
        }
        return result;
    }

    [[nodiscard]] static constexpr T pick(const T& h, const linear_layer<T, Weight>& first,
                                          const linear_layer<T, Weight>* second,
                                          std::vector<token> target) {
        [[maybe_unused]] const auto here = scope(h, "loss");
        // A reading that needs no gradient need not hold the logits either.
        if constexpr (requires { linear_log_softmax(h, first.weight, first.bias, h, target); })
            return linear_log_softmax(h, first.weight, first.bias,
                                      second != nullptr ? (*second)(h) : T{}, target);
        // Nor does training where they are cheap to make again, and no policy changes them.
        if constexpr (requires { linear_log_softmax(h, first.weight, first.bias, target); })
            if (second == nullptr)
                return linear_log_softmax(h, first.weight, first.bias, std::move(target));
        std::vector<T> blocks{first(h)};
        if (second != nullptr) blocks.push_back((*second)(h));
        return pick_log_softmax(std::span<const T>(blocks), std::move(target));
    }

    /// The same for one row: each stretch of logits becomes exponentials while it is in cache.
    [[nodiscard]] T distribution_by_pieces(const T& h, const neural_cache<T>* cache) const {
        std::vector<extent> sizes;
        for (std::size_t bin = 0; bin < layers_.size(); ++bin)
            sizes.push_back(config_.bin_size(bin));
        const T clusters = projections_.empty() ? T{} : clusters_(h);
        const bool cached = cache != nullptr && config_.cache.capacity > 0;
        const float share = cached ? lambda().values()[0] : 0.0F;
        T out(shape{1, config_.vocabulary});
        kernels::adaptive_row(clusters.exists() ? clusters.values() : std::span<const float>{},
                              sizes, 1.0F - share, out.mutable_values(),
                              [&](std::size_t bin, std::span<float> part) {
                                  const T narrow = bin == 0 ? h : projections_[bin - 1](h);
                                  const auto logits = logits_by_columns(narrow, layers_[bin].weight,
                                                                        layers_[bin].bias);
                                  return kernels::piecewise_softmax(part, logits.work(), logits);
                              });
        if (cached && !cache->empty())
            kernels::add_cache_row(cache_scores(h, cache->keys()).values(), cache->words(), share,
                                   out.mutable_values());
        return out;
    }

    [[nodiscard]] constexpr T cache_scores(const T& h, const T& keys) const {
        [[maybe_unused]] const auto here = scope(h, "loss.cache");
        return linear(scale(h, theta()), keys);
    }

    /// theta = softplus(raw), lambda = sigmoid(raw) where they are trained.
    [[nodiscard]] constexpr T theta() const {
        return config_.cache.trained ? softplus(theta_) : theta_;
    }
    [[nodiscard]] constexpr T lambda() const {
        return config_.cache.trained ? sigmoid(lambda_) : lambda_;
    }
    [[nodiscard]] constexpr std::string_view theta_label() const {
        return config_.cache.trained ? "loss.cache_theta_inv_softplus" : "loss.cache_theta";
    }
    [[nodiscard]] constexpr std::string_view lambda_label() const {
        return config_.cache.trained ? "loss.cache_lambda_inv_sigmoid" : "loss.cache_lambda";
    }
    [[nodiscard]] constexpr double start(bool of_theta) const {
        const double value = of_theta ? config_.cache.theta : config_.cache.lambda;
        if (!config_.cache.trained || std::is_constant_evaluated()) return value;
        return of_theta ? std::log(std::expm1(value)) : std::log(value / (1.0 - value));
    }

    transformer_xl_config config_;
    std::vector<linear_layer<T, Weight>> layers_;
    std::vector<linear_layer<T, Weight>> projections_;
    linear_layer<T, Weight> clusters_;
    T theta_;
    T lambda_;
};

}  // namespace tare
