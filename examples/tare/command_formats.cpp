// SPDX-License-Identifier: MIT
// tare formats: what every number format and quantizer does to a tensor.
#include <cstdio>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>

#include "command.hpp"
#include "format_survey.hpp"
#include "grid_picture.hpp"
#include "input_tensor.hpp"
#include "report_files.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

struct options {
    std::string input;
    std::string tensor;
    std::string json;
    std::string csv;
    std::string markdown;
    std::string svg;
    std::string grid = "nf4";
    std::vector<std::string> only;
    int threads = 1;
};

/// 1024 rows of 1024 normal values, deviation 0.02: weights as a model is initialised.
input_tensor normal_weights() {
    const random_stream random(1, 0);
    input_tensor t{"normal values, deviation 0.02", shape{1024, 1024}, {}};
    t.values.resize(std::size_t{1} << 20);
    for (std::size_t i = 0; i < t.values.size(); ++i)
        t.values[i] = 0.02F * random.normal(i);
    return t;
}

void require_finite(const input_tensor& t) {
    require(!t.values.empty(), t.origin, ": the tensor is empty; nothing can be measured");
    std::size_t bad = 0;
    std::size_t first = 0;
    for (std::size_t i = t.values.size(); i-- > 0;)
        if (!is_finite(t.values[i])) {
            ++bad;
            first = i;
        }
    require(bad == 0, t.origin, ": ", bad, " of ", t.values.size(),
            " values are NaN, infinite or beyond float32, the first at element ", first,
            "; errors and speeds need finite values. Mend the tensor first");
}

nlohmann::json to_json(const input_tensor& t, const std::vector<surveyed>& rows, double copy,
                       int threads) {
    nlohmann::json j;
    j["schema"] = 1;
    j["tensor"] = {{"origin", t.origin}, {"elements", t.values.size()}};
    j["tensor"]["shape"] = nlohmann::json::array();
    for (std::size_t axis = 0; axis < t.extents.rank(); ++axis)
        j["tensor"]["shape"].push_back(t.extents[axis]);
    j["threads"] = threads;
    j["copy_gigabytes_per_second"] = copy;
    for (const surveyed& r : rows) {
        j["formats"].push_back({{"name", r.name},
                                {"kind", r.kind},
                                {"bits_per_value", r.bits_per_value},
                                {"mean_squared_error", r.mean_squared_error},
                                {"signal_to_noise_db", nullptr},
                                {"largest_error", r.largest_error},
                                {"entropy_gap_bits", r.entropy_gap},
                                {"gigabytes_per_second", r.gigabytes_per_second}});
        // Nothing lost: infinite, which JSON cannot say.
        if (std::isfinite(r.signal_to_noise))
            j["formats"].back()["signal_to_noise_db"] = r.signal_to_noise;
    }
    return j;
}

std::string number(const char* format, double v) {
    char text[64];
    std::snprintf(text, sizeof text, format, v);
    return text;
}

/// Gigabytes per second in three figures: what searches is a thousand times slower than what
/// rounds.
std::string speed(double v) {
    return number(v < 0.1 ? "%.4f" : (v < 1.0 ? "%.3f" : (v < 10.0 ? "%.2f" : "%.1f")), v);
}

std::string to_csv(const std::vector<surveyed>& rows) {
    std::string out = "name,kind,bits_per_value,mean_squared_error,signal_to_noise_db,"
                      "largest_error,entropy_gap_bits,gigabytes_per_second\n";
    for (const surveyed& r : rows)
        out += message('"', r.name, "\",", r.kind, ',', number("%.6f", r.bits_per_value), ',',
                       number("%.9g", r.mean_squared_error), ',', number("%.3f", r.signal_to_noise),
                       ',', number("%.9g", r.largest_error), ',', number("%.4f", r.entropy_gap),
                       ',', speed(r.gigabytes_per_second), '\n');
    return out;
}

std::string to_markdown(const std::vector<surveyed>& rows) {
    std::string out = "| format | bits per value | SNR, dB | entropy gap, bits | GB/s |\n"
                      "|---|---|---|---|---|\n";
    for (const surveyed& r : rows)
        out += message("| ", r.name, " | ", number("%.3f", r.bits_per_value), " | ",
                       number("%.1f", r.signal_to_noise), " | ", number("%.2f", r.entropy_gap),
                       " | ", speed(r.gigabytes_per_second), " |\n");
    return out;
}

