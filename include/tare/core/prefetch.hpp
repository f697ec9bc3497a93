#pragma once
// SPDX-License-Identifier: MIT
// Asking for memory ahead of its use. Any address is harmless: places are computed as integers, for
// they may lie outside the array. All are inlined always: GCC drops calls of functions that only
// prefetch, for want of an effect.

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace tare::simd {

/// Asks for the lines of `Count` elements from the place `ahead` elements behind p (before it, if
/// negative), to be read soon. Locality: 3 into all caches, 2 into the second and those behind it.
template <std::size_t Count = 1, int Locality = 3, class T>
[[gnu::always_inline]] inline void prefetch(const T* p, std::ptrdiff_t ahead) {
    const std::uintptr_t line =
        reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(ahead) * sizeof(T);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < Count * sizeof(T); i += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(line + i), 0, Locality);
}

/// The same into the second cache, to be read when much else has been: it does not push that out of
/// the first.
template <std::size_t Count = 1, class T>
[[gnu::always_inline]] inline void prefetch_early(const T* p, std::ptrdiff_t ahead) {
    prefetch<Count, 2>(p, ahead);
}

/// Calls one(i, some) for the parts [i, i + some) of `count` elements from p on, each when the
/// elements `Ahead` behind it have been asked for: all lines of a long array, asked for at once,
/// would wait for each other. `some` is the constant Part but for the last part.
template <std::ptrdiff_t Part, std::ptrdiff_t Ahead, class T, class One>
[[gnu::always_inline]] inline void for_parts_ahead(const T* p, std::ptrdiff_t count,
                                                   const One& one) {
    std::ptrdiff_t i = 0;
    for (; i + Part <= count; i += Part) {
        prefetch<Part>(p + i, Ahead);
        one(i, std::integral_constant<std::ptrdiff_t, Part>{});
    }
    if (i == count) return;
    for (std::ptrdiff_t k = i; k < count; k += 64 / static_cast<std::ptrdiff_t>(sizeof(T)))
        prefetch(p + k, Ahead);
    one(i, count - i);
}

/// Asks for one line to be written soon.
template <class T>
[[gnu::always_inline]] inline void prefetch_for_write(const T* p, std::ptrdiff_t ahead) {
    const std::uintptr_t line =
        reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(ahead) * sizeof(T);
    __builtin_prefetch(reinterpret_cast<const void*>(line), 1);
}

}  // namespace tare::simd
