// SPDX-License-Identifier: MIT
#include <bit>
#include <cstring>
#include <string>
#include <tuple>

#include <tare/core/aligned.hpp>
#include <tare/kernels/matmul.hpp>

#include "matmul_cases.hpp"

namespace tk = tare::kernels;
using tare::extent;
using tare::matrix_view;
using tare::testing::framed_matrix;

namespace {

/// Runs one product with all its surroundings and compares it with the double reference.
void check_product(extent m, extent n, extent k, tk::matmul_options how, extent gap,
                   extent offset) {
    CAPTURE(m);
    CAPTURE(n);
    CAPTURE(k);
    CAPTURE(how.transpose_a);
    CAPTURE(how.transpose_b);
    CAPTURE(how.accumulate);
    const framed_matrix a(how.transpose_a ? k : m, how.transpose_a ? m : k, gap, offset, 1);
    const framed_matrix b(how.transpose_b ? n : k, how.transpose_b ? k : n, gap + 1, offset, 2);
    framed_matrix c(m, n, gap, offset + 1, 3);
    const framed_matrix before = c;
    tk::matmul(a.view(), b.view(), c.view(), how);
    const auto expected = tare::testing::exact(a.view(), b.view(), m, n, how);
    extent wrong = 0;
    for (extent i = 0; i < m; ++i) {
        for (extent j = 0; j < n; ++j) {
            const auto at = static_cast<std::size_t>(i * n + j);
            const double old = how.accumulate ? static_cast<double>(before.view()(i, j)) : 0.0;
            const double bound =
                tare::testing::sum_bound(k, expected.magnitude[at] + std::fabs(old));
            // Not "error > bound": NaN must fail.
            if (!(std::fabs(c.view()(i, j) - (expected.value[at] + old)) <= bound)) ++wrong;
        }
    }
    CHECK(wrong == 0);
    CHECK(c.frame_is_whole());
}

constexpr extent lanes = static_cast<extent>(tare::simd::lanes);

}  // namespace

TEST_CASE("products of all small sizes, transpositions and strides are right") {
    const extent sizes[] = {0, 1, 2, 5, lanes - 1, lanes, lanes + 1, 2 * lanes + 1, 37};
    int variant = 0;
    for (const extent m : sizes)
        for (const extent n : sizes)
            for (const extent k : sizes)
                for (const bool ta : {false, true})
                    for (const bool tb : {false, true}) {
                        ++variant;
                        check_product(m, n, k, {ta, tb, variant % 3 == 0}, variant % 4,
                                      variant % 5);
                    }
}

TEST_CASE("products beyond one tile, strip, slab and block are right") {
    // 1021 and 1031 lie on the two sides of a slab of k; 701 rows need several blocks of rows.
    const std::tuple<extent, extent, extent> sizes[] = {{13, 97, 1021}, {25, 33, 1031},
                                                        {701, 35, 523}, {11, 131, 2053},
                                                        {97, 259, 4},   {8, 67, 300}};
    for (const auto& [m, n, k] : sizes)
        for (const bool ta : {false, true})
            for (const bool tb : {false, true})
                check_product(m, n, k, {ta, tb, ta != tb}, 3, 1);
}

TEST_CASE("a product has the same bits on 1, 2, 3 and 4 threads") {
    const std::tuple<extent, extent, extent> sizes[] = {
        {1, 4001, 1201}, {7, 1500, 700}, {131, 257, 1031}, {800, 40, 300}, {64, 6000, 4}};
    for (const auto& [m, n, k] : sizes) {
        for (const bool ta : {false, true}) {
            for (const bool tb : {false, true}) {
                const framed_matrix a(ta ? k : m, ta ? m : k, 1, 0, 1);
                const framed_matrix b(tb ? n : k, tb ? k : n, 0, 1, 2);
                framed_matrix one(m, n, 0, 0, 3);
                tk::matmul(a.view(), b.view(), one.view(), {ta, tb, true});
                for (const int threads : {2, 3, 4}) {
                    tare::set_threads(threads);
                    framed_matrix many(m, n, 0, 0, 3);
                    tk::matmul(a.view(), b.view(), many.view(), {ta, tb, true});
                    CHECK(std::memcmp(one.view().data, many.view().data,
                                      sizeof(float) * static_cast<std::size_t>(m * n)) == 0);
                }
                tare::set_threads(1);
            }
        }
    }
}

