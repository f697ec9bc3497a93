#pragma once
// SPDX-License-Identifier: MIT
// Access to the fixtures in tests/golden/: arrays that the reference implementations computed.
// Other arrays of the same systems, with other seeds, sizes and options, are checked by the same
// tests: the environment variable TARE_GOLDEN names a folder laid out like tests/golden/, and each
// set of fixtures that it has ("hanlab", "smaq", "micronet", each with its manifest) is read from
// there instead:
//
//     TARE_GOLDEN=/path/to/other/arrays ctest --test-dir build/release

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <tare/io/npz.hpp>

namespace tare::testing {

/// The path of a fixture, for example "hanlab/lm_plain.npz": in the folder that TARE_GOLDEN names
/// where that folder has the set, else in tests/golden/.
inline std::string golden_path(const std::string& name) {
    const char* const other = std::getenv("TARE_GOLDEN");
    const std::filesystem::path own(TARE_GOLDEN_DIR);
    if (other == nullptr || *other == '\0') return (own / name).string();
    const std::filesystem::path given(other);
    require(std::filesystem::is_directory(given), "TARE_GOLDEN: ", other, " is not a folder");
    const bool has_set = std::filesystem::exists(given / *std::filesystem::path(name).begin());
    return ((has_set ? given : own) / name).string();
}

/// The archive of a fixture.
inline io::npz_archive golden(const std::string& name) {
    return io::load_npz(golden_path(name));
}

/// One array of an archive; a missing name is an error that names it.
inline const io::npy_array& array(const io::npz_archive& archive, const std::string& name) {
    const auto found = archive.find(name);
    require(found != archive.end(), "golden: no array named ", name);
    return found->second;
}

template <class T>
std::vector<T> values(const io::npz_archive& archive, const std::string& name) {
    return array(archive, name).as<T>();
}

}  // namespace tare::testing
