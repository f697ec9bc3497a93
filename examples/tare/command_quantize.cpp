// SPDX-License-Identifier: MIT
// tare quantize: a checkpoint becomes a packed model file, with or without training steps in
// between.
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <tare/core/random.hpp>
#include <tare/io/packed.hpp>
#include <tare/io/text_corpus.hpp>
#include <tare/micronet/compressed_parameters.hpp>
#include <tare/text/name_pattern.hpp>

#include "../command_line_checks.hpp"
#include "command.hpp"
#include "input_key.hpp"
#include "language_model.hpp"
#include "model_options.hpp"
#include "quantization_run.hpp"
#include "resumable.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

struct options {
    model_options model;
    std::string checkpoint;
    std::string out;
    std::string calibrate;
    std::string vocabulary;
    std::string work;
    std::vector<std::string> exceptions;
    extent saves_every = 10;
    extent steps = 0;
    extent samples = 1;
    extent chunk = 1152;
    double rate = 1e-4;
    std::uint64_t seed = 1;
    int threads = 1;
    bool published = false;
};

/// "REGEX=BITS" for every tensor whose whole name fits.
std::vector<micronet::tensor_width> widths_of(const options& o,
                                              const transformer_xl_config& config) {
    std::vector<micronet::tensor_width> out;
    ledger book;
    const micronet::compression dense{};
    micronet::compressed_parameters source(book, dense);
    const transformer_xl<cost> names(source, config);
    for (const std::string& text : o.exceptions) {
        const std::size_t at = text.rfind('=');
        const std::string digits = at == std::string::npos ? "" : text.substr(at + 1);
        require(!digits.empty() && digits.size() <= 2 &&
                    digits.find_first_not_of("0123456789") == std::string::npos,
                "--tensor ", text,
                ": expected REGEX=BITS, for example layers\\..*\\.out\\.weight=8");
        const text::name_pattern pattern(text.substr(0, at));
        std::size_t found = 0;
        for (const ledger_item& item : book.items()) {
            const std::string label(item.label.view());
            if (!pattern.matches(label) || micronet::stays_at_32_bits(label)) continue;
            out.insert(out.begin(), {short_text(label), std::stoi(digits)});
            ++found;
        }
        require(found > 0, "--tensor ", text, ": no tensor that can be quantized has such a name");
    }
    return out;
}

/// The text in the words of the model: those of --vocabulary, of the training run that the
/// checkpoint lies in, or else the text's own.
std::vector<token> read_text(const options& o, extent vocabulary_size) {
    const auto beside = std::filesystem::path(o.checkpoint).parent_path() / "vocabulary.txt";
    std::string named = o.vocabulary;
    if (named.empty() && std::filesystem::exists(beside)) named = beside.string();
    const text::vocabulary words =
        named.empty()
            ? io::build_vocabulary({o.calibrate}, 0, static_cast<std::size_t>(vocabulary_size))
            : io::load_vocabulary(named);
    require(static_cast<extent>(words.size()) <= vocabulary_size, "quantize: the vocabulary has ",
            words.size(), " words, the model ", vocabulary_size);
    return read_words(o.calibrate, words);
}

/// Everything the ranges and the training depend on but the widths and the sizes of the model,
/// which a checkpoint knows.
std::string key_of(const options& o, std::span<const token> words) {
    return input_key()
        .add(io::read_text(o.checkpoint))
        .add(words)
        .add(message(o.steps, ' ', o.samples, ' ', o.chunk, ' ', o.rate, ' ', o.seed, ' ',
                     o.published))
        .text();
}

/// Ranges from a few random chunks, or the training steps, as far as there is a text.
quantization_run run_of(const options& o, const described_model& m, std::span<const token> words) {
    quantization_run out;
    out.how.bits = m.how.bits;
    out.how.widths = widths_of(o, m.config);
    out.options.zeros_before_start = o.published;
    if (words.empty()) return out;
    out.samples.emplace(words, o.chunk, 1, random_stream(o.seed, 0));
    out.passes = o.steps > 0 ? o.steps : o.samples;
    if (o.steps > 0) out.rate = [rate = o.rate](extent) { return rate; };
    out.folder = o.work;
    if (!o.work.empty()) out.key = key_of(o, words);
    out.saves_every = o.saves_every;
    out.told = [passes = out.passes](extent at, double loss) {
        std::cerr << message("tare quantize: ", at + 1, " of ", passes, ", loss ", loss, '\n');
    };
    return out;
}

int run(const options& o) {
    set_threads(o.threads);
    const described_model m = o.model.describe();
    require(m.how.bits == 32 || !o.calibrate.empty(), "quantize: activations of ", m.how.bits,
            " bits need their ranges: give --calibrate FILE");
    require(o.steps == 0 || !o.calibrate.empty(),
            "quantize: --qat-steps needs text: give --calibrate FILE");
    const std::vector<token> words =
        o.calibrate.empty() ? std::vector<token>{} : read_text(o, m.config.vocabulary);
    io::save_packed(o.out, run_of(o, m, words).run(load_weights(o.checkpoint), m.config));
    const io::packed_file file = io::load_packed(o.out);
    std::printf("%s: %d bits, payload %lld bits = %.3f parameters of 32 bits\n", o.out.c_str(),
                m.how.bits, static_cast<long long>(file.payload_bits),
                static_cast<double>(file.payload_bits) / 32.0);
    return done;
}

const registration quantize{
    {"quantize", [](CLI::App& app) {
         auto o = std::make_shared<options>();
         CLI::App* sub =
             app.add_subcommand("quantize", "Turn a checkpoint into a packed model file");
         o->model.add_sizes(*sub);
         sub->add_option("--checkpoint", o->checkpoint, "Parameters (safetensors)")
             ->required()
             ->check(CLI::ExistingFile);
         sub->add_option("--out", o->out, "Packed file to write")->required();
         sub->add_option("--calibrate", o->calibrate,
                         "Text file (.gz too) for the ranges and the training steps")
             ->check(CLI::ExistingFile);
         sub->add_option("--vocabulary", o->vocabulary,
                         "Vocabulary file; default: vocabulary.txt beside the checkpoint, else "
                         "that of the text itself")
             ->check(CLI::ExistingFile);
         sub->add_option("--tensor", o->exceptions, "REGEX=BITS: a width of their own; repeatable");
         sub->add_option("--qat-steps", o->steps, "Quantization-aware training steps")
             ->check(non_negative_number)
             ->capture_default_str();
         sub->add_option("--samples", o->samples, "Calibration chunks when there are no steps")
             ->check(positive_number)
             ->capture_default_str();
         sub->add_option("--chunk", o->chunk, "Tokens of a sample")
             ->check(positive_number)
             ->capture_default_str();
         sub->add_option("--rate", o->rate, "Learning rate")->capture_default_str();
         sub->add_option("--seed", o->seed, "Of the samples")->capture_default_str();
         sub->add_flag("--zeros-before-start", o->published,
                       "Attend to zeros before the first token, as the published model does");
         sub->add_option("--work", o->work,
                         "Folder for a checkpoint: a command that was killed goes on from there");
         sub->add_option("--save-every", o->saves_every, "Training steps between checkpoints")
             ->check(positive_number)
             ->capture_default_str();
         sub->add_option("--threads", o->threads, "Threads; the results do not depend on them")
             ->capture_default_str();
         return resumable(o->work, [o] { return run(*o); });
     }}};

}  // namespace
