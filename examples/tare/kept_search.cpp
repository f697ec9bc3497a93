// SPDX-License-Identifier: MIT
#include "kept_search.hpp"

#include <filesystem>
#include <utility>
#include <vector>

#include <tare/io/safetensors.hpp>

#include "make_folder.hpp"

namespace tare::tool {

kept_search::kept_search(std::string folder, const std::string& key) : folder_(std::move(folder)) {
    if (folder_.empty()) return;
    make_folder(folder_);
    log_ = keyed_log(trials_path(), key, [&] { std::filesystem::remove(states_path()); });
}

search::cached_hidden_states kept_search::states(const transformer_xl<tensor>& model,
                                                 std::span<const token> words, extent capacity,
                                                 extent chunk) const {
    if (!folder_.empty() && std::filesystem::exists(states_path())) return load(capacity);
    progress_bar bar("hidden");
    search::cached_hidden_states out(model, words, capacity,
                                     {.chunk = chunk, .progress = [&](extent at, extent of) {
                                          bar.show(at, of);
                                          end_if_wanted();
                                      }});
    if (!folder_.empty()) save(out);
    return out;
}

search::cache_search_result
kept_search::run(search::cached_hidden_states& states, const search::cache_scalars& start,
                 const std::function<void(const search::cache_trial&)>& watch) {
    std::size_t next = 0;
    const auto evaluate = [&](const search::cache_scalars& at) {
        if (next < log_.known().size()) {
            const nlohmann::ordered_json& record = log_.known()[next++];
            const search::cache_scalars then{number_in(record, "lambda"),
                                             number_in(record, "theta")};
            if (!(then == at))
                throw file_error(message(trials_path(), ": evaluation ", next,
                                         " is of another search; delete the folder"));
            return number_in(record, "perplexity");
        }
        end_if_wanted();
        const double perplexity = states.perplexity(at);
        log_.append({{"lambda", at.lambda}, {"theta", at.theta}, {"perplexity", perplexity}});
        return perplexity;
    };
    return search::search_cache(evaluate, start, {}, watch);
}

void kept_search::save(const search::cached_hidden_states& states) const {
    const shape size{states.targets()};
    const std::vector<io::tensor_ref> all{
        io::tensor_ref::of("hidden", states.hidden().shape(), states.hidden().values()),
        io::tensor_ref::of("words", size, states.words()),
        io::tensor_ref::of("log_probability", size, states.log_probability())};
    io::save_safetensors(states_path(), all);
}

search::cached_hidden_states kept_search::load(extent capacity) const {
    const io::safetensors_archive archive = io::load_safetensors(states_path());
    const shape extents = archive.at("hidden").extents;
    const shape size{extents.rank() == 2 ? extents[0] : 0};
    const auto words = archive.view<token>("words", size);
    const auto model = archive.view<float>("log_probability", size);
    return search::cached_hidden_states(tensor(extents, archive.view<float>("hidden", extents)),
                                        {words.begin(), words.end()}, {model.begin(), model.end()},
                                        capacity);
}

}  // namespace tare::tool
