// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/lossless/nnw_bdi.hpp>
#include <tare/lossless/nnw_bdi_reference.hpp>

#include "golden.hpp"

namespace {

using tare::nnw_bdi_config;
using tare::nnw_bdi_options;

// Values of normal weights as codes of `bits` bits around the middle, some of them zero.
template <class Value>
std::vector<Value> weights(std::size_t count, int bits, double deviation, std::uint64_t seed) {
    const tare::random_stream draws(seed, 1);
    const double half = std::ldexp(1.0, bits - 1);
    std::vector<Value> out(count);
    for (std::size_t i = 0; i < count; ++i) {
        const double x = std::clamp(deviation * draws.normal(i), -1.0, 0.999) * half;
        const bool zero = draws.below(8 * count + i, 5) == 0;
        const double shifted = std::is_signed_v<Value> ? x : x + half;
        out[i] = zero ? Value{0} : static_cast<Value>(static_cast<std::int64_t>(shifted));
    }
    return out;
}

template <class Value>
std::vector<Value> decoded(std::span<const std::byte> stream) {
    std::vector<Value> out(tare::nnw_bdi_count<Value>(stream));
    tare::nnw_bdi_decode<Value>(stream, out);
    return out;
}

nnw_bdi_options with(std::vector<nnw_bdi_config> configs, std::vector<std::int64_t> immediates) {
    nnw_bdi_options o;
    o.configs = std::move(configs);
    o.immediates = std::move(immediates);
    return o;
}

// The size of a stream from its definition: each configuration is tried alone by the element-wise
// reference and its chunks are priced field by field.
template <class Value>
std::int64_t priced(const std::vector<Value>& values, const nnw_bdi_options& options) {
    const auto width = [](std::size_t n) { return static_cast<std::int64_t>(std::bit_width(n)); };
    const std::size_t configs = options.configs.size();
    std::int64_t group_bits = 0, bits = 0;
    const std::size_t per_group = 16384 / options.chunk;
    std::size_t index = 0;
    for (std::size_t at = 0; at < values.size(); at += options.chunk, ++index) {
        if (index % per_group == 0) {
            bits += (group_bits + 7) / 8 * 8 + 32;
            group_bits = 0;
        }
        const std::size_t n = std::min(options.chunk, values.size() - at);
        const std::span<const Value> chunk(values.data() + at, n);
        std::int64_t stored = 0;
        for (const Value v : chunk)
            stored +=
                !options.zero_compression || (v >> options.init_shift >> options.delta_shift) != 0;
        const std::int64_t common =
            width(configs) + (options.zero_compression ? static_cast<std::int64_t>(n) : 0);
        std::int64_t best = common + stored * (32 - options.init_shift);
        for (const nnw_bdi_config& c : options.configs) {
            nnw_bdi_options alone = options;
            alone.configs = {c};
            tare::sequential_draws draws(0);
            std::vector<tare::nnw_bdi_chunk<Value>> one;
            try {
                one = tare::nnw_bdi_reference<Value>(
                    chunk, alone, draws, {.reversed_rounding = false, .shifted_base_delta = false});
            } catch (const tare::error&) {
                continue;  // an element is left over
            }
            std::vector<Value> bases;
            for (const auto& e : one[0].elements)
                if (!e.zero && std::ranges::find(bases, e.base) == bases.end())
                    bases.push_back(e.base);
            const std::size_t sources = bases.size();
            const std::int64_t selector = sources <= 1 ? 0 : width(sources - 1);
            best = std::min(best, common + static_cast<std::int64_t>(options.immediates.size()) +
                                      width(static_cast<std::size_t>(c.bases)) +
                                      static_cast<std::int64_t>(one[0].bases.size()) * c.base_bits +
                                      stored * (selector + c.delta_bits));
        }
        group_bits += best;
    }
    bits += (group_bits + 7) / 8 * 8;
    return bits + 8 * (16 + 4 * static_cast<std::int64_t>(options.immediates.size()) +
                       3 * static_cast<std::int64_t>(configs));
}

template <class Value>
void check_exact(const std::vector<Value>& values, const nnw_bdi_options& options) {
    const tare::nnw_bdi_stream stream = tare::nnw_bdi_encode<Value>(values, options);
    REQUIRE(stream.cost.total_bits() == 8 * static_cast<std::int64_t>(stream.bytes.size()));
    REQUIRE(tare::nnw_bdi_count<Value>(stream.bytes) == values.size());
    const auto back = decoded<Value>(stream.bytes);
    for (std::size_t i = 0; i < values.size(); ++i)
        REQUIRE(back[i] ==
                static_cast<Value>(static_cast<std::uint32_t>(values[i] >> options.init_shift)
                                   << options.init_shift));
}

const std::vector<nnw_bdi_config> byte_configs{{0, 8, 3}, {1, 8, 3}, {1, 8, 4},
                                               {2, 8, 4}, {0, 8, 6}, {0, 8, 8}};

}  // namespace

