// SPDX-License-Identifier: MIT
// Lossless packing beside a copy in the same run. Bytes are those of the unpacked side, items its
// elements. 16.8 million elements (64 MB) of normal weights, deviation 0.03, cold: larger than the
// caches.
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <tare/core/random.hpp>
#include <tare/lossless/bdi.hpp>
#include <tare/lossless/bit_mask.hpp>
#include <tare/lossless/bit_pack.hpp>
#include <tare/lossless/entropy.hpp>
#include <tare/lossless/nnw_bdi.hpp>
#include <tare/lossless/nnw_bdi_reference.hpp>

#include "peak.hpp"

namespace {

constexpr std::size_t elements = std::size_t{1} << 24;

using bench::pooled;

// Codes of normal weights on the 32-bit grid, centred at 0 or at 2^31.
template <class Value>
const pooled<Value>& weights() {
    static const pooled<Value> values = [] {
        const tare::random_stream draws(1, 0);
        pooled<Value> out(elements);
        for (std::size_t i = 0; i < elements; ++i) {
            const double x = 0.03 * draws.normal(i) * 0x1p31;
            out[i] = static_cast<Value>(static_cast<std::int64_t>(x) +
                                        (std::is_signed_v<Value> ? 0 : std::int64_t{1} << 31));
        }
        return out;
    }();
    return values;
}

pooled<std::uint32_t> narrow(int width) {
    pooled<std::uint32_t> codes = weights<std::uint32_t>();
    for (std::uint32_t& c : codes)
        c >>= 32 - width;
    return codes;
}

void finish(benchmark::State& state, std::size_t bytes) {
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * state.iterations());
    state.SetItemsProcessed(static_cast<std::int64_t>(bytes / 4) * state.iterations());
    tare::set_threads(1);
}

void copy(benchmark::State& state) {
    static const pooled<float> from(elements, 1.0F);
    static pooled<float> to(elements);
    for (auto _ : state) {
        bench::copy_peak(from.data(), to.data(), static_cast<tare::extent>(elements));
        benchmark::ClobberMemory();
    }
    finish(state, elements * 4);
}

void pack(benchmark::State& state, int width) {
    const auto codes = narrow(width);
    pooled<std::byte> out(tare::packed_bytes(elements, width));
    for (auto _ : state) {
        tare::pack_bits<std::uint32_t>(codes, width, out);
        benchmark::ClobberMemory();
    }
    finish(state, elements * 4);
}

void unpack(benchmark::State& state, int width) {
    auto codes = narrow(width);
    pooled<std::byte> stream(tare::packed_bytes(elements, width));
    tare::pack_bits<std::uint32_t>(codes, width, stream);
    for (auto _ : state) {
        tare::unpack_bits<std::uint32_t>(stream, width, codes);
        benchmark::ClobberMemory();
    }
    finish(state, elements * 4);
}

void pack_plain(benchmark::State& state) {
    const auto codes = narrow(4);
    pooled<std::byte> out(tare::packed_bytes(elements, 4));
    for (auto _ : state)
        tare::pack_bits_plain<std::uint32_t>(codes, 4, out);
    finish(state, elements * 4);
}

void mask(benchmark::State& state) {
    const tare::random_stream draws(2, 0);
    pooled<float> values(elements);
    for (std::size_t i = 0; i < elements; ++i)
        values[i] = draws.below(i, 10) < 3 ? 1.0F : 0.0F;
    pooled<float> stored(tare::nonzero_mask<float>(values).count());
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
void nnw_encode(benchmark::State& state, bool one_config) {
    const auto o = options<Value>(one_config);
    const auto& values = weights<Value>();
    tare::nnw_bdi_stream stream;
    tare::nnw_bdi_encode<Value>(values, o, stream);  // its memory is mapped from then on
    for (auto _ : state)
        tare::nnw_bdi_encode<Value>(values, o, stream);
    finish(state, elements * 4);
    pooled<Value> codes = values;
    for (Value& v : codes)
        v = static_cast<Value>(v >> 24);
    const auto bits = stream.cost.total_bits();
    // A label: the reporter of tables wants the same counters of every bench.
    state.SetLabel(tare::message(static_cast<double>(bits) / elements,
                                 " bits a value; entropy gap ",
                                 tare::entropy_gap<Value>(codes, bits)));
}

template <class Value>
void nnw_decode(benchmark::State& state, bool one_config) {
    const auto stream = tare::nnw_bdi_encode<Value>(weights<Value>(), options<Value>(one_config));
    pooled<Value> out(elements);
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
    state.SetLabel(tare::message(static_cast<double>(bits) / static_cast<double>(part.size()),
                                 " bits a value"));
    finish(state, part.size_bytes());
}

void classic(benchmark::State& state) {
    const auto codes = narrow(8);
    const auto part = std::as_bytes(std::span(codes).first(elements / 16));
    for (auto _ : state)
        benchmark::DoNotOptimize(tare::bdi_encode(part));
    finish(state, part.size());
}

/// Registers kernel/tare/size/threads, and a copy beside it.
template <class Run>
void add(const std::string& kernel, const std::string& size, Run run) {
    for (const int threads : bench::thread_counts()) {
        const auto one = [&](const char* who, auto body) {
            const std::string name = tare::message(kernel, '/', who, '/', size, '/', threads);
            benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
                bench::set_all_threads(threads);
                body(state);
            })->UseRealTime();
        };
        one("tare", run);
        one("copy_peak", copy);
    }
}

template <class Value>
void add_nnw(const std::string& type) {
    for (const bool one : {true, false}) {
        const std::string size = type + (one ? "_1" : "_6");
        add("nnw_encode", size, [=](benchmark::State& s) { nnw_encode<Value>(s, one); });
        add("nnw_decode", size, [=](benchmark::State& s) { nnw_decode<Value>(s, one); });
    }
}

const bool registered = [] {
    for (const int width : {1, 3, 4, 6, 8, 11, 16, 24}) {
        const std::string size = tare::message(width, "_bits");
        add("pack", size, [=](benchmark::State& s) { pack(s, width); });
        add("unpack", size, [=](benchmark::State& s) { unpack(s, width); });
    }
    add("mask", "30_of_100", mask);
    add_nnw<std::uint32_t>("uint32");  // with one configuration, with six
    add_nnw<std::int32_t>("int32");
    benchmark::RegisterBenchmark("pack/plain/4_bits/1", pack_plain);
    benchmark::RegisterBenchmark("nnw_reference_size/tare/uint32_6_sixteenth/1", nnw_reference);
    benchmark::RegisterBenchmark("classic_encode/tare/8_bits_sixteenth/1", classic);
    return true;
}();

}  // namespace