void print_table(const std::vector<surveyed>& rows) {
    std::printf("%-30s %9s %11s %8s %11s %7s %6s\n", "format or quantizer", "bits/val", "mean sq",
                "SNR dB", "largest", "gap", "GB/s");
    for (const surveyed& r : rows)
        std::printf("%-30s %9.4f %11.3e %8.2f %11.3e %7.2f %6s\n", r.name.c_str(), r.bits_per_value,
                    r.mean_squared_error, r.signal_to_noise, r.largest_error, r.entropy_gap,
                    speed(r.gigabytes_per_second).c_str());
}

const surveyed& chosen(const std::vector<surveyed>& rows, const std::string& name,
                       const char* option) {
    for (const surveyed& r : rows)
        if (r.name == name) return r;
    std::string names;
    for (const surveyed& r : rows)
        names += message(names.empty() ? "" : "; ", r.name);
    fail(option, " ", name, " is unknown; there are ", names);
}

/// Rows whose names are in `only`; all if it is empty.
std::vector<surveyed> selected(std::vector<surveyed> rows, const std::vector<std::string>& only) {
    for (const std::string& name : only)
        static_cast<void>(chosen(rows, name, "--only"));
    if (!only.empty())
        std::erase_if(
            rows, [&](const surveyed& r) { return std::ranges::find(only, r.name) == only.end(); });
    return rows;
}

int run(const options& o) {
    require(!o.tensor.empty() ? !o.input.empty() : true, "--tensor ", o.tensor,
            " names a tensor of a file; give the file with --input");
    const input_tensor t = o.input.empty() ? normal_weights() : read_tensor(o.input, o.tensor);
    require_finite(t);
    require(o.threads >= 1, "--threads ", o.threads, "; give at least 1");
    set_threads(o.threads);
    const extent columns = t.extents.rank() > 0 ? t.extents.columns() : 1;
    const survey s(t.values, columns);
    const double copy = s.copy_speed();
    const std::vector<surveyed> all = s.all<formats::builtin>();
    const std::vector<surveyed> rows = selected(all, o.only);

    if (!o.json.empty()) write_text(o.json, to_json(t, rows, copy, o.threads).dump(1) + "\n");
    if (!o.csv.empty()) write_text(o.csv, to_csv(rows));
    if (!o.markdown.empty()) write_text(o.markdown, to_markdown(rows));
    if (!o.svg.empty())
        write_text(o.svg, grid_picture(t.values, chosen(all, o.grid, "--grid"), t.origin));
    const bool quiet = o.json == "-" || o.csv == "-" || o.markdown == "-" || o.svg == "-";
    if (quiet) return done;
    std::cout << message(t.origin, ": ", t.values.size(), " values in rows of ", columns, "; ",
                         o.threads, o.threads == 1 ? " thread" : " threads", ", copy ",
                         number("%.1f", copy), " GB/s\n")
              << std::flush;
    print_table(rows);
    return done;
}

const registration formats_command{
    {"formats", [](CLI::App& app) {
         auto o = std::make_shared<options>();
         CLI::App* sub = app.add_subcommand(
             "formats", "Every number format and quantizer on a tensor: size, error, speed");
         sub->add_option("--input", o->input,
                         "Tensors (.npz or .safetensors); without: normal values, deviation 0.02")
             ->check(CLI::ExistingFile);
         sub->add_option("--tensor", o->tensor, "Which tensor of the file; needless if it has one");
         sub->add_option("--json", o->json, "Write the table as JSON; - for standard output");
         sub->add_option("--csv", o->csv, "Write the table as CSV; - for standard output");
         sub->add_option("--markdown", o->markdown,
                         "Write the table as Markdown; - for standard output");
         sub->add_option("--svg", o->svg, "Draw the values on the grid of one format");
         sub->add_option("--grid", o->grid, "The format of the picture, by its name in the table")
             ->capture_default_str();
         sub->add_option("--only", o->only, "Rows to show, by name; names are parted by semicolons")
             ->delimiter(';');
         sub->add_option("--threads", o->threads, "Threads for the speeds")->capture_default_str();
         return std::function<int()>([o] { return run(*o); });
     }}};

}  // namespace