TEST_CASE("every length decodes to what was encoded, in the declared bits") {
    for (const std::size_t chunk : {1UL, 7UL, 32UL, 63UL, 64UL, 65UL, 128UL, 200UL, 4096UL}) {
        for (const std::size_t count : {0UL, 1UL, 2UL, 63UL, 64UL, 65UL, 127UL, 509UL, 1000UL}) {
            nnw_bdi_options o = with(byte_configs, {0});
            o.chunk = chunk;
            check_exact(weights<std::int32_t>(count, 8, 0.1, count), o);
            check_exact(weights<std::uint32_t>(count, 8, 0.1, count), o);
            o.zero_compression = false;
            check_exact(weights<std::int32_t>(count, 8, 0.1, count), o);
            o.immediates = {120, 0, 130};
            check_exact(weights<std::uint32_t>(count, 8, 0.1, count), o);
        }
    }
}

TEST_CASE("values of any size decode exactly, whatever the configurations") {
    const std::vector<nnw_bdi_config> wide{{1, 32, 8},  {3, 16, 12}, {1, 32, 16},
                                           {2, 32, 24}, {0, 32, 31}, {4, 20, 10}};
    for (const int bits : {4, 8, 9, 12, 16, 24, 32}) {
        for (const double deviation : {0.01, 0.3, 3.0}) {
            check_exact(weights<std::int32_t>(700, bits, deviation, 3), with(wide, {0, -5}));
            check_exact(weights<std::uint32_t>(700, bits, deviation, 4), with(wide, {0, 7}));
            check_exact(weights<std::int32_t>(700, bits, deviation, 5), with({}, {}));
            check_exact(weights<std::int32_t>(700, bits, deviation, 6),
                        with(tare::nnw_bdi_configs(bits), {0}));
        }
    }
}

TEST_CASE("the extremes of the type decode exactly") {
    const std::int32_t low = std::numeric_limits<std::int32_t>::min();
    const std::int32_t high = std::numeric_limits<std::int32_t>::max();
    std::vector<std::int32_t> ends{low, high, low + 1, high - 1, 0, -1, 1, low, high};
    const std::vector<nnw_bdi_config> all{{2, 32, 4}, {1, 32, 31}, {0, 32, 32}, {3, 0, 0}};
    for (std::size_t n = 0; n <= ends.size(); ++n) {
        const std::vector<std::int32_t> part(ends.begin(),
                                             ends.begin() + static_cast<std::ptrdiff_t>(n));
        check_exact(part, with(all, {low, high}));
        check_exact(part, with(all, {0}));
        const std::vector<std::uint32_t> twin(part.begin(), part.end());
        check_exact(twin, with(all, {0, 0xFFFFFFFF}));
    }
}

TEST_CASE("the stream has the size that the element-wise reference predicts") {
    for (const std::size_t chunk : {16UL, 64UL, 100UL}) {
        for (const double deviation : {0.02, 0.05, 0.2}) {
            nnw_bdi_options o = with(byte_configs, {0});
            o.chunk = chunk;
            const auto check = [&](const auto& values) {
                using value = typename std::decay_t<decltype(values)>::value_type;
                const auto stream = tare::nnw_bdi_encode<value>(values, o);
                CHECK(8 * static_cast<std::int64_t>(stream.bytes.size()) == priced(values, o));
            };
            check(weights<std::int32_t>(3000, 8, deviation, 11));
            check(weights<std::uint32_t>(3000, 8, deviation, 12));
            check(weights<std::int32_t>(3000, 12, deviation, 13));
            o.zero_compression = false;
            check(weights<std::int32_t>(3000, 8, deviation, 14));
            o.immediates = {};
            check(weights<std::uint32_t>(3000, 8, deviation, 15));
            o.immediates = {3, -9};
            check(weights<std::int32_t>(3000, 8, deviation, 16));
            o.base_shift = 2;
            o.delta_shift = 2;
            check(weights<std::int32_t>(3000, 8, deviation, 17));
        }
    }
}

