#pragma once
// SPDX-License-Identifier: MIT
// The sizes that scores are measured by, in 32-bit parameters and in 32-bit operations per token or
// image. Source: the MicroNet Challenge's scoring page.

#include <string_view>

namespace tare::micronet {

/// What a task's score is divided by.
struct baseline {
    std::string_view task;
    double parameters;
    double operations;
};
inline constexpr baseline wikitext103{"wikitext103", 159e6, 318e6};
inline constexpr baseline imagenet{"imagenet", 6.9e6, 1170e6};
inline constexpr baseline cifar100{"cifar100", 36.5e6, 10.49e9};

}  // namespace tare::micronet
