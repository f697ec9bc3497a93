// Conversions of a 64 MiB tensor beside a copy of the same tensor: round_trip, encode and decode.
// Bytes are those of float32 (input of encode and round trip, output of decode).
#include <span>

#include <tare/formats/builtin.hpp>
#include <tare/formats/convert.hpp>
#include <tare/formats/historical.hpp>

#include "peak.hpp"

#ifdef TARE_BENCH_PEERS
#include <dnnl.hpp>
#endif

namespace {

constexpr tare::extent elements = tare::extent{16} << 20;

struct buffers {
    bench::pooled<float> x = bench::values<bench::pooled<float>>(elements, 1, -3, 3);
    bench::pooled<float> y = bench::pooled<float>(x.size());
    bench::pooled<std::uint32_t> codes = bench::pooled<std::uint32_t>(x.size());
};

buffers& shared() {
    static buffers b;
    return b;
}

/// Registers run(buffers) for a format, and a copy beside it.
template <class Run>
void add(const std::string& kernel, std::string_view format, Run run) {
    constexpr double count = elements;
    for (const int threads : bench::thread_counts()) {
        const auto one = [&](const std::string& who, auto body) {
            bench::add(kernel, who, std::string(format), threads, count, 4 * count,
                       [=] { return [=] { body(shared()); }; });
        };
        one("tare", run);
        one("copy_peak", [](buffers& b) { bench::copy_peak(b.x.data(), b.y.data(), elements); });
    }
}

template <class F>
void add_format() {
    using code_type = typename F::code_type;
    const auto codes = [](buffers& b) {
        return std::span(reinterpret_cast<code_type*>(b.codes.data()), b.x.size());
    };
    add("round_trip", F::name, [](buffers& b) { tare::round_trip<F>(b.x, b.y); });
    add("encode", F::name, [codes](buffers& b) { tare::encode<F>(b.x, codes(b)); });
    // Whatever the codes are: the work does not depend on them.
    add("decode", F::name, [codes](buffers& b) { tare::decode<F>(codes(b), b.y); });
}

template <class F>
void add_stochastic() {
    const tare::random_stream draws(3, 1);
    add("round_trip", F::name, [draws](buffers& b) { tare::round_trip<F>(b.x, b.y, draws); });
}

#ifdef TARE_BENCH_PEERS
/// oneDNN's reorder between float32 and bfloat16 beside ours.
void add_onednn(const std::string& kernel, bool encode) {
    using dnnl::memory;
    constexpr double count = elements;
    for (const int threads : bench::thread_counts())
        bench::add(kernel, "onednn", "bf16", threads, count, 4 * count, [=] {
            const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
            const memory::desc wide({elements}, memory::data_type::f32, memory::format_tag::a);
            const memory::desc narrow({elements}, memory::data_type::bf16, memory::format_tag::a);
            buffers& b = shared();
            const memory codes(narrow, engine, b.codes.data());
            const memory from = encode ? memory(wide, engine, b.x.data()) : codes;
            const memory to = encode ? codes : memory(wide, engine, b.y.data());
            return [=, stream = dnnl::stream(engine), reorder = dnnl::reorder(from, to)]() mutable {
                reorder.execute(stream, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
                stream.wait();
            };
        });
}
#endif

const bool registered = [] {
    tare::formats::for_each_format<tare::formats::builtin>([]<class F>() { add_format<F>(); });
#ifdef TARE_BENCH_PEERS
    add_onednn("encode", true);
    add_onednn("decode", false);
#endif
    add_stochastic<tare::fp16::with_rounding<tare::stochastic>>();
    add_stochastic<tare::bf16::with_rounding<tare::stochastic>>();
    add_stochastic<tare::fp8_e4m3::with_rounding<tare::stochastic>>();
    add_stochastic<tare::fp8_e5m2::with_rounding<tare::stochastic>>();
    add_stochastic<tare::fp4_e2m1::with_rounding<tare::stochastic>>();
    add_stochastic<tare::int_n<8>::with_rounding<tare::stochastic>>();
    add_stochastic<tare::historical::fp8>();
    return true;
}();

}  // namespace
