#pragma once
// SPDX-License-Identifier: MIT
// A stream evaluated once, its cache as often as wanted: the network's hidden states and its own
// log probabilities do not depend on lambda and theta, so a trial only scores the cache again.
//     log p(y_t) = log((1 - lambda) p_model(y_t) + lambda p_cache(y_t))
//     log p_cache(y_t) = logsumexp_{j: y_j = y_t} theta s_tj - logsumexp_j theta s_tj
// over the `capacity` positions j before t, s_tj = h_t . h_j. Rows whose word is not among them
// need no score at all. The products s are kept where memory allows and computed anew per theta
// otherwise; trials that differ in lambda alone cost one pass over N numbers.
// Source: Grave, Joulin, Usunier 2017, section 3.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/core/tensor.hpp>
#include <tare/kernels/matmul.hpp>
#include <tare/kernels/softmax.hpp>
#include <tare/models/transformer_xl.hpp>
#include <tare/search/cache_search.hpp>
#include <tare/text/batching.hpp>
#include <tare/text/perplexity.hpp>

namespace tare::search {

struct cached_states_options {
    extent chunk = 4032;                                     ///< tokens of each call of the network
    std::size_t product_bytes = std::size_t{3} << 30;        ///< most memory for kept products
    std::function<void(extent done, extent of)> progress{};  ///< called after each chunk
};

/// Not for use by several threads at once; inside, loops use threads() of them.
class cached_hidden_states {
  public:
    /// Runs `model` over `tokens` as an evaluation with batch 1 does. The model's own cache, if
    /// any, plays no part: `capacity` entries are looked at.
    /// **Throws** tare::error on fewer than two tokens, words outside the vocabulary, capacity < 1.
    template <class Model>
    cached_hidden_states(const Model& model, std::span<const token> tokens, extent capacity,
                         cached_states_options options = {})
        : capacity_(capacity), width_(model.config().width) {
        // The network's memory runs through all chunks: batch 1, one state, nothing evaluated
        // twice.
        const text::evaluation_batches batches(tokens, 1, options.chunk);
        hidden_ = tensor(shape{batches.targets(), width_});
        model_.reserve(static_cast<std::size_t>(batches.targets()));
        typename Model::state_type state;
        for (extent i = 0; i < batches.chunks(); ++i) {
            const auto size = static_cast<std::size_t>(batches.length(i));
            std::vector<token> inputs(size);
            std::vector<token> labels(size);
            batches.fill(i, inputs, labels);
            const tensor h = model.hidden(inputs, 1, state);
            const tensor logp = model.softmax().log_probability(h, labels);
            std::copy(h.values().begin(), h.values().end(),
                      hidden_.mutable_values().begin() +
                          static_cast<std::ptrdiff_t>(words_.size()) * width_);
            model_.insert(model_.end(), logp.values().begin(), logp.values().end());
            words_.insert(words_.end(), labels.begin(), labels.end());
            if (options.progress) options.progress(i + 1, batches.chunks());
        }
        prepare(options.product_bytes);
    }

    /// From hidden states that are at hand. **Shapes** hidden (N, d), words N (each the word that
    /// followed its row), model N (log probabilities in nats).
    /// **Throws** tare::error on sizes that differ and capacity < 1.
    cached_hidden_states(tensor hidden, std::vector<token> words, std::vector<float> model,
                         extent capacity, cached_states_options options = {})
        : capacity_(capacity),
          width_(hidden.shape().rank() == 2 ? hidden.shape()[1] : 0),
          hidden_(std::move(hidden)),
          words_(std::move(words)),
          model_(std::move(model)) {
        require(hidden_.shape().rank() == 2 && words_.size() == model_.size() &&
                    hidden_.shape()[0] == static_cast<extent>(words_.size()),
                "cached_hidden_states: ", words_.size(), " words and ", model_.size(),
                " log probabilities for hidden states ", hidden_.shape());
        prepare(options.product_bytes);
    }

