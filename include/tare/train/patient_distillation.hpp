#pragma once
// SPDX-License-Identifier: MIT
// Patient distillation: a student's states follow a teacher's, layer by layer, at one token of each
// sentence. For each side, over its chosen pairs of states and the sentences b:
//     loss = mean over pairs, sentences and columns of (u(student) - u(teacher))^2
// with u(x) = x / |x| or x itself. States are the embeddings and the result of every layer, (T, B,
// width). The student's last two are left out; of the teacher's, without its last two, every
// second one is taken (or the last ones). Student and teacher must have one width.
// Source: Sun, Cheng, Gan, Liu 2019, section 3; as in PET, PLOS ONE 18(7) e0288060 (2023).

#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/ops/add.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/mean_squared_error.hpp>
#include <tare/ops/reshape.hpp>
#include <tare/ops/scale.hpp>
#include <tare/ops/unit_rows.hpp>

namespace tare::train {

/// The last token of each sentence, as rows of states (T, B, width): where the next word, or the
/// summary of the sentence, is made.
/// **Shapes** tokens (B, T), padded on either side. **Throws** tare::error on sizes that do not
/// divide and a sentence of padding only.
[[nodiscard]] inline std::vector<token> last_token_rows(std::span<const token> tokens, extent batch,
                                                        token padding) {
    const auto all = static_cast<extent>(tokens.size());
    require(batch >= 1 && all % batch == 0, "last_token_rows: ", all, " tokens in ", batch,
            " sentences");
    const extent length = all / batch;
    std::vector<token> rows;
    for (extent b = 0; b < batch; ++b) {
        extent t = length - 1;
        while (t >= 0 && tokens[static_cast<std::size_t>(b * length + t)] == padding)
            --t;
        require(t >= 0, "last_token_rows: sentence ", b, " holds nothing but padding");
        rows.push_back(static_cast<token>(t * batch + b));
    }
    return rows;
}

/// The last column of the batch, as the published code takes it: padding, for the shorter
/// translations of a batch.
[[nodiscard]] inline std::vector<token> published_last_column_rows(extent length, extent batch) {
    std::vector<token> rows;
    for (extent b = 0; b < batch; ++b)
        rows.push_back(static_cast<token>((length - 1) * batch + b));
    return rows;
}

struct patient_options {
    bool unit_length = true;
    bool last_states = false;  ///< of the teacher, instead of every second one
    extent left_out = 2;       ///< last states of both
};

/// The teacher's state for each of `students` states that take part, of `teachers`.
/// **Throws** tare::error where the teacher has too few.
[[nodiscard]] inline std::vector<std::size_t> teacher_states(extent students, extent teachers,
                                                             bool last_states) {
    const extent first = last_states ? teachers - students : 0;
    const extent step = last_states ? 1 : 2;
    require(students >= 1 && first >= 0 && first + step * (students - 1) < teachers,
            "teacher_states: ", students, " states of the student, ", teachers,
            " of the teacher; expected at least one, and ",
            last_states ? "no fewer" : "nearly twice as many", " of the teacher");
    std::vector<std::size_t> out;
    for (extent i = 0; i < students; ++i)
        out.push_back(static_cast<std::size_t>(first + step * i));
    return out;
}

/// The loss of one side. **Shapes** states (T, B, width), `rows` of (T B, width), one a sentence;
/// result a single number. The teacher gets no gradient.
/// **Throws** tare::error on states that are too few or do not fit.
template <class T>
[[nodiscard]] T patient_loss(std::span<const T> student, std::span<const T> teacher,
                             const std::vector<token>& rows, const patient_options& options = {}) {
    const extent pairs = static_cast<extent>(student.size()) - options.left_out;
    const std::vector<std::size_t> chosen = teacher_states(
        pairs, static_cast<extent>(teacher.size()) - options.left_out, options.last_states);
    const auto point = [&](const T& states) {
        const shape& s = states.shape();
        require(s.rank() == 3, "patient_loss: states ", s, "; expected (T, B, width)");
        const T picked = gather(reshape(states, shape{s[0] * s[1], s[2]}), rows);
        return options.unit_length ? unit_rows(picked) : picked;
    };
    T sum;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        const T distance = mean_squared_error(point(student[i]), point(detach(teacher[chosen[i]])));
        sum = i == 0 ? distance : add(sum, distance);
    }
    return scale_by(sum, 1.0 / static_cast<double>(pairs));
}

}  // namespace tare::train
