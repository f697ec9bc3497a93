#pragma once
// SPDX-License-Identifier: MIT
// How the values of an array become one number. The tree is fixed by the length alone: blocks of
// 16384 values, 128 virtual lanes in a block (value i goes to lane i mod 128), lanes folded in the
// order of core/pack.hpp, blocks joined in order. So bits depend neither on threads nor on the
// register width (but for fma where the machine cannot fuse).

#include <algorithm>
#include <vector>

#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/shape.hpp>
#include <tare/kernels/row.hpp>

namespace tare::kernels::detail {

/// Values whose partial result is one leaf of the tree.
inline constexpr extent reduce_block = 16384;

/// Joins leaf(begin, end) of all blocks in order: join(join(leaf 0, leaf 1), leaf 2) and so on.
template <class Leaf, class Join>
auto reduce_blocks(extent count, extent block, Leaf leaf, Join join) {
    using part = decltype(leaf(extent{0}, extent{0}));
    const extent blocks = (count + block - 1) / block;
    if (blocks <= 1 || threads() == 1) {
        part total = leaf(0, std::min(count, block));
        for (extent b = 1; b < blocks; ++b)
            total = join(total, leaf(b * block, std::min(count, (b + 1) * block)));
        return total;
    }
    std::vector<part> parts(static_cast<std::size_t>(blocks));
    parallel_for(blocks, 1, block / 2, [&](extent begin, extent end) {
        for (extent b = begin; b < end; ++b)
            parts[static_cast<std::size_t>(b)] = leaf(b * block, std::min(count, (b + 1) * block));
    });
    part total = parts[0];
    for (std::size_t b = 1; b < parts.size(); ++b)
        total = join(total, parts[b]);
    return total;
}

/// Feeds [begin, end) to eight accumulators: acc[u] = f(acc[u], packs at the same place...).
/// Places past the end read as zeros and must leave an accumulator as it is.
template <class F, class... In>
[[gnu::always_inline]] inline void accumulate(extent begin, extent end, F f, pack (&acc)[8],
                                              In... in) {
    extent i = begin;
    for (; i + 128 <= end; i += 128) {
#pragma GCC unroll 8
        for (extent u = 0; u < 8; ++u)
            acc[u] = f(acc[u], load_pack(in + i + 16 * u)...);
    }
    for (extent u = 0; i < end; i += 16, ++u) {
        const auto count = static_cast<std::size_t>(std::min<extent>(16, end - i));
        acc[u] = f(acc[u], load_up_to(in + i, count)...);
    }
}

inline float fold_sum(const pack (&acc)[8]) {
    return reduce_add(((acc[0] + acc[1]) + (acc[2] + acc[3])) +
                      ((acc[4] + acc[5]) + (acc[6] + acc[7])));
}

}  // namespace tare::kernels::detail
