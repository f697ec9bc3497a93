#pragma once
// SPDX-License-Identifier: MIT
// A search of a cache's scalars that goes on where it was killed. Its folder holds
//     states.safetensors   what the network has to say: hidden states, words, log probabilities
//     trials.jsonl         every evaluation so far, after a line with the key of all inputs
// The search asks for the same evaluations again and is given those that are known, so its result
// has the bits of a search that was never killed.

#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <tare/io/json_lines.hpp>
#include <tare/io/safetensors.hpp>
#include <tare/search/cached_hidden_states.hpp>

#include "command.hpp"
#include "pipeline_stages.hpp"
#include "progress.hpp"

namespace tare::tool {

/// An empty folder keeps nothing.
class kept_search {
  public:
    /// `key` names everything the search is made from; a folder of another key is emptied.
    kept_search(std::string folder, std::string key)
        : folder_(std::move(folder)), key_(std::move(key)) {
        if (folder_.empty()) return;
        std::filesystem::create_directories(folder_);
        if (!read_trials()) {
            std::filesystem::remove(states_path());
            std::filesystem::remove(trials_path());
        }
        log_ = std::make_unique<io::json_lines>(trials_path());
        if (std::filesystem::file_size(trials_path()) == 0) log_->append({{"key", key_}});
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
            if (next < known_.size()) {
                const search::cache_trial& trial = known_[next++];
                if (!(trial.at == at))
                    throw file_error(message(trials_path(), ": evaluation ", next,
                                             " is of another search; delete the folder"));
                return trial.perplexity;
            }
            end_if_wanted();
            const double perplexity = states.perplexity(at);
            if (log_ != nullptr)
                log_->append(
                    {{"lambda", at.lambda}, {"theta", at.theta}, {"perplexity", perplexity}});
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

    /// Whether the folder's evaluations are of this search. A torn last line is none.
    [[nodiscard]] bool read_trials() {
        if (!std::filesystem::exists(trials_path())) return false;
        std::istringstream text(io::read_text(trials_path(), std::uint64_t{1} << 26));
        std::string line;
        bool first = true;
        while (std::getline(text, line)) {
            const auto record = nlohmann::ordered_json::parse(line, nullptr, false);
            if (!record.is_object()) break;
            if (std::exchange(first, false)) {
                if (record.value("key", "") != key_) return false;
                continue;
            }
            const auto number = [&](const char* name) {
                const auto found = record.find(name);
                return found != record.end() && found->is_number()
                           ? found->get<double>()
                           : std::numeric_limits<double>::quiet_NaN();  // JSON has none
            };
            known_.push_back({{number("lambda"), number("theta")}, number("perplexity")});
        }
        return !first;
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
    std::string key_;
    std::vector<search::cache_trial> known_;
    std::unique_ptr<io::json_lines> log_;
    interruption stop_;
};

}  // namespace tare::tool
