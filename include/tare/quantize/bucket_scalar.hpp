#pragma once
// SPDX-License-Identifier: MIT
// Integers with a scale and a zero point for each bucket of a matrix: the division of
// quantize/daq.hpp with codes of single values instead of columns.
//     q = clamp(round_half_even(x / s_b + z_b), 0, 2^bits - 1),  value = (q - z_b) s_b
// Bits: `bits` for each element, 32 for each scale and 8 for each zero point.
//
// NaN becomes 0, infinities the end of their bucket's range. Gradient: 1 inside the range of the
// bucket, 0 outside. Source: quantize/integer_grid.hpp; the buckets of Alistarh, Grubic, Li,
// Tomioka, Vojnovic 2017, "QSGD".

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/lossless/bit_pack.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/daq.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/integer_grid.hpp>

namespace tare {

/// Scale and zero point of every bucket, bucket by bucket.
struct bucket_scalar_params {
    std::vector<integer_grid> grids;
    friend bool operator==(const bucket_scalar_params&, const bucket_scalar_params&) = default;
};

struct bucket_scalar_options {
    int bits = 8;            ///< 1 to 8
    extent buckets = 16;     ///< a power of two
    extent block = 8;        ///< what a bucket's width is a multiple of, as if columns were coded
    bool symmetric = false;  ///< ranges around zero
};

/// The quantizer, for matrices with rows of `columns` elements.
/// **Throws** as daq_grid where the matrix cannot be divided so, and on elements that are no whole
/// number of rows. Threads: rows; results do not depend on their number.
class bucket_scalar {
  public:
    static constexpr std::string_view name = "bucket_scalar";
    using params_type = bucket_scalar_params;

    explicit bucket_scalar(extent columns, bucket_scalar_options options = {})
        : columns_(columns), options_(options) {
        require(columns >= 1 && options.bits >= 1 && options.bits <= 8, name, ": rows of ", columns,
                " elements, ", options.bits, " bits; there must be one, and 1 to 8 bits");
    }

    [[nodiscard]] params_type fit(std::span<const float> x) const {
        params_type p;
        if (x.empty()) return p;
        const bucket_grid grid = divide(x.size());
        for (extent bucket = 0; bucket < grid.buckets(); ++bucket) {
            extremes range{0.0F, 0.0F};
            const extent first = bucket / grid.across * grid.height();
            for (extent r = first; r < first + grid.height(); ++r) {
                const extremes row = range_of(x.subspan(
                    static_cast<std::size_t>(r * columns_ + bucket % grid.across * grid.width()),
                    static_cast<std::size_t>(grid.width())));
                range = {std::min(range.low, row.low), std::max(range.high, row.high)};
            }
            // So that neither the range nor a value one step beyond it overflows.
            constexpr float most = std::numeric_limits<float>::max() / 4;
            range = {std::max(range.low, -most), std::min(range.high, most)};
            const code_range codes = unsigned_codes(options_.bits);
            p.grids.push_back(options_.symmetric ? symmetric_grid(range, codes)
                                                 : affine_grid(range, codes));
        }
        return p;
    }

    void fake_quantize(std::span<const float> x, const params_type& p, std::span<float> y) const {
        detail::require_same_size(name, x.size(), y.size());
        visit(x.size(), p, [&](std::size_t i, const integer_grid& grid) {
            y[i] = grid.value_of(grid.code_of(x[i]));
        });
    }

    /// Codes of all elements in their order, then scale and zero point of every bucket.
    [[nodiscard]] packed_tensor encode(std::span<const float> x, const params_type& p) const {
        std::vector<std::uint8_t> codes(x.size());
        visit(x.size(), p, [&](std::size_t i, const integer_grid& grid) {
            codes[i] = static_cast<std::uint8_t>(grid.code_of(x[i]));
        });
        packed_tensor out;
        code_writer writer(out);
        pack_bits(std::span<const std::uint8_t>(codes), options_.bits,
                  writer.reserve(static_cast<extent>(x.size()), options_.bits));
        for (const integer_grid& grid : p.grids) {
            writer.put_float(grid.scale);
            writer.put(static_cast<std::uint64_t>(grid.zero), 8);
        }
        return out;
    }

