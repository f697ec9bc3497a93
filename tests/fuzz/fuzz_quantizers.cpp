// SPDX-License-Identifier: MIT
// Arbitrary bytes as the packed tensor of every built-in quantizer (the first byte is the number of
// elements, the low bits of the second are the padding): values or tare::error, nothing else.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <tare/quantize/builtin.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const auto stream = std::as_bytes(std::span(data, size)).subspan(2);
    tare::packed_tensor packed;
    packed.bytes.assign(stream.begin(), stream.end());
    packed.bits = 8 * static_cast<std::int64_t>(stream.size()) - data[1] % 8;
    constexpr tare::extent columns = 4;
    std::vector<float> values(data[0] / columns * columns);
    tare::quantizers::for_each_builtin(columns, [&](const char*, const auto& q) {
        try {
            q.decode(packed, values);
        } catch (const tare::error&) {
        }
    });
    return 0;
}
