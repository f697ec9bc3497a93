#pragma once
// SPDX-License-Identifier: MIT
// The space of networks that HAT searches: what may be chosen, a random choice as its training
// draws it, a network as a gene, and the features that its latency is predicted from.
// Source: Wang et al. 2020, sections 3.2 and 3.3; order of draws and of genes as released.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <tare/core/python_random.hpp>
#include <tare/models/hat_network.hpp>
#include <tare/models/latency_network.hpp>

namespace tare::search {

/// What each size may be. The defaults are those of the released program.
struct hat_space {
    using choices = bounded_list<extent, 8>;
    choices encoder_width{512, 256, 128};
    choices decoder_width{512, 256, 128};
    choices encoder_layers{7, 6, 5, 4, 3, 2};
    choices decoder_layers{7, 6, 5, 4, 3, 2};
    choices encoder_inner{4096, 3072, 2048, 1024};
    choices decoder_inner{4096, 3072, 2048, 1024};
    choices encoder_heads{16, 8, 4, 2, 1};
    choices decoder_self_heads{16, 8, 4, 2, 1};
    choices decoder_cross_heads{16, 8, 4, 2, 1};
    choices decoder_arbitrary{-1, 1, 2};

    /// The published space of the WMT tasks ("space0").
    [[nodiscard]] static constexpr hat_space wmt() { return published({3072, 2048, 1024}, {8, 4}); }
    /// The published space of IWSLT'14 ("space1").
    [[nodiscard]] static constexpr hat_space iwslt() {
        return published({2048, 1024, 512}, {4, 2});
    }

  private:
    static constexpr hat_space published(const choices& inner, const choices& heads) {
        hat_space s;
        s.encoder_width = s.decoder_width = {640, 512};
        s.encoder_layers = choices{6};
        s.decoder_layers = {6, 5, 4, 3, 2, 1};
        s.encoder_inner = s.decoder_inner = inner;
        s.encoder_heads = s.decoder_self_heads = s.decoder_cross_heads = heads;
        return s;
    }
};

/// The network that training draws at update number `update`: the same on every worker.
/// `decoder_slots`: layers of the super network's decoder, each of which gets an entry of
/// decoder_arbitrary. **Throws** tare::error on an empty list of choices.
[[nodiscard]] inline hat_network sample(const hat_space& space, std::uint64_t update,
                                        std::size_t decoder_slots) {
    // Nothing but the number of the update: workers agree without a word to each other.
    python_random random(update);
    const auto draw = [&](const hat_space::choices& choices) {
        return random.choice(choices.span());
    };
    hat_network n;
    // The order of the draws is part of what is repeated: lists are drawn layer by layer, and only
    // for layers in use, but the last one for every slot of the super network.
    n.encoder_width = draw(space.encoder_width);
    n.decoder_width = draw(space.decoder_width);
    n.encoder_layers = static_cast<std::size_t>(draw(space.encoder_layers));
    n.decoder_layers = static_cast<std::size_t>(draw(space.decoder_layers));
    for (std::size_t i = 0; i < n.encoder_layers; ++i) {
        n.encoder_inner.push_back(draw(space.encoder_inner));
        n.encoder_heads.push_back(draw(space.encoder_heads));
    }
    for (std::size_t i = 0; i < n.decoder_layers; ++i) {
        n.decoder_inner.push_back(draw(space.decoder_inner));
        n.decoder_self_heads.push_back(draw(space.decoder_self_heads));
        n.decoder_cross_heads.push_back(draw(space.decoder_cross_heads));
    }
    for (std::size_t i = 0; i < decoder_slots; ++i)
        n.decoder_arbitrary.push_back(draw(space.decoder_arbitrary));
    return n;
}

/// The networks that training is validated on: of every list the largest choice, or the smallest,
/// and both times the last two encoder states for every decoder layer.
/// **Throws** tare::error on an empty list of choices.
[[nodiscard]] inline hat_network extreme(const hat_space& space, bool largest,
                                         std::size_t decoder_slots) {
    const auto pick = [largest](const hat_space::choices& choices) {
        require(!choices.empty(), "extreme: a list of choices is empty");
        return largest ? *std::ranges::max_element(choices) : *std::ranges::min_element(choices);
    };
    hat_network n;
    n.encoder_width = pick(space.encoder_width);
    n.decoder_width = pick(space.decoder_width);
    n.encoder_layers = static_cast<std::size_t>(pick(space.encoder_layers));
    n.decoder_layers = static_cast<std::size_t>(pick(space.decoder_layers));
    n.encoder_inner = layer_list(n.encoder_layers, pick(space.encoder_inner));
    n.encoder_heads = layer_list(n.encoder_layers, pick(space.encoder_heads));
    n.decoder_inner = layer_list(n.decoder_layers, pick(space.decoder_inner));
    n.decoder_self_heads = layer_list(n.decoder_layers, pick(space.decoder_self_heads));
    n.decoder_cross_heads = layer_list(n.decoder_layers, pick(space.decoder_cross_heads));
    n.decoder_arbitrary = layer_list(decoder_slots, 1);
    return n;
}

/// A network as a list of integers: width, layers, inner widths and heads of the encoder's slots;
/// width, layers, inner widths, self heads, cross heads and arbitrary attention of the decoder's.
/// Slots that are not in use repeat the first layer's sizes.
/// **Throws** tare::error on lists shorter than the layers in use.
[[nodiscard]] inline std::vector<extent>
gene_of(const hat_network& network, std::size_t encoder_slots, std::size_t decoder_slots) {
    network.check();
    require(network.encoder_layers >= 1 && network.decoder_layers >= 1 &&
                network.decoder_arbitrary.size() >= decoder_slots,
            "gene_of: ", network.encoder_layers, " and ", network.decoder_layers, " layers, ",
            network.decoder_arbitrary.size(), " entries of decoder_arbitrary for ", decoder_slots,
            " slots");
    std::vector<extent> gene;
    const auto slots = [&gene](const layer_list& list, std::size_t used, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i)
            // Searches redraw every place, so places without a meaning still need a legal value.
            gene.push_back(list[i < used ? i : 0]);
    };
    gene.push_back(network.encoder_width);
    gene.push_back(static_cast<extent>(network.encoder_layers));
    slots(network.encoder_inner, network.encoder_layers, encoder_slots);
    slots(network.encoder_heads, network.encoder_layers, encoder_slots);
    gene.push_back(network.decoder_width);
    gene.push_back(static_cast<extent>(network.decoder_layers));
    slots(network.decoder_inner, network.decoder_layers, decoder_slots);
    slots(network.decoder_self_heads, network.decoder_layers, decoder_slots);
    slots(network.decoder_cross_heads, network.decoder_layers, decoder_slots);
    slots(network.decoder_arbitrary, decoder_slots, decoder_slots);
    return gene;
}

