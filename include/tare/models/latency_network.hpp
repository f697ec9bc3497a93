#pragma once
// SPDX-License-Identifier: MIT
// The small network that foretells how long a translation network takes from ten numbers that
// describe it: linear layers with ReLU between them, one output.
//     x_i = feature_i / divisor_i            y = latency / scale        (both near 1)
//     h = relu(W_0 x + b_0);  h = relu(W_i h + b_i), i = 1 .. n;  y = w h + b
// It is written once for all readings: it learns as a model of variables and is asked as a model of
// tensors. Source: Wang et al. 2020, "HAT: Hardware-Aware Transformers", section 3.3; names, sizes
// and divisors are those of its released predictors.

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include <tare/nn/linear_layer.hpp>
#include <tare/ops/relu.hpp>

namespace tare {

/// Width, layers, mean inner width and mean heads of the encoder; width, layers, mean inner width,
/// mean self heads, mean cross heads and mean number of memories of the decoder.
using network_features = std::array<double, 10>;

/// What brings features and latencies near 1, where a network learns.
struct latency_scale {
    network_features divisors{640, 6, 2048, 6, 640, 6, 2048, 6, 6, 2};
    double milliseconds = 200.0;  ///< of a latency that counts 1: about the slowest network's

    /// A row of the network's input. **Throws** tare::error on a divisor that is not positive.
    [[nodiscard]] constexpr network_features normalized(const network_features& raw) const {
        network_features out{};
        for (std::size_t i = 0; i < raw.size(); ++i) {
            require(divisors[i] > 0.0, "latency_scale: feature ", i, " is divided by ", divisors[i],
                    "; divisors must be positive");
            out[i] = raw[i] / divisors[i];
        }
        return out;
    }
};

struct latency_network_sizes {
    extent features = static_cast<extent>(network_features{}.size());
    extent hidden = 400;
    std::size_t hidden_layers = 3;  ///< between the first layer and the last
};

template <class T>
class latency_network {
  public:
    /// Asks `source` for first_layer, layers.0, layers.1, ... and predict.
    /// **Throws** tare::error on sizes below 1.
    template <class Source>
    constexpr explicit latency_network(Source& source, const latency_network_sizes& sizes = {})
        : first_(source, "first_layer", checked(sizes).features, sizes.hidden, true),
          last_(source, "predict", sizes.hidden, 1, true) {
        for (std::size_t i = 0; i < sizes.hidden_layers; ++i)
            between_.emplace_back(source, join("layers.", i), sizes.hidden, sizes.hidden, true);
    }

    /// **Shapes** x (B, features), normalized; result (B, 1), in units of the scale.
    [[nodiscard]] constexpr T operator()(const T& x) const {
        T h = relu(first_(x));
        for (const linear_layer<T>& layer : between_)
            h = relu(layer(h));
        return last_(h);
    }

    /// Calls visitor(name, parameter) for every parameter.
    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        first_.visit(visitor);
        for (linear_layer<T>& layer : between_)
            layer.visit(visitor);
        last_.visit(visitor);
    }

  private:
    static constexpr const latency_network_sizes& checked(const latency_network_sizes& sizes) {
        require(sizes.features >= 1 && sizes.hidden >= 1, "latency_network: ", sizes.features,
                " features and ", sizes.hidden, " hidden values; there must be one of each");
        return sizes;
    }

    linear_layer<T> first_;
    std::vector<linear_layer<T>> between_;
    linear_layer<T> last_;
};

}  // namespace tare
