#pragma once
// SPDX-License-Identifier: MIT
// Passes of quantization-aware training, or of calibration alone, that go on where they were
// killed: a checkpoint of everything that a pass changes, and the key of all that it is made from.

#include <filesystem>
#include <string>

#include <tare/io/quantization_checkpoint.hpp>
#include <tare/train/quantization_aware.hpp>

#include "command.hpp"
#include "progress.hpp"
#include "resumable.hpp"
#include "training_run.hpp"

namespace tare::tool {

struct kept_quantization {
    std::string folder;  ///< of the checkpoint; empty: nothing is kept
    std::string key;     ///< a checkpoint of another key is passed over
    extent passes = 0;
    bool learns = false;         ///< each pass ends with an update
    extent samples_of_pass = 1;  ///< for calibration: how often a pass observes
    extent saves_every = 1;      ///< passes; calibration saves after each, its state is small

    /// pass(i) for every i that is left; `saved` is called after every checkpoint.
    /// **Throws** stage_ended on a signal, what the passes throw, tare::file_error on damage.
    template <class Pass, class Saved>
    void run(train::quantization_aware<>& trainer, const Pass& pass, const Saved& saved) const {
        const auto parts =
            learns ? io::quantization_parts::everything : io::quantization_parts::ranges;
        const io::checkpoint_facts facts{{"inputs", key}};
        const std::string checkpoint = run_folder{folder}.checkpoint();
        if (!folder.empty()) {
            std::filesystem::create_directories(folder);
            if (is_of_key(checkpoint)) io::load_checkpoint(checkpoint, trainer, facts, parts);
        }
        const interruption stop;
        progress_bar bar("quantize");
        for (extent at = learns ? trainer.updates() : observed(trainer); at < passes; ++at) {
            pass(at);
            bar.show(at + 1, passes);
            const bool due = !learns || (at + 1) % saves_every == 0 || stop.wanted();
            if (due && !folder.empty()) {
                io::save_checkpoint(checkpoint, trainer, facts, parts);
                saved();
            }
            if (stop.wanted()) throw stage_ended{interrupted};
        }
    }

  private:
    [[nodiscard]] bool is_of_key(const std::string& checkpoint) const {
        if (!std::filesystem::exists(checkpoint)) return false;
        const auto metadata = io::load_safetensors(checkpoint).metadata;
        const auto found = metadata.find("run.inputs");
        return found != metadata.end() && found->second == key;
    }
    /// Passes that the ranges have seen.
    [[nodiscard]] extent observed(const train::quantization_aware<>& trainer) const {
        return trainer.widths().bits == 32
                   ? 0
                   : trainer.range("final").tracker.steps() / samples_of_pass;
    }
};

}  // namespace tare::tool
