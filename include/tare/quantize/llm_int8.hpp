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
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/llm_int8_rows.hpp>
#include <tare/quantize/packed.hpp>
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
        const extent columns = rows > 0 ? rows_.columns : 0;
        p.kept.assign(static_cast<std::size_t>(columns), 0);
        std::vector<std::int32_t> most(p.kept.size());
        parallel_for(columns, 64, 2 * rows, [&](extent begin, extent end) {
            for (extent r = 0; r < rows; ++r)
                detail::raise_columns(x.data() + r * columns + begin, end - begin,
                                      most.data() + begin);
        });
        for (std::size_t c = 0; c < p.kept.size(); ++c)
            p.kept[c] = std::bit_cast<float>(most[c]) >= threshold_ ? 1 : 0;
        p.rows.resize(static_cast<std::size_t>(rows));
        const std::vector<std::uint32_t> masks = masks_of(p);
        parallel_for(rows, 1, 2 * rows_.columns, [&](extent begin, extent end) {
            for (extent r = begin; r < end; ++r)
                p.rows[static_cast<std::size_t>(r)] =
                    detail::largest_unmasked(x.data() + r * columns, masks.data(), columns);
        });
        return p;
    }

    /// Integer of one coded element in a row of largest magnitude m, and its value: the plain
    /// references of the loops.
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
        const std::vector<std::uint32_t> masks = masks_of(p);
        const extent columns = rows_.columns;
        parallel_for(
            static_cast<extent>(p.rows.size()), 1, 16 * columns, [&](extent begin, extent end) {
                for (extent r = begin; r < end; ++r)
                    detail::round_row(x.data() + r * columns, y.data() + r * columns, masks.data(),
                                      columns, p.rows[static_cast<std::size_t>(r)]);
            });
    }

    /// Which columns are kept, codes of the others in order, kept elements, rows' magnitudes.
    [[nodiscard]] packed_tensor encode(std::span<const float> x, const params_type& p) const {
        check(x.size(), p);
        packed_tensor out;
        out.bits = storage(x, p).total_bits();
        const auto size = static_cast<std::size_t>((out.bits + 7) / 8);
        out.bytes.resize(size + 8);  // a writer stores whole words
        bit_writer writer(out.bytes.data());
        for (const std::uint8_t kept : p.kept)
            writer.put(kept, 1);
        const std::size_t columns = p.kept.size();
        std::vector<std::uint64_t> words(columns / 8 + 1);
        std::vector<std::uint8_t> codes(columns);
        const bool any_kept = std::ranges::count(p.kept, std::uint8_t{1}) > 0;
        for (std::size_t r = 0; r < p.rows.size(); ++r) {
            detail::encode_row(x.data() + r * columns, rows_.columns, p.rows[r], codes.data());
            const std::size_t count = any_kept ? without_kept(codes, p.kept) : columns;
            std::memcpy(words.data(), codes.data(), count);
            writer.put(words.data(), 8 * count);
        }
        for (std::size_t r = 0; r < p.rows.size(); ++r)
            for (std::size_t c = 0; c < columns; ++c)
                if (p.kept[c] != 0)
                    writer.put(std::bit_cast<std::uint32_t>(x[r * columns + c]), 32);
        for (const float m : p.rows)
            writer.put(std::bit_cast<std::uint32_t>(m), 32);
        static_cast<void>(writer.finish());
        out.bytes.resize(size);
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
        const auto rows = static_cast<std::size_t>(row_count(y.size()));
        const std::size_t columns = rows > 0 ? static_cast<std::size_t>(rows_.columns) : 0;
        static_cast<void>(code_reader(packed, name));  // size and padding
        bit_reader codes_in(packed.bytes, name, 0);
        std::vector<std::uint8_t> kept(columns);
        for (std::uint8_t& one : kept)
            one = static_cast<std::uint8_t>(codes_in.take(1));
        const auto kept_count = static_cast<std::size_t>(std::ranges::count(kept, std::uint8_t{1}));
        const std::size_t coded = columns - kept_count;
        const std::size_t bits = columns + rows * (8 * coded + 32 * kept_count + 32);
        require(packed.bits == static_cast<std::int64_t>(bits), name, ": byte ",
                packed.bytes.size(), ": the stream has ", packed.bits, " bits where ", rows,
                " rows with ", kept_count, " kept columns take ", bits,
                "; it was cut or belongs to another tensor");
        bit_reader kept_in = codes_in;
        kept_in.skip(rows * 8 * coded);
        bit_reader rows_in = kept_in;
        rows_in.skip(rows * 32 * kept_count);
        std::vector<std::uint64_t> words(coded / 8 + 1);
        std::vector<std::uint8_t> codes(columns);
        for (std::size_t r = 0; r < rows; ++r) {
            const float m = std::bit_cast<float>(static_cast<std::uint32_t>(rows_in.take(32)));
            require(is_finite(m) && m >= 0.0F, name, ": byte ", rows_in.byte() - 4,
                    ": a row magnitude of ", m, "; it must be finite and not negative");
            codes_in.take(words.data(), 8 * coded);
            std::memcpy(codes.data(), words.data(), coded);
            with_kept(codes, kept, coded);
            float* const row = y.data() + r * columns;
            detail::decode_row(codes.data(), static_cast<extent>(columns), m, row);
            for (std::size_t c = 0; c < columns && kept_count > 0; ++c)
                if (kept[c] != 0)
                    row[c] = std::bit_cast<float>(static_cast<std::uint32_t>(kept_in.take(32)));
        }
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
    // All ones for kept columns.
    [[nodiscard]] static std::vector<std::uint32_t> masks_of(const params_type& p) {
        std::vector<std::uint32_t> masks(p.kept.size());
        for (std::size_t c = 0; c < masks.size(); ++c)
            masks[c] = p.kept[c] != 0 ? ~0U : 0U;
        return masks;
    }
    // Moves the codes of columns that are not kept to the front; returns how many.
    static std::size_t without_kept(std::vector<std::uint8_t>& codes,
                                    const std::vector<std::uint8_t>& kept) {
        std::size_t count = 0;
        for (std::size_t c = 0; c < kept.size(); ++c) {
            codes[count] = codes[c];
            count += kept[c] != 0 ? 0 : 1;
        }
        return count;
    }
    // The inverse, from the back.
    static void with_kept(std::vector<std::uint8_t>& codes, const std::vector<std::uint8_t>& kept,
                          std::size_t count) {
        for (std::size_t c = kept.size(); c-- > count;) {
            if (kept[c] != 0) {
                codes[c] = 0;
            } else {
                codes[c] = codes[--count];
            }
        }
    }
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
