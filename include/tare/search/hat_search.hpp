#pragma once
// SPDX-License-Identifier: MIT
// The search for a translation network: evolution over HAT's space, of networks that cost no more
// than a limit. Cost and score are functions of the network that the caller gives: a predicted or
// measured latency, or the MicroNet operations that are counted here; the loss of the sub network
// with the super network's weights.
//     best = argmin score(network)  over networks with  cost(network) <= limit
// Source: Wang et al. 2020, "HAT: Hardware-Aware Transformers", section 3.3.

#include <concepts>
#include <cstdint>
#include <utility>
#include <vector>

#include <tare/micronet/rules.hpp>
#include <tare/micronet/weigh_translation.hpp>
#include <tare/search/evolution.hpp>
#include <tare/search/hat_space.hpp>

namespace tare::search {

/// Layers that the super network has.
struct hat_slots {
    std::size_t encoder = 6;
    std::size_t decoder = 6;
};

/// What each place of a network's gene (gene_of) may be.
/// **Throws** tare::error on choices of layers that there are no slots for.
[[nodiscard]] inline gene_choices choices_of(const hat_space& space, const hat_slots& slots) {
    gene_choices out;
    const auto add = [&out](const hat_space::choices& some, std::size_t count) {
        out.insert(out.end(), count, std::vector<extent>(some.begin(), some.end()));
    };
    const auto fits = [](const char* what, const hat_space::choices& layers, std::size_t most) {
        for (const extent n : layers)
            require(n >= 1 && n <= static_cast<extent>(most), "choices_of: ", n, " layers of the ",
                    what, " in ", most, " slots");
    };
    fits("encoder", space.encoder_layers, slots.encoder);
    fits("decoder", space.decoder_layers, slots.decoder);
    add(space.encoder_width, 1);
    add(space.encoder_layers, 1);
    add(space.encoder_inner, slots.encoder);
    add(space.encoder_heads, slots.encoder);
    add(space.decoder_width, 1);
    add(space.decoder_layers, 1);
    add(space.decoder_inner, slots.decoder);
    add(space.decoder_self_heads, slots.decoder);
    add(space.decoder_cross_heads, slots.decoder);
    add(space.decoder_arbitrary, slots.decoder);
    return out;
}

struct hat_search_result {
    hat_network network;
    double score = 0.0;
    double cost = 0.0;
    std::vector<evolution_round> rounds;
};

/// The best network that was met. `score` and `cost` take a hat_network.
/// **Throws** as evolve() and choices_of().
template <class Score, class Cost>
    requires std::invocable<Score&, const hat_network&> && std::invocable<Cost&, const hat_network&>
[[nodiscard]] hat_search_result search_hat(const hat_space& space, const hat_slots& slots,
                                           Score&& score, Cost&& cost, double limit,
                                           const evolution_options& options = {}) {
    const auto network = [&slots](const gene_type& of) {
        return network_of(of, slots.encoder, slots.decoder);
    };
    evolution_result found = evolve(
        choices_of(space, slots), [&](const gene_type& of) { return score(network(of)); },
        [&](const gene_type& of) { return static_cast<double>(cost(network(of))) <= limit; },
        options);
    hat_search_result out{network(found.best), found.score, 0.0, std::move(found.rounds)};
    out.cost = static_cast<double>(cost(std::as_const(out.network)));
    return out;
}

/// MicroNet operations of a sub network for each word of a translation of `words` words of a source
/// of as many, as 32-bit operations: a cost that does not depend on the machine.
/// **Throws** tare::error on sizes that the super network does not have.
[[nodiscard]] inline double operations_of(const hat_super_network& all, const hat_network& network,
                                          extent words, const micronet::compression& how = {}) {
    const ledger book = micronet::weigh(sub_network_config(all, network), how, words, words);
    return micronet::tally(book, micronet::official{}).operations();
}

/// The networks that HAT's latencies were measured on: all tasks' and machines' in one space.
[[nodiscard]] inline hat_space timed_space() {
    hat_space s = hat_space::wmt();
    s.encoder_inner = s.decoder_inner = {3072, 2048, 1024, 512};
    s.encoder_heads = s.decoder_self_heads = s.decoder_cross_heads = {8, 4, 2};
    return s;
}

}  // namespace tare::search
