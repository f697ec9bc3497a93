#pragma once
// SPDX-License-Identifier: MIT
// YAML as configuration files need it, on top of yaml-cpp: one document, maps whose keys are each
// read once with a type and a range, and errors that name file, line, key and, for a key nobody
// asked for, the nearest known one.
// Source: YAML 1.2, sections 7 and 8 (as yaml-cpp reads it).

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <yaml-cpp/yaml.h>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/io/input_file.hpp>
#include <tare/text/edit_distance.hpp>
#include <tare/text/utf8.hpp>

namespace tare::io {

/// One parsed file and its name for messages.
struct yaml_document {
    std::string path;
    YAML::Node root;

    /// Reads a file of at most 4 MiB. Throws tare::file_error naming file and line.
    [[nodiscard]] static yaml_document load(const std::string& path) {
        return parse(path, read_text(path, std::uint64_t{4} << 20));
    }

    /// Parses `text`; `path` only serves messages. Throws tare::file_error.
    [[nodiscard]] static yaml_document parse(const std::string& path, const std::string& text) {
        text::utf8_checker checker;
        const std::size_t bad = checker.feed(text);
        if (bad != text.size() || !checker.complete())
            detail::fail_at(path, bad, "not text (UTF-8 without zero bytes); is this a YAML file?");
        try {
            std::vector<YAML::Node> documents = YAML::LoadAll(text);
            if (documents.size() != 1)
                throw file_error(
                    message(path, ": holds ", documents.size(), " YAML documents, expected one"));
            return {path, documents.front()};
        } catch (const YAML::Exception& reason) {
            throw file_error(message(path, ':', reason.mark.line + 1, ": not readable as YAML: ",
                                     reason.msg, " (column ", reason.mark.column + 1, ')'));
        }
    }

    /// Throws tare::file_error "path:line: what".
    [[noreturn]] void fail(const YAML::Node& node, const auto&... what) const {
        throw file_error(message(path, ':', line(node), ": ", what...));
    }
    [[nodiscard]] static int line(const YAML::Node& node) { return node.Mark().line + 1; }
};

/// A map of a document. Every key is asked for by name; finish() refuses what is left over.
class yaml_map {
  public:
    /// `where` is the dotted place of the map within the document, empty for its root.
    /// Throws tare::file_error unless `node` is a map with plain, distinct keys.
    yaml_map(const yaml_document& document, const YAML::Node& node, std::string where = {})
        : document_(&document), node_(node), where_(std::move(where)) {
        if (!node.IsMap())
            document.fail(node, where_.empty() ? "the document" : where_, " is ", kind(node),
                          ", expected a map of keys and values");
        for (const auto& pair : node) {
            if (!pair.first.IsScalar())
                document.fail(pair.first, where_, "a key is ", kind(pair.first),
                              ", expected a name");
            if (!values_.emplace(pair.first.Scalar(), pair).second)
                document.fail(pair.first, name(pair.first.Scalar()), ": duplicate key");
        }
    }

    /// Whether the key is there; from now on it is a known one.
    [[nodiscard]] bool has(const std::string& key) {
        known_.insert(key);
        return values_.contains(key);
    }
    /// The value of a key. Throws tare::file_error when it is missing.
    [[nodiscard]] YAML::Node value(const std::string& key) {
        if (!has(key))
            document_->fail(node_, name(key), ": missing; this key is required",
                            similar_unknown(key));
        return values_.at(key).second;
    }

    /// Integer in [low, high], written in decimal.
    [[nodiscard]] extent integer(const std::string& key, extent low, extent high) {
        return parse_integer(value(key), key, low, high);
    }
    /// Finite number in [low, high].
    [[nodiscard]] double number(const std::string& key, double low, double high) {
        return parse_number(value(key), key, low, high);
    }
    /// true or false; 1 and 0 serve too, as the entry writes some of its switches.
    [[nodiscard]] bool flag(const std::string& key) {
        const YAML::Node node = value(key);
        const std::string text = plain(node, key, "true or false");
        for (const char* yes : {"true", "True", "TRUE", "1"})
            if (text == yes) return true;
        for (const char* no : {"false", "False", "FALSE", "0"})
            if (text == no) return false;
        document_->fail(node, name(key), ": \"", text, "\" is neither true nor false");
    }
    /// Any scalar, as text.
    [[nodiscard]] std::string text(const std::string& key) {
        const YAML::Node node = value(key);
        if (!node.IsScalar())
            document_->fail(node, name(key), ": is ", kind(node), ", expected text");
        return node.Scalar();
    }
    /// A list of integers, each in [low, high].
    [[nodiscard]] std::vector<extent> integers(const std::string& key, extent low, extent high) {
        std::vector<extent> out;
        for (const YAML::Node& item : list(key, "a list of integers"))
            out.push_back(parse_integer(item, key, low, high));
        return out;
    }
    /// A list of finite numbers, each in [low, high].
    [[nodiscard]] std::vector<double> numbers(const std::string& key, double low, double high) {
        std::vector<double> out;
        for (const YAML::Node& item : list(key, "a list of numbers"))
            out.push_back(parse_number(item, key, low, high));
        return out;
    }

