#pragma once
// SPDX-License-Identifier: MIT
// Memory that stays and is read again and again, on pages of 2 MiB where the system can give them.
// A page of 4 KiB ends the hardware's prefetching and needs a look-up of its own: reading 36 MB
// from the third cache went at 24.5 GB/s on small pages and at 28 on large ones (medians of 25
// interleaved passes, one core of a Sapphire Rapids virtual machine), 100 MB from memory at 9.7 and
// 11.7. The system's default is to do so only for a program that asks.
//
// Memory that has not been touched yet is asked for by MADV_HUGEPAGE: its pages are large from
// their first touch. What has been touched is collapsed (MADV_COLLAPSE, Linux 6.1), which the
// system refuses where nothing has been touched. Neither needs alignment of the block or an
// allocator of our own, contents stay, and where both are refused nothing changes.

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#ifdef __linux__
#include <cerrno>

#include <sys/mman.h>
#endif

#include <tare/core/aligned.hpp>

namespace tare {

inline constexpr std::size_t huge_page_bytes = std::size_t{1} << 21;

/// Asks for huge pages under [block, block + bytes), whose contents and addresses stay as they are.
/// Pages at the two ends are asked for too: neighbours that were allocated alike share them. Less
/// than 64 KiB are not worth the call.
/// **Units** the process may hold up to two pages (4 MiB) more than without.
/// **Complexity** a system call for each page, and once the filling of those that were not yet so;
/// for memory that is kept, not for scratch.
inline void prefer_huge_pages([[maybe_unused]] const void* block,
                              [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef __linux__
    if (bytes < huge_page_bytes / 32) return;
    constexpr int collapse = 25;  // MADV_COLLAPSE, which older headers do not name
    const int before = errno;
    const auto begin = reinterpret_cast<std::uintptr_t>(block);
    const std::uintptr_t end = begin + bytes;
    const std::uintptr_t first = begin / huge_page_bytes * huge_page_bytes;
    const std::uintptr_t last = (end + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
    // Where an end reaches beyond what is mapped the answer is an error, the rest is done.
    (void)::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
    for (std::uintptr_t page = first; page < last; page += huge_page_bytes) {
        const bool inside = page >= begin && page + huge_page_bytes <= end;
        if (::madvise(reinterpret_cast<void*>(page), huge_page_bytes, collapse) != 0 &&
            errno == ENOMEM && inside)
            break;  // none left
    }
    errno = before;
#endif
}

/// aligned_allocator for what is kept and read often.
template <class T>
struct lasting_allocator : aligned_allocator<T> {
    lasting_allocator() = default;
    template <class U>
    constexpr lasting_allocator(const lasting_allocator<U>&) noexcept {}
    template <class U>
    struct rebind {
        using other = lasting_allocator<U>;
    };

    [[nodiscard]] T* allocate(std::size_t count) {
        T* const block = aligned_allocator<T>::allocate(count);
        prefer_huge_pages(block, count * sizeof(T));
        return block;
    }
};

/// aligned_vector for what is kept and read often: packed weights.
template <class T>
using lasting_vector = std::vector<T, lasting_allocator<T>>;

}  // namespace tare
