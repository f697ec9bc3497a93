// SPDX-License-Identifier: MIT
// Write the model once; read it three ways: value, gradient, cost.
#include <iostream>

#include <tare/micronet/rules.hpp>
#include <tare/ops/linear.hpp>
#include <tare/ops/mean.hpp>
#include <tare/ops/relu.hpp>
#include <tare/readings/cost.hpp>
#include <tare/readings/gradient.hpp>

using namespace tare;

/// The model: one text for every kind of tensor.
template <class T>
constexpr T network(const T& x, const T& w1, const T& w2) {
    return mean(linear(relu(linear(x, w1)), w2));
}

int main() {
    const tensor x(shape{2, 8}, 0.5F);
    const tensor w1(shape{16, 8}, 0.25F);
    const tensor w2(shape{4, 16}, 0.125F);

    std::cout << "value    " << network(x, w1, w2).values()[0] << '\n';

    tape record;
    const variable v1 = record.parameter(w1);
    const variable loss = network(record.constant(x), v1, record.parameter(w2));
    record.backward(loss);
    std::cout << "gradient " << v1.gradient().values()[0] << '\n';

    ledger book;
    const auto weight = [&](const shape& s, int bits) {
        return cost(book, operand::dense(s, bits));
    };
    static_cast<void>(network(weight({2, 8}, 32), weight({16, 8}, 4), weight({4, 16}, 4)));
    book.end_token();
    book.settle();
    std::cout << "cost     " << micronet::tally(book, micronet::official{}).operations()
              << " operations\n";
}
