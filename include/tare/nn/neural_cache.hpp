#pragma once
// SPDX-License-Identifier: MIT
// The content of a non-parametric cache: the hidden states of the last positions and the words that
// followed them. Source: Grave, Joulin, Usunier 2017, section 3.

#include <algorithm>
#include <span>
#include <vector>

#include <tare/nn/rolling_rows.hpp>
#include <tare/ops/gather.hpp>

namespace tare {

/// Up to `capacity` pairs, oldest first.
template <class T>
class neural_cache {
  public:
    constexpr neural_cache() = default;
    constexpr explicit neural_cache(extent capacity) : capacity_(capacity), keys_(capacity) {}

    [[nodiscard]] constexpr extent capacity() const noexcept { return capacity_; }
    [[nodiscard]] constexpr const T& keys() const noexcept { return keys_.rows(); }
    [[nodiscard]] constexpr std::span<const token> words() const noexcept {
        return std::span<const token>(words_).subspan(forgotten_);
    }
    [[nodiscard]] constexpr bool empty() const noexcept { return words_.size() == forgotten_; }

    /// Remembers rows (N, d) and the words that followed them; the oldest pairs beyond the capacity
    /// are forgotten. No gradient reaches what is remembered.
    constexpr void push(const T& rows, std::span<const token> next_words) {
        keys_.push(rows);
        words_.insert(words_.end(), next_words.begin(), next_words.end());
        const std::size_t limit = static_cast<std::size_t>(capacity_);
        if (words().size() > limit) forgotten_ = words_.size() - limit;
        if (forgotten_ > limit) {  // moving the rest to the front once in a while is cheap
            words_.erase(words_.begin(), words_.begin() + static_cast<std::ptrdiff_t>(forgotten_));
            forgotten_ = 0;
        }
    }
    constexpr void clear() {
        keys_ = rolling_rows<T>(capacity_);
        words_.clear();
        forgotten_ = 0;
    }

  private:
    extent capacity_ = 0;
    rolling_rows<T> keys_;
    std::vector<token> words_;
    std::size_t forgotten_ = 0;  ///< words at the front that no longer count
};

}  // namespace tare
