// SPDX-License-Identifier: MIT
#include "training_run.hpp"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include <zlib.h>

#include <tare/io/text_corpus.hpp>

#include "command.hpp"
#include "dry_run.hpp"
#include "language_model.hpp"
#include "make_folder.hpp"

namespace tare::tool {

namespace {

/// CRC-32 of a token stream: what a run was trained on.
std::uint32_t checksum(std::span<const token> tokens) {
    const auto bytes = std::as_bytes(tokens);
    return static_cast<std::uint32_t>(
        ::crc32_z(0, reinterpret_cast<const ::Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace

run_texts read_texts(const training_options& o, const io::entry_config& e,
                     const std::string& start_folder) {
    require(!o.text.empty(), "--text FILE is needed: the text to train on");
    run_texts out;
    const auto size = static_cast<std::size_t>(e.n_vocab);
    if (!o.vocabulary.empty())
        out.words = io::load_vocabulary(o.vocabulary);
    else if (!start_folder.empty())
        out.words = io::load_vocabulary(run_folder{start_folder}.vocabulary());
    else
        out.words = io::build_vocabulary({o.text}, size, size);
    require(out.words.size() <= size, "the vocabulary has ", out.words.size(),
            " words, the configuration's n_vocab is ", e.n_vocab);
    out.train = read_words(o.text, out.words);
    if (!o.valid.empty()) out.valid = read_words(o.valid, out.words);
    if (!o.test.empty()) out.test = read_words(o.test, out.words);
    return out;
}

int with_entry(const training_options& o, const std::function<int(const io::entry_config&)>& work) {
    set_threads(o.threads);
    const io::entry_config e = o.entry();
    if (!o.dry_run) return work(e);
    print_dry_run(e);
    return done;
}

double seconds_of_step(const io::entry_config& e) {
    const random_stream random(1, 0);
    const auto count = static_cast<std::size_t>(e.train_chunk);
    std::vector<token> words(count + 1);
    for (std::size_t i = 0; i < words.size(); ++i)
        words[i] = static_cast<token>(std::expm1(std::log(static_cast<double>(e.n_vocab)) *
                                                 static_cast<double>(random.uniform(i))));
    io::entry_config one = e;
    one.train_batch = 1;
    train::trainer<train::adam> trainer(model_config(one), random_parameters<float>(1),
                                        trainer_options(one, false, 1));
    const auto step = [&] {
        const auto begin = std::chrono::steady_clock::now();
        trainer.step(std::span(words).first(count), std::span(words).last(count), 1e-4);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        return took.count();
    };
    static_cast<void>(step());  // allocates
    return step() * static_cast<double>(e.train_batch);
}

training_run::training_run(const training_options& o, const io::entry_config& e, run_texts texts,
                           std::string stage)
    : options_(o),
      entry_(e),
      texts_(std::move(texts)),
      stage_(std::move(stage)),
      folder_{o.out},
      rate_(learning_rate(e)),
      sampler_(texts_.train, e.train_chunk, e.train_batch, random_stream(o.seed, 0x7261696E)) {
    require(!o.out.empty(), "--out FOLDER is needed: where checkpoints go");
    make_folder(o.out);
    transformer_xl_config config = model_config(e);
    config.cache.shared = o.reference_cache;
    const train::trainer_options how = trainer_options(e, o.reference_cache, o.seed);
    if (o.from.empty()) {
        trainer_ = std::make_unique<trainer_type>(config, random_parameters<float>(o.seed), how);
    } else {
        const io::safetensors_archive start = io::load_safetensors(run_folder{o.from}.checkpoint());
        trainer_ = std::make_unique<trainer_type>(config, io::safetensors_parameters(start), how);
    }
    if (!o.log.empty()) log_ = std::make_unique<io::json_lines>(o.log);
}

training_run::~training_run() = default;

void training_run::prune(std::vector<prune::gradual_rule> rules) {
    trainer_->prune(prune::gradual_pruner(std::move(rules), entry_.steps_per_epoch));
}

double training_run::perplexity(std::span<const token> tokens, const char* name) const {
    progress_bar bar(name);
    const transformer_xl<tensor> model = trainer_->plain_model();
    return perplexity_of(model, tokens,
                         {.chunk = entry_.eval_chunk,
                          .batch = entry_.eval_batch,
                          .progress = [&](extent d, extent of) { bar.show(d, of); }});
}

int training_run::run() {
    io::save_vocabulary(folder_.vocabulary(), texts_.words);
    io::write_text(folder_.config(), io::to_yaml(entry_));
    if (options_.resume && std::filesystem::exists(folder_.checkpoint()))
        io::load_checkpoint(folder_.checkpoint(), *trainer_, facts());
    const interruption stop;
    progress_bar bar(stage_);
    started_ = std::chrono::steady_clock::now();
    const extent first = trainer_->steps();
    try {
        while (trainer_->steps() < entry_.steps) {
            const train::step_report r = one_step();
            const extent at = trainer_->steps();
            note(r, first, bar);
            if (at % entry_.step_save == 0 || stop.wanted()) save();
            if (stop.wanted()) {
                std::cerr << message("\ntare: stopped after step ", at,
                                     "; go on with "
                                     "--resume\n");
                return interrupted;
            }
            if (at % entry_.step_eval == 0 && at < entry_.steps && !texts_.valid.empty())
                evaluate("valid", texts_.valid);
        }
    } catch (const train::diverged& e) {
        std::cerr << message("\ntare: ", e.what(), "; the last checkpoint in ", folder_.path,
                             " is untouched\n");
        return check_failed;
    }
    save();
    if (first < trainer_->steps())
        std::cerr << message("tare: ", stage_, ": step ", trainer_->steps(), ", loss ", last_loss_,
                             "; weights in ", folder_.checkpoint(), '\n');
    if (!texts_.valid.empty()) evaluate("valid", texts_.valid);
    if (!texts_.test.empty()) evaluate("test", texts_.test);
    return done;
}

io::checkpoint_facts training_run::facts() const {
    io::checkpoint_facts out = more_facts_;
    out.merge(own_facts());
    return out;
}

io::checkpoint_facts training_run::own_facts() const {
    return {{"seed", message(options_.seed)},
            {"text", message(texts_.train.size(), " tokens, crc32 ", checksum(texts_.train))},
            {"samples", message(entry_.train_batch, " x ", entry_.train_chunk)},
            {"dropout", message(entry_.dropout)},
            {"rate", message(entry_.scheduler, ' ', entry_.lr, " warm-up ", entry_.step_warmup,
                             " steps ", entry_.steps)},
            {"stage", stage_},
            {"cache", options_.reference_cache ? "kept" : "reset"}};
}

train::step_report training_run::one_step() {
    const auto size = static_cast<std::size_t>(entry_.train_batch * entry_.train_chunk);
    std::vector<token> inputs(size);
    std::vector<token> labels(size);
    const extent step = trainer_->steps();
    sampler_.sample(step, inputs, labels);
    if (teacher_ == nullptr) return trainer_->step(inputs, labels, rate_(step));
    std::vector<token> words;
    std::vector<float> shares;
    for (extent row = 0; row < entry_.train_batch; ++row)
        teacher_->read(sampler_.offset(step, row) + 1, entry_.train_chunk, words, shares);
    const train::soft_labels soft{teacher_->facts().kept, words, shares};
    return trainer_->step(inputs, labels, rate_(step), &soft);
}

void training_run::note(const train::step_report& r, extent first, progress_bar& bar) {
    const extent done_steps = trainer_->steps();
    last_loss_ = r.loss;
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - started_;
    const double speed =
        static_cast<double>((done_steps - first) * entry_.train_batch * entry_.train_chunk) /
        time.count();
    bar.show(done_steps, entry_.steps, message("loss ", r.loss, "  ", speed, " tokens/s"));
    if (log_ == nullptr) return;
    log_->append({{"event", "step"},
                  {"stage", stage_},
                  {"step", done_steps},
                  {"loss", r.loss},
                  {"hard_loss", r.hard_loss},
                  {"gradient_norm", r.gradient_norm},
                  {"rate", rate_(done_steps - 1)},
                  {"tokens_per_second", speed}});
}

void training_run::evaluate(const char* name, std::span<const token> tokens) {
    const double ppl = perplexity(tokens, name);
    std::printf("step %lld  %s perplexity %.4f\n", static_cast<long long>(trainer_->steps()), name,
                ppl);
    std::fflush(stdout);
    if (log_ != nullptr)
        log_->append({{"event", "evaluation"},
                      {"stage", stage_},
                      {"step", trainer_->steps()},
                      {"text", name},
                      {"perplexity", ppl}});
}

void training_run::save() {
    io::save_checkpoint(folder_.checkpoint(), *trainer_, facts());
    if (saved_) saved_();
}

}  // namespace tare::tool