TEST_CASE("chunks that wander, leave zeros far away or fit no base have the predicted size") {
    const tare::random_stream draws(81, 0);
    // Bases of 8 bits fit some values only; deltas of 9 bits need more than a byte; 4 immediates
    // and 3 bases are as many sources as the fast path takes.
    const std::vector<nnw_bdi_config> few{{1, 8, 3}, {3, 14, 4}, {2, 14, 6}, {0, 14, 9}, {2, 9, 8}};
    const auto check = [&](auto zero, std::int64_t centre, std::uint32_t spread, int step) {
        using value = decltype(zero);
        std::vector<value> values(64 * 40 + 17);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const auto away = static_cast<std::int64_t>(i / 64) * step + draws.below(i, spread);
            const bool gone = draws.below(i + values.size(), 6) == 0;
            values[i] = gone ? value{0} : static_cast<value>(centre + away);
        }
        for (const bool zeros : {true, false}) {
            nnw_bdi_options o = with(few, {0, 120, 140, 1000});
            o.zero_compression = zeros;
            const auto stream = tare::nnw_bdi_encode<value>(values, o);
            CHECK(8 * static_cast<std::int64_t>(stream.bytes.size()) == priced(values, o));
            check_exact(values, o);
        }
    };
    for (const int step : {0, 3, 100}) {
        for (const std::uint32_t spread : {5U, 40U, 256U, 257U}) {
            check(std::uint32_t{0}, 0, spread, step);
            check(std::uint32_t{0}, 1000, spread, step);
            check(std::uint32_t{0}, std::int64_t{0xFFFFFFFF} - 40 * step - 257, spread, step);
            check(std::int32_t{0}, -120, spread, step);
            check(std::int32_t{0}, -60'000, spread, step);
            check(std::int32_t{0}, std::numeric_limits<std::int32_t>::min(), spread, step);
            check(std::int32_t{0}, std::numeric_limits<std::int32_t>::max() - 40 * step - 257,
                  spread, step);
        }
    }
}

TEST_CASE("what may be a base is asked for each chunk where the values wander") {
    // Bases of 8 bits fit the chunks near 60 and none of those near 500. Eight chunks are planned
    // together: with one of those among them, after them, and without.
    const tare::random_stream draws(82, 0);
    for (std::uint32_t far = 0; far < 24; ++far) {
        std::vector<std::uint32_t> values(64 * 24);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = (i / 64 == far ? 500 : 60) + draws.below(far * values.size() + i, 8);
        const nnw_bdi_options o = with({{1, 8, 3}, {0, 8, 8}}, {0});
        const auto stream = tare::nnw_bdi_encode<std::uint32_t>(values, o);
        CHECK(8 * static_cast<std::int64_t>(stream.bytes.size()) == priced(values, o));
        check_exact(values, o);
    }
}

TEST_CASE("configurations are ruled out for eight chunks only where none of them fits") {
    // Chunks of two clusters, of one cluster and of zeros beside one, and every eighth chunk
    // another one of these: least and greatest tell for the first that no base reaches both, not
    // for the others, whose zeros are not stored.
    const tare::random_stream draws(84, 0);
    const auto check = [&](auto zero, std::int64_t centre, std::int64_t apart, std::size_t odd) {
        using value = decltype(zero);
        std::vector<value> values(64 * 48);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const std::size_t kind = (i / 64 % 8 == odd ? 1 + i / 512 : i / 512) % 3;
            const bool other = draws.below(i, 4) == 0;
            const std::int64_t cluster = centre + (kind == 0 && other ? apart : 0);
            const auto near = static_cast<value>(cluster + draws.below(i + values.size(), 4));
            values[i] = kind == 2 && other ? value{0} : near;
        }
        for (const std::int64_t immediate : {std::int64_t{0}, centre, std::int64_t{3000}}) {
            for (const bool zeros : {true, false}) {
                nnw_bdi_options o =
                    with({{1, 14, 3}, {1, 14, 5}, {2, 14, 4}, {0, 14, 8}}, {immediate});
                o.zero_compression = zeros;
                const auto stream = tare::nnw_bdi_encode<value>(values, o);
                CHECK(8 * static_cast<std::int64_t>(stream.bytes.size()) == priced(values, o));
                check_exact(values, o);
            }
        }
    };
    for (const std::size_t odd : {0UL, 5UL, 8UL}) {
        for (const std::int64_t apart : {6, 12, 40, 90}) {
            check(std::uint32_t{0}, 20, apart, odd);
            check(std::uint32_t{0}, 1000, apart, odd);
            check(std::int32_t{0}, 20, apart, odd);
            check(std::int32_t{0}, -20 - apart, apart, odd);
        }
    }
}

