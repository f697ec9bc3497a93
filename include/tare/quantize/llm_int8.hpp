#pragma once
// SPDX-License-Identifier: MIT
// Row-wise int8 with outlier columns: a column in which some |x| reaches the threshold is kept in
// float32; the others are coded per row as q = round_half_even(x 127 / m), m the row's largest
// magnitude outside the outlier columns, value = q m / 127.
//
// Rows without a nonzero have m = 0 and become zeros. NaN becomes 0 and infinities the outermost
// code, unless their column is kept: infinities make theirs an outlier column, NaN does not.
// Source: Dettmers, Lewis, Belkada, Zettlemoyer 2022, "LLM.int8()", sections 2.1 and 3.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Largest magnitude of every row, and which columns are kept in float32.
struct llm_int8_params {
    std::vector<float> rows;
    std::vector<std::uint8_t> kept;  ///< 1 for an outlier column
    friend bool operator==(const llm_int8_params&, const llm_int8_params&) = default;
};

/// The quantizer, for matrices with rows of `columns` elements. Gradient: identity.
/// Storage: 8 bits per coded element, 32 per kept one, 1 per column (which are kept) and 32 per
/// row. Threads: rows; results do not depend on their number.
class llm_int8 {
  public:
    static constexpr std::string_view name = "llm_int8";
    using params_type = llm_int8_params;

    /// Throws unless there are columns and the threshold is positive (infinity: nothing is kept
    /// but infinities).
    explicit llm_int8(extent columns, float threshold = 6.0F)
        : rows_{columns}, threshold_(threshold) {
        require(columns > 0 && threshold > 0.0F, name, ": ", columns, " columns, threshold ",
                threshold, "; both must be positive");
    }

    [[nodiscard]] params_type fit(std::span<const float> x) const {
        const extent rows = row_count(x.size());
        params_type p;
        p.kept.assign(static_cast<std::size_t>(rows > 0 ? rows_.columns : 0), 0);
        for (extent r = 0; r < rows; ++r) {
            const float* row = x.data() + r * rows_.columns;
            for (std::size_t c = 0; c < p.kept.size(); ++c)
                p.kept[c] = p.kept[c] != 0 || std::fabs(row[c]) >= threshold_ ? 1 : 0;
        }
        p.rows.assign(static_cast<std::size_t>(rows), 0.0F);
        for (extent r = 0; r < rows; ++r) {
            const float* row = x.data() + r * rows_.columns;
            float most = 0.0F;
            for (std::size_t c = 0; c < p.kept.size(); ++c) {
                const float magnitude = std::fabs(row[c]);
                if (p.kept[c] == 0 && is_finite(magnitude)) most = std::max(most, magnitude);
            }
            p.rows[static_cast<std::size_t>(r)] = most;
        }
        return p;
    }

    /// Integer of one coded element in a row of largest magnitude m.
    [[nodiscard]] static float quantize(float x, float m) noexcept {
        if (m == 0.0F || x != x) return 0.0F;
        // In double: x 127 overflows float32 where x itself does not.
        const double q = std::nearbyint(static_cast<double>(x) * 127.0 / static_cast<double>(m));
        return static_cast<float>(std::clamp(q, -127.0, 127.0)) + 0.0F;
    }
    [[nodiscard]] static float dequantize(float q, float m) noexcept {
        return static_cast<float>(static_cast<double>(q) * static_cast<double>(m) / 127.0);
    }

    void fake_quantize(std::span<const float> x, const params_type& p, std::span<float> y) const {
        detail::require_same_size(name, x.size(), y.size());
        check(x.size(), p);
        parallel_for(static_cast<extent>(p.rows.size()), 1, 16 * rows_.columns,
                     [&](extent begin, extent end) {
                         for (extent r = begin; r < end; ++r)
                             for (extent c = 0; c < rows_.columns; ++c) {
                                 const auto i = static_cast<std::size_t>(r * rows_.columns + c);
                                 const float m = p.rows[static_cast<std::size_t>(r)];
                                 y[i] = p.kept[static_cast<std::size_t>(c)] != 0
                                            ? x[i]
                                            : dequantize(quantize(x[i], m), m);
                             }
                     });
    }

