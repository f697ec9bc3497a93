// SPDX-License-Identifier: MIT
// Soft labels against the reference, and their file: resumed, damaged, of another teacher.
#include <cstdio>
#include <filesystem>

#include <doctest/doctest.h>

#include <tare/io/soft_label_file.hpp>
#include <tare/train/soft_labels.hpp>

#include "hanlab_model.hpp"

using namespace tare;

namespace {

/// Probabilities up to 0.33; the reference itself is 7.2e-8 off float64, ours may be four times so.
constexpr double tolerance = 4.0e-7;

transformer_xl<tensor> teacher() {
    testing::hanlab_parameters values;
    return transformer_xl<tensor>(values, testing::hanlab_config());
}

struct scratch_file {
    std::string path =
        (std::filesystem::temp_directory_path() / ("tare_soft_" + std::to_string(::getpid())))
            .string();
    ~scratch_file() { std::remove(path.c_str()); }
};

}  // namespace

TEST_CASE("the teacher's pairs equal the reference") {
    const io::npz_archive golden = testing::golden("hanlab/soft_labels.npz");
    std::vector<token> words = testing::tokens_of(golden, "inputs");
    words.push_back(0);  // predicted, not read
    const auto kept =
        static_cast<std::size_t>(testing::array(golden, "top_indices").extents.columns());
    const train::soft_label_rows rows = train::teach(
        teacher(), words, 0, static_cast<extent>(words.size() - 1), static_cast<extent>(kept));
    const std::vector<token> top = testing::tokens_of(golden, "top_indices");
    const std::vector<float> shares = testing::values<float>(golden, "top_values");
    REQUIRE(rows.words.size() == top.size() + kept);
    // Row 0 is a copy of row 1.
    const auto row = static_cast<std::ptrdiff_t>(kept);
    CHECK(std::equal(top.begin(), top.end(), rows.words.begin() + row));
    CHECK(std::equal(top.begin(), top.begin() + row, rows.words.begin()));
    CHECK(testing::distance(std::span(rows.probabilities).subspan(kept), shares) <= tolerance);
}

TEST_CASE("a file goes on where it stopped and refuses damage and other facts") {
    const scratch_file file;
    std::vector<token> words = testing::tokens_of(testing::golden("hanlab/tokens.npz"), "train");
    words.insert(words.end(), words.begin(), words.begin() + 500);
    const auto count = static_cast<extent>(words.size());
    const transformer_xl<tensor> model = teacher();
    const extent chunk = 96;
    const io::soft_label_facts facts{count, model.config().vocabulary, 5, chunk, 42};
    const auto write = [&](extent from, extent to) {
        io::soft_label_writer out(file.path, facts);
        for (extent i = from; i < to; ++i) {
            const train::soft_label_rows r = train::teach(model, words, i, chunk, 5);
            out.append(r.first, r.words, r.probabilities);
        }
        return out.rows();
    };
    CHECK(write(0, 15) == 1024);  // the rest of the block is lost with the writer
    {
        const io::soft_label_reader reader(file.path);
        CHECK_THROWS_AS(reader.require_complete(), file_error);
    }
    CHECK(write((1024 - 1) / chunk, train::teacher_chunks(count, chunk)) == count);
    const io::soft_label_reader reader(file.path);
    reader.require_complete();
    std::vector<token> got;
    std::vector<float> shares;
    reader.read(0, count, got, shares);
    std::vector<token> want;
    std::vector<float> want_shares;
    for (extent i = 0; i < train::teacher_chunks(count, chunk); ++i) {
        const train::soft_label_rows r = train::teach(model, words, i, chunk, 5);
        want.insert(want.end(), r.words.begin(), r.words.end());
        want_shares.insert(want_shares.end(), r.probabilities.begin(), r.probabilities.end());
    }
    CHECK(got == want);
    CHECK(shares == want_shares);
    CHECK_THROWS_AS(reader.read(count - 1, 2, got, shares), error);
    io::soft_label_facts other = facts;
    other.identity = 43;
    CHECK_THROWS_WITH_AS(io::soft_label_writer(file.path, other), doctest::Contains("another"),
                         file_error);
    {
        std::FILE* f = std::fopen(file.path.c_str(), "r+b");
        std::fseek(f, 5000, SEEK_SET);
        const int byte = std::fgetc(f);
        std::fseek(f, 5000, SEEK_SET);
        std::fputc(byte ^ 0x10, f);
        std::fclose(f);
    }
    const io::soft_label_reader damaged(file.path);
    CHECK_THROWS_WITH_AS(damaged.read(0, 1, got, shares), doctest::Contains("damaged"), file_error);
    std::filesystem::resize_file(file.path, 20);
    CHECK_THROWS_AS(io::soft_label_reader{file.path}, file_error);
}
