#pragma once
// SPDX-License-Identifier: MIT
// A short list that lives inside its object, so that configurations are values of constant
// expressions (a std::vector may not outlive one).

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>

#include <tare/core/error.hpp>

namespace tare {

/// Up to `Capacity` elements.
template <class T, std::size_t Capacity>
class bounded_list {
  public:
    static constexpr std::size_t capacity = Capacity;

    constexpr bounded_list() = default;
    constexpr bounded_list(std::initializer_list<T> elements)
        : bounded_list(std::span<const T>(elements.begin(), elements.size())) {}
    /// Throws on more elements than there is room for.
    constexpr explicit bounded_list(std::span<const T> elements) : count_(elements.size()) {
        require_room(count_);
        // One by one: GCC 12 takes a copy of a constant list for one of uninitialized memory.
        for (std::size_t i = 0; i < count_; ++i)
            elements_[i] = elements[i];
    }
    /// `count` times the same.
    constexpr bounded_list(std::size_t count, const T& element) : count_(count) {
        require_room(count_);
        std::fill_n(elements_.begin(), count, element);
    }

    constexpr void push_back(const T& element) {
        require_room(count_ + 1);
        elements_[count_++] = element;
    }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return count_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return count_ == 0; }
    constexpr const T& operator[](std::size_t i) const { return elements_[i]; }
    constexpr T& operator[](std::size_t i) { return elements_[i]; }
    [[nodiscard]] constexpr const T* begin() const noexcept { return elements_.data(); }
    [[nodiscard]] constexpr const T* end() const noexcept { return elements_.data() + count_; }
    [[nodiscard]] constexpr std::span<const T> span() const noexcept {
        return {elements_.data(), count_};
    }
    friend constexpr bool operator==(const bounded_list& a, const bounded_list& b) noexcept {
        return std::equal(a.begin(), a.end(), b.begin(), b.end());
    }

  private:
    static constexpr void require_room(std::size_t count) {
        require(count <= Capacity, "bounded_list: ", count, " elements; at most ", Capacity,
                " have room");
    }

    std::array<T, Capacity> elements_{};
    std::size_t count_ = 0;
};

}  // namespace tare
