#pragma once
// SPDX-License-Identifier: MIT
// A teacher's soft labels for a whole text, into a file that goes on where it was cut off.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>

#include <tare/io/soft_label_file.hpp>
#include <tare/train/soft_labels.hpp>

#include "language_model.hpp"
#include "progress.hpp"

namespace tare::tool {

/// Writes the labels, or what is missing of them. `identity` names teacher and text: a file of
/// others is refused. False when the user stopped it.
/// **Throws** tare::file_error when the disk refuses or the file holds other labels.
[[nodiscard]] bool label_text(const std::string& path, const transformer_xl<tensor>& teacher,
                              std::span<const token> words, extent chunk, extent kept,
                              std::uint64_t identity);

}  // namespace tare::tool
