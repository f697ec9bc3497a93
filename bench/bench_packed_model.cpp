// SPDX-License-Identifier: MIT
// The published champion's size (9 bits, pruned by the plan that leaves 64.2 %) with random
// weights: packed beside dense fp32, in one interleaved run. Online asks for the whole distribution
// after each word; chunks ask for the losses. Counters: bytes that the weights of the model hold
// (held_MB), and the most that one call needs besides (call_MB).
//
//     build/release/bench/bench_packed_model --benchmark_enable_random_interleaving=true
//         --benchmark_repetitions=9 --benchmark_report_aggregates_only=true

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#include <tare/micronet/weigh.hpp>
#include <tare/models/packed_model.hpp>
#include <tare/ops/prepared_weight.hpp>
#include <tare/prune/mask.hpp>
#include <tare/train/quantization_aware.hpp>

#include "bench_support.hpp"
#include "champion_words.hpp"

// Every byte that the program allocates is counted: the peak is exact, not the system's guess.
namespace {

std::atomic<std::size_t> live_bytes{0};
std::atomic<std::size_t> peak_bytes{0};

void* counted_new(std::size_t size, std::size_t alignment) {
    // The size stands in front of the block, where the alignment leaves room for it.
    const std::size_t front = alignment < sizeof(std::size_t) ? sizeof(std::size_t) : alignment;
    const std::size_t whole = (size + front + alignment - 1) / alignment * alignment;
    // Counting should cost no more than it must: aligned_alloc is several times slower than malloc.
    auto* const raw = static_cast<std::byte*>(alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__
                                                  ? std::malloc(whole)
                                                  : std::aligned_alloc(alignment, whole));
    if (raw == nullptr) throw std::bad_alloc();
    std::byte* const block = raw + front;
    reinterpret_cast<std::size_t*>(block)[-1] = size;
    const std::size_t now = live_bytes += size;
    std::size_t peak = peak_bytes;
    while (now > peak && !peak_bytes.compare_exchange_weak(peak, now)) {
    }
    return block;
}
void counted_delete(void* block, std::size_t alignment) {
    if (block == nullptr) return;
    const std::size_t front = alignment < sizeof(std::size_t) ? sizeof(std::size_t) : alignment;
    live_bytes -= static_cast<std::size_t*>(block)[-1];
    std::free(static_cast<std::byte*>(block) - front);
}

}  // namespace

