// SPDX-License-Identifier: MIT
#include "pipeline_rows.hpp"

#include <tare/io/packed.hpp>
#include <tare/micronet/rules.hpp>

namespace tare::tool {

table_row pipeline_rows::packed_row(const std::string& step, const std::string& stage,
                                    bool follows) const {
    const io::packed_file packed = io::load_packed(files_.packed(stage));
    return row_of("compressed", step, packed.model.config, packed.model.how, stage, follows);
}

void pipeline_rows::add_measured(const std::string& branch, const std::string& step,
                                 const transformer_xl_config& config, const std::string& of,
                                 const std::string& measured, bool follows) {
    const micronet::compression how{32, remaining_of(load_weights(files_.weights_of(of)))};
    rows_.push_back(row_of(branch, step, config, how, measured, follows));
}

table_row pipeline_rows::row_of(const std::string& branch, const std::string& step,
                                const transformer_xl_config& config,
                                const micronet::compression& how, const std::string& measured,
                                bool follows) const {
    const micronet::totals sums =
        micronet::tally(tool::weigh(config, how, count_bins(config, test_)), micronet::official{});
    const nlohmann::ordered_json known = folder_->facts(measured);
    return {branch,
            step,
            sums.parameters(),
            sums.operations(),
            sums.score(micronet::wikitext103),
            known.at("validation"),
            known.at("test"),
            known.at("seconds"),
            follows};
}

}  // namespace tare::tool
