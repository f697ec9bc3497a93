#pragma once
// SPDX-License-Identifier: MIT
// A quantized model in a file whose payload is its counted parameter storage, bit for bit. A
// safetensors file with, for each parameter (a tied table once) and each quantization point,
//     NAME         the kept values, `bits` bits each without gaps (32: floats)
//     NAME.mask    one bit for each element, where dropping zeros behind it lowers the score
//     NAME.scale   matrix: 32 - bits bits for each row, the upper bits of its step, whose others
//                  are zero; vector: one 32-bit scale
//     POINT.range  max_abs in 32 bits, the upper 32 - bits bits of the step
// each as bytes, the last one filled up with zero bits. What is no parameter (sizes, widths, names)
// is metadata. Units of the accounting: micronet/compression.hpp.

#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/io/packed_header.hpp>
#include <tare/io/safetensors.hpp>
#include <tare/lossless/bit_mask.hpp>
#include <tare/lossless/bit_pack.hpp>
#include <tare/models/stored_model.hpp>

namespace tare::io {

/// A packed file as it was read.
struct packed_file {
    stored_model model;              ///< model.how says what is left of each tensor, by row
    std::int64_t payload_bits = 0;   ///< values, masks, scales, ranges
    std::int64_t payload_bytes = 0;  ///< of the file behind its header
};

namespace detail {

/// The upper 32 - bits bits of a float whose others are zero, and back.
[[nodiscard]] inline std::uint32_t upper_bits(float value, int bits) {
    return std::bit_cast<std::uint32_t>(value) >> bits;
}
[[nodiscard]] inline float from_upper_bits(std::uint32_t upper, int bits) {
    return std::bit_cast<float>(upper << bits);
}

template <class Code>
[[nodiscard]] std::vector<std::byte> packed_stream(std::span<const Code> codes, int width) {
    std::vector<std::byte> out(packed_bytes(codes.size(), width));
    pack_bits(codes, width, std::span<std::byte>(out));
    return out;
}

/// Streams of a file under construction.
class packed_writer {
  public:
    void add(const std::string& name, std::vector<std::byte> bytes) {
        streams_.emplace(name, std::move(bytes));
    }
    [[nodiscard]] std::vector<tensor_ref> tensors() const {
        std::vector<tensor_ref> out;
        for (const auto& [name, bytes] : streams_)
            out.push_back({name, "U8", shape{static_cast<extent>(bytes.size())}, bytes});
        return out;
    }

  private:
    std::map<std::string, std::vector<std::byte>> streams_;
};

inline void write_parameter(packed_writer& to, const std::string& label, const stored_tensor& t,
                            const packed_entry& entry) {
    const auto count = static_cast<std::size_t>(t.extents.size());
    bit_mask mask(count);
    std::vector<std::uint32_t> kept;
    for (std::size_t i = 0; i < count; ++i) {
        const bool zero = t.quantized() ? t.codes[i] == 0 : t.values[i] == 0.0F;
        if (entry.masked && zero) continue;
        mask.set(i);
        kept.push_back(t.quantized() ? to_twos_complement(t.codes[i], t.bits)
                                     : std::bit_cast<std::uint32_t>(t.values[i]));
    }
    to.add(label, packed_stream(std::span<const std::uint32_t>(kept), t.bits));
    if (entry.masked) {
        std::vector<std::byte> bytes(mask_bytes(count));
        pack_mask(mask, bytes);
        to.add(label + ".mask", std::move(bytes));
    }
    if (!t.quantized()) return;
    std::vector<std::uint32_t> factors;
    for (const float factor : t.factors)
        factors.push_back(t.by_row() ? upper_bits(factor, t.bits)
                                     : std::bit_cast<std::uint32_t>(factor));
    to.add(label + ".scale",
           packed_stream(std::span<const std::uint32_t>(factors), t.by_row() ? 32 - t.bits : 32));
}

/// Reads streams and remembers which were asked for.
class packed_reader {
  public:
    explicit packed_reader(const safetensors_archive& archive) : archive_(&archive) {}

