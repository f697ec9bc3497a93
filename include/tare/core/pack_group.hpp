#pragma once
// SPDX-License-Identifier: MIT
// Several registers as one value: the type under the packs of core/pack.hpp, how it is filled from
// memory or from one number, and how it is written. What can be done with it stands there.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tare/core/simd.hpp>

namespace tare::simd {

inline constexpr std::size_t pack_lanes = 16;

inline constexpr std::size_t pack_registers = pack_lanes / lanes;
static_assert(pack_lanes % lanes == 0);

/// Count registers that go through a kernel side by side; Register is floats, ints or masks.
template <class Register, std::size_t Count>
struct group {
    Register part[Count];
};

namespace detail {

/// Applies f register by register, one operation on all of them before the next: that keeps
/// several chains of dependent operations in flight.
template <class F, class First, std::size_t Count, class... Rest>
[[gnu::always_inline]] inline auto each(F f, const group<First, Count>& first,
                                        const group<Rest, Count>&... rest) {
    group<decltype(f(first.part[0], rest.part[0]...)), Count> out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Count; ++r)
        out.part[r] = f(first.part[r], rest.part[r]...);
    return out;
}

}  // namespace detail

template <std::size_t N>
using packs = group<floats, N>;
template <std::size_t N>
using int_packs = group<ints, N>;
template <std::size_t N>
using mask_packs = group<masks, N>;

/// Sixteen lanes.
using pack = packs<pack_registers>;
using int_pack = int_packs<pack_registers>;
using mask_pack = mask_packs<pack_registers>;
/// At least four registers, at least sixteen lanes: the width of element-wise loops.
using wide_pack = packs<(pack_registers > 4 ? pack_registers : 4)>;
inline constexpr std::size_t wide_lanes = sizeof(wide_pack) / sizeof(float);

/// As many floats at p as V has lanes.
template <class V = pack>
[[gnu::always_inline]] inline V load_pack(const float* p) {
    V out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < sizeof(V) / sizeof(floats); ++r)
        out.part[r] = load(p + r * lanes);
    return out;
}
/// The same for one register too.
template <class V>
[[gnu::always_inline]] inline V load_as(const float* p) {
    if constexpr (std::is_same_v<V, floats>) {
        return load(p);
    } else {
        return load_pack<V>(p);
    }
}
template <std::size_t N>
[[gnu::always_inline]] inline void store(float* p, const packs<N>& v) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < N; ++r)
        store(p + r * lanes, v.part[r]);
}
/// The first `count` floats at p, `fill` in the lanes behind them; no other memory is touched.
template <class V = pack>
[[gnu::always_inline]] inline V load_pack(const float* p, std::size_t count, float fill = 0.0F) {
    V out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < sizeof(V) / sizeof(floats); ++r) {
        const std::size_t begin = std::min(count, r * lanes);
        out.part[r] = load_partial(p + begin, std::min(count - begin, lanes), fill);
    }
    return out;
}
/// Writes the first `count` lanes of v to p.
template <std::size_t N>
[[gnu::always_inline]] inline void store(float* p, const packs<N>& v, std::size_t count) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < N; ++r) {
        const std::size_t begin = std::min(count, r * lanes);
        store_partial(p + begin, v.part[r], std::min(count - begin, lanes));
    }
}
/// Writes past the caches; p must be a multiple of 64 bytes. Call stream_fence() afterwards.
template <std::size_t N>
[[gnu::always_inline]] inline void stream(float* p, const packs<N>& v) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < N; ++r)
        stream(p + r * lanes, v.part[r]);
}

/// Sixteen integers at p.
[[gnu::always_inline]] inline int_pack load_ints(const std::int32_t* p) {
    int_pack out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r) {
#ifdef TARE_NO_SIMD
        out.part[r] = p[r];
#else
        out.part[r] = ints::load_unaligned(p + r * lanes);
#endif
    }
    return out;
}

/// The same value in every lane.
[[gnu::always_inline]] inline pack pack_of(float v) {
    pack out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r)
        out.part[r] = broadcast(v);
    return out;
}
[[gnu::always_inline]] inline int_pack ints_of(std::int32_t v) {
    int_pack out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r)
        out.part[r] = ints(v);
    return out;
}
/// v in every lane of a value as wide as `model`.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> like(const packs<N>& /*model*/, float v) {
    packs<N> out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < N; ++r)
        out.part[r] = broadcast(v);
    return out;
}
template <std::size_t N>
[[gnu::always_inline]] inline int_packs<N> like(const int_packs<N>& /*model*/, std::int32_t v) {
    int_packs<N> out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < N; ++r)
        out.part[r] = ints(v);
    return out;
}

}  // namespace tare::simd