    /// Refuses a value: throws tare::file_error "path:line: key: what".
    [[noreturn]] void refuse(const std::string& key, const auto&... what) const {
        const auto found = values_.find(key);
        document_->fail(found == values_.end() ? node_ : found->second.first, name(key), ": ",
                        what...);
    }

    /// Throws tare::file_error on the first key (by line) that was never asked for.
    void finish() const {
        const YAML::Node* first = nullptr;
        for (const auto& [key, pair] : values_)
            if (!known_.contains(key) &&
                (first == nullptr || pair.first.Mark().pos < first->Mark().pos))
                first = &pair.first;
        if (first != nullptr)
            document_->fail(*first, name(first->Scalar()), ": unknown key.",
                            text::did_you_mean(first->Scalar(), known_));
    }

    /// Names and nodes of the map, in the order of the names.
    [[nodiscard]] const auto& values() const noexcept { return values_; }

    /// "a map", "a list", "empty": what a node is, for messages.
    [[nodiscard]] static std::string kind(const YAML::Node& node) {
        if (node.IsMap()) return "a map";
        if (node.IsSequence()) return "a list";
        return node.IsScalar() ? "\"" + node.Scalar() + '"' : "empty";
    }

  private:
    [[nodiscard]] std::string name(const std::string& key) const {
        return where_.empty() ? key : where_ + '.' + key;
    }
    // A misspelt key is both missing and unknown: mention the likely culprit.
    [[nodiscard]] std::string similar_unknown(const std::string& key) const {
        std::vector<std::string> unknown;
        for (const auto& [other, pair] : values_)
            if (!known_.contains(other)) unknown.push_back(other);
        const std::string nearest = text::nearest_name(key, unknown);
        return nearest.empty() ? std::string() : " (there is a key " + nearest + ")";
    }
    // Quoted scalars carry the tag "!": "8" in quotes is text, not a number.
    [[nodiscard]] std::string plain(const YAML::Node& node, const std::string& key,
                                    const char* expected) const {
        if (!node.IsScalar() || node.Tag() == "!")
            document_->fail(node, name(key), ": is ", node.IsScalar() ? "quoted text" : kind(node),
                            ", expected ", expected);
        return node.Scalar();
    }
    [[nodiscard]] YAML::Node list(const std::string& key, const char* expected) {
        const YAML::Node node = value(key);
        if (!node.IsSequence())
            document_->fail(node, name(key), ": is ", kind(node), ", expected ", expected);
        return node;
    }
    [[nodiscard]] double parse_number(const YAML::Node& node, const std::string& key, double low,
                                      double high) const {
        const std::string text = plain(node, key, "a number");
        double out = 0;
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
        if (code != std::errc() || end != text.data() + text.size() || !std::isfinite(out))
            document_->fail(node, name(key), ": \"", text, "\" is not a number");
        if (out < low || out > high)
            document_->fail(node, name(key), ": ", out, " is out of range, expected ", low, " to ",
                            high);
        return out;
    }
    [[nodiscard]] extent parse_integer(const YAML::Node& node, const std::string& key, extent low,
                                       extent high) const {
        const std::string text = plain(node, key, "an integer");
        extent out = 0;
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
        if (end != text.data() + text.size() || code == std::errc::invalid_argument)
            document_->fail(node, name(key), ": \"", text, "\" is not an integer");
        if (code != std::errc() || out < low || out > high)
            document_->fail(node, name(key), ": ", text, " is out of range, expected ", low, " to ",
                            high);
        return out;
    }

    const yaml_document* document_;
    YAML::Node node_;
    std::string where_;
    std::map<std::string, std::pair<YAML::Node, YAML::Node>> values_;
    std::set<std::string> known_;
};

}  // namespace tare::io