    /// Mean loss in nats; NaN outside 0 < lambda < 1, theta > 0.
    [[nodiscard]] double loss(const cache_scalars& at) {
        if (!(at.lambda > 0.0 && at.lambda < 1.0 && at.theta > 0.0))
            return std::numeric_limits<double>::quiet_NaN();
        const std::vector<float>& cache = cache_log_probability(at.theta);
        // Summed as logarithms: either probability alone may be too small for a double.
        const double log_model = std::log1p(-at.lambda);
        const double log_cache = std::log(at.lambda);
        // In double: the loss is compared between trials that differ in its fifth digit.
        double sum = 0.0;
        std::size_t i = 0;  // rows without a match lose the cache's share
        for (std::size_t t = 0; t < words_.size(); ++t) {
            const double a = log_model + static_cast<double>(model_[t]);
            // rows_ are in the order of t, so one cursor walks beside it.
            if (i < rows_.size() && static_cast<std::size_t>(rows_[i].index) == t) {
                const double b = log_cache + static_cast<double>(cache[i++]);
                sum += std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
            } else {
                sum += a;
            }
        }
        return -sum / static_cast<double>(words_.size());
    }
    /// e^loss.
    [[nodiscard]] double perplexity(const cache_scalars& at) { return std::exp(loss(at)); }
    /// e^loss, NaN above a loss of 5, as the published code reports it.
    [[nodiscard]] double perplexity_nan_above_5(const cache_scalars& at) {
        text::perplexity_meter meter;
        meter.add(loss(at), static_cast<extent>(words_.size()));
        return meter.perplexity_nan_above_5();
    }
    /// Perplexity of the network without a cache.
    [[nodiscard]] double perplexity_without_cache() const {
        double sum = 0.0;
        for (const float v : model_)
            sum += static_cast<double>(v);
        return std::exp(-sum / static_cast<double>(model_.size()));
    }

    /// Searches with perplexity().
    template <nan_rule Rule = nan_is_worst, class Watch>
    [[nodiscard]] cache_search_result search(const cache_scalars& start,
                                             const cache_search_options& options, Watch&& watch) {
        return search_cache<Rule>([this](const cache_scalars& at) { return perplexity(at); }, start,
                                  options, std::forward<Watch>(watch));
    }
    [[nodiscard]] cache_search_result search(const cache_scalars& start) {
        return search(start, {}, [](const cache_trial&) {});
    }

    [[nodiscard]] extent targets() const noexcept { return static_cast<extent>(words_.size()); }
    /// Predictions whose word stands in the cache.
    [[nodiscard]] extent matching() const noexcept { return static_cast<extent>(rows_.size()); }
    /// What the second constructor takes: another run need not compute it again.
    [[nodiscard]] const tensor& hidden() const noexcept { return hidden_; }
    [[nodiscard]] std::span<const token> words() const noexcept { return words_; }
    [[nodiscard]] std::span<const float> log_probability() const noexcept { return model_; }
    [[nodiscard]] bool keeps_products() const noexcept { return kept_; }

  private:
    /// Rows that share one product, over the union of what they see.
    static constexpr extent block_rows = 64;
    static constexpr std::size_t remembered = 4;  ///< thetas: the best one, a pair, one to spare

    struct row {
        extent index;     ///< position t
        extent previous;  ///< the last position before t with the same word
    };
    struct block {
        std::size_t first, last;  ///< of rows_
        extent keys_begin, keys_end;
        tensor products;  ///< (rows, keys), if kept
    };
    struct scored {
        double theta = -1.0;
        std::vector<float> values;
    };

    [[nodiscard]] extent window_begin(extent t) const noexcept {
        return std::max<extent>(0, t - capacity_);
    }

    /// Finds the rows that have a match and groups them.
    void prepare(std::size_t product_bytes) {
        require(capacity_ >= 1, "cached_hidden_states: a cache of ", capacity_,
                " entries has nothing to search; it must hold at least 1");
        const extent count = targets();
        previous_.assign(words_.size(), -1);
        const token most = words_.empty() ? 0 : *std::max_element(words_.begin(), words_.end());
        // A chain through the earlier positions of each word: previous_ alone then finds all
        // matches of a row, without a look at the rest of its window.
        std::vector<extent> latest(static_cast<std::size_t>(most) + 1, -1);
        for (extent t = 0; t < count; ++t) {
            extent& seen = latest[static_cast<std::size_t>(words_[static_cast<std::size_t>(t)])];
            previous_[static_cast<std::size_t>(t)] = seen;
            if (seen >= window_begin(t)) rows_.push_back({t, seen});
            seen = t;
        }
        std::size_t bytes = 0;
        for (std::size_t first = 0; first < rows_.size(); first += block_rows) {
            const std::size_t last = std::min(rows_.size(), first + block_rows);
            // The windows of neighbours overlap but for a few keys; what a row does not see of the
            // union is computed and left out by score().
            const block b{first, last, window_begin(rows_[first].index), rows_[last - 1].index, {}};
            bytes += (last - first) * static_cast<std::size_t>(b.keys_end - b.keys_begin) *
                     sizeof(float);
            blocks_.push_back(b);
        }
        // All or none: with some kept, the others would still cost a product for each theta.
        kept_ = bytes <= product_bytes;
        if (kept_)
            for (block& b : blocks_)
                b.products = products_of(b);
    }

