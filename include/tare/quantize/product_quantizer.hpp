#pragma once
// SPDX-License-Identifier: MIT
// Product quantization as a quantizer: k-means finds the codebooks (fit), every column takes the
// nearest entry as it is stored (encode). How the matrix is divided is a policy: one codebook here,
// a grid of buckets in quantize/daq.hpp.
//
// The stream holds the codes bucket by bucket, then the codebooks. NaN and infinities count as
// zero. A pruned matrix is stored like any other: zeros are values of an entry.
// Sources: quantize/product.hpp.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/formats/convert.hpp>
#include <tare/formats/fp16.hpp>
#include <tare/lossless/bit_pack.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/product.hpp>

namespace tare {

struct product_options {
    extent block = 8;  ///< values of one column; rows that it does not divide are refused
    k_means_options search{};
    friend bool operator==(const product_options&, const product_options&) = default;
};

/// How a matrix is divided, and how many entries each codebook gets.
struct product_plan {
    bucket_grid grid;
    extent entries = 0;
};

/// A policy that makes the plan for a matrix of some rows and columns.
template <class D>
concept product_division = std::regular<D> &&
    requires(const D d, extent n, const product_options& options) {
    { D::name } -> std::convertible_to<std::string_view>;
    { d.divide(n, n, options) } -> std::same_as<product_plan>;
};

/// One codebook for all columns, with as many entries as asked for or as there are columns.
struct one_codebook {
    static constexpr std::string_view name = "product";
    [[nodiscard]] product_plan divide(extent rows, extent columns,
                                      const product_options& options) const {
        const bucket_grid grid = whole_grid(rows, columns, options.block);
        return {grid, std::min(options.search.entries, grid.size())};
    }
    friend bool operator==(const one_codebook&, const one_codebook&) = default;
};

/// Entries of all codebooks, one after another, as they are stored.
struct product_params {
    aligned_vector<float> codebooks;
    friend bool operator==(const product_params&, const product_params&) = default;
};

/// fp16 whose largest value is where larger ones end.
using saturated_fp16 = fp16::with_overflow<saturate>;

/// The quantizer, for matrices with rows of `columns` elements. `Entry` is the format of the
/// codebooks' values. Gradient: identity.
/// **Throws** (all functions) on elements that are no whole number of rows, and what the division
/// throws on a matrix that it cannot divide.
/// **Complexity/threads** k-means and searches of quantize/k_means.hpp; buckets are shared out, or
/// the columns of each. Results do not depend on the number of threads.
template <product_division Division, numeric_format Entry = saturated_fp16>
class divided_product {
  public:
    static constexpr std::string_view name = Division::name;
    using params_type = product_params;

    explicit divided_product(extent columns, product_options options = {}, Division division = {})
        : columns_(columns), options_(std::move(options)), division_(std::move(division)) {
        require(columns >= 1, name, ": rows of ", columns, " elements; there must be one");
        require(options_.search.entries >= 1 && options_.search.entries <= 65536, name, ": ",
                options_.search.entries, " entries; codes of 1 to 16 bits take 1 to 65536");
        static_cast<void>(fitting_block(columns, options_.block));
    }

    [[nodiscard]] params_type fit(std::span<const float> x) const {
        if (x.empty()) return {};
        const auto [grid, entries] = divide(x.size());
        k_means_options search = options_.search;
        search.entries = entries;
        params_type p{encode_product(grid, view(x, grid), search).codebooks};
        round_trip<Entry>(p.codebooks, p.codebooks);
        return p;
    }

    /// y = decode(encode(x)) without the stream. `y` may be `x`.
    void fake_quantize(std::span<const float> x, const params_type& p, std::span<float> y) const {
        detail::require_same_size(name, x.size(), y.size());
        if (x.empty()) return;
        const product_matrix coded = code(x, p);
        decode_product(coded, {y.data(), coded.grid.rows, coded.grid.columns});
    }

    /// The matrix as codes of these codebooks.
    [[nodiscard]] product_matrix code(std::span<const float> x, const params_type& p) const {
        const product_plan plan = divide(x.size());
        const bucket_grid& grid = plan.grid;
        const extent entries = plan.entries;
        require(static_cast<extent>(p.codebooks.size()) == grid.buckets() * entries * grid.block,
                name, ": ", grid.buckets(), " codebooks of ", entries, " entries of ", grid.block,
                " values are needed, the parameters have ", p.codebooks.size(),
                " values; fit them to this tensor");
        const extent book = entries * grid.block;
        product_matrix out = encode_product_by(
            grid, view(x, grid), entries, [&](extent bucket, matrix_view<const float> columns) {
                k_means_result found;
                const float* const own = p.codebooks.data() + bucket * book;
                found.entries.assign(own, own + book);
                found.codes.resize(static_cast<std::size_t>(columns.rows));
                nearest_entries(columns, {own, entries, columns.columns}, found.codes);
                return found;
            });
        return out;
    }

