#pragma once
// SPDX-License-Identifier: MIT
// Cross-entropy between two rows of logits, both softened by a temperature T, and its gradient:
//   p = softmax(z / T), t = softmax(y / T)     cross = -sum_c t_c ln p_c,  own = -sum_c t_c ln t_c
//   d cross / d z = (p - t) / T
// z are a student's logits, y a teacher's; cross - own is the divergence KL(t || p). Each row is
// read while it is in the near caches; the teacher's exponentials wait in one row of scratch.
// Source: Hinton, Vinyals, Dean 2015, section 2.

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include <tare/core/aligned.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/scalar.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/row.hpp>
#include <tare/kernels/vector_math.hpp>

namespace tare::kernels {

/// What the gradient needs again, one value a row each: maxima of the logits and sums of
/// e^((x - maximum) / T).
template <class Scalar = float>
struct softened_statistics {
    std::span<Scalar> student_maximum;
    std::span<Scalar> student_sum;
    std::span<Scalar> teacher_maximum;
    std::span<Scalar> teacher_sum;
};

/// Both entropies of each row. Shapes z, y (R, C), cross and the statistics (R), own (R) or empty.
/// NaN: a row in which either side has a NaN, an infinity or a value that is infinitely far below
/// its maximum gives NaN. Accuracy: within 2^-24 (C / 2048 + 48) (1 + the largest (max - x) / T).
/// Throws on shapes that do not fit, no column, a temperature that is not above 0, shared memory.
inline void soft_cross_entropy(matrix_view<const float> z, matrix_view<const float> y,
                               float temperature, std::span<float> cross, std::span<float> own,
                               softened_statistics<> statistics);

/// dz = share (p - t) / T, or added to dz. Shapes as above, dz (R, C); `dz` may be `z` or `y` where
/// it is not added to.
inline void soft_cross_entropy_backward(matrix_view<const float> z, matrix_view<const float> y,
                                        float temperature,
                                        softened_statistics<const float> statistics, float share,
                                        matrix_view<float> dz, bool add);

namespace plain {

template <class Scalar>
void soft_cross_entropy(matrix_view<const std::type_identity_t<Scalar>> z,
                        matrix_view<const std::type_identity_t<Scalar>> y,
                        std::type_identity_t<Scalar> temperature, std::span<Scalar> cross,
                        std::span<std::type_identity_t<Scalar>> own,
                        softened_statistics<std::type_identity_t<Scalar>> statistics) {
    using std::exp;
    using std::log;
    const auto largest = [](std::span<const Scalar> row) {
        Scalar top = row[0];
        for (const Scalar& v : row.subspan(1))
            top = top < v ? v : top;
        return top;
    };
    for (extent r = 0; r < z.rows; ++r) {
        const auto at = static_cast<std::size_t>(r);
        const Scalar top = largest(z.row(r));
        const Scalar teacher_top = largest(y.row(r));
        Scalar sum{};
        Scalar teacher_sum{};
        Scalar across{};
        Scalar within{};
        for (extent c = 0; c < z.columns; ++c) {
            const Scalar a = (z(r, c) - top) / temperature;
            const Scalar b = (y(r, c) - teacher_top) / temperature;
            const Scalar e = exp(b);
            sum = c == 0 ? exp(a) : sum + exp(a);
            teacher_sum = c == 0 ? e : teacher_sum + e;
            across = c == 0 ? e * a : across + e * a;
            if (!own.empty()) within = c == 0 ? e * b : within + e * b;
        }
        cross[at] = log(sum) - across / teacher_sum;
        if (!own.empty()) own[at] = log(teacher_sum) - within / teacher_sum;
        statistics.student_maximum[at] = top;
        statistics.student_sum[at] = sum;
        statistics.teacher_maximum[at] = teacher_top;
        statistics.teacher_sum[at] = teacher_sum;
    }
}

template <class Scalar>
void soft_cross_entropy_backward(matrix_view<const std::type_identity_t<Scalar>> z,
                                 matrix_view<const std::type_identity_t<Scalar>> y,
                                 std::type_identity_t<Scalar> temperature,
                                 softened_statistics<const std::type_identity_t<Scalar>> statistics,
                                 std::type_identity_t<Scalar> share, matrix_view<Scalar> dz,
                                 bool add) {
    using std::exp;
    for (extent r = 0; r < z.rows; ++r) {
        const auto at = static_cast<std::size_t>(r);
        const Scalar student = share / (temperature * statistics.student_sum[at]);
        const Scalar teacher = share / (temperature * statistics.teacher_sum[at]);
        for (extent c = 0; c < z.columns; ++c) {
            const Scalar p = exp((z(r, c) - statistics.student_maximum[at]) / temperature);
            const Scalar t = exp((y(r, c) - statistics.teacher_maximum[at]) / temperature);
            const Scalar slope = student * p - teacher * t;
            dz(r, c) = add ? dz(r, c) + slope : slope;
        }
    }
}

}  // namespace plain

namespace detail {

inline void require_softened(std::string_view function, matrix_view<const float> z,
                             matrix_view<const float> y, float temperature) {
    require_view(function, "z", z);
    require_view(function, "y", y);
    require_same_shape(function, "z", z, "y", y);
    if (z.rows > 0 && z.columns == 0)
        fail(function, ": z is ", z.shape(), "; a distribution needs at least one column");
    if (!(temperature > 0.0F) || std::isinf(temperature))
        fail(function, ": a temperature of ", temperature, "; it must be above 0 and finite");
}
template <class Scalar>
void require_softened_statistics(std::string_view function, extent rows,
                                 softened_statistics<Scalar> s) {
    require_size(function, "statistics.student_maximum", s.student_maximum, rows, "one per row");
    require_size(function, "statistics.student_sum", s.student_sum, rows, "one per row");
    require_size(function, "statistics.teacher_maximum", s.teacher_maximum, rows, "one per row");
    require_size(function, "statistics.teacher_sum", s.teacher_sum, rows, "one per row");
}

/// Sum of e^((x - top) / T), all of them written to `kept` if it is given.
inline float softened_sum(const float* x, std::size_t n, float top, float by, float* kept) {
    return row_sum_at(
        [=](std::size_t at, std::size_t count, const auto& v) __attribute__((always_inline)) {
            const auto e = vector_math::exp_nonpositive((v - like(v, top)) * like(v, by));
            if (kept != nullptr) {
                if (count == simd::wide_lanes)
                    store(kept + at, e);
                else
                    store(kept + at, e, count);
            }
            return e;
        },
        n, -std::numeric_limits<float>::infinity(), x);
}
/// Sum of e (x - top) / T.
inline float softened_mean(const float* e, const float* x, std::size_t n, float top, float by) {
    return row_sum([=](const auto& weight,
                       const auto& v) { return weight * ((v - like(v, top)) * like(v, by)); },
                   n, e, x);
}

}  // namespace detail

inline void soft_cross_entropy(matrix_view<const float> z, matrix_view<const float> y,
                               float temperature, std::span<float> cross, std::span<float> own,
                               softened_statistics<> statistics) {
    constexpr std::string_view name = "soft_cross_entropy";
    detail::require_softened(name, z, y, temperature);
    detail::require_size(name, "cross", cross, z.rows, "one per row");
    if (!own.empty()) detail::require_size(name, "own", own, z.rows, "one per row, or empty");
    detail::require_softened_statistics(name, z.rows, statistics);
    detail::require_all_apart(name,
                              {{"cross", cross},
                               {"own", own},
                               {"statistics.student_maximum", statistics.student_maximum},
                               {"statistics.student_sum", statistics.student_sum},
                               {"statistics.teacher_maximum", statistics.teacher_maximum},
                               {"statistics.teacher_sum", statistics.teacher_sum}},
                              {{"z", z}, {"y", y}});
    const auto n = static_cast<std::size_t>(z.columns);
    const float by = 1.0F / temperature;
    parallel_for(z.rows, 1, 14 * z.columns, [&](extent begin, extent end) {
        aligned_vector<float> exponentials(n);
        for (extent r = begin; r < end; ++r) {
            const auto at = static_cast<std::size_t>(r);
            const float* student = z.row(r).data();
            const float* teacher = y.row(r).data();
            const float top = detail::row_max(student, n);
            const float teacher_top = detail::row_max(teacher, n);
            const float sum = detail::softened_sum(student, n, top, by, nullptr);
            float* const e = exponentials.data();
            const float teacher_sum = detail::softened_sum(teacher, n, teacher_top, by, e);
            const auto entropy = [&](const float* x, float maximum, float total) {
                return std::log(total) - detail::softened_mean(e, x, n, maximum, by) / teacher_sum;
            };
            cross[at] = entropy(student, top, sum);
            if (!own.empty()) own[at] = entropy(teacher, teacher_top, teacher_sum);
            statistics.student_maximum[at] = top;
            statistics.student_sum[at] = sum;
            statistics.teacher_maximum[at] = teacher_top;
            statistics.teacher_sum[at] = teacher_sum;
        }
    });
}

inline void soft_cross_entropy_backward(matrix_view<const float> z, matrix_view<const float> y,
                                        float temperature,
                                        softened_statistics<const float> statistics, float share,
                                        matrix_view<float> dz, bool add) {
    constexpr std::string_view name = "soft_cross_entropy_backward";
    detail::require_softened(name, z, y, temperature);
    detail::require_softened_statistics(name, z.rows, statistics);
    detail::require_view(name, "dz", dz);
    detail::require_same_shape(name, "z", z, "dz", dz);
    if (add) detail::require_all_apart(name, {{"dz", dz}}, {{"z", z}, {"y", y}});
    detail::require_same_or_apart(name, "z", z, "dz", dz);
    detail::require_same_or_apart(name, "y", y, "dz", dz);
    detail::require_all_apart(name, {{"dz", dz}},
                              {{"statistics.student_maximum", statistics.student_maximum},
                               {"statistics.student_sum", statistics.student_sum},
                               {"statistics.teacher_maximum", statistics.teacher_maximum},
                               {"statistics.teacher_sum", statistics.teacher_sum}});
    const auto n = static_cast<std::size_t>(z.columns);
    const float by = 1.0F / temperature;
    detail::each_row(z.rows, 8 * z.columns, [&](extent r) {
        const auto at = static_cast<std::size_t>(r);
        const float top = statistics.student_maximum[at];
        const float teacher_top = statistics.teacher_maximum[at];
        const float student = share * by / statistics.student_sum[at];
        const float teacher = share * by / statistics.teacher_sum[at];
        const auto slope = [=](const auto& a, const auto& b) {
            const auto softened = [&](const auto& x, float maximum) {
                return vector_math::exp_nonpositive((x - like(x, maximum)) * like(x, by));
            };
            return like(a, student) * softened(a, top) -
                   like(a, teacher) * softened(b, teacher_top);
        };
        float* const out = dz.row(r).data();
        const float* const a = z.row(r).data();
        const float* const b = y.row(r).data();
        if (add)
            detail::row_map(
                [=](const auto& u, const auto& v, const auto& old) { return old + slope(u, v); },
                out, n, a, b, out);
        else
            detail::row_map(slope, out, n, a, b);
    });
}

}  // namespace tare::kernels