TEST_CASE("raw chunks of bytes and shifted deltas alone have the predicted size") {
    // Values over all of a byte: no configuration reaches them, some after zeros, some not.
    const tare::random_stream draws(83, 0);
    std::vector<std::int32_t> values(64 * 30 + 5);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint32_t spread = i / 64 % 3 == 0 ? 256 : 9;
        values[i] = static_cast<std::int32_t>((draws.below(i, spread) + 100) << 24);
    }
    nnw_bdi_options o = with({{1, 8, 4}, {2, 8, 5}}, {100, 0});
    o.init_shift = 24;
    const auto stream = tare::nnw_bdi_encode<std::int32_t>(values, o);
    CHECK(8 * static_cast<std::int64_t>(stream.bytes.size()) == priced(values, o));
    check_exact(values, o);

    nnw_bdi_options shifted = with(byte_configs, {0});
    shifted.delta_shift = 2;
    const auto small = weights<std::int32_t>(3000, 8, 0.2, 18);
    const auto lossy = tare::nnw_bdi_encode<std::int32_t>(small, shifted);
    CHECK(8 * static_cast<std::int64_t>(lossy.bytes.size()) == priced(small, shifted));
    const auto back = decoded<std::int32_t>(lossy.bytes);
    for (std::size_t i = 0; i < small.size(); ++i)
        REQUIRE(small[i] - back[i] < 4);
}

TEST_CASE("the golden inputs decode exactly") {
    for (const char* name : {"u8", "u32", "near_zero", "increasing"}) {
        std::vector<std::uint32_t> values;
        for (const std::int64_t v :
             tare::testing::values<std::int64_t>(tare::testing::golden("smaq/bdi_rust.npz"), name))
            values.push_back(static_cast<std::uint32_t>(v));
        check_exact(values, with(byte_configs, {0, 110}));
    }
    for (const char* name : {"s8", "s16", "increasing_signed"}) {
        std::vector<std::int32_t> values;
        for (const std::int64_t v : tare::testing::values<std::int64_t>(
                 tare::testing::golden("smaq/bdi_rust_i32.npz"), name))
            values.push_back(static_cast<std::int32_t>(v));
        check_exact(values, with({{1, 16, 8}, {2, 16, 10}, {0, 8, 4}}, {0}));
    }
}

TEST_CASE("shifted deltas come back within one step, rounded down or at random") {
    nnw_bdi_options o = with({{1, 32, 6}, {2, 32, 10}, {0, 32, 28}}, {0});
    o.delta_shift = 4;
    o.init_shift = 2;
    o.base_shift = 1;
    const auto values = weights<std::int32_t>(5000, 14, 0.2, 21);
    constexpr std::int32_t step = 1 << (4 + 2);
    const auto floor = decoded<std::int32_t>(tare::nnw_bdi_encode<std::int32_t>(values, o).bytes);
    o.stochastic_rounding = true;
    const auto stochastic =
        decoded<std::int32_t>(tare::nnw_bdi_encode<std::int32_t>(values, o).bytes);
    double bias = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        REQUIRE(floor[i] <= values[i]);
        REQUIRE(values[i] - floor[i] < step);
        REQUIRE((stochastic[i] == floor[i] || stochastic[i] == floor[i] + step));
        // The first shift is not rounded at random: measure the rest against its floor.
        bias += static_cast<double>(stochastic[i] - (values[i] & ~3)) / step;
    }
    // An error has variance at most 1/4, and one value in five is a zero that may be off by up to
    // one step without rounding: those are exact here. Six deviations of the mean of 5000.
    constexpr double six_sigma = 6 * 0.5 / 70.7;
    CHECK(std::abs(bias / static_cast<double>(values.size())) < six_sigma);

    // Values at the bottom and the top of the type may not be rounded out of it.
    std::vector<std::int32_t> ends(64, std::numeric_limits<std::int32_t>::min() + 9);
    std::ranges::fill(std::span(ends).last(32), std::numeric_limits<std::int32_t>::max() - 1);
    for (const bool rounding : {false, true}) {
        nnw_bdi_options edge = with({{2, 32, 8}}, {});
        edge.delta_shift = 4;
        edge.stochastic_rounding = rounding;
        for (std::size_t i = 1;
             const auto& part : {std::span(ends).first(32), std::span(ends).last(32)}) {
            const auto back = decoded<std::int32_t>(
                tare::nnw_bdi_encode<std::int32_t>(std::span<const std::int32_t>(part), edge)
                    .bytes);
            CHECK(std::abs(static_cast<double>(back[i]) - part[i]) < 16);
        }
    }
}