TEST_CASE("a product has the same bits wherever its operands lie") {
    // Read in place where rows are near and aligned, copied where they fall on the same few places
    // of the cache (a stride of 4096) or begin within a register.
    const extent m = 30;
    const extent n = 101;
    const extent k = 150;
    const auto placed = [](extent rows, extent columns, extent stride, extent offset) {
        tare::aligned_vector<float> out(static_cast<std::size_t>(rows * stride + offset), 9.0F);
        const tare::random_stream random(4, static_cast<std::uint64_t>(columns));
        for (extent i = 0; i < rows; ++i)
            for (extent j = 0; j < columns; ++j)
                out[static_cast<std::size_t>(offset + i * stride + j)] =
                    random.normal(static_cast<std::uint64_t>(i * columns + j));
        return out;
    };
    for (const bool ta : {false, true}) {
        const extent rows = ta ? k : m;
        const extent columns = ta ? m : k;
        std::vector<float> first;
        for (const extent stride : {extent{160}, extent{257}, extent{4096}}) {
            for (const extent offset : {extent{0}, extent{3}}) {
                const auto a = placed(rows, columns, stride, offset);
                const auto b = placed(k, n, stride, offset);
                std::vector<float> c(static_cast<std::size_t>(m * n), 1.0F);
                tk::matmul({a.data() + offset, rows, columns, stride},
                           {b.data() + offset, k, n, stride}, {c.data(), m, n},
                           {.transpose_a = ta, .accumulate = true});
                if (first.empty()) first = c;
                CHECK(std::memcmp(c.data(), first.data(), c.size() * sizeof(float)) == 0);
            }
        }
    }
}

TEST_CASE("NaN and infinity reach every output that depends on them, and no other") {
    const float inf = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const extent m : {extent{1}, extent{3}, extent{30}}) {
        for (const bool tb : {false, true}) {
            const extent n = 45;
            const extent k = 40;
            framed_matrix a(m, k, 0, 0, 1);
            framed_matrix b(tb ? n : k, tb ? k : n, 0, 0, 2);
            framed_matrix c(m, n, 0, 0, 3);
            (tb ? b.view()(7, 39) : b.view()(39, 7)) = nan;
            (tb ? b.view()(44, 0) : b.view()(0, 44)) = inf;
            tk::matmul(a.view(), b.view(), c.view(), {.transpose_b = tb});
            for (extent i = 0; i < m; ++i)
                for (extent j = 0; j < n; ++j) {
                    CHECK(std::isnan(c.view()(i, j)) == (j == 7));
                    CHECK(std::isinf(c.view()(i, j)) == (j == 44));
                }
            a.view()(0, 0) = 0.0F;  // 0 times infinity
            tk::matmul(a.view(), b.view(), c.view(), {.transpose_b = tb});
            CHECK(std::isnan(c.view()(0, 44)));
        }
    }
}

TEST_CASE("epilogues run once on each output, in order") {
    for (const auto& [m, n, k] :
         {std::tuple<extent, extent, extent>{1, 21, 64}, {14, 35, 1100}, {5, 37, 0}, {2, 19, 3}}) {
        const framed_matrix a(m, k, 1, 0, 1);
        const framed_matrix b(n, k, 2, 1, 2);
        const framed_matrix residual(m, n, 3, 2, 4);
        const framed_matrix bias(1, n, 0, 0, 5);
        framed_matrix plain(m, n, 0, 0, 3);
        framed_matrix fused(m, n, 0, 0, 3);
        const tk::matmul_options how{.transpose_b = true, .accumulate = true};
        tk::matmul(a.view(), b.view(), plain.view(), how);
        tk::matmul(a.view(), b.view(), fused.view(), how,
                   tk::add_bias(bias.view().row(0)) | tk::apply_relu() | tk::scale_by(0.5F) |
                       tk::add_residual(residual.view()));
        extent wrong = 0;
        for (extent i = 0; i < m; ++i)
            for (extent j = 0; j < n; ++j) {
                const float sum = plain.view()(i, j) + bias.view()(0, j);
                const float expected = std::max(0.0F, sum) * 0.5F + residual.view()(i, j);
                if (fused.view()(i, j) != expected) ++wrong;
            }
        CHECK(wrong == 0);
    }
}

TEST_CASE("apply_relu keeps NaN") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float a[] = {nan, 1.0F};
    const float b[] = {1.0F};
    float c[2] = {};
    tk::matmul({a, 2, 1}, {b, 1, 1}, {c, 2, 1}, {}, tk::apply_relu());
    CHECK(std::isnan(c[0]));
    CHECK(c[1] == 1.0F);
}

namespace {

/// A scalar that counts what is done with it.
struct counted {
    static inline extent products = 0;
    static inline extent sums = 0;
    float value = 0.0F;
};
counted operator*(counted x, counted y) {
    ++counted::products;
    return {x.value * y.value};
}
counted operator+(counted x, counted y) {
    ++counted::sums;
    return {x.value + y.value};
}

}  // namespace

