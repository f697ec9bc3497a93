// SPDX-License-Identifier: MIT
#include "labelling.hpp"

#include <algorithm>

#include <tare/io/soft_label_file.hpp>
#include <tare/train/soft_labels.hpp>

#include "progress.hpp"

namespace tare::tool {

bool label_text(const std::string& path, const transformer_xl<tensor>& teacher,
                std::span<const token> words, extent chunk, extent kept, std::uint64_t identity) {
    const auto count = static_cast<extent>(words.size());
    io::soft_label_writer file(path, {count, teacher.config().vocabulary, kept, chunk, identity});
    const interruption stop;
    progress_bar bar("label");
    const extent chunks = train::teacher_chunks(count, chunk);
    // Chunk i gives rows i * chunk + 1 on: the first one that holds a missing row.
    for (extent i = std::max<extent>(0, file.rows() - 1) / chunk; i < chunks; ++i) {
        if (file.rows() == count) break;
        const train::soft_label_rows rows = train::teach(teacher, words, i, chunk, kept);
        file.append(rows.first, rows.words, rows.probabilities);
        bar.show(i + 1, chunks);
        if (stop.wanted()) return false;
    }
    file.finish();
    return true;
}

}  // namespace tare::tool
