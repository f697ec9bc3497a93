#pragma once
// SPDX-License-Identifier: MIT
// A picture (SVG) of a tensor on the grid of its codes: above, the histogram of the values; below,
// the values that survive, each a stem as long as its share of the elements. What a format does
// with its codes shows at a glance: spent where the weights are, or on empty range.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <tare/core/error.hpp>

#include "format_survey.hpp"

namespace tare::tool {

namespace detail {

inline std::string svg_number(double v) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", v);
    return text;
}
inline std::string axis_label(double v) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", v);
    return text;
}
inline std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text)
        out += c == '<'   ? std::string("&lt;")
               : c == '>' ? std::string("&gt;")
               : c == '&' ? std::string("&amp;")
                          : std::string(1, c);
    return out;
}
/// UTF-8 of at most 90 characters, which is what fits into a line of the picture.
inline std::string shortened(const std::string& text) {
    constexpr int most = 90;
    int characters = 0;
    for (std::size_t i = 0; i < text.size(); ++i)
        if ((static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U && ++characters > most)
            return text.substr(0, i) + "...";
    return text;
}

}  // namespace detail

/// The picture. Values beyond four and a half deviations are left out of the axis, not of the
/// shares. Tensors with more than 4,096 distinct survivors get 256 groups of them.
[[nodiscard]] inline std::string grid_picture(std::span<const float> x, const surveyed& row,
                                              const std::string& origin) {
    using detail::svg_number;
    constexpr double width = 960.0;
    constexpr double left = 30.0;
    constexpr double right = 930.0;
    constexpr double top = 70.0;
    constexpr double middle = 260.0;
    constexpr double bottom = 430.0;
    constexpr std::size_t bars = 180;

    double square = 0.0;
    float low = x[0];
    float high = x[0];
    for (const float v : x) {
        square += static_cast<double>(v) * static_cast<double>(v);
        low = std::min(low, v);
        high = std::max(high, v);
    }
    const double reach = 4.5 * std::sqrt(square / static_cast<double>(x.size()));
    double from = std::max(static_cast<double>(low), -reach);
    double to = std::min(static_cast<double>(high), reach);
    if (!(to > from)) {
        from -= 1.0;
        to += 1.0;
    }
    const auto place = [&](double v) { return left + (v - from) / (to - from) * (right - left); };

    std::vector<double> heights(bars);
    for (const float v : x) {
        const double at = (static_cast<double>(v) - from) / (to - from);
        if (at >= 0.0 && at <= 1.0)
            heights[std::min(bars - 1, static_cast<std::size_t>(at * bars))] += 1.0;
    }
    std::map<double, double> stems;
    for (const float v : row.values)
        stems[static_cast<double>(v)] += 1.0;
    const std::size_t levels = stems.size();
    if (levels > 4096) {
        std::map<double, double> grouped;
        for (const auto& [v, count] : stems) {
            const double share = std::floor((v - from) / (to - from) * 256.0) + 0.5;
            grouped[from + share / 256.0 * (to - from)] += count;
        }
        stems = grouped;
    }

    std::string out = message(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 470\" font-family=\"",
        "sans-serif\" font-size=\"13\">\n<rect width=\"960\" height=\"470\" fill=\"white\"/>\n",
        "<text x=\"30\" y=\"28\" font-size=\"17\" font-weight=\"bold\">", detail::escaped(row.name),
        ": ", svg_number(row.bits_per_value), " bits per value, ", svg_number(row.signal_to_noise),
        " dB</text>\n<text x=\"30\" y=\"50\" fill=\"#555\">",
        detail::escaped(detail::shortened(origin)), ": ", x.size(), " values, ", levels,
        " distinct survivors</text>\n");
    out += "<g fill=\"#4878a8\">\n";
    const double tallest = *std::ranges::max_element(heights);
    const double bar = (right - left) / static_cast<double>(bars);
    for (std::size_t i = 0; i < bars; ++i) {
        if (heights[i] == 0.0) continue;
        const double h = (middle - top) * heights[i] / tallest;
        out += message("<rect x=\"", svg_number(left + bar * static_cast<double>(i)), "\" y=\"",
                       svg_number(middle - h), "\" width=\"", svg_number(bar * 0.9), "\" height=\"",
                       svg_number(h), "\"/>\n");
    }
    out += "</g>\n<g stroke=\"#c05020\" stroke-width=\"1.2\">\n";
    double fullest = 0.0;
    for (const auto& [v, count] : stems)
        fullest = std::max(fullest, count);
    for (const auto& [v, count] : stems) {
        if (v < from || v > to) continue;
        // At least three units, so that rare codes are seen.
        const double h = 3.0 + (bottom - middle - 13.0) * count / fullest;
        const std::string at = svg_number(place(v));
        out += message("<line x1=\"", at, "\" y1=\"", svg_number(middle + 4.0), "\" x2=\"", at,
                       "\" y2=\"", svg_number(middle + 4.0 + h), "\"/>\n");
    }
    out += message("</g>\n<line x1=\"", svg_number(left), "\" y1=\"", svg_number(middle + 2.0),
                   "\" x2=\"", svg_number(right), "\" y2=\"", svg_number(middle + 2.0),
                   "\" stroke=\"#222\"/>\n<g fill=\"#222\" text-anchor=\"middle\">\n");
    for (int tick = 0; tick <= 4; ++tick) {
        const double v = from + (to - from) * tick / 4.0;
        out +=
            message("<text x=\"", svg_number(std::clamp(place(v), 40.0, width - 45.0)), "\" y=\"",
                    svg_number(bottom + 22.0), "\">", detail::axis_label(v), "</text>\n");
    }
    out += "</g>\n<text x=\"930\" y=\"90\" text-anchor=\"end\" fill=\"#4878a8\">values</text>\n"
           "<text x=\"930\" y=\"425\" text-anchor=\"end\" fill=\"#c05020\">what survives"
           "</text>\n</svg>\n";
    return out;
}

}  // namespace tare::tool
