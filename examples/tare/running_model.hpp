#pragma once
// SPDX-License-Identifier: MIT
// A language model that runs, whatever its weights are held as: prepared floats, or packed codes on
// packed kernels. The kinds are compiled once, behind one interface.

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include <tare/models/stored_model.hpp>
#include <tare/models/transformer_xl.hpp>
#include <tare/train/evaluate.hpp>

namespace tare::tool {

class running_model {
  public:
    running_model() = default;
    running_model(const running_model&) = delete;
    running_model& operator=(const running_model&) = delete;
    virtual ~running_model() = default;

    [[nodiscard]] virtual const transformer_xl_config& config() const = 0;
    /// Hidden states of a chunk. **Shapes** words T, result (T, d).
    [[nodiscard]] virtual tensor hidden(std::span<const token> words,
                                        transformer_xl_state<tensor>& state) const = 0;
    /// log p of each next word, in nats. **Shapes** h (T, d), next T, result (T).
    [[nodiscard]] virtual tensor log_probability(const tensor& h, std::span<const token> next,
                                                 const neural_cache<tensor>* cache) const = 0;
    /// The hidden state after one word, and from it the distribution of the next: results (1, d)
    /// and (1, vocabulary). The cache may be null.
    [[nodiscard]] virtual tensor hidden(token word, transformer_xl_stream& state) const = 0;
    [[nodiscard]] virtual tensor distribution(const tensor& h,
                                              const neural_cache<tensor>* cache) const = 0;
    /// e^loss over a text, chunk by chunk, memory and cache carried over.
    [[nodiscard]] virtual double perplexity(std::span<const token> words,
                                            const train::evaluation_options& options) const = 0;
};

/// The value of a parameter by name, shape and initial value.
using parameter_reader = std::function<tensor(std::string_view, const shape&, const initial&)>;

/// A model of floats. **Throws** what reading throws, and on impossible sizes.
[[nodiscard]] std::unique_ptr<const running_model>
running_dense_from(const transformer_xl_config& config, const parameter_reader& values);

/// The same, from a parameter source.
template <class Source>
[[nodiscard]] std::unique_ptr<const running_model>
running_dense(const transformer_xl_config& config, Source&& source) {
    return running_dense_from(
        config, [&source](std::string_view label, const shape& extents, const initial& start) {
            return source.parameter(label, extents, start);
        });
}

/// A packed model; `stored` may go afterwards.
[[nodiscard]] std::unique_ptr<const running_model> running_packed(const stored_model& stored);

}  // namespace tare::tool
