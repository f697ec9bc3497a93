// SPDX-License-Identifier: MIT
// Arbitrary bytes as packed codes (the first byte is the width, the second the number of codes) and
// as a packed mask: values that pack to the same bytes, or tare::error.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include <tare/lossless/bit_mask.hpp>
#include <tare/lossless/bit_pack.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const auto stream = std::as_bytes(std::span(data, size)).subspan(2);
    const int width = data[0];
    std::vector<std::uint32_t> codes(data[1]);
    try {
        tare::unpack_bits<std::uint32_t>(stream, width, codes);
        std::vector<std::byte> again(stream.size());
        tare::pack_bits<std::uint32_t>(codes, width, again);
        if (!std::ranges::equal(again, stream)) std::abort();
        for (std::size_t i = 0; i < codes.size(); ++i)
            if (tare::packed_code(stream, width, i) != codes[i]) std::abort();
    } catch (const tare::error&) {
    }
    try {
        const tare::bit_mask mask = tare::unpack_mask(stream, 8 * stream.size() - data[1] % 9);
        std::vector<std::byte> again(stream.size());
        tare::pack_mask(mask, again);
        if (!std::ranges::equal(again, stream)) std::abort();
    } catch (const tare::error&) {
    }
    return 0;
}
