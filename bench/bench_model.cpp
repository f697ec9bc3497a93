// SPDX-License-Identifier: MIT
// The champion's size with random weights and no cache: losses of a chunk of 4032 tokens, 64 tokens
// one at a time with the whole distribution for each, and a training step on 1152 tokens: forward,
// backward, clipping, Adam. Words fall into the bins of the vocabulary as WikiText-103's test split
// does. The peer is bench/peers_pytorch.py; operations are those of the cost reading of the same
// calls, a backward pass taken as two forward ones.
#include <memory>

#include <tare/micronet/compressed_parameters.hpp>
#include <tare/micronet/weigh.hpp>
#include <tare/ops/prepared_weight.hpp>
#include <tare/train/trainer.hpp>

#include "bench_support.hpp"
#include "champion_words.hpp"

namespace {

using namespace tare;

/// Elementary operations that `call(model, state)` would execute once the windows are full.
template <class Call>
double operations_of(const transformer_xl_config& config, const Call& call) {
    ledger book;
    const micronet::compression dense{};
    micronet::compressed_parameters source(book, dense);
    const transformer_xl<cost> model(source, config);
    transformer_xl_state<cost> state;
    book.repeat(0);
    static_cast<void>(model.hidden(
        std::vector<token>(static_cast<std::size_t>(config.window), token{0}), 1, state));
    book.repeat(1);
    call(model, state);
    double sum = 0.0;
    for (const ledger_module& m : book.modules())
        for (const ledger_entry& e : m.entries)
            for (const charge& line : e.charges)
                sum += static_cast<double>(line.count);
    return sum;
}

double weight_bytes(const transformer_xl_config& config) {
    ledger book;
    const micronet::compression dense{};
    micronet::compressed_parameters source(book, dense);
    const transformer_xl<cost> model(source, config);
    double bytes = 0.0;
    for (const ledger_item& item : book.items())
        bytes += 4.0 * static_cast<double>(item.what.extents.size());
    return bytes;
}

using packed_model = transformer_xl<tensor, prepared_weight>;

std::shared_ptr<packed_model> random_model(const transformer_xl_config& config) {
    random_parameters<float> source(1);
    return std::make_shared<packed_model>(source, config);
}

bool register_models() {
    const transformer_xl_config config;
    const double bytes = weight_bytes(config);
    constexpr std::size_t chunk = 4032, few = 64, batch = 1152;
    static const std::vector<token> words = bench::words_of(config, chunk + 1);
    const std::span<const token> all(words);
    const auto losses = [all](const auto& model, auto& state, std::size_t count) {
        const auto hidden = model.hidden(all.first(count), 1, state);
        return model.softmax().log_probability(hidden, all.subspan(1, count));
    };
    const auto count_losses = [&](std::size_t count) {
        return operations_of(config, [&](const auto& model, auto& state) {
            static_cast<void>(losses(model, state, count));
        });
    };
    for (const int threads : bench::thread_counts()) {
        bench::add("model_chunk", "tare", "champion_4032", threads, count_losses(chunk), bytes,
                   [=] {
                       auto state = std::make_shared<transformer_xl_state<tensor>>();
                       return [=, model = random_model(config)] {
                           benchmark::DoNotOptimize(losses(*model, *state, chunk));
                       };
                   });
        const double step = operations_of(config, [&](const auto& model, auto& state) {
            cost hidden;
            static_cast<void>(micronet::step(model, words[0], state, nullptr, hidden));
        });
        bench::add("model_online", "tare", "champion_64", threads, step * static_cast<double>(few),
                   bytes * static_cast<double>(few), [=] {
                       auto state = std::make_shared<transformer_xl_stream>();
                       return [=, model = random_model(config)] {
                           tensor hidden;
                           for (std::size_t t = 0; t < few; ++t)
                               benchmark::DoNotOptimize(
                                   micronet::step(*model, all[t], *state, nullptr, hidden));
                       };
                   });
        bench::add("model_step", "tare", "champion_1152", threads, 3.0 * count_losses(batch),
                   7.0 * bytes, [=] {
                       using learner = train::trainer<train::adam>;
                       return
                           [=, own = std::make_shared<learner>(config, random_parameters<float>(1),
                                                               train::trainer_options{})] {
                               benchmark::DoNotOptimize(
                                   own->step(all.first(batch), all.subspan(1, batch), 1e-4));
                           };
                   });
    }
    return true;
}

const bool registered = register_models();

}  // namespace
