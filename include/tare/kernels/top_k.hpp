#pragma once
// SPDX-License-Identifier: MIT
// The k largest values of every row with their positions, in falling order.
// The maxima of 2k or more interleaved groups of a part of the row give a bound that k values
// reach; one vector compare per sixteen values then passes over nearly everything. Groups of 64
// values with a candidate are listed without a branch and looked at afterwards, a stretch at a
// time; the candidates raise the bound and are sorted at the end. Order: NaN before numbers, larger
// before smaller, ties by position.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/row.hpp>

namespace tare::kernels {

namespace detail {

template <class Scalar>
struct candidate {
    Scalar value;
    std::int32_t index;
};

/// The order of results: NaN first, then falling values, then rising positions.
template <class Scalar>
bool goes_before(const candidate<Scalar>& a, const candidate<Scalar>& b) {
    const bool a_nan = !(a.value == a.value);
    const bool b_nan = !(b.value == b.value);
    if (a_nan != b_nan) return a_nan;
    if (!a_nan && b.value < a.value) return true;
    if (!a_nan && a.value < b.value) return false;
    return a.index < b.index;
}

}  // namespace detail

namespace plain {

/// By a partial sort; k is the number of columns of `indices`.
template <class Scalar>
void top_k(matrix_view<const Scalar> x, matrix_view<std::type_identity_t<Scalar>> values,
           matrix_view<std::int32_t> indices) {
    std::vector<kernels::detail::candidate<Scalar>> row(static_cast<std::size_t>(x.columns));
    for (extent r = 0; r < x.rows; ++r) {
        for (std::size_t c = 0; c < row.size(); ++c)
            row[c] = {x.row(r)[c], static_cast<std::int32_t>(c)};
        std::partial_sort(row.begin(), row.begin() + indices.columns, row.end(),
                          kernels::detail::goes_before<Scalar>);
        for (extent j = 0; j < indices.columns; ++j) {
            const auto& found = row[static_cast<std::size_t>(j)];
            indices(r, j) = found.index;
            if (values.data != nullptr) values(r, j) = found.value;
        }
    }
}

}  // namespace plain

namespace detail {

/// A value that at least k values of the row reach (-inf if the row is too short to tell).
inline float reached_by(const float* x, std::size_t n, std::size_t k, std::vector<float>& groups) {
    const std::size_t width = (2 * k + 63) / 64 * 64;
    // A small part of a long row is enough: the candidates it lets pass soon raise the bound.
    const std::size_t part = std::min(n, std::max(16 * width, n / 32)) / width * width;
    if (part < 4 * width) return -std::numeric_limits<float>::infinity();
    groups.assign(width, -std::numeric_limits<float>::infinity());
    for (std::size_t g = 0; g < width; g += 64) {
        pack best[4];
        for (std::size_t u = 0; u < 4; ++u)
            best[u] = load_pack(groups.data() + g + 16 * u);
        for (std::size_t i = g; i < part; i += width) {
#pragma GCC unroll 4
            for (std::size_t u = 0; u < 4; ++u)
                best[u] = max(load_pack(x + i + 16 * u), best[u]);
        }
        for (std::size_t u = 0; u < 4; ++u)
            store(groups.data() + g + 16 * u, best[u]);
    }
    const auto kth = groups.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(groups.begin(), kth, groups.end(), std::greater<>());
    return *kth;
}

/// A candidate as one number: of two, the one that goes before is larger. NaN are equal, and so are
/// the zeros; positions fill the low half, reversed.
inline std::uint64_t order_key(float value, std::size_t index) {
    const auto bits = std::bit_cast<std::uint32_t>(value + 0.0F);
    const std::uint32_t flip = bits >> 31 != 0 ? 0xFFFFFFFFU : 0x80000000U;
    const std::uint32_t rank = std::isnan(value) ? 0xFFFFFFFFU : bits ^ flip;
    return std::uint64_t{rank} << 32 | (0xFFFFFFFFU - static_cast<std::uint32_t>(index));
}
inline std::size_t index_of_key(std::uint64_t key) {
    return 0xFFFFFFFFU - static_cast<std::uint32_t>(key);
}

/// Candidates that are sorted by counting, for each, the larger ones: no branch depends on them.
inline constexpr std::size_t count_sort_most = 160;

/// Keeps the k largest of the keys, the least of them last; in falling order where there were at
/// most count_sort_most. `spare` is working memory.
inline void keep_best(std::vector<std::uint64_t>& keys, std::size_t k,
                      std::vector<std::uint64_t>& spare) {
    const std::size_t count = keys.size();
    if (count > count_sort_most) {
        if (k < count) {
            const auto kth = keys.begin() + static_cast<std::ptrdiff_t>(k);
            std::nth_element(keys.begin(), kth - 1, keys.end(), std::greater<>());
        }
    } else {
        spare.resize(count);
        for (std::size_t i = 0; i < count; ++i) {
            std::uint64_t larger = 0;
            for (std::size_t j = 0; j < count; ++j)
                larger += keys[j] > keys[i] ? 1U : 0U;
            spare[larger] = keys[i];
        }
        keys.swap(spare);
    }
    keys.resize(std::min(k, count));
}

/// Values that are compared together, and groups of them whose candidates are looked at together.
inline constexpr std::size_t candidate_group = 64;
inline constexpr std::size_t stretch_groups = 64;

/// Lists the groups of 64 values, of `count` from x on, that hold a NaN or a value above `bound`.
template <bool Ahead>
std::size_t list_groups(const float* x, std::size_t count, float bound,
                        std::uint8_t (&list)[stretch_groups]) {
    const pack limit = pack_of(bound);
    std::size_t listed = 0;
    for (std::size_t g = 0; g < count; ++g) {
        const float* const from = x + g * candidate_group;
        // A page further on, where the hardware's own look-ahead starts anew.
        if constexpr (Ahead) simd::prefetch<candidate_group>(from, 1024);
        auto low = load_pack(from) <= limit;
#pragma GCC unroll 4
        for (std::size_t u = 1; u < 4; ++u)
            low = keep_at_most(low, load_pack(from + 16 * u), limit);
        // Where the candidates are is not to be foretold: a branch would be mistaken at each.
        list[listed] = static_cast<std::uint8_t>(g);
        listed += mask_bits(low) != 0xFFFFU ? 1 : 0;
    }
    return listed;
}

/// Bits of the 64 values at x that are NaN or above `bound`.
inline std::uint64_t candidates_of(const float* x, float bound) {
    const pack limit = pack_of(bound);
    std::uint64_t hits = 0;
    for (std::size_t u = 0; u < 4; ++u) {
        // Not "x <= bound": a NaN is a hit.
        const auto low = load_pack(x + 16 * u) <= limit;
        hits |= std::uint64_t{mask_bits(low) ^ 0xFFFFU} << (16 * u);
    }
    return hits;
}

/// What the rows of one thread share.
struct top_k_memory {
    std::vector<float> groups;
    std::vector<std::uint64_t> keys;
    std::vector<std::uint64_t> spare;
};

/// Leaves the keys of the k best of a row in memory.keys, sorted.
template <bool Ahead>
void top_k_row(const float* x, std::size_t n, std::size_t k, top_k_memory& memory) {
    const std::size_t capacity = k + k / 4 + 32;
    std::vector<std::uint64_t>& keys = memory.keys;
    keys.clear();
    // Values at the bound itself count, so compare with the next lower number.
    float bound =
        std::nextafter(reached_by(x, n, k, memory.groups), -std::numeric_limits<float>::infinity());
    bool all = std::isinf(bound) && bound < 0;  // -inf itself may be among the k largest
    const auto raise_bound = [&] {
        keep_best(keys, k, memory.spare);
        all = false;
        // From here on only better values matter: equal ones lose by position.
        const float last = x[index_of_key(keys.back())];
        bound = std::isnan(last) ? std::numeric_limits<float>::infinity() : last;
    };
    std::uint8_t list[stretch_groups];
    std::size_t i = 0;
    while (i + candidate_group <= n) {
        const std::size_t count = std::min(stretch_groups, (n - i) / candidate_group);
        std::size_t listed = count;
        if (all)
            for (std::size_t g = 0; g < count; ++g)
                list[g] = static_cast<std::uint8_t>(g);
        else
            listed = list_groups<Ahead>(x + i, count, bound, list);
        for (std::size_t l = 0; l < listed; ++l) {
            const std::size_t first = i + candidate_group * list[l];
            // The bound may have risen since the group was listed.
            std::uint64_t hits = all ? ~std::uint64_t{0} : candidates_of(x + first, bound);
            for (; hits != 0; hits &= hits - 1) {
                const std::size_t at = first + static_cast<std::size_t>(std::countr_zero(hits));
                keys.push_back(order_key(x[at], at));
            }
            if (keys.size() >= capacity) raise_bound();
        }
        i += count * candidate_group;
    }
    for (; i < n; ++i)
        if (all || !(x[i] <= bound)) keys.push_back(order_key(x[i], i));
    const bool sorted = keys.size() <= count_sort_most;
    keep_best(keys, k, memory.spare);
    if (!sorted) std::sort(keys.begin(), keys.end(), std::greater<>());
}

}  // namespace detail

/// indices(r, j), values(r, j) = position and value of the j-th in order of row r.
/// Shapes x (R, C), indices (R, k) with 1 <= k <= C, values (R, k) or a view without memory.
/// Bit-exact. Throws on shapes that do not fit or overlapping memory.
inline void top_k(matrix_view<const float> x, matrix_view<float> values,
                  matrix_view<std::int32_t> indices) {
    detail::require_view("top_k", "x", x);
    detail::require_view("top_k", "indices", indices);
    const extent k = indices.columns;
    if (indices.rows != x.rows || k < 1 || k > x.columns)
        fail("top_k: x is (", x.rows, ",", x.columns, ") and indices is (", indices.rows, ",", k,
             "); rows must be equal and k between 1 and the number of columns");
    if (x.columns > std::numeric_limits<std::int32_t>::max())
        fail("top_k: rows of ", x.columns, " columns do not fit 32-bit positions");
    if (values.data != nullptr)
        detail::require_same_shape("top_k", "indices", indices, "values", values);
    detail::require_view("top_k", "values", values.data == nullptr ? matrix_view<float>() : values);
    detail::require_apart("top_k", "x", x, "indices", indices);
    detail::require_apart("top_k", "indices", indices, "values", values);
    detail::require_apart("top_k", "x", x, "values", values);
    const auto bytes = static_cast<std::size_t>(x.rows * x.columns) * sizeof(float);
    const auto find =
        bytes < detail::ahead_bytes ? detail::top_k_row<false> : detail::top_k_row<true>;
    parallel_for(x.rows, 1, x.columns, [&](extent begin, extent end) {
        detail::top_k_memory memory;
        for (extent r = begin; r < end; ++r) {
            const auto row = x.row(r);
            find(row.data(), row.size(), static_cast<std::size_t>(k), memory);
            for (extent j = 0; j < k; ++j) {
                const std::size_t at =
                    detail::index_of_key(memory.keys[static_cast<std::size_t>(j)]);
                indices(r, j) = static_cast<std::int32_t>(at);
                if (values.data != nullptr) values(r, j) = row[at];
            }
        }
    });
}

}  // namespace tare::kernels