TEST_CASE("the reference takes any scalar and does exactly the operations it promises") {
    std::vector<counted> a(6, {2.0F});
    std::vector<counted> b(12, {3.0F});
    std::vector<counted> c(8, {1.0F});
    counted::products = counted::sums = 0;
    tk::matmul_reference<counted>({a.data(), 2, 3}, {b.data(), 3, 4}, {c.data(), 2, 4});
    CHECK(counted::products == 2 * 4 * 3);
    CHECK(counted::sums == 2 * 4 * 2);
    CHECK(c[7].value == 18.0F);
    tk::matmul_reference<counted>({a.data(), 2, 3}, {b.data(), 4, 3}, {c.data(), 2, 4},
                                  {.transpose_b = true, .accumulate = true});
    CHECK(counted::sums == 2 * 4 * 2 + 2 * 4 * 3);
    CHECK(c[0].value == 36.0F);
}

TEST_CASE("misuse is refused with a message that helps") {
    std::vector<float> memory(4096);
    float* const p = memory.data();
    const matrix_view<const float> a(p, 4, 256);
    float out[64];
    const auto text = [](auto&& call) -> std::string {
        try {
            call();
        } catch (const tare::error& e) {
            return e.what();
        }
        return "no error";
    };
    CHECK(text([&] {
              tk::matmul(a, {p, 8, 256}, {out, 4, 8});
          }) ==
          "matmul: a is (4,256), b is (8,256); inner sizes must match (256 vs 8). Did you mean "
          "transpose_b?");
    CHECK(text([&] {
              tk::matmul(a, {p, 4, 8}, {out, 8, 8});
          }).ends_with("Did you mean transpose_a?"));
    CHECK(text([&] {
              tk::matmul(a, {p, 256, 8}, {out, 4, 7});
          }) == "matmul: a is (4,256), b is (256,8), so c must be (4,8), but it is (4,7)");
    CHECK(text([&] {
              tk::matmul(a, {nullptr, 256, 8}, {out, 4, 8});
          }).find("null") != std::string::npos);
    CHECK(text([&] {
              tk::matmul(a, {p, 256, 8, 7}, {out, 4, 8});
          }).find("stride 7") != std::string::npos);
    CHECK(text([&] {
              tk::matmul(a, {p, 256, -8}, {out, 4, 8});
          }).find("negative") != std::string::npos);
    CHECK(text([&] {
              tk::matmul(a, {p, 256, 8, extent{1} << 60}, {out, 4, 8});
          }).find("64-bit") != std::string::npos);
    CHECK(text([&] {
              tk::matmul({p, 1, extent{1} << 62}, {p, 256, 8}, {out, 1, 8});
          }).find("64-bit") != std::string::npos);
    CHECK(text([&] {
              tk::matmul(a, {p, 256, 8}, {nullptr, 4, 8});
          }).find("c is (4,8) but its pointer is null") != std::string::npos);
    CHECK(text([&] {
              tk::matmul(a, {p + 1024, 256, 8}, {p + 1000, 4, 8});
          }).find("c overlaps a") != std::string::npos);
    CHECK(text([&] { tk::matmul(a, {out, 256, 0}, {out, 4, 0}); }) == "no error");
    // Two column ranges of one matrix do not overlap, whatever their addresses say.
    CHECK(text([&] { tk::matmul({p, 8, 8, 16}, {out, 8, 8}, {p + 8, 8, 8, 16}); }) == "no error");
    CHECK(text([&] {
              tk::matmul({p, 8, 9, 16}, {p + 512, 9, 8}, {p + 8, 8, 8, 16});
          }).find("c overlaps a") != std::string::npos);
    const std::vector<float> bias(7);
    CHECK(text([&] {
              tk::matmul(a, {p, 256, 8}, {out, 4, 8}, {}, tk::apply_relu() | tk::add_bias(bias));
          }).find("the bias has 7 values") != std::string::npos);
    const std::span<const float> nowhere(static_cast<const float*>(nullptr), 8);
    CHECK(text([&] {
              tk::matmul(a, {p, 256, 8}, {out, 4, 8}, {}, tk::add_bias(nowhere));
          }).find("the bias is (1,8) but its pointer is null") != std::string::npos);
    CHECK(text([&] {
              tk::matmul(a, {p, 256, 8}, {out, 4, 8}, {}, tk::add_residual({out, 4, 8}));
          }).find("accumulate") != std::string::npos);
}
