// SPDX-License-Identifier: MIT
// Packed model files with damage: a small valid file whose bytes are overwritten as the input says
// (two bytes of place, one of value, over and over; the first byte cuts the end off), or the input
// itself as a file. A model or tare::error, nothing else. The checksum is hidden in the valid file,
// so that damage reaches the readers behind it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include <tare/io/packed.hpp>

namespace {

/// A file without a place on a disk.
class memory_file {
  public:
    memory_file() : handle_(::memfd_create("fuzz", 0)) {
        if (handle_ < 0) std::abort();
    }
    ~memory_file() { ::close(handle_); }
    memory_file(const memory_file&) = delete;
    memory_file& operator=(const memory_file&) = delete;

    void write(const std::string& bytes) const {
        if (::ftruncate(handle_, 0) != 0) std::abort();
        const auto size = static_cast<ssize_t>(bytes.size());
        if (::pwrite(handle_, bytes.data(), bytes.size(), 0) != size) std::abort();
    }
    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(handle_); }

  private:
    int handle_;
};

tare::stored_model small_model() {
    tare::stored_model model;
    model.config.layers = 1;
    model.how.bits = 5;
    tare::stored_tensor matrix;
    matrix.extents = tare::shape{3, 7};
    matrix.bits = 5;
    matrix.factors = {0.5F, 0.25F, 0.125F};
    for (std::int16_t i = 0; i < 21; ++i)
        matrix.codes.push_back(static_cast<std::int16_t>(i % 3 == 0 ? i - 10 : 0));
    model.tensors.emplace("layers.0.fc.0.weight", matrix);
    tare::stored_tensor vector;
    vector.extents = tare::shape{6};
    vector.values = {0.0F, 1.0F, 0.0F, -2.0F, 0.0F, 0.0F};
    model.tensors.emplace("layers.0.norm.weight", vector);
    model.points.emplace("layers.0.fc.0", tare::stored_point{4.0F, 0.5F});
    return model;
}

std::string valid_file() {
    std::string folder = "/tmp/tare-fuzz-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) std::abort();
    const std::string path = folder + "/model.safetensors";
    tare::io::save_packed(path, small_model());
    std::ifstream in(path, std::ios::binary);
    std::string bytes(std::istreambuf_iterator<char>(in), {});
    ::unlink(path.c_str());
    ::rmdir(folder.c_str());
    const std::string key(tare::io::detail::safetensors_checksum_key);
    const std::size_t at = bytes.find(key);
    if (at == std::string::npos) std::abort();
    bytes[at] = 'T';
    return bytes;
}

void load(const memory_file& file, const std::string& bytes) {
    file.write(bytes);
    try {
        static_cast<void>(tare::io::load_packed(file.path()));
    } catch (const tare::error&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const memory_file file;
    static const std::string valid = [] {
        std::string bytes = valid_file();
        file.write(bytes);
        static_cast<void>(tare::io::load_packed(file.path()));  // it is one
        return bytes;
    }();
    load(file, std::string(reinterpret_cast<const char*>(data), size));
    if (size == 0) return 0;
    std::string damaged = valid;
    for (std::size_t i = 1; i + 2 < size; i += 3)
        damaged[(data[i] + 256U * data[i + 1]) % damaged.size()] = static_cast<char>(data[i + 2]);
    damaged.resize(damaged.size() - data[0] % 3 * (data[0] / 3) % damaged.size());
    load(file, damaged);
    return 0;
}