void* operator new(std::size_t size) {
    return counted_new(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return counted_new(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept {
    counted_delete(block, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void operator delete(void* block, std::size_t) noexcept {
    counted_delete(block, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void operator delete(void* block, std::align_val_t alignment) noexcept {
    counted_delete(block, static_cast<std::size_t>(alignment));
}
void operator delete(void* block, std::size_t, std::align_val_t alignment) noexcept {
    counted_delete(block, static_cast<std::size_t>(alignment));
}

namespace {

using namespace tare;

/// The plan's share of zeros of a tensor.
double planned_sparsity(std::string_view label) {
    struct layer_plan {
        double qkv, out, fc0, fc3;
    };
    constexpr std::array<layer_plan, 8> layers{{{0.3375, 0.4425, 0.3, 0.255},
                                                {0.4125, 0.6, 0.375, 0.375},
                                                {0.3375, 0.5325, 0.4125, 0.4725},
                                                {0.4425, 0.5775, 0.4125, 0.5025},
                                                {0.4125, 0.555, 0.4125, 0.4425},
                                                {0.4125, 0.5325, 0.4125, 0.4125},
                                                {0.4425, 0.6, 0.375, 0.375},
                                                {0.3375, 0.4425, 0.255, 0.3}}};
    if (label.starts_with("layers.") && label.ends_with(".weight")) {
        const layer_plan& layer = layers[static_cast<std::size_t>(label[7] - '0')];
        if (label.ends_with(".qkv.weight")) return layer.qkv;
        if (label.ends_with(".out.weight")) return layer.out;
        if (label.ends_with(".fc.0.weight")) return layer.fc0;
        if (label.ends_with(".fc.3.weight")) return layer.fc3;
    }
    constexpr std::array<std::pair<std::string_view, double>, 7> others{
        {{"embed.layers.0.weight", 0.165},
         {"embed.layers.1.weight", 0.3},
         {"embed.layers.2.weight", 0.3375},
         {"embed.projections.0.weight", 0.4425},
         {"loss.layers.1.bias", 0.75},
         {"loss.layers.2.bias", 0.75},
         {"loss.projections.0.weight", 0.3375}}};
    for (const auto& [name, share] : others)
        if (label == name) return share;
    return 0.0;
}

struct pruned_parameters {
    random_parameters<float> random{1};

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        tensor out = random.parameter(label, extents, start).clone();
        const double share = planned_sparsity(label);
        if (share > 0.0)
            prune::apply_mask(prune::magnitude_mask(out.values(), share), out.mutable_values());
        return out;
    }
};

constexpr std::size_t chunk = 4032, few = 64;

const std::vector<token>& words() {
    static const std::vector<token> all = bench::words_of(transformer_xl_config{}, chunk + 1);
    return all;
}

const stored_model& champion() {
    static const stored_model model = [] {
        micronet::compression how;
        how.bits = 9;
        train::quantization_aware<> t(pruned_parameters{}, transformer_xl_config{}, how);
        const std::span<const token> all(words());
        static_cast<void>(t.observe(all.first(384), all.subspan(1, 384)));
        return t.store();
    }();
    return model;
}

/// The pruned floats before quantization: what a dense model runs on.
std::shared_ptr<const transformer_xl<tensor, prepared_weight>> dense_model() {
    pruned_parameters source;
    return std::make_shared<transformer_xl<tensor, prepared_weight>>(source,
                                                                     transformer_xl_config{});
}
std::shared_ptr<const transformer_xl<tensor, packed_weight>> packed_model() {
    return std::make_shared<transformer_xl<tensor, packed_weight>>(make_packed_model(champion()));
}

template <class Model>
void online(const Model& model, transformer_xl_stream& state) {
    tensor hidden;
    for (std::size_t t = 0; t < few; ++t)
        benchmark::DoNotOptimize(micronet::step(model, words()[t], state, nullptr, hidden));
}
template <class Model>
void losses(const Model& model, transformer_xl_state<tensor>& state) {
    const std::span<const token> all(words());
    const tensor hidden = model.hidden(all.first(chunk), 1, state);
    benchmark::DoNotOptimize(model.softmax().log_probability(hidden, all.subspan(1, chunk)));
}

/// Registers kernel/who/size/threads; `make` builds the model, `call` is timed.
template <class State, class Make, class Call>
void add(const char* kernel, const char* who, const char* size, int threads, std::size_t tokens,
         Make make, Call call) {
    benchmark::RegisterBenchmark(
        message(kernel, '/', who, '/', size, '/', threads).c_str(),
        [=](benchmark::State& state) {
            bench::set_all_threads(threads);
            static_cast<void>(champion());
            memory_pool::instance().release();
            const std::size_t before = live_bytes;
            const auto model = make();
            memory_pool::instance().release();
            const std::size_t held = live_bytes - before;
            State memory;
            peak_bytes = live_bytes.load();
            call(*model, memory);
            for (auto _ : state) {
                call(*model, memory);
                benchmark::ClobberMemory();
            }
            constexpr double mega = 1e6;
            state.counters["held_MB"] = static_cast<double>(held) / mega;
            state.counters["call_MB"] = static_cast<double>(peak_bytes - before - held) / mega;
            state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) *
                                    static_cast<std::int64_t>(tokens));
            bench::set_all_threads(1);
        })
        ->UseRealTime();
}

bool register_models() {
    for (const int threads : bench::thread_counts()) {
        const auto step = [](const auto& m, transformer_xl_stream& s) { online(m, s); };
        const auto evaluate = [](const auto& m, transformer_xl_state<tensor>& s) { losses(m, s); };
        using stream = transformer_xl_stream;
        using state = transformer_xl_state<tensor>;
        add<stream>("packed_online", "tare", "champion_64", threads, few, packed_model, step);
        add<stream>("packed_online", "dense", "champion_64", threads, few, dense_model, step);
        add<state>("packed_chunk", "tare", "champion_4032", threads, chunk, packed_model, evaluate);
        add<state>("packed_chunk", "dense", "champion_4032", threads, chunk, dense_model, evaluate);
    }
    return true;
}

const bool registered = register_models();

}  // namespace
