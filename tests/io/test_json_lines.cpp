// SPDX-License-Identifier: MIT
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <tare/io/json_lines.hpp>

#include "io/scratch.hpp"

using tare::io::json_lines;
using tare::io::read_text;

TEST_CASE("records are appended line by line, across openings") {
    const tare::testing::scratch_folder folder;
    const std::string path = folder.file("log");
    {
        json_lines log(path);
        log.append({{"step", 1}, {"loss", 2.5}, {"what", "a\nb"}});
    }
    json_lines log(path);
    log.append({{"loss", std::numeric_limits<double>::quiet_NaN()}, {"path", "\xFF"}});
    CHECK(read_text(path) == "{\"step\":1,\"loss\":2.5,\"what\":\"a\\nb\"}\n"
                             "{\"loss\":null,\"path\":\"\xEF\xBF\xBD\"}\n");
    CHECK_THROWS_AS(log.append(3), tare::error);
}

TEST_CASE("a torn last line is cut off, a whole one completed") {
    const tare::testing::scratch_folder folder;
    const std::string path = folder.file("log");
    for (const std::string torn : {"{\"step\":2,\"lo", "{", ""}) {
        tare::testing::dump(path, "{\"step\":1}\n" + torn);
        json_lines(path).append({{"step", 2}});
        CHECK(read_text(path) == "{\"step\":1}\n{\"step\":2}\n");
    }
    tare::testing::dump(path, "{\"step\":1}");
    json_lines(path).append({{"step", 2}});
    CHECK(read_text(path) == "{\"step\":1}\n{\"step\":2}\n");
}

TEST_CASE("a file that is no log is refused and left alone") {
    const tare::testing::scratch_folder folder;
    const std::string path = folder.file("f");
    for (const std::string& other :
         {std::string("weights\n and more"), std::string("x\n{\"torn"),
          std::string("{\n  \"a\": 1\n}"), "{" + std::string((1 << 20) + 5, 'x')}) {
        tare::testing::dump(path, other);
        CHECK_THROWS_AS(json_lines{path}, tare::file_error);
        CHECK(read_text(path) == other);
    }
}

TEST_CASE("a disk that is full is an error") {
    json_lines log("/dev/full");
    const std::string said = tare::testing::raised<tare::file_error>([&] {
        log.append({{"step", 1}});
    });
    CHECK(said == "/dev/full: a record of 11 bytes could not be appended: No space left on device");
    CHECK_THROWS_AS(json_lines("/nonexistent/log"), tare::file_error);
}
