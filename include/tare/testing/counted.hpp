#pragma once
// SPDX-License-Identifier: MIT
// An arithmetic type that counts what is done with it. Running an operation's plain form on it
// gives the number of elementary operations that are really executed, to be compared, as integers,
// with the price that the operation claims.

#include <cmath>
#include <cstdint>

namespace tare::testing {

/// What was executed, by the kinds of the MicroNet rules.
struct operation_tally {
    std::int64_t multiplications = 0;
    std::int64_t additions = 0;
    std::int64_t others = 0;  ///< divisions, comparisons, transcendental functions, rounding
    friend bool operator==(const operation_tally&, const operation_tally&) = default;
};

/// A float that counts. Assignments and constructions are free, everything else is one operation.
class counted {
  public:
    counted() = default;
    explicit counted(float value) : value_(value) {}

    /// The count of this thread; set it to {} to start again.
    static operation_tally& tally() {
        thread_local operation_tally count;
        return count;
    }
    [[nodiscard]] float value() const noexcept { return value_; }

    friend counted operator+(counted a, counted b) { return add(a.value_ + b.value_); }
    friend counted operator-(counted a, counted b) { return add(a.value_ - b.value_); }
    friend counted operator*(counted a, counted b) {
        ++tally().multiplications;
        return counted(a.value_ * b.value_);
    }
    friend counted operator/(counted a, counted b) { return other(a.value_ / b.value_); }
    friend bool operator<(counted a, counted b) {
        ++tally().others;
        return a.value_ < b.value_;
    }
    friend bool operator>(counted a, counted b) { return b < a; }

    friend counted exp(counted x) { return other(std::exp(x.value_)); }
    friend counted log(counted x) { return other(std::log(x.value_)); }
    friend counted sqrt(counted x) { return other(std::sqrt(x.value_)); }
    friend counted inverse_root(const counted& x) { return other(1.0F / std::sqrt(x.value_)); }
    friend counted tanh(counted x) { return other(std::tanh(x.value_)); }
    friend counted nearbyint(counted x) { return other(std::nearbyint(x.value_)); }

  private:
    static counted add(float value) {
        ++tally().additions;
        return counted(value);
    }
    static counted other(float value) {
        ++tally().others;
        return counted(value);
    }
    float value_ = 0.0F;
};

}  // namespace tare::testing
