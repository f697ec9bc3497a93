// SPDX-License-Identifier: MIT
// tare: the command line tool. Results go to standard output, progress and errors to standard
// error.
#include <algorithm>
#include <csignal>
#include <exception>
#include <iostream>
#include <new>

#include <CLI/CLI.hpp>

#include <tare/core/error.hpp>

#include "command.hpp"

int main(int argc, char** argv) {
    using namespace tare::tool;
    // A file above the limit of `ulimit -f` is then an error of the write, with the old file kept,
    // and not the end of the process.
    std::signal(SIGXFSZ, SIG_IGN);
    CLI::App app{"tare: compress Transformers and know exactly what they weigh"};
    app.require_subcommand(1);
    std::sort(commands().begin(), commands().end(),
              [](const command& a, const command& b) { return a.name < b.name; });
    std::vector<std::pair<std::string, std::function<int()>>> actions;
    for (const command& c : commands())
        actions.emplace_back(c.name, c.add(app));
    try {
        app.parse(argc, argv);
        for (const auto& [name, run] : actions)
            if (app.got_subcommand(name)) return run();
        return usage_error;
    } catch (const CLI::ParseError& e) {
        const int code = app.exit(e);
        return code == 0 ? done : usage_error;
    } catch (const tare::error& e) {
        std::cerr << "tare: " << e.what() << '\n';
        return bad_input;
    } catch (const std::bad_alloc&) {
        std::cerr << "tare: the memory of this machine does not suffice; --dry-run says what a "
                     "training needs, smaller sizes or samples need less\n";
        return bad_input;
    } catch (const std::exception& e) {
        std::cerr << "tare: " << e.what() << '\n';
        return bad_input;
    }
}