    [[nodiscard]] packed_tensor encode(std::span<const float> x, const params_type& p) const {
        packed_tensor out;
        if (x.empty()) return out;
        const product_matrix coded = code(x, p);
        const int width = product_code_bits(coded.entries);
        code_writer writer(out);
        pack_bits(std::span<const codebook_entry>(coded.codes), width,
                  writer.reserve(coded.grid.size(), width));
        for (const float v : p.codebooks)
            writer.put(Entry::encode(v), Entry::bits);
        return out;
    }

    /// Throws tare::error on a stream of another size, and on codes and values that no encoder
    /// writes.
    void decode(const packed_tensor& packed, std::span<float> y) const {
        code_reader reader(packed, name);
        if (y.empty()) return reader.expect_end();
        const auto [grid, entries] = divide(y.size());
        require(packed.bits == product_storage(grid, entries, Entry::bits).total_bits(), name,
                ": byte ", packed.bytes.size(), ": the stream has ", packed.bits, " bits where ",
                grid.size(), " codes and ", grid.buckets(), " codebooks of ", entries,
                " entries take ", product_storage(grid, entries, Entry::bits).total_bits(),
                "; it was cut or belongs to another tensor");
        product_matrix coded{grid, entries, {}, {}};
        coded.codes.resize(static_cast<std::size_t>(grid.size()));
        const int width = product_code_bits(entries);
        detail::unpack_codes(reader.take(grid.size(), width), width,
                             std::span<codebook_entry>(coded.codes));
        const codebook_entry largest = std::ranges::max(coded.codes);
        reader.check(static_cast<extent>(largest) < entries, "a code of ", largest,
                     " among those that begin here; the codebook has ", entries, " entries");
        coded.codebooks.resize(static_cast<std::size_t>(grid.buckets() * entries * grid.block));
        for (float& v : coded.codebooks) {
            v = Entry::decode(static_cast<typename Entry::code_type>(reader.get(Entry::bits)));
            reader.check(is_finite(v), "a codebook in the stream holds ", v,
                         "; entries are finite");
        }
        decode_product(coded, {y.data(), grid.rows, grid.columns});
    }

    /// Codes of all columns.
    [[nodiscard]] std::vector<std::uint16_t> symbols(std::span<const float> x,
                                                     const params_type& p) const {
        if (x.empty()) return {};
        const product_matrix coded = code(x, p);
        return {coded.codes.begin(), coded.codes.end()};
    }
    /// Elements that one code stands for.
    [[nodiscard]] extent elements_per_code() const {
        return fitting_block(columns_, options_.block);
    }

    /// Straight through: dx = dy.
    void backward(std::span<const float> x, const params_type&, std::span<const float> dy,
                  std::span<float> dx) const {
        detail::require_same_size(name, x.size(), dy.size());
        detail::require_same_size(name, x.size(), dx.size());
        std::ranges::copy(dy, dx.begin());
    }

    [[nodiscard]] storage_cost storage(std::int64_t elements, std::int64_t) const {
        if (elements == 0) return {};
        const auto [grid, entries] = divide(static_cast<std::size_t>(elements));
        return product_storage(grid, entries, Entry::bits);
    }

  private:
    [[nodiscard]] product_plan divide(std::size_t elements) const {
        const auto n = static_cast<extent>(elements);
        require(n % columns_ == 0, name, ": ", n, " elements are no whole number of rows of ",
                columns_);
        return division_.divide(n / columns_, columns_, options_);
    }
    [[nodiscard]] static matrix_view<const float> view(std::span<const float> x,
                                                       const bucket_grid& grid) {
        return {x.data(), grid.rows, grid.columns};
    }

    extent columns_;
    product_options options_;
    Division division_;
};

/// Plain product quantization.
template <numeric_format Entry = saturated_fp16>
class product_quantizer : public divided_product<one_codebook, Entry> {
    using divided_product<one_codebook, Entry>::divided_product;
};
static_assert(packing_quantizer<product_quantizer<>> &&
              differentiable_quantizer<product_quantizer<>>);

}  // namespace tare
