// SPDX-License-Identifier: MIT
#include "running_model.hpp"

#include <utility>

#include <tare/models/packed_model.hpp>
#include <tare/ops/prepared_weight.hpp>

namespace tare::tool {

namespace {

template <class Weight>
class running final : public running_model {
  public:
    explicit running(transformer_xl<tensor, Weight> model) : model_(std::move(model)) {
        memory_pool::instance().release();  // what the weights were made from
    }

    const transformer_xl_config& config() const override { return model_.config(); }
    tensor hidden(std::span<const token> words,
                  transformer_xl_state<tensor>& state) const override {
        return model_.hidden(words, 1, state);
    }
    tensor log_probability(const tensor& h, std::span<const token> next,
                           const neural_cache<tensor>* cache) const override {
        return model_.softmax().log_probability(h, next, cache);
    }
    tensor hidden(token word, transformer_xl_stream& state) const override {
        return model_.hidden(std::span<const token>(&word, 1), 1, state);
    }
    tensor distribution(const tensor& h, const neural_cache<tensor>* cache) const override {
        return model_.softmax().distribution(h, cache);
    }
    double perplexity(std::span<const token> words,
                      const train::evaluation_options& options) const override {
        return train::evaluate(model_, words, options).meter.perplexity();
    }

  private:
    transformer_xl<tensor, Weight> model_;
};

}  // namespace

std::unique_ptr<const running_model> running_dense_from(const transformer_xl_config& config,
                                                        const parameter_reader& values) {
    struct {
        const parameter_reader* values;
        tensor parameter(std::string_view label, const shape& extents, const initial& start) const {
            return (*values)(label, extents, start);
        }
    } const source{&values};
    return std::make_unique<running<prepared_weight>>(
        transformer_xl<tensor, prepared_weight>(source, config));
}

std::unique_ptr<const running_model> running_packed(const stored_model& stored) {
    return std::make_unique<running<packed_weight>>(make_packed_model(stored));
}

}  // namespace tare::tool
