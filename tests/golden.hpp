#pragma once
// SPDX-License-Identifier: MIT
// Access to the fixtures in tests/golden/: arrays that the reference implementations computed.

#include <string>
#include <vector>

#include <tare/io/npz.hpp>

namespace tare::testing {

/// The archive tests/golden/<name>, for example "hanlab/lm_plain.npz".
inline io::npz_archive golden(const std::string& name) {
    return io::load_npz(std::string(TARE_GOLDEN_DIR) + "/" + name);
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