TEST_CASE("random bases are reproducible and decode exactly") {
    nnw_bdi_options o = with({{2, 16, 4}, {3, 16, 6}}, {});
    o.random_bases = true;
    o.seed = 77;
    const auto values = weights<std::int32_t>(2000, 8, 0.2, 31);
    check_exact(values, o);
    const auto first = tare::nnw_bdi_encode<std::int32_t>(values, o).bytes;
    CHECK(tare::nnw_bdi_encode<std::int32_t>(values, o).bytes == first);
    o.seed = 78;
    CHECK(tare::nnw_bdi_encode<std::int32_t>(values, o).bytes != first);
}

TEST_CASE("the bytes do not depend on the number of threads") {
    nnw_bdi_options o = with(byte_configs, {0});
    o.random_bases = o.stochastic_rounding = true;
    o.delta_shift = 1;
    const auto values = weights<std::int32_t>(150'001, 8, 0.1, 41);
    const auto one = tare::nnw_bdi_encode<std::int32_t>(values, o);
    const auto back = decoded<std::int32_t>(one.bytes);
    for (const int threads : {2, 3, 4, 16}) {  // 16: more than there are groups
        tare::set_threads(threads);
        const auto several = tare::nnw_bdi_encode<std::int32_t>(values, o);
        CHECK(several.bytes == one.bytes);
        CHECK(several.cost == one.cost);
        CHECK(decoded<std::int32_t>(one.bytes) == back);
    }
    tare::set_threads(1);
}

TEST_CASE("the bytes do not depend on compiler, instruction set or build") {
    // Integers only, so that no rounding of a mathematical function enters.
    const tare::random_stream draws(101, 0);
    std::vector<std::int32_t> values(3001);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const auto spread = static_cast<std::uint32_t>(1 + i / 64);
        values[i] = static_cast<std::int32_t>(draws.below(2 * i, spread)) -
                    static_cast<std::int32_t>(draws.below(2 * i + 1, spread));
    }
    nnw_bdi_options o = with({{0, 8, 3}, {1, 8, 3}, {2, 8, 4}, {1, 8, 5}}, {0, 3});
    std::uint64_t hash = 14695981039346656037U;  // FNV-1a
    for (const bool random : {false, true}) {
        o.random_bases = o.stochastic_rounding = random;
        o.delta_shift = random ? 2 : 0;
        for (const std::byte b : tare::nnw_bdi_encode<std::int32_t>(values, o).bytes)
            hash = (hash ^ std::to_integer<std::uint64_t>(b)) * 1099511628211U;
    }
    CHECK(hash == 11875057069071247519U);
}

