#pragma once
// SPDX-License-Identifier: MIT
// Which elements share one set of parameters. A granularity cuts the flattened (row-major) tensor
// into groups of equal length, the last one possibly shorter.

#include <concepts>
#include <string_view>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare {

/// A granularity says how long a group is in a tensor of `n` elements (at least 1).
template <class G>
concept granularity = std::regular<G> && requires(const G g, extent n) {
    { G::name } -> std::convertible_to<std::string_view>;
    { g.group_size(n) } -> std::same_as<extent>;
};

/// One group: the whole tensor.
struct per_tensor {
    static constexpr std::string_view name = "per_tensor";
    [[nodiscard]] constexpr extent group_size(extent n) const noexcept { return n > 0 ? n : 1; }
    friend bool operator==(const per_tensor&, const per_tensor&) = default;
};

/// One group per row (output channel) of a matrix with `columns` columns.
struct per_row {
    static constexpr std::string_view name = "per_row";
    extent columns = 1;

    /// Throws unless the tensor consists of whole rows.
    [[nodiscard]] constexpr extent group_size(extent n) const {
        require(columns > 0, "per_row: ", columns, " columns; set the length of a row");
        require(n % columns == 0, "per_row: ", n, " elements are not whole rows of ", columns,
                " columns");
        return columns;
    }
    friend bool operator==(const per_row&, const per_row&) = default;
};

/// One group per `Size` consecutive elements.
template <extent Size>
struct per_block {
    static_assert(Size > 0, "a block has at least one element");
    static constexpr std::string_view name = "per_block";
    static constexpr extent size = Size;
    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return Size; }
    friend bool operator==(const per_block&, const per_block&) = default;
};

/// The length of every group but the last one of a row, where the type says it; else 0.
template <granularity G>
inline constexpr extent fixed_group_size = [] {
    if constexpr (requires { extent{G::size}; }) return extent{G::size};
    return extent{0};
}();

/// Rows of `columns` elements for formats whose blocks start anew at every row; 0: one long row.
struct row_blocks {
    extent columns = 0;

    /// Throws unless the tensor consists of whole rows.
    [[nodiscard]] constexpr extent row_length(extent n) const {
        if (columns == 0) return n > 0 ? n : 1;
        return per_row{columns}.group_size(n);
    }
    friend bool operator==(const row_blocks&, const row_blocks&) = default;
};

/// Number of groups of a tensor of `n` elements.
template <granularity G>
[[nodiscard]] constexpr extent group_count(const G& g, extent n) {
    const extent size = g.group_size(n);
    return (n + size - 1) / size;
}

}  // namespace tare