    [[nodiscard]] tensor products_of(const block& b) const {
        const auto rows = static_cast<extent>(b.last - b.first);
        tensor queries(shape{rows, width_});
        const matrix_view<const float> all = hidden_.view().matrix();
        for (extent r = 0; r < rows; ++r) {
            // Queries are gathered: only rows with a match are multiplied.
            const auto from = all.row(rows_[b.first + static_cast<std::size_t>(r)].index);
            std::copy_n(from.data(), width_, queries.mutable_view().matrix().row(r).data());
        }
        tensor out(shape{rows, b.keys_end - b.keys_begin});
        kernels::matmul(queries.view().matrix(), all.rows_between(b.keys_begin, b.keys_end),
                        out.mutable_view().matrix(), {.transpose_b = true});
        return out;
    }

    /// log p_cache of every row that has a match.
    [[nodiscard]] const std::vector<float>& cache_log_probability(double theta) {
        const auto found = std::find_if(scored_.begin(), scored_.end(),
                                        [&](const scored& s) { return s.theta == theta; });
        // The most recently used stands first; a new theta takes the place of the last.
        const auto place = found == scored_.end() ? scored_.end() - 1 : found;
        std::rotate(scored_.begin(), place, place + 1);
        scored& out = scored_.front();
        if (found != scored_.end() && out.theta == theta) return out.values;
        out.theta = theta;
        out.values.resize(rows_.size());
        for (const block& b : blocks_) {
            // A tensor shares its memory: no copy of kept products.
            const tensor fresh = kept_ ? b.products : products_of(b);
            const matrix_view<const float> products = fresh.view().matrix();
            const auto count = static_cast<extent>(b.last - b.first);
            parallel_for(count, 1, 10 * products.columns, [&](extent begin, extent end) {
                for (extent r = begin; r < end; ++r) {
                    const std::size_t i = b.first + static_cast<std::size_t>(r);
                    out.values[i] = score(rows_[i], products.row(r), b.keys_begin, theta);
                }
            });
        }
        return out.values;
    }

    /// log p_cache of one row; `products` starts at key `offset`.
    [[nodiscard]] float score(const row& at, std::span<const float> products, extent offset,
                              double theta) const {
        const extent first = window_begin(at.index);
        const auto count = static_cast<std::size_t>(at.index - first);
        const float* seen = products.data() + (first - offset);
        const float factor = static_cast<float>(theta);
        // Relative to the largest score, so that no exponential overflows whatever theta is.
        const float top = kernels::detail::row_max(seen, count);
        const float all = kernels::detail::row_sum_at(
            [=](std::size_t, std::size_t, const auto& v) {
                return kernels::vector_math::exp_nonpositive((v - like(v, top)) * like(v, factor));
            },
            count, -std::numeric_limits<float>::infinity(), seen);
        // The largest match takes the place of `top` here: its exponential cannot vanish.
        float best = -std::numeric_limits<float>::infinity();
        for_each_match(at, first, [&](extent j) { best = std::max(best, seen[j - first]); });
        // Few terms: in double and one by one, where the sum over the window is a kernel's.
        double matching = 0.0;
        for_each_match(at, first, [&](extent j) {
            matching += std::exp(theta * static_cast<double>(seen[j - first] - best));
        });
        // log(sum over matches) - log(sum over all), each relative to its own largest.
        return static_cast<float>(theta * static_cast<double>(best - top) + std::log(matching) -
                                  std::log(static_cast<double>(all)));
    }
    template <class Visit>
    void for_each_match(const row& at, extent first, Visit&& visit) const {
        for (extent j = at.previous; j >= first; j = previous_[static_cast<std::size_t>(j)])
            visit(j);
    }

    extent capacity_;
    extent width_;
    tensor hidden_;
    std::vector<token> words_;
    std::vector<float> model_;
    std::vector<extent> previous_;  ///< position of the same word before, -1 for none
    std::vector<row> rows_;
    std::vector<block> blocks_;
    bool kept_ = false;
    std::array<scored, remembered> scored_{};
};

}  // namespace tare::search