TEST_CASE("bytes and costs of random options are the same whichever path chunks take") {
    // Chunks of bytes are encoded side by side where the instruction set allows it and one by one
    // elsewhere; this hash is the same in both kinds of builds.
    const tare::random_stream draws(103, 0);
    std::uint64_t at = 0;
    const auto below = [&](std::uint32_t n) { return draws.below(at++, n); };
    std::uint64_t hash = 14695981039346656037U;  // FNV-1a
    const auto mix = [&](std::uint64_t word) { hash = (hash ^ word) * 1099511628211U; };
    const auto encode = [&](auto zero) {
        using value = decltype(zero);
        nnw_bdi_options o;
        o.chunk = below(3) != 0 ? 64 : 1 + below(100);
        o.init_shift = below(3) != 0 ? 24 : static_cast<int>(below(32));
        o.zero_compression = below(4) != 0;
        o.immediates.clear();
        for (std::uint32_t i = below(4); i > 0; --i)
            o.immediates.push_back(below(2) != 0 ? 0 : below(300));
        for (std::uint32_t i = below(9); i > 0; --i) {
            const auto bases = static_cast<int>(below(4));
            const auto base_bits = static_cast<int>(below(3) != 0 ? 8 : below(33));
            o.configs.push_back(
                {bases, base_bits, static_cast<int>(below(4) != 0 ? below(9) : below(33))});
        }
        std::vector<value> values(1 + below(64 * 20));
        const std::uint32_t spread = 1U << below(12);
        const std::uint32_t centre = below(2) != 0 ? 0 : below(1000);
        std::uint32_t drift = 0;
        for (value& v : values) {
            if (below(150) == 0) drift = below(2000);
            // The sum of two draws is near its middle most of the time.
            const std::uint32_t code = below(spread) + below(spread) - spread + centre + drift;
            v = static_cast<value>((below(10) == 0 ? 0 : code) << o.init_shift);
        }
        const auto stream = tare::nnw_bdi_encode<value>(values, o);
        for (const std::byte b : stream.bytes)
            mix(std::to_integer<std::uint64_t>(b));
        mix(static_cast<std::uint64_t>(stream.cost.value_bits));
        mix(static_cast<std::uint64_t>(stream.cost.mask_bits));
        mix(static_cast<std::uint64_t>(stream.cost.scale_bits));
    };
    for (int round = 0; round < 400; ++round) {
        encode(std::uint32_t{0});
        encode(std::int32_t{0});
    }
    CHECK(hash == 5272629164926054685U);
}

TEST_CASE("a reused stream and misaligned values give the same bytes") {
    const nnw_bdi_options o = with(byte_configs, {0});
    const auto values = weights<std::int32_t>(1001, 8, 0.1, 51);
    tare::nnw_bdi_stream stream = tare::nnw_bdi_encode<std::int32_t>(values, o);
    const auto whole = tare::nnw_bdi_encode<std::int32_t>(std::span(values).subspan(1), o);
    tare::nnw_bdi_encode(std::span<const std::int32_t>(values).subspan(1), o, stream);
    CHECK(stream.bytes == whole.bytes);
    CHECK(stream.cost == whole.cost);
}

TEST_CASE("every truncation and every flipped bit is an error or other values, never a crash") {
    nnw_bdi_options o = with({{0, 8, 3}, {2, 8, 3}, {1, 8, 5}}, {0, 9});
    o.chunk = 32;
    const auto values = weights<std::int32_t>(100, 8, 0.1, 61);
    const auto stream = tare::nnw_bdi_encode<std::int32_t>(values, o).bytes;
    for (std::size_t length = 0; length < stream.size(); ++length) {
        const std::span<const std::byte> part(stream.data(), length);
        std::vector<std::int32_t> out(values.size());
        std::string what;
        try {
            tare::nnw_bdi_decode<std::int32_t>(part, out);
        } catch (const tare::error& e) {
            what = e.what();
        }
        REQUIRE(what.find("byte") != std::string::npos);
    }
    std::size_t refused = 0;
    for (std::size_t bit = 0; bit < 8 * stream.size(); ++bit) {
        auto damaged = stream;
        damaged[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
        try {
            const std::size_t count = decoded<std::int32_t>(damaged).size();
            CHECK(count <= 8 * damaged.size());
        } catch (const tare::error& e) {
            ++refused;
            REQUIRE(std::string(e.what()).find("byte") != std::string::npos);
        }
    }
    CHECK(refused > 0);
    auto longer = stream;
    longer.push_back(std::byte{0});
    CHECK_THROWS_AS((void)decoded<std::int32_t>(longer), tare::error);
    CHECK_THROWS_AS((void)decoded<std::uint32_t>(stream), tare::error);
    std::vector<std::int32_t> small(values.size() - 1);
    CHECK_THROWS_AS(tare::nnw_bdi_decode<std::int32_t>(stream, small), tare::error);
}

TEST_CASE("weight configurations reach every code of their width") {
    for (int bits = 1; bits <= 32; ++bits) {
        const auto configs = tare::nnw_bdi_configs(bits);
        CHECK(configs.back() == nnw_bdi_config{0, bits, bits});
        CHECK(configs.size() <= 10);
    }
    CHECK_THROWS_AS((void)tare::nnw_bdi_configs(33), tare::error);
}
