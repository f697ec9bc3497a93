// SPDX-License-Identifier: MIT
#include "dry_run.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include <unistd.h>

#include <tare/micronet/rules.hpp>
#include <tare/micronet/weigh.hpp>
#include <tare/train/optimizer.hpp>

#include "language_model.hpp"
#include "training_run.hpp"

namespace tare::tool {

namespace {

/// Shares of the bins where word k is as frequent as 1 / (k + 1), in millionths; those of
/// WikiText-103's test split where the cutoffs are that entry's.
micronet::bin_counts expected_bins(const transformer_xl_config& config) {
    if (config.cutoffs == size_list{3500, 25000}) return micronet::wikitext103_test_bins();
    micronet::bin_counts out;
    const double all = std::log1p(static_cast<double>(config.vocabulary));
    for (std::size_t bin = 0; bin < config.bins(); ++bin) {
        const double share = (std::log1p(static_cast<double>(config.bin_end(bin))) -
                              std::log1p(static_cast<double>(config.bin_begin(bin)))) /
                             all;
        out.push_back(std::max<extent>(1, std::llround(1e6 * share)));
    }
    return out;
}

/// Bytes of a process that trains, at its peak, evaluations aside: parameters, gradients and two
/// moments; for every token of a step what the backward pass needs; and the program.
/// **Accuracy** within 10 % of what the configurations of examples/pipeline_small take.
double training_bytes(const io::entry_config& e, double parameters) {
    constexpr double program = 32e6;  // libraries, vocabulary, buffers of the pool
    const transformer_xl_config c = model_config(e);
    const auto rows = static_cast<double>(e.train_batch * e.train_chunk);
    const auto number = [](extent v) { return static_cast<double>(v); };
    // Inputs of ln1, qkv, attention, out, ln2, fc0, relu and fc3 with their gradients; and what
    // dropout hands on.
    double per_layer = 8.0 * number(c.width) + 3.0 * number(c.inner) +
                       number(c.heads * (2 * c.key_width + 2 * c.value_width)) +
                       number(c.heads * (c.window + 1));
    if (e.dropout > 0.0) per_layer += number(c.inner + c.width + c.heads * c.value_width);
    // Logits and their gradients: of the head for every token, of a tail for the tokens in it;
    // those of the cache once.
    const micronet::bin_counts counts = expected_bins(c);
    double all = 0.0;
    for (const extent count : counts)
        all += number(count);
    double logits = 2.0 * number(c.bin_size(0) + static_cast<extent>(c.bins())) +
                    number(std::min(c.cache.capacity, e.train_chunk));
    for (std::size_t bin = 1; bin < c.bins(); ++bin)
        logits += 2.0 * number(c.bin_size(bin)) * number(counts[bin]) / all;
    const double kept = rows * (number(c.layers) * per_layer + logits);
    return program +
           4.0 * (parameters * (2.0 + static_cast<double>(train::adam::moments.size())) + kept);
}

/// Bytes of memory that this machine has.
double machine_bytes() {
    return static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
           static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

planned_training plan_training(const io::entry_config& e, const micronet::compression& left) {
    const transformer_xl_config config = model_config(e);
    config.check();
    const auto weigh = [&](const micronet::compression& how) {
        return micronet::tally(tool::weigh(config, how, expected_bins(config)),
                               micronet::official{});
    };
    const micronet::totals sums = weigh(left);
    const double bytes = training_bytes(e, weigh({}).parameters());
    const double seconds = bytes < machine_bytes()
                               ? seconds_of_step(e) * static_cast<double>(e.steps)
                               : std::numeric_limits<double>::quiet_NaN();
    return {sums.parameters(), sums.operations(), sums.score(micronet::wikitext103), seconds,
            bytes};
}

void print_dry_run(const io::entry_config& e) {
    const planned_training plan = plan_training(e, {});
    std::printf("%-28s %.0f\n", "parameters", plan.parameters);
    std::printf("%-28s %.1f\n", "operations per token", plan.operations);
    std::printf("%-28s %.6f\n", "score (dense, 32 bits)", plan.score);
    std::printf("%-28s %lld steps of %lld x %lld tokens\n", "training",
                static_cast<long long>(e.steps), static_cast<long long>(e.train_batch),
                static_cast<long long>(e.train_chunk));
    std::printf("%-28s %.0f MiB\n", "peak memory (estimate)", plan.peak_bytes / (1 << 20));
    if (std::isnan(plan.seconds))
        std::printf("%-28s none: this machine has %.0f MiB\n", "time (estimate)",
                    machine_bytes() / (1 << 20));
    else
        std::printf("%-28s %.0f s\n", "time (estimate)", plan.seconds);
}

}  // namespace tare::tool
