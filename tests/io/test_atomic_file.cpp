// SPDX-License-Identifier: MIT
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <tare/io/atomic_file.hpp>
#include <tare/io/npz.hpp>
#include <tare/io/safetensors.hpp>

#include "io/scratch.hpp"

using tare::io::atomic_file;
using tare::io::read_text;
using tare::io::write_text;
using tare::testing::dump;
using tare::testing::raised;
using tare::testing::scratch_folder;

namespace {

/// Lets files grow to `bytes` only, as a full disk would; the signal that comes with it is ignored,
/// so that write() fails instead.
class full_disk {
  public:
    explicit full_disk(::rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &old_) == 0);
        ::rlimit small = old_;
        small.rlim_cur = bytes;
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    }
    full_disk(const full_disk&) = delete;
    full_disk& operator=(const full_disk&) = delete;
    ~full_disk() {
        ::setrlimit(RLIMIT_FSIZE, &old_);
        std::signal(SIGXFSZ, handler_);
    }

  private:
    ::rlimit old_{};
    void (*handler_)(int);
};

}  // namespace

TEST_CASE("a committed file replaces the old one and nothing stays beside it") {
    const scratch_folder folder;
    const std::string path = folder.file("f");
    write_text(path, "old");
    atomic_file out(path);
    out.write("ne");
    out.write("w");
    CHECK(read_text(path) == "old");
    CHECK(folder.files().size() == 2);
    CHECK(out.written() == 3);
    out.commit();
    CHECK(read_text(path) == "new");
    CHECK(folder.files() == std::vector<std::string>{"f"});
    CHECK_THROWS_AS(out.write("more"), tare::error);
    CHECK_THROWS_AS(out.commit(), tare::error);
}

TEST_CASE("without a commit the old file stays") {
    const scratch_folder folder;
    write_text(folder.file("f"), "old");
    { atomic_file(folder.file("f")).write("new"); }
    CHECK(read_text(folder.file("f")) == "old");
    CHECK(folder.files() == std::vector<std::string>{"f"});
}

TEST_CASE("a full disk leaves the old file intact and says so") {
    const scratch_folder folder;
    const std::string path = folder.file("f");
    write_text(path, "old");
    const std::vector<float> values(5000);
    const tare::io::npz_archive arrays{{"a", tare::io::npy_array::of<float>({5000}, values)}};
    const std::vector tensors{tare::io::tensor_ref::of<float>("a", {5000}, values)};
    const full_disk limit(8192);
    for (const std::string& said :
         {raised<tare::file_error>([&] { write_text(path, std::string(10'000, 'x')); }),
          raised<tare::file_error>([&] { tare::io::save_npz(path, arrays); }),
          raised<tare::file_error>([&] { tare::io::save_safetensors(path, tensors); })}) {
        CAPTURE(said);
        CHECK(said.starts_with(path + ": write failed after "));
        CHECK(said.find("left as it was before: File too large") != std::string::npos);
        CHECK(read_text(path) == "old");
        CHECK(folder.files() == std::vector<std::string>{"f"});
    }
}

TEST_CASE("permissions and symbolic links survive, folders and devices are refused") {
    const scratch_folder folder;
    write_text(folder.file("f"), "old");
    REQUIRE(::chmod(folder.file("f").c_str(), 0640) == 0);
    std::filesystem::create_symlink("f", folder.file("link"));
    write_text(folder.file("link"), "new");
    CHECK(read_text(folder.file("f")) == "new");
    CHECK(std::filesystem::is_symlink(folder.file("link")));
    CHECK(std::filesystem::status(folder.file("f")).permissions() == std::filesystem::perms(0640));
    CHECK(raised<tare::file_error>([] {
              write_text("/dev/full", "x");
          }).find("not a regular file") != std::string::npos);
    CHECK_THROWS_AS(write_text("/", "x"), tare::file_error);
    CHECK(raised<tare::file_error>([&] {
              write_text(folder.file("none/f"), "x");
          }).find("No such file or directory") != std::string::npos);
    // A relative name without a folder works too.
    const auto here = std::filesystem::current_path();
    std::filesystem::current_path(std::filesystem::path(folder.file("f")).parent_path());
    write_text("plain", "x");
    std::filesystem::current_path(here);
    CHECK(read_text(folder.file("plain")) == "x");
}

TEST_CASE("an input file reads at offsets and names where it ends") {
    const scratch_folder folder;
    dump(folder.file("f"), "0123456789");
    tare::io::input_file file(folder.file("f"));
    CHECK(file.size() == 10);
    std::vector<std::byte> four(4);
    file.read(3, four);
    CHECK(four[0] == std::byte{'3'});
    CHECK(raised<tare::file_error>([&] { file.read(8, four); }) ==
          folder.file("f") + ": byte 10: the file ends here, 2 more bytes were expected");
    tare::io::input_file moved = std::move(file);
    moved.read(6, four);
    CHECK(four[3] == std::byte{'9'});
    CHECK(raised<tare::file_error>([&] {
              (void)read_text(folder.file("f"), 9);
          }).find("has 10 bytes, expected at most 9") != std::string::npos);
    CHECK_THROWS_AS(tare::io::input_file("/dev/null"), tare::file_error);
}
