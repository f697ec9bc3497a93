// SPDX-License-Identifier: MIT
// HAT's configuration files: sub networks, super networks, spaces, and what is wrong with them.
#include <string>

#include <doctest/doctest.h>

#include <tare/io/yaml_hat.hpp>

using namespace tare;

namespace {

const std::string sub = "encoder-embed-dim-subtransformer: 512\n"
                        "decoder-embed-dim-subtransformer: 640\n"
                        "encoder-ffn-embed-dim-all-subtransformer: [1024, 2048]\n"
                        "decoder-ffn-embed-dim-all-subtransformer: [2048]\n"
                        "encoder-layer-num-subtransformer: 2\n"
                        "decoder-layer-num-subtransformer: 1\n"
                        "encoder-self-attention-heads-all-subtransformer: [4, 2]\n"
                        "decoder-self-attention-heads-all-subtransformer: [8]\n"
                        "decoder-ende-attention-heads-all-subtransformer: [4]\n"
                        "decoder-arbitrary-ende-attn-all-subtransformer: [2, -1]\n";

const std::string training = "arch: transformersuper\nlr: 0.0005\n"
                             "encoder-embed-dim: 640\ndecoder-embed-dim: 512\n"
                             "encoder-ffn-embed-dim: 2048\ndecoder-ffn-embed-dim: 3072\n"
                             "encoder-layers: 6\ndecoder-layers: 5\nqkv-dim: 256\n"
                             "encoder-ffn-embed-dim-choice: [2048, 512]\n"
                             "decoder-arbitrary-ende-attn-choice: [-1, 1]\n";

io::yaml_document parsed(const std::string& text) {
    return io::yaml_document::parse("hat.yml", text);
}

std::string without(const std::string& text, const std::string& key) {
    const std::size_t at = text.find(key);
    return text.substr(0, at) + text.substr(text.find('\n', at) + 1);
}

}  // namespace

TEST_CASE("a sub network is read as it is written") {
    const hat_network n = io::read_hat_network(parsed(sub));
    CHECK(n.encoder_width == 512);
    CHECK(n.decoder_width == 640);
    CHECK(n.encoder_layers == 2);
    CHECK(n.decoder_layers == 1);
    CHECK(n.encoder_inner == layer_list{1024, 2048});
    CHECK(n.decoder_inner == layer_list{2048});
    CHECK(n.encoder_heads == layer_list{4, 2});
    CHECK(n.decoder_self_heads == layer_list{8});
    CHECK(n.decoder_cross_heads == layer_list{4});
    CHECK(n.decoder_arbitrary == layer_list{2, -1});
    // Beside the settings of a training it is read too, but not as a file of its own.
    CHECK(io::read_hat_network(parsed(sub + training), false) == n);
    CHECK_THROWS_WITH_AS(static_cast<void>(io::read_hat_network(parsed(sub + "lr: 1\n"))),
                         doctest::Contains("lr: unknown key"), file_error);
}

TEST_CASE("a super network and its space are read, the rest keeps its defaults") {
    const hat_super_network s = io::read_hat_super_network(parsed(training));
    CHECK(s.encoder_width == 640);
    CHECK(s.decoder_width == 512);
    CHECK(s.encoder_inner == 2048);
    CHECK(s.decoder_inner == 3072);
    CHECK(s.encoder_layers == 6);
    CHECK(s.decoder_layers == 5);
    CHECK(s.qkv_width == 256);
    CHECK(!s.share_embeddings);
    CHECK(!s.tie_output);
    CHECK(!s.pre_norm);
    const hat_super_network shared =
        io::read_hat_super_network(parsed(training + "share-all-embeddings: True\n"));
    CHECK((shared.share_embeddings && shared.tie_output));
    const search::hat_space space = io::read_hat_space(parsed(training));
    CHECK(space.encoder_inner == search::hat_space::choices{2048, 512});
    CHECK(space.decoder_arbitrary == search::hat_space::choices{-1, 1});
    CHECK(space.decoder_inner == search::hat_space{}.decoder_inner);
}

TEST_CASE("what is wrong is named with its line and key") {
    const auto refuses = [](const std::string& text, const char* says) {
        CHECK_THROWS_WITH_AS(static_cast<void>(io::read_hat_network(parsed(text))),
                             doctest::Contains(says), file_error);
    };
    refuses(without(sub, "encoder-layer-num"), "encoder-layer-num-subtransformer: missing");
    refuses(without(sub, "decoder-arbitrary") +
                "decoder-arbitrary-ende-attn-all-subtransformer: [3]\n",
            "hat.yml:10: decoder-arbitrary-ende-attn-all-subtransformer: 3 is no choice");
    refuses(without(sub, "encoder-self") + "encoder-self-attention-heads-all-subtransformer: [4]\n",
            "1 entries for 2 layers");
    refuses(without(sub, "encoder-ffn") + "encoder-ffn-embed-dim-all-subtransformer: [0, 4]\n",
            "0 is out of range");
    CHECK_THROWS_WITH_AS(static_cast<void>(io::read_hat_super_network(
                             parsed(training + "encoder-normalize-before: True\n"))),
                         doctest::Contains("both sides"), file_error);
    CHECK_THROWS_WITH_AS(static_cast<void>(io::read_hat_space(
                             parsed("encoder-embed-choice: [1,2,3,4,5,6,7,8,9]\n"))),
                         doctest::Contains("9 entries, expected 1 to 8"), file_error);
}
