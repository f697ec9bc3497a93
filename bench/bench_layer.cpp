// SPDX-License-Identifier: MIT
// One layer of the champion's size for one token: width 256, inner 768, 8 heads of 24, the window
// of 97 keys full, fp32. The peer is the same layer in bench/peers_pytorch.py; `read_peak` reads
// the weights, once a token, from the cache that holds them.
#include <memory>

#include <tare/models/transformer_xl.hpp>
#include <tare/ops/prepared_weight.hpp>

#include "peak.hpp"

namespace {

using namespace tare;

transformer_xl_config one_layer() {
    transformer_xl_config config;
    config.layers = 1;
    config.vocabulary = 64;
    config.cutoffs = {};
    config.widths = {256};
    return config;
}

/// The layer, its memory and a token's state on the way in.
struct layer_step {
    random_parameters<float> source{1};
    transformer_xl<tensor, prepared_weight> model{source, one_layer()};
    rolling_memory memory;
    tensor x{shape{1, 1, 256}};

    layer_step() {
        const auto start = bench::values(256, 7);
        std::copy(start.begin(), start.end(), &x.mutable_view().matrix()(0, 0));
        for (extent t = 0; t < model.config().window; ++t)
            run();
    }
    void run() { benchmark::DoNotOptimize(model.layers()[0](x, memory)); }
};

const bool registered = [] {
    const transformer_xl_config c = one_layer();
    const extent heads = c.heads * c.key_width;
    const auto weights = static_cast<double>(c.width * (4 * heads + 2 * c.inner));
    const double scores = static_cast<double>((c.window + 1) * heads);
    for (const int threads : bench::thread_counts()) {
        bench::add("layer_token", "tare", "d256_inner768_H8_D24_W97", threads,
                   2.0 * weights + 6.0 * scores, 4.0 * weights, [] {
                       auto step = std::make_shared<layer_step>();
                       return [step] { step->run(); };
                   });
    }
    bench::add("layer_token", "read_peak", "d256_inner768_H8_D24_W97", 1,
               2.0 * weights + 6.0 * scores, 4.0 * weights, [weights] {
                   auto w = std::make_shared<tare::aligned_vector<float>>(
                       bench::values(static_cast<extent>(weights), 1));
                   return [w] { bench::read_peak(w->data(), static_cast<extent>(w->size())); };
               });
    return true;
}();

}  // namespace