/// The network of a gene; its lists have an entry for every slot.
/// **Throws** tare::error on a gene of another length.
[[nodiscard]] inline hat_network network_of(std::span<const extent> gene, std::size_t encoder_slots,
                                            std::size_t decoder_slots) {
    // Two widths and two numbers of layers; two lists of the encoder's, four of the decoder's.
    const std::size_t length = 4 + 2 * encoder_slots + 4 * decoder_slots;
    require(gene.size() == length, "network_of: a gene of ", gene.size(), " numbers; ",
            encoder_slots, " and ", decoder_slots, " slots need ", length);
    std::size_t at = 0;
    const auto slots = [&](std::size_t count) {
        at += count;
        return layer_list(gene.subspan(at - count, count));
    };
    hat_network n;
    n.encoder_width = gene[at++];
    n.encoder_layers = static_cast<std::size_t>(gene[at++]);
    n.encoder_inner = slots(encoder_slots);
    n.encoder_heads = slots(encoder_slots);
    n.decoder_width = gene[at++];
    n.decoder_layers = static_cast<std::size_t>(gene[at++]);
    n.decoder_inner = slots(decoder_slots);
    n.decoder_self_heads = slots(decoder_slots);
    n.decoder_cross_heads = slots(decoder_slots);
    n.decoder_arbitrary = slots(decoder_slots);
    return n;
}

/// What latency is predicted from, before any scaling: width, layers, mean inner width and mean
/// heads of the encoder; width, layers, mean inner width, mean self heads, mean cross heads and
/// mean number of memories of the decoder. Means are over the layers in use.
/// **Throws** tare::error on lists shorter than these.
[[nodiscard]] inline network_features latency_features(const hat_network& network) {
    network.check();
    const auto mean = [](const layer_list& list, std::size_t layers, auto&& value) {
        double sum = 0.0;
        for (std::size_t i = 0; i < layers; ++i)
            sum += static_cast<double>(value(list[i]));
        return sum / static_cast<double>(layers);
    };
    const auto same = [](extent v) { return v; };
    // What -1, 1 and 2 stand for: 1, 2 and 3 memories to read, which is what takes time.
    const auto memories = [](extent v) { return 1 + earlier_states(v); };
    const std::size_t e = network.encoder_layers;
    const std::size_t d = network.decoder_layers;
    return {
        static_cast<double>(network.encoder_width), static_cast<double>(e),
        mean(network.encoder_inner, e, same),       mean(network.encoder_heads, e, same),
        static_cast<double>(network.decoder_width), static_cast<double>(d),
        mean(network.decoder_inner, d, same),       mean(network.decoder_self_heads, d, same),
        mean(network.decoder_cross_heads, d, same), mean(network.decoder_arbitrary, d, memories)};
}

}  // namespace tare::search