    /// `count` codes of `width` bits. Throws tare::file_error on a stream of another length.
    [[nodiscard]] std::vector<std::uint32_t> codes(const std::string& name, std::size_t count,
                                                   int width) {
        const std::span<const std::byte> bytes = stream(name, packed_bytes(count, width));
        std::vector<std::uint32_t> out(count);
        try {
            unpack_bits(bytes, width, std::span<std::uint32_t>(out));
        } catch (const error& reason) {
            throw file_error(message(archive_->path, ": ", name, ": ", reason.what()));
        }
        bits_ += packed_bits(count, width);
        return out;
    }
    [[nodiscard]] bit_mask mask(const std::string& name, std::size_t size) {
        const std::span<const std::byte> bytes = stream(name, mask_bytes(size));
        bits_ += static_cast<std::int64_t>(size);
        try {
            return unpack_mask(bytes, size);
        } catch (const error& reason) {
            throw file_error(message(archive_->path, ": ", name, ": ", reason.what()));
        }
    }
    /// One field of up to 64 bits.
    [[nodiscard]] std::uint64_t word(const std::string& name, int width) {
        const std::span<const std::byte> bytes = stream(name, packed_bytes(1, width));
        std::uint64_t out = 0;
        std::memcpy(&out, bytes.data(), bytes.size());
        if ((out & ~low_mask(width)) != 0)
            throw file_error(message(archive_->path, ": ", name, ": padding bits are not zero"));
        bits_ += width;
        return out;
    }
    [[nodiscard]] std::int64_t bits() const noexcept { return bits_; }
    [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
    /// Throws when the file holds more streams than were read.
    void finish() const {
        if (read_ != archive_->tensors.size())
            throw file_error(message(archive_->path, ": holds ", archive_->tensors.size(),
                                     " streams, its description names ", read_));
    }

  private:
    std::span<const std::byte> stream(const std::string& name, std::size_t size) {
        const tensor_ref& found = archive_->at(name);
        if (found.dtype != "U8" || found.bytes.size() != size)
            throw file_error(message(archive_->path, ": ", name, " has ", found.bytes.size(),
                                     " bytes of ", found.dtype, ", its description needs ", size,
                                     " of U8"));
        ++read_;
        bytes_ += static_cast<std::int64_t>(size);
        return found.bytes;
    }

    const safetensors_archive* archive_;
    std::size_t read_ = 0;
    std::int64_t bits_ = 0;
    std::int64_t bytes_ = 0;
};

inline stored_tensor read_parameter(packed_reader& from, const std::string& path,
                                    const std::string& label, const packed_entry& entry) {
    stored_tensor t;
    t.extents = entry.extents;
    t.bits = entry.bits;
    const auto count = static_cast<std::size_t>(t.extents.size());
    const std::vector<std::uint32_t> kept =
        from.codes(label, static_cast<std::size_t>(entry.kept), t.bits);
    bit_mask mask;  // as large as its stream, which is asked for first: nothing else is believed
    if (entry.masked) {
        mask = from.mask(label + ".mask", count);
        if (mask.count() != kept.size())
            throw file_error(message(path, ": ", label, ".mask marks ", mask.count(), " elements, ",
                                     kept.size(), " are stored"));
    }
    if (t.quantized()) {
        t.codes.assign(count, 0);
        const auto rows = static_cast<std::size_t>(t.by_row() ? t.extents[0] : 1);
        for (const std::uint32_t f :
             from.codes(label + ".scale", rows, t.by_row() ? 32 - t.bits : 32))
            t.factors.push_back(t.by_row() ? from_upper_bits(f, t.bits) : std::bit_cast<float>(f));
        for (const float factor : t.factors)
            if (!is_finite(factor) || factor < 0.0F)
                throw file_error(message(path, ": ", label, ".scale holds ", factor,
                                         "; scales are finite and not negative"));
    } else {
        t.values.assign(count, 0.0F);
    }
    const int outermost = t.quantized() ? (1 << (t.bits - 1)) - 1 : 0;
    for (std::size_t i = 0, next = 0; i < count; ++i) {
        if (entry.masked && !mask[i]) continue;
        const std::uint32_t code = kept[next++];
        if (!t.quantized()) {
            t.values[i] = std::bit_cast<float>(code);
            continue;
        }
        const std::int32_t value = from_twos_complement(code, t.bits);
        if (value < -outermost)
            throw file_error(message(path, ": ", label, ": element ", i, " has the code ", value,
                                     "; codes of ", t.bits, " bits end at ", -outermost));
        t.codes[i] = static_cast<std::int16_t>(value);
    }
    return t;
}

/// max_abs whole, then the step without its zero bits: two fields in one stream.
inline void write_point(packed_writer& to, const std::string& label, const stored_point& point,
                        int bits) {
    const std::uint64_t fields = std::bit_cast<std::uint32_t>(point.max_abs) |
                                 std::uint64_t{upper_bits(point.inverse_scale, bits)} << 32;
    std::vector<std::byte> bytes(packed_bytes(1, 64 - bits));
    std::memcpy(bytes.data(), &fields, bytes.size());
    to.add(label + ".range", std::move(bytes));
}
inline stored_point read_point(packed_reader& from, const std::string& path,
                               const std::string& label, int bits) {
    const std::uint64_t fields = from.word(label + ".range", 64 - bits);
    const stored_point point{std::bit_cast<float>(static_cast<std::uint32_t>(fields)),
                             from_upper_bits(static_cast<std::uint32_t>(fields >> 32), bits)};
    if (!is_finite(point.max_abs) || !is_finite(point.inverse_scale) || point.max_abs < 0.0F ||
        !(point.inverse_scale > 0.0F))
        throw file_error(message(path, ": ", label, ".range holds ", point.max_abs, " and ",
                                 point.inverse_scale,
                                 "; a range is not negative, a step positive"));
    return point;
}

}  // namespace detail

/// Writes a stored model, atomically. Zeros are dropped behind a mask where that lowers the
/// score (see describe).
/// **Throws** tare::error on a model without one of its parts, tare::file_error when the disk
/// refuses.
inline void save_packed(const std::string& path, const stored_model& model) {
    detail::packed_writer streams;
    packed_header header{model.config, model.how.bits, {}, {}};
    for (const auto& [label, t] : model.tensors) {
        const packed_entry entry = describe(t);
        header.tensors.emplace(label, entry);
        detail::write_parameter(streams, label, t, entry);
    }
    const int bits = model.how.bits;
    for (const auto& [label, point] : model.points) {
        require(bits < 32, "save_packed: the point ", label,
                " has a range, but activations are not quantized");
        header.points.push_back(label);
        detail::write_point(streams, label, point, bits);
    }
    save_safetensors(path, streams.tensors(), write_header(header));
}

/// Reads a packed file and checks every length, code and mask against its description.
/// **Throws** tare::file_error naming path, tensor and what is wrong.
[[nodiscard]] inline packed_file load_packed(const std::string& path) {
    const safetensors_archive archive = load_safetensors(path);
    const packed_header header = read_header(path, archive.metadata);
    detail::packed_reader streams(archive);
    packed_file out;
    out.model.config = header.config;
    out.model.how.bits = header.bits;
    for (const auto& [label, entry] : header.tensors) {
        stored_tensor t = detail::read_parameter(streams, path, label, entry);
        note_remaining(out.model.how, label, t, entry);
        out.model.tensors.emplace(label, std::move(t));
    }
    for (const std::string& label : header.points)
        out.model.points.emplace(label, detail::read_point(streams, path, label, header.bits));
    streams.finish();
    out.payload_bits = streams.bits();
    out.payload_bytes = streams.bytes();
    return out;
}

}  // namespace tare::io
