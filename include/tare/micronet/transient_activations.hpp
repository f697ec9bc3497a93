#pragma once
// SPDX-License-Identifier: MIT
// How much memory the activations of a model take while it runs: each is alive from the operation
// that makes it to the end of its last owner, and the peak of what lives at once is kept.

#include <cstdint>
#include <vector>

#include <tare/core/shape.hpp>

namespace tare {

class transient_activations {
  public:
    /// An activation comes to life, with one owner. Returns its ticket.
    [[nodiscard]] constexpr std::uint32_t allocate(extent bits) {
        live_bits_ += bits;
        if (live_bits_ > peak_bits_) peak_bits_ = live_bits_;
        if (free_tickets_.empty()) {
            activations_.push_back({bits, 1});
            return static_cast<std::uint32_t>(activations_.size() - 1);
        }
        const std::uint32_t ticket = free_tickets_.back();
        free_tickets_.pop_back();
        activations_[ticket] = {bits, 1};
        return ticket;
    }
    /// One owner more.
    constexpr void share(std::uint32_t ticket) { ++activations_[ticket].owners; }
    /// One owner less; the activation dies with its last one.
    constexpr void release(std::uint32_t ticket) {
        if (--activations_[ticket].owners > 0) return;
        live_bits_ -= activations_[ticket].bits;
        free_tickets_.push_back(ticket);
    }
    /// Starts the peak again from what lives now.
    constexpr void forget_peak() { peak_bits_ = live_bits_; }
    [[nodiscard]] constexpr extent live_bits() const noexcept { return live_bits_; }
    [[nodiscard]] constexpr extent peak_bits() const noexcept { return peak_bits_; }

  private:
    struct activation {
        extent bits;
        extent owners;
    };

    std::vector<activation> activations_;  ///< by ticket
    std::vector<std::uint32_t> free_tickets_;
    extent live_bits_ = 0;
    extent peak_bits_ = 0;
};

}  // namespace tare
