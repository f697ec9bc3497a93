#pragma once
// SPDX-License-Identifier: MIT
// Memory that is used again. A model allocates the same sizes step after step; fresh pages from the
// system cost more than the arithmetic on them (0.25 us a page), so blocks that come back are kept,
// by size, and handed out again. The store is bounded and is shared by all threads.

#include <cstddef>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <tare/core/aligned.hpp>
#include <tare/core/huge_pages.hpp>

namespace tare {

/// Blocks on cache-line boundaries, recycled by size.
class memory_pool {
  public:
    /// The pool of the process. It is never destroyed: tensors may outlive every static.
    static memory_pool& instance() {
        static memory_pool* const pool = new memory_pool;
        return *pool;
    }

    /// A block of at least `bytes`. Throws std::bad_alloc. Its contents are arbitrary.
    [[nodiscard]] void* take(std::size_t bytes) {
        const std::size_t size = rounded(bytes);
        {
            const std::lock_guard lock(mutex_);
            const auto found = free_.find(size);
            if (found != free_.end() && !found->second.empty()) {
                void* const block = found->second.back();
                found->second.pop_back();
                kept_bytes_ -= size;
                return block;
            }
        }
        void* const block = ::operator new(size, std::align_val_t(cache_line_bytes));
        prefer_huge_pages(block, size);  // once, for it is kept
        return block;
    }

    /// Gives back what take(bytes) returned.
    void give(void* block, std::size_t bytes) noexcept {
        const std::size_t size = rounded(bytes);
        try {
            const std::lock_guard lock(mutex_);
            if (kept_bytes_ + size <= limit_bytes) {
                free_[size].push_back(block);
                kept_bytes_ += size;
                return;
            }
        } catch (const std::bad_alloc&) {  // no room for the note: give the block up instead
        }
        ::operator delete(block, std::align_val_t(cache_line_bytes));
    }

    /// Bytes that wait for reuse.
    [[nodiscard]] std::size_t kept_bytes() const {
        const std::lock_guard lock(mutex_);
        return kept_bytes_;
    }
    /// Returns everything that waits to the system.
    void release() {
        const std::lock_guard lock(mutex_);
        for (auto& [size, blocks] : free_)
            for (void* const block : blocks)
                ::operator delete(block, std::align_val_t(cache_line_bytes));
        free_.clear();
        kept_bytes_ = 0;
    }

  private:
    memory_pool() = default;

    static constexpr std::size_t limit_bytes = std::size_t{1} << 30;

    /// Classes an eighth of a power of two apart: at most 12.5 % is wasted.
    static constexpr std::size_t rounded(std::size_t bytes) noexcept {
        std::size_t step = cache_line_bytes;
        while (step * 16 < bytes)
            step *= 2;
        return (bytes + step - 1) / step * step;
    }

    mutable std::mutex mutex_;
    std::map<std::size_t, std::vector<void*>> free_;
    std::size_t kept_bytes_ = 0;
};

/// Standard allocator on the pool.
template <class T>
struct pool_allocator {
    using value_type = T;

    pool_allocator() = default;
    template <class U>
    constexpr pool_allocator(const pool_allocator<U>&) noexcept {}

    [[nodiscard]] T* allocate(std::size_t count) {
        return static_cast<T*>(memory_pool::instance().take(count * sizeof(T)));
    }
    void deallocate(T* block, std::size_t count) noexcept {
        memory_pool::instance().give(block, count * sizeof(T));
    }
    friend bool operator==(const pool_allocator&, const pool_allocator&) { return true; }
};

/// The same, and elements that are made without a value get none: for buffers of bytes and codes
/// that are written whole before they are read.
template <class T>
struct unset_allocator : pool_allocator<T> {
    unset_allocator() = default;
    template <class U>
    constexpr unset_allocator(const unset_allocator<U>&) noexcept {}
    template <class U>
    struct rebind {
        using other = unset_allocator<U>;
    };

    template <class U>
    void construct(U* place) noexcept {
        ::new (static_cast<void*>(place)) U;
    }
    template <class U, class... Values>
    void construct(U* place, Values&&... values) {
        ::new (static_cast<void*>(place)) U(std::forward<Values>(values)...);
    }
};

}  // namespace tare
