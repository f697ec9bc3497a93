#pragma once
// SPDX-License-Identifier: MIT
// Memory that starts on a cache line (64 bytes), which is also what AVX-512 loads like best.

#include <cstddef>
#include <new>
#include <vector>

namespace tare {

inline constexpr std::size_t cache_line_bytes = 64;

/// Standard allocator whose blocks start on a cache line.
template <class T>
struct aligned_allocator {
    using value_type = T;

    aligned_allocator() = default;
    template <class U>
    constexpr aligned_allocator(const aligned_allocator<U>&) noexcept {}

    [[nodiscard]] T* allocate(std::size_t count) {
        return static_cast<T*>(
            ::operator new(count * sizeof(T), std::align_val_t(cache_line_bytes)));
    }
    void deallocate(T* block, std::size_t) noexcept {
        ::operator delete(block, std::align_val_t(cache_line_bytes));
    }
    friend bool operator==(const aligned_allocator&, const aligned_allocator&) { return true; }
};

/// std::vector on cache-line boundaries.
template <class T>
using aligned_vector = std::vector<T, aligned_allocator<T>>;

}  // namespace tare
