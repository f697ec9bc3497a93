#pragma once
// SPDX-License-Identifier: MIT
// How the linear layers of a translation Transformer start. Xavier: uniform in
// +-gain sqrt(6 / (in + out)), Glorot and Bengio 2010; otherwise uniform in +-1/sqrt(in).

#include <tare/core/root.hpp>
#include <tare/nn/linear_layer.hpp>

namespace tare {

/// Initial values of weights and biases, layer by layer.
struct linear_start {
    /// Biases of queries, keys and values zero, feed-forward layers Xavier with zero biases, as HAT
    /// has them; otherwise all of these uniform in +-1/sqrt(in), as fairseq has them.
    bool zero_biases = false;

    /// Queries, keys and values: Xavier, of gain 1/sqrt(2) where all three read streams of one
    /// width (they were one matrix once), else 1.
    [[nodiscard]] constexpr linear_initial projection(extent in, extent out, bool alike) const {
        return {xavier(in, out, alike ? square_root(0.5) : 1.0),
                zero_biases ? initial::zeros() : plain(in)};
    }
    /// What puts the heads together: Xavier, no bias.
    [[nodiscard]] constexpr linear_initial output(extent in, extent out) const {
        return {xavier(in, out, 1.0), initial::zeros()};
    }
    [[nodiscard]] constexpr linear_initial feed_forward(extent in, extent out) const {
        if (zero_biases) return {xavier(in, out, 1.0), initial::zeros()};
        return {plain(in), plain(in)};
    }

  private:
    static constexpr initial plain(extent in) {
        return initial::uniform(1.0 / square_root(static_cast<double>(in)));
    }
    static constexpr initial xavier(extent in, extent out, double gain) {
        return initial::uniform(gain * square_root(6.0 / static_cast<double>(in + out)));
    }
};

}  // namespace tare