    /// Throws tare::error on a stream of another size, and on scales that no encoder writes.
    void decode(const packed_tensor& packed, std::span<float> y) const {
        code_reader reader(packed, name);
        const auto n = static_cast<extent>(y.size());
        const std::span<const std::byte> bytes = reader.take(n, options_.bits);
        params_type p;
        const extent buckets = n > 0 ? divide(y.size()).buckets() : 0;
        reader.expect(buckets * 40);
        const code_range range = unsigned_codes(options_.bits);
        for (extent bucket = 0; bucket < buckets; ++bucket) {
            const float scale = reader.get_float();
            reader.check(is_finite(scale) && scale > 0.0F, "a scale of ", scale,
                         " in the stream; it must be finite and positive");
            const auto zero = static_cast<std::int32_t>(reader.get(8));
            reader.check(zero <= range.high, "a zero point of ", zero,
                         " in the stream; it is at most ", range.high);
            p.grids.push_back({scale, zero, range});
        }
        reader.expect_end();
        std::vector<std::uint8_t> codes(y.size());
        detail::unpack_codes(bytes, options_.bits, std::span<std::uint8_t>(codes));
        visit(y.size(), p,
              [&](std::size_t i, const integer_grid& grid) { y[i] = grid.value_of(codes[i]); });
    }

    void backward(std::span<const float> x, const params_type& p, std::span<const float> dy,
                  std::span<float> dx) const {
        detail::require_same_size(name, x.size(), dy.size());
        detail::require_same_size(name, x.size(), dx.size());
        visit(x.size(), p, [&](std::size_t i, const integer_grid& grid) {
            dx[i] = x[i] < grid.lowest() || x[i] > grid.highest() ? 0.0F : dy[i];
        });
    }

    [[nodiscard]] storage_cost storage(std::int64_t elements, std::int64_t nonzeros) const {
        if (elements == 0) return {};
        return {.value_bits = nonzeros * options_.bits,
                .mask_bits = nonzeros < elements ? elements : 0,
                .scale_bits = divide(static_cast<std::size_t>(elements)).buckets() * (32 + 8)};
    }
    [[nodiscard]] constexpr int code_bits() const noexcept { return options_.bits; }

  private:
    [[nodiscard]] bucket_grid divide(std::size_t elements) const {
        const auto n = static_cast<extent>(elements);
        require(n % columns_ == 0, name, ": ", n, " elements are no whole number of rows of ",
                columns_);
        return daq_grid(n / columns_, columns_, options_.block, 1, options_.buckets);
    }
    /// Calls one(i, grid of its bucket) for every element.
    template <class One>
    void visit(std::size_t elements, const params_type& p, const One& one) const {
        if (elements == 0) return;
        const bucket_grid at = divide(elements);
        require(static_cast<extent>(p.grids.size()) == at.buckets(), name, ": ", at.buckets(),
                " buckets, the parameters have ", p.grids.size(), "; fit them to this tensor");
        parallel_for(at.rows, 1, 16 * columns_, [&](extent begin, extent end) {
            for (extent r = begin; r < end; ++r)
                for (extent piece = 0; piece < at.across; ++piece) {
                    const integer_grid grid =
                        p.grids[static_cast<std::size_t>(r / at.height() * at.across + piece)];
                    const extent first = r * columns_ + piece * at.width();
                    for (extent i = first; i < first + at.width(); ++i)
                        one(static_cast<std::size_t>(i), grid);
                }
        });
    }

    extent columns_;
    bucket_scalar_options options_;
};
static_assert(packing_quantizer<bucket_scalar> && differentiable_quantizer<bucket_scalar>);

}  // namespace tare
