// SPDX-License-Identifier: MIT
// Arbitrary bytes into the classic BDI decoder: bytes or tare::error, nothing else; and as input of
// the encoder they must come back.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <tare/lossless/bdi.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        (void)tare::bdi_decode(bytes);
    } catch (const tare::error&) {
    }
    if (!std::ranges::equal(tare::bdi_decode(tare::bdi_encode(bytes)), bytes)) std::abort();
    return 0;
}