    /// Which columns are kept, codes of the others in order, kept elements, rows' magnitudes.
    [[nodiscard]] packed_tensor encode(std::span<const float> x, const params_type& p) const {
        check(x.size(), p);
        packed_tensor out;
        code_writer writer(out);
        for (const std::uint8_t kept : p.kept)
            writer.put(kept, 1);
        for (const bool kept : {false, true})
            for (std::size_t i = 0; i < x.size(); ++i) {
                const auto columns = static_cast<std::size_t>(rows_.columns);
                if ((p.kept[i % columns] != 0) != kept) continue;
                if (kept) {
                    writer.put_float(x[i]);
                } else {
                    const auto q = static_cast<std::int32_t>(quantize(x[i], p.rows[i / columns]));
                    writer.put(static_cast<std::uint32_t>(q), 8);
                }
            }
        for (const float m : p.rows)
            writer.put_float(m);
        return out;
    }
    /// Codes of the elements that are coded, without those of kept columns.
    [[nodiscard]] std::vector<std::uint16_t> symbols(std::span<const float> x,
                                                     const params_type& p) const {
        check(x.size(), p);
        const auto columns = static_cast<std::size_t>(rows_.columns);
        std::vector<std::uint16_t> out;
        for (std::size_t i = 0; i < x.size(); ++i)
            if (p.kept[i % columns] == 0)
                out.push_back(static_cast<std::uint16_t>(
                    static_cast<std::int32_t>(quantize(x[i], p.rows[i / columns])) + 128));
        return out;
    }
    /// Throws tare::error with the byte offset on a stream of another size.
    void decode(const packed_tensor& packed, std::span<float> y) const {
        const extent rows = row_count(y.size());
        const auto columns = static_cast<std::size_t>(rows_.columns);
        code_reader reader(packed, name);
        std::vector<bool> kept(rows > 0 ? columns : 0);
        for (std::size_t c = 0; c < kept.size(); ++c)
            kept[c] = reader.get(1) != 0;
        for (const bool which : {false, true})
            for (std::size_t i = 0; i < y.size(); ++i) {
                if (kept[i % columns] != which) continue;
                y[i] = which ? reader.get_float()
                             : static_cast<float>(from_twos_complement(
                                   static_cast<std::uint32_t>(reader.get(8)), 8));
            }
        for (extent r = 0; r < rows; ++r) {
            const float m = reader.get_float();
            require(is_finite(m) && m >= 0.0F, name, ": a row magnitude of ", m,
                    " in the stream; it must be finite and not negative");
            for (std::size_t c = 0; c < columns; ++c)
                if (!kept[c]) {
                    float& v = y[static_cast<std::size_t>(r) * columns + c];
                    v = dequantize(v, m);
                }
        }
        reader.expect_end();
    }

    /// Straight through: dx = dy.
    void backward(std::span<const float> x, const params_type&, std::span<const float> dy,
                  std::span<float> dx) const {
        detail::require_same_size(name, x.size(), dy.size());
        detail::require_same_size(name, x.size(), dx.size());
        std::ranges::copy(dy, dx.begin());
    }

    /// The largest size: every column kept.
    [[nodiscard]] storage_cost storage(std::int64_t elements, std::int64_t nonzeros) const {
        const std::int64_t rows = row_count(static_cast<std::size_t>(elements));
        return {.value_bits = 32 * nonzeros,
                .mask_bits = (nonzeros < elements ? elements : 0) + (rows > 0 ? rows_.columns : 0),
                .scale_bits = 32 * rows};
    }
    /// The exact size of these values.
    [[nodiscard]] storage_cost storage(std::span<const float> x, const params_type& p) const {
        check(x.size(), p);
        const auto rows = static_cast<std::int64_t>(p.rows.size());
        const auto kept = std::ranges::count(p.kept, std::uint8_t{1});
        return {.value_bits = rows * (32 * kept + 8 * (rows_.columns - kept)),
                .mask_bits = static_cast<std::int64_t>(p.kept.size()),
                .scale_bits = 32 * rows};
    }

  private:
    [[nodiscard]] extent row_count(std::size_t elements) const {
        const extent n = static_cast<extent>(elements);
        return n / rows_.group_size(n);
    }
    void check(std::size_t elements, const params_type& p) const {
        const auto rows = static_cast<std::size_t>(row_count(elements));
        require(p.rows.size() == rows &&
                    p.kept.size() == static_cast<std::size_t>(rows > 0 ? rows_.columns : 0),
                name, ": the parameters belong to ", p.rows.size(), " rows of ", p.kept.size(),
                " columns, the tensor has ", rows, " rows of ", rows_.columns);
    }

    per_row rows_;
    float threshold_;
};

static_assert(packing_quantizer<llm_int8> && differentiable_quantizer<llm_int8>);

}  // namespace tare
