// SPDX-License-Identifier: MIT
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/nn/parameters.hpp>

#include "../../examples/tare/kept_evaluation.hpp"
#include "../io/scratch.hpp"
#include "../small_model.hpp"

using namespace tare;
using namespace tare::tool;

namespace {

std::vector<token> some_words(std::size_t count) {
    const random_stream random(3, 0);
    std::vector<token> out;
    for (std::size_t i = 0; i < count; ++i)
        out.push_back(static_cast<token>(random.below(i, 53)));
    return out;
}

/// The log's key and its first `records` records, then a torn one.
void tear(const std::string& path, int records) {
    std::ifstream in(path);
    std::ostringstream kept;
    std::string line;
    for (int i = 0; i <= records && std::getline(in, line); ++i)
        kept << line << '\n';
    kept << "{\"targets\":9";
    testing::dump(path, kept.str());
}

template <class Evaluate>
void check_resumes(const running_model& model, int records, const Evaluate& evaluate) {
    const testing::scratch_folder folder;
    const std::vector<token> words = some_words(700);
    const auto run = [&](const std::string& key) {
        kept_evaluation kept(folder.file("work"), key);
        return evaluate(model, std::span<const token>(words), kept);
    };
    kept_evaluation nothing;
    const double whole = evaluate(model, std::span<const token>(words), nothing).sum();
    CHECK(run("a").sum() == whole);
    tear(folder.file("work/evaluation.jsonl"), records);
    {
        kept_evaluation kept(folder.file("work"), "a");
        const extent known = kept.meter(699).targets();
        CHECK(known > 0);
        CHECK(known < 699);
    }
    const text::perplexity_meter resumed = run("a");
    CHECK(resumed.sum() == whole);
    CHECK(resumed.targets() == 699);
    CHECK(run("a").sum() == whole);  // nothing is left to do
    tear(folder.file("work/evaluation.jsonl"), records);
    kept_evaluation other(folder.file("work"), "b");
    CHECK(other.meter(699).targets() == 0);
}

}  // namespace

TEST_CASE("an evaluation that was killed ends with the same bits") {
    for (const extent cache : {0, 30}) {
        transformer_xl_config config = testing::small_model_config();
        config.cache = {cache, false, 0.05, 0.1, false};
        const auto model = running_dense(config, random_parameters<float>(1));
        CAPTURE(cache);
        // Chunks shorter and longer than the window and than what is computed again.
        for (const extent chunk : {5, 40, 200})
            check_resumes(*model, 3,
                          [&](const running_model& m, auto words, kept_evaluation& kept) {
                              return evaluate_chunks(m, words, chunk, kept);
                          });
        check_resumes(*model, 2, [](const running_model& m, auto words, kept_evaluation& kept) {
            return evaluate_online(m, words, kept);
        });
    }
}
