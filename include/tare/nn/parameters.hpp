#pragma once
// SPDX-License-Identifier: MIT
// Where a model's parameters come from. A model asks a source for each parameter by name, shape and
// initial distribution; the source decides what it is: random numbers, tensors of a file, leaves of
// a tape, or entries of a ledger.

#include <cmath>
#include <concepts>
#include <cstdint>
#include <string_view>

#include <tare/core/random.hpp>
#include <tare/core/tensor.hpp>
#include <tare/readings/gradient.hpp>

namespace tare {

/// How a parameter starts: constant + uniform in +-bound + normal of the given deviation, but zeros
/// in one row of a table if it says so (padding).
struct initial {
    double constant = 0.0;
    double bound = 0.0;
    double deviation = 0.0;
    extent zero_row = -1;  ///< -1 for none

    [[nodiscard]] static constexpr initial zeros() { return {}; }
    [[nodiscard]] static constexpr initial value(double constant) { return {constant}; }
    [[nodiscard]] static constexpr initial uniform(double bound) { return {0.0, bound}; }
    [[nodiscard]] static constexpr initial normal(double deviation) {
        return {0.0, 0.0, deviation};
    }
};

/// A source hands out parameters of type T.
template <class Source, class T>
concept parameter_source = requires(Source& source, std::string_view label, const shape& extents,
                                    const initial& start) {
    { source.parameter(label, extents, start) } -> std::same_as<T>;
};

/// A weight matrix from a source, as the type that the model holds weights in: a source that knows
/// such weights hands them out itself.
template <class Weight, class Source>
[[nodiscard]] constexpr Weight weight_from(Source& source, std::string_view label,
                                           const shape& extents, const initial& start) {
    if constexpr (requires { Weight(source.weight(label, extents, start)); }) {
        return source.weight(label, extents, start);
    } else {
        return source.parameter(label, extents, start);
    }
}

/// The random stream that belongs to a name: FNV-1a, 64 bits.
[[nodiscard]] constexpr std::uint64_t stream_of_name(std::string_view label) {
    std::uint64_t h = 0xCBF29CE484222325U;
    for (const char c : label)
        h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
    return h;
}

/// Random parameters for the value reading. A parameter's numbers depend on the seed and its name
/// alone, not on the order in which a model asks.
template <class Scalar>
class random_parameters {
  public:
    explicit random_parameters(std::uint64_t seed) : seed_(seed) {}

    [[nodiscard]] basic_tensor<Scalar> parameter(std::string_view label, const shape& extents,
                                                 const initial& start) const {
        basic_tensor<Scalar> out(extents);
        const random_stream stream(seed_, stream_of_name(label));
        std::uint64_t index = 0;
        for (Scalar& value : out.mutable_values()) {
            float v = static_cast<float>(start.constant);
            if (start.bound != 0.0)
                v += static_cast<float>(start.bound) * (2.0F * stream.uniform(index) - 1.0F);
            if (start.deviation != 0.0)
                v += static_cast<float>(start.deviation) * stream.normal(index);
            value = Scalar(v);
            ++index;
        }
        if (start.zero_row >= 0)
            for (Scalar& value : out.mutable_view().matrix().row(start.zero_row))
                value = Scalar(0);
        return out;
    }

  private:
    std::uint64_t seed_;
};

/// Leaves of a tape, with the values of another source.
template <class Source, class Scalar, class Precision = full_precision>
class tape_parameters {
  public:
    tape_parameters(basic_tape<Scalar, Precision>& record, Source values)
        : tape_(&record), values_(std::move(values)) {}

    [[nodiscard]] basic_variable<Scalar, Precision>
    parameter(std::string_view label, const shape& extents, const initial& start) {
        return tape_->parameter(values_.parameter(label, extents, start));
    }

  private:
    basic_tape<Scalar, Precision>* tape_;
    Source values_;
};

}  // namespace tare
