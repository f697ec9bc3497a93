// SPDX-License-Identifier: MIT
// Arbitrary bytes into the NNW-BDI decoder: values or tare::error, nothing else. What decodes is
// encoded again with the options of the header and must come back the same, where nothing is lost.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include <tare/lossless/nnw_bdi.hpp>

namespace {

template <class Value>
void decode(std::span<const std::byte> stream) {
    std::vector<Value> values;
    tare::nnw_bdi_options options;
    try {
        values.resize(tare::nnw_bdi_count<Value>(stream));
        tare::nnw_bdi_decode<Value>(stream, values);
        options = tare::detail::nnw_bdi_layout::read<Value>(stream, "fuzz").options;
    } catch (const tare::error&) {
        return;
    }
    options.init_shift = options.delta_shift = options.base_shift = 0;
    const tare::nnw_bdi_stream again = tare::nnw_bdi_encode<Value>(values, options);
    std::vector<Value> back(values.size());
    tare::nnw_bdi_decode<Value>(again.bytes, back);
    if (back != values) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto stream = std::as_bytes(std::span(data, size));
    decode<std::int32_t>(stream);
    decode<std::uint32_t>(stream);
    return 0;
}
