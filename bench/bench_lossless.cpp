// SPDX-License-Identifier: MIT
// Lossless packing against memory copy in the same run. bytes_per_second counts the bytes of the
// unpacked side; copy/... is the ceiling of that run. Names: operation/format/elements/threads.
// 16.8 million elements (64 MB) of normal weights, deviation 0.03, cold: larger than the caches.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/lossless/bdi.hpp>
#include <tare/lossless/bit_mask.hpp>
#include <tare/lossless/bit_pack.hpp>
#include <tare/lossless/entropy.hpp>
#include <tare/lossless/nnw_bdi.hpp>
#include <tare/lossless/nnw_bdi_reference.hpp>

namespace {

constexpr std::size_t elements = std::size_t{1} << 24;

// Codes of normal weights on the 32-bit grid, centred at 0 or at 2^31.
template <class Value>
const std::vector<Value>& weights() {
    static const std::vector<Value> values = [] {
        const tare::random_stream draws(1, 0);
        std::vector<Value> out(elements);
        for (std::size_t i = 0; i < elements; ++i) {
            const double x = 0.03 * draws.normal(i) * 0x1p31;
            out[i] = static_cast<Value>(static_cast<std::int64_t>(x) +
                                        (std::is_signed_v<Value> ? 0 : std::int64_t{1} << 31));
        }
        return out;
    }();
    return values;
}

std::vector<std::uint32_t> narrow(int width) {
    std::vector<std::uint32_t> codes = weights<std::uint32_t>();
    for (std::uint32_t& c : codes)
        c >>= 32 - width;
    return codes;
}

void finish(benchmark::State& state, std::size_t bytes) {
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * state.iterations());
    tare::set_threads(1);
}

void copy(benchmark::State& state) {
    tare::set_threads(static_cast<int>(state.range(0)));
    const auto& from = weights<std::uint32_t>();
    std::vector<std::uint32_t> to(elements);
    for (auto _ : state) {
        tare::parallel_for(elements, 1024, 1, [&](tare::extent b, tare::extent e) {
            std::memcpy(to.data() + b, from.data() + b, static_cast<std::size_t>(e - b) * 4);
        });
        benchmark::ClobberMemory();
    }
    finish(state, elements * 4);
}

void pack(benchmark::State& state) {
    const int width = static_cast<int>(state.range(0));
    tare::set_threads(static_cast<int>(state.range(1)));
    const auto codes = narrow(width);
    std::vector<std::byte> out(tare::packed_bytes(elements, width));
    for (auto _ : state) {
        tare::pack_bits<std::uint32_t>(codes, width, out);
        benchmark::ClobberMemory();
    }
    finish(state, elements * 4);
}

void unpack(benchmark::State& state) {
    const int width = static_cast<int>(state.range(0));
    tare::set_threads(static_cast<int>(state.range(1)));
    auto codes = narrow(width);
    std::vector<std::byte> stream(tare::packed_bytes(elements, width));
    tare::pack_bits<std::uint32_t>(codes, width, stream);
    for (auto _ : state) {
        tare::unpack_bits<std::uint32_t>(stream, width, codes);
        benchmark::ClobberMemory();
    }
    finish(state, elements * 4);
}

void pack_plain(benchmark::State& state) {
    const auto codes = narrow(4);
    std::vector<std::byte> out(tare::packed_bytes(elements, 4));
    for (auto _ : state)
        tare::pack_bits_plain<std::uint32_t>(codes, 4, out);
    finish(state, elements * 4);
}

void mask(benchmark::State& state) {
    tare::set_threads(static_cast<int>(state.range(0)));
    const tare::random_stream draws(2, 0);
    std::vector<float> values(elements);
    for (std::size_t i = 0; i < elements; ++i)
        values[i] = draws.below(i, 10) < 3 ? 1.0F : 0.0F;
    std::vector<float> stored(tare::nonzero_mask<float>(values).count());
    for (auto _ : state) {
        const tare::bit_mask marks = tare::nonzero_mask<float>(values);
        tare::compress<float>(values, marks, stored);
        benchmark::ClobberMemory();
    }
    finish(state, elements * 4);
}

