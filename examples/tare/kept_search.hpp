#pragma once
// SPDX-License-Identifier: MIT
// A search of a cache's scalars that goes on where it was killed. Its folder holds
//     states.safetensors   what the network has to say: hidden states, words, log probabilities
//     trials.jsonl         every evaluation so far, after a line with the key of all inputs
// The search asks for the same evaluations again and is given those that are known, so its result
// has the bits of a search that was never killed.

#include <functional>
#include <span>
#include <string>

#include <tare/models/transformer_xl.hpp>
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
    kept_search(std::string folder, const std::string& key);

    /// What `model`, which has no cache, says to `words`: kept by an earlier run, or kept from now
    /// on.
    /// **Throws** stage_ended on a signal.
    [[nodiscard]] search::cached_hidden_states states(const transformer_xl<tensor>& model,
                                                      std::span<const token> words, extent capacity,
                                                      extent chunk) const;

    /// The search from `start`. `watch` sees every evaluation, known or new.
    /// **Throws** stage_ended on a signal, tare::file_error when the folder holds another search.
    [[nodiscard]] search::cache_search_result
    run(search::cached_hidden_states& states, const search::cache_scalars& start,
        const std::function<void(const search::cache_trial&)>& watch);

  private:
    [[nodiscard]] std::string states_path() const { return folder_ + "/states.safetensors"; }
    [[nodiscard]] std::string trials_path() const { return folder_ + "/trials.jsonl"; }
    void end_if_wanted() const {
        if (stop_.wanted()) throw stage_ended{interrupted};
    }

    void save(const search::cached_hidden_states& states) const;
    [[nodiscard]] search::cached_hidden_states load(extent capacity) const;

    std::string folder_;
    keyed_log log_;
    interruption stop_;
};

}  // namespace tare::tool
