#pragma once
// SPDX-License-Identifier: MIT
// A search of a cache's scalars that goes on where it was killed. Its folder holds
//     states.safetensors   what the network has to say: hidden states, words, log probabilities
//     trials.jsonl         every evaluation so far, after a line with the key of all inputs
// The search asks for the same evaluations again and is given those that are known, so its result
// has the bits of a search that was never killed.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <tare/io/safetensors.hpp>
#include <tare/search/cached_hidden_states.hpp>

#include "command.hpp"
#include "keyed_log.hpp"
#include "progress.hpp"
#include "resumable.hpp"

namespace tare::tool {

/// An empty folder keeps nothing.
class kept_search {
  public:
    /// `key` names everything the search is made from; a folder of another key is emptied.
    kept_search(std::string folder, const std::string& key) : folder_(std::move(folder)) {
        if (folder_.empty()) return;
        std::filesystem::create_directories(folder_);
        log_ = keyed_log(trials_path(), key, [&] { std::filesystem::remove(states_path()); });
    }

    /// Hidden states of `words`: those of an earlier run, or make(options)'s, which are then kept.
    /// **Throws** stage_ended on a signal.
    template <class Make>
    [[nodiscard]] search::cached_hidden_states states(extent capacity, extent chunk,
                                                      const Make& make) const {
        if (!folder_.empty() && std::filesystem::exists(states_path())) return load(capacity);
        progress_bar bar("hidden");
        search::cached_hidden_states out = make(
            search::cached_states_options{.chunk = chunk, .progress = [&](extent at, extent of) {
                                              bar.show(at, of);
                                              end_if_wanted();
                                          }});
        if (!folder_.empty()) save(out);
        return out;
    }

    /// The search from `start`. `watch` sees every evaluation, known or new.
    /// **Throws** stage_ended on a signal, tare::file_error when the folder holds another search.
    template <class Watch>
    [[nodiscard]] search::cache_search_result
    run(search::cached_hidden_states& states, const search::cache_scalars& start, Watch&& watch) {
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
        return search::search_cache(evaluate, start, {}, std::forward<Watch>(watch));
    }

  private:
    [[nodiscard]] std::string states_path() const { return folder_ + "/states.safetensors"; }
    [[nodiscard]] std::string trials_path() const { return folder_ + "/trials.jsonl"; }
    void end_if_wanted() const {
        if (stop_.wanted()) throw stage_ended{interrupted};
    }

    void save(const search::cached_hidden_states& states) const {
        const shape size{states.targets()};
        const std::vector<io::tensor_ref> all{
            io::tensor_ref::of("hidden", states.hidden().shape(), states.hidden().values()),
            io::tensor_ref::of("words", size, states.words()),
            io::tensor_ref::of("log_probability", size, states.log_probability())};
        io::save_safetensors(states_path(), all);
    }
    [[nodiscard]] search::cached_hidden_states load(extent capacity) const {
        const io::safetensors_archive archive = io::load_safetensors(states_path());
        const shape extents = archive.at("hidden").extents;
        const shape size{extents.rank() == 2 ? extents[0] : 0};
        const auto words = archive.view<token>("words", size);
        const auto model = archive.view<float>("log_probability", size);
        return search::cached_hidden_states(tensor(extents, archive.view<float>("hidden", extents)),
                                            {words.begin(), words.end()},
                                            {model.begin(), model.end()}, capacity);
    }

    std::string folder_;
    keyed_log log_;
    interruption stop_;
};

}  // namespace tare::tool
