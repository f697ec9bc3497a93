#pragma once
// SPDX-License-Identifier: MIT
// The student of PET (parameter sharing and distillation): two stored layers on each side, run
// through twice, so that four are executed; one query projection for both attentions of a decoder
// layer; in the encoder's second pass queries and keys exchange their projections. Norms, inner
// layers and output projections are shared by both passes as they are. Its teacher of the second
// stage has the same widths and six layers of its own on each side.
// Source: PET, PLOS ONE 18(7) e0288060 (2023), and its code.

#include <tare/models/translation_transformer_config.hpp>

namespace tare {

/// Widths of the two sides.
struct pet_widths {
    extent encoder = 320;
    extent encoder_inner = 640;
    extent decoder = 240;
    extent decoder_inner = 480;
    extent heads = 4;
};

/// `layers` ordinary layers on each side: the teacher at six.
[[nodiscard]] constexpr translation_transformer_config
pet_teacher_config(extent source_vocabulary, extent target_vocabulary, std::size_t layers = 6,
                   const pet_widths& widths = {}) {
    translation_transformer_config c;
    const attention_sizes encoder{widths.heads, widths.encoder, widths.encoder};
    const attention_sizes decoder{widths.heads, widths.decoder, widths.decoder};
    c.encoder = {source_vocabulary, widths.encoder};
    c.decoder = {target_vocabulary, widths.decoder};
    c.encoder_layers = {layers, encoder_layer_sizes{encoder, widths.encoder_inner}};
    c.decoder_layers = {layers, decoder_layer_sizes{decoder, decoder, widths.decoder_inner}};
    return c;
}

/// The student. Its projections serve as their names say, but for the encoder's second pass, where
/// queries are made by k_proj and keys by q_proj.
[[nodiscard]] constexpr translation_transformer_config
pet_student_config(extent source_vocabulary, extent target_vocabulary, std::size_t layers = 2,
                   const pet_widths& widths = {}) {
    using enum attention_roles::projection;
    translation_transformer_config c =
        pet_teacher_config(source_vocabulary, target_vocabulary, layers, widths);
    c.encoder_passes = {attention_roles{}, attention_roles{k, q, v}};
    c.decoder_passes = {attention_roles{}, attention_roles{}};
    c.share_queries = true;
    return c;
}

/// The student in the roles of the published code, whose first pass, and every pass of the decoder,
/// has k_proj and v_proj in each other's place (what an option left behind). To read its arrays.
[[nodiscard]] constexpr translation_transformer_config
published_pet_roles(translation_transformer_config c) {
    using enum attention_roles::projection;
    c.encoder_passes = {attention_roles{q, v, k}, attention_roles{k, q, v}};
    c.decoder_passes = {attention_roles{q, v, k}, attention_roles{q, v, k}};
    return c;
}

}  // namespace tare
