#pragma once
// SPDX-License-Identifier: MIT
// A picture of what the steps of a compression bought: score to the right, perplexity upwards, both
// logarithmic, each step a labelled dot, steps that follow each other joined by a line. Plain SVG,
// no script, no fonts to fetch.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>

#include <tare/core/error.hpp>

namespace tare::micronet {

/// One dot.
struct figure_point {
    std::string label;
    double score = 0.0;
    double perplexity = 0.0;
    bool follows = false;  ///< a line joins it to the point before
};

namespace detail {

inline std::string svg_number(double v) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", v);
    return text;
}

/// Text with the characters that XML reserves written out.
inline std::string svg_text(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else
            out += c;
    }
    return out;
}

/// A logarithmic axis from pixel `begin` to pixel `end`, with a margin on both sides of the data.
struct log_axis {
    double low, high, begin, end;

    log_axis(double least, double most, double begin_, double end_) : begin(begin_), end(end_) {
        const double margin = std::max(0.08 * std::log(most / least), 0.02);
        low = std::log(least) - margin;
        high = std::log(most) + margin;
    }
    [[nodiscard]] double at(double v) const {
        return begin + (end - begin) * (std::log(v) - low) / (high - low);
    }
    /// Calls f(value) for round values inside the axis: 1, 2, 5 times powers of ten, or finer ones
    /// where fewer than three of these fit.
    template <class F>
    void each_tick(F&& f) const {
        int seen = 0;
        const auto walk = [&](std::span<const double> steps, auto&& g) {
            for (int power = -9; power <= 9; ++power)
                for (const double step : steps) {
                    const double v = step * std::pow(10.0, power);
                    if (std::log(v) >= low && std::log(v) <= high) g(v);
                }
        };
        static constexpr double coarse[] = {1, 2, 5};
        static constexpr double fine[] = {1,   1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2, 2.2,
                                          2.4, 2.6, 2.8, 3,   3.5, 4,   4.5, 5,   6,   7,   8, 9};
        walk(coarse, [&](double) { ++seen; });
        walk(seen < 3 ? std::span<const double>(fine) : std::span<const double>(coarse), f);
    }
};

}  // namespace detail

/// The picture as SVG text. **Throws** tare::error without points and on values that are not
/// positive and finite.
[[nodiscard]] inline std::string to_svg(const std::string& title,
                                        std::span<const figure_point> points) {
    require(!points.empty(), "to_svg: no points to draw");
    double bounds[2][2] = {{1e300, 0.0}, {1e300, 0.0}};
    for (const figure_point& p : points) {
        const double values[2] = {p.score, p.perplexity};
        for (std::size_t axis = 0; axis < 2; ++axis) {
            require(std::isfinite(values[axis]) && values[axis] > 0.0, "to_svg: ", p.label,
                    " has score ", p.score, " and perplexity ", p.perplexity,
                    "; both must be positive and finite");
            bounds[axis][0] = std::min(bounds[axis][0], values[axis]);
            bounds[axis][1] = std::max(bounds[axis][1], values[axis]);
        }
    }
    constexpr double width = 720, height = 440, left = 70, right = 150, top = 40, bottom = 50;
    const detail::log_axis x(bounds[0][0], bounds[0][1], left, width - right);
    const detail::log_axis y(bounds[1][0], bounds[1][1], height - bottom, top);
    const auto px = [](double v) { return detail::svg_number(v); };

    std::string out = message("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", px(width),
                              ' ', px(height),
                              "\" font-family=\"sans-serif\" font-size=\"12\">\n"
                              "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
    const auto text = [&](double at_x, double at_y, const char* anchor, const std::string& what) {
        out += message("<text x=\"", px(at_x), "\" y=\"", px(at_y), "\" text-anchor=\"", anchor,
                       "\">", detail::svg_text(what), "</text>\n");
    };
    const auto line = [&](double x1, double y1, double x2, double y2, const char* style) {
        out += message("<line x1=\"", px(x1), "\" y1=\"", px(y1), "\" x2=\"", px(x2), "\" y2=\"",
                       px(y2), "\" ", style, "/>\n");
    };
    text(left, top - 16, "start", title);
    text((left + width - right) / 2, height - 12, "middle", "MicroNet score (smaller is better)");
    text(left, top - 2, "end", "perplexity");
    x.each_tick([&](double v) {
        line(x.at(v), top, x.at(v), height - bottom, "stroke=\"#dddddd\"");
        text(x.at(v), height - bottom + 16, "middle", message(v));
    });
    y.each_tick([&](double v) {
        line(left, y.at(v), width - right, y.at(v), "stroke=\"#dddddd\"");
        text(left - 6, y.at(v) + 4, "end", message(v));
    });
    for (std::size_t i = 0; i < points.size(); ++i) {
        const figure_point& p = points[i];
        if (i > 0 && p.follows)
            line(x.at(points[i - 1].score), y.at(points[i - 1].perplexity), x.at(p.score),
                 y.at(p.perplexity), "stroke=\"#4477aa\" stroke-width=\"1.5\"");
    }
    for (const figure_point& p : points) {
        out += message("<circle cx=\"", px(x.at(p.score)), "\" cy=\"", px(y.at(p.perplexity)),
                       "\" r=\"4\" fill=\"#aa3333\"/>\n");
        text(x.at(p.score) + 7, y.at(p.perplexity) + 4, "start", p.label);
    }
    return out + "</svg>\n";
}

}  // namespace tare::micronet
