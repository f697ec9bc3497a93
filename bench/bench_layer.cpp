// SPDX-License-Identifier: MIT
// One layer of the champion's size for one token: width 256, inner 768, 8 heads of 24, the window
// of 97 keys full. layer_token: fp32; layer_token_8_bit: weights and activations of 8 bits, nothing
// pruned. The peer of both is the same layer in bench/peers_pytorch.py, in fp32 (Debian's PyTorch
// has no kernels for 8-bit layers); `read_peak` reads the weights, once a token, from the cache
// that holds them.
#include <memory>

#include <tare/models/packed_operations.hpp>
#include <tare/models/packed_parameters.hpp>
#include <tare/models/transformer_xl.hpp>
#include <tare/ops/prepared_weight.hpp>
#include <tare/train/quantization_aware.hpp>

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

/// Parameters whose ranges a few words have shown, at 8 bits.
const stored_model& quantized() {
    static const stored_model model = [] {
        micronet::compression how;
        how.bits = 8;
        train::quantization_aware<> t(random_parameters<float>(1), one_layer(), how);
        std::vector<token> words(193);
        for (std::size_t i = 0; i < words.size(); ++i)
            words[i] = static_cast<token>(i * 37 % 64);
        const std::span<const token> all(words);
        static_cast<void>(t.observe(all.first(192), all.subspan(1, 192)));
        return t.store();
    }();
    return model;
}

transformer_xl<tensor, prepared_weight> float_model() {
    random_parameters<float> source(1);
    return {source, one_layer()};
}
transformer_xl<tensor, packed_weight> packed_model() {
    packed_parameters source(quantized());
    return {source, quantized().config};
}

/// The layer, its memory and a token's state on the way in.
template <class Model>
struct layer_step {
    Model model;
    rolling_memory memory;
    tensor x{shape{1, 1, 256}};

    explicit layer_step(Model layer) : model(std::move(layer)) {
        const auto start = bench::values(256, 7);
        std::copy(start.begin(), start.end(), &x.mutable_view().matrix()(0, 0));
        for (extent t = 0; t < model.config().window; ++t)
            run();
    }
    void run() { benchmark::DoNotOptimize(model.layers()[0](x, memory)); }
};

/// Registers kernel/tare and, beside it, the reading of `bytes` for a weight.
template <class Make>
void add_layer(const char* kernel, double bytes, Make make) {
    constexpr const char* size = "d256_inner768_H8_D24_W97";
    const transformer_xl_config c = one_layer();
    const extent heads = c.heads * c.key_width;
    const auto weights = static_cast<double>(c.width * (4 * heads + 2 * c.inner));
    const double scores = static_cast<double>((c.window + 1) * heads);
    const double operations = 2.0 * weights + 6.0 * scores;
    for (const int threads : bench::thread_counts())
        bench::add(kernel, "tare", size, threads, operations, bytes * weights, [=] {
            auto step = std::make_shared<layer_step<decltype(make())>>(make());
            return [step] { step->run(); };
        });
    bench::add(kernel, "read_peak", size, 1, operations, bytes * weights, [=] {
        auto w = std::make_shared<tare::aligned_vector<float>>(
            bench::values(static_cast<extent>(bytes * weights / 4.0), 1));
        return [w] { bench::read_peak(w->data(), static_cast<extent>(w->size())); };
    });
}

const bool registered = [] {
    add_layer("layer_token", 4.0, float_model);
    // A byte of magnitude and a bit of sign.
    add_layer("layer_token_8_bit", 9.0 / 8.0, packed_model);
    return true;
}();

}  // namespace