template <class Value>
tare::nnw_bdi_options options(bool one_config) {
    tare::nnw_bdi_options o;
    o.init_shift = 24;
    o.configs = {{1, 8, 1}, {1, 8, 2}, {1, 8, 3}, {1, 8, 4}, {2, 8, 3}, {0, 8, 8}};
    if (one_config) o.configs = {{std::is_signed_v<Value> ? 1 : 0, 8, 8}};
    return o;
}

template <class Value>
void nnw_encode(benchmark::State& state) {
    tare::set_threads(static_cast<int>(state.range(1)));
    const auto o = options<Value>(state.range(0) == 1);
    const auto& values = weights<Value>();
    tare::nnw_bdi_stream stream;
    for (auto _ : state)
        tare::nnw_bdi_encode<Value>(values, o, stream);
    finish(state, elements * 4);
    std::vector<Value> codes = values;
    for (Value& v : codes)
        v = static_cast<Value>(v >> 24);
    const auto bits = stream.cost.total_bits();
    state.counters["bits_per_value"] = static_cast<double>(bits) / elements;
    state.counters["entropy_gap"] = tare::entropy_gap<Value>(codes, bits);
}

template <class Value>
void nnw_decode(benchmark::State& state) {
    tare::set_threads(static_cast<int>(state.range(1)));
    const auto stream =
        tare::nnw_bdi_encode<Value>(weights<Value>(), options<Value>(state.range(0) == 1));
    std::vector<Value> out(elements);
    for (auto _ : state)
        tare::nnw_bdi_decode<Value>(stream.bytes, out);
    finish(state, elements * 4);
}

// The element-wise published algorithm, on a sixteenth of the data.
void nnw_reference(benchmark::State& state) {
    const auto part = std::span(weights<std::uint32_t>()).first(elements / 16);
    const auto o = options<std::uint32_t>(false);
    std::int64_t bits = 0;
    for (auto _ : state)
        benchmark::DoNotOptimize(bits = tare::reference_size<std::uint32_t>(part, o));
    state.counters["bits_per_value"] = static_cast<double>(bits) / static_cast<double>(part.size());
    finish(state, part.size_bytes());
}

void classic(benchmark::State& state) {
    const auto codes = narrow(8);
    const auto part = std::as_bytes(std::span(codes).first(elements / 16));
    for (auto _ : state)
        benchmark::DoNotOptimize(tare::bdi_encode(part));
    finish(state, part.size());
}

const std::vector<std::int64_t> thread_counts{1, 4};

}  // namespace

BENCHMARK(copy)->ArgsProduct({thread_counts})->ArgName("threads")->UseRealTime();
BENCHMARK(pack)
    ->ArgsProduct({{1, 3, 4, 6, 8, 11, 16, 24}, thread_counts})
    ->ArgNames({"width", "threads"})
    ->UseRealTime();
BENCHMARK(unpack)
    ->ArgsProduct({{1, 3, 4, 6, 8, 11, 16, 24}, thread_counts})
    ->ArgNames({"width", "threads"})
    ->UseRealTime();
BENCHMARK(pack_plain);
BENCHMARK(mask)->ArgsProduct({thread_counts})->ArgName("threads")->UseRealTime();
BENCHMARK(nnw_encode<std::uint32_t>)
    ->ArgsProduct({{1, 6}, thread_counts})
    ->ArgNames({"configs", "threads"})
    ->UseRealTime();
BENCHMARK(nnw_encode<std::int32_t>)
    ->ArgsProduct({{1, 6}, thread_counts})
    ->ArgNames({"configs", "threads"})
    ->UseRealTime();
BENCHMARK(nnw_decode<std::uint32_t>)
    ->ArgsProduct({{1, 6}, thread_counts})
    ->ArgNames({"configs", "threads"})
    ->UseRealTime();
BENCHMARK(nnw_decode<std::int32_t>)
    ->ArgsProduct({{1, 6}, thread_counts})
    ->ArgNames({"configs", "threads"})
    ->UseRealTime();
BENCHMARK(nnw_reference);
BENCHMARK(classic);
