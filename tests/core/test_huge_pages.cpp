// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstddef>
#include <numeric>
#include <string>

#include <doctest/doctest.h>

#include <tare/core/huge_pages.hpp>

namespace {

using namespace tare;

TEST_CASE("contents and addresses stay as they are") {
    // Around the least size that is asked for, around a page, over several.
    for (const std::size_t count :
         {std::size_t{0}, std::size_t{1}, huge_page_bytes / 128 - 1, huge_page_bytes / 128,
          huge_page_bytes / 4 + 1, 3 * huge_page_bytes / 4 + 17}) {
        CAPTURE(count);
        lasting_vector<std::uint32_t> values(count);
        std::iota(values.begin(), values.end(), 7U);
        const std::uint32_t* const at = values.data();
        prefer_huge_pages(at, count * sizeof(std::uint32_t));
        CHECK(values.data() == at);
        CHECK(reinterpret_cast<std::uintptr_t>(at) % cache_line_bytes == 0);
        bool same = true;
        for (std::size_t i = 0; i < count; ++i)
            same = same && values[i] == 7U + static_cast<std::uint32_t>(i);
        CHECK(same);
    }
}

TEST_CASE("a refusal is silent") {
    // Pages that are no memory of ours: the system says no, errno and the caller see nothing.
    errno = 3;
    prefer_huge_pages(nullptr, huge_page_bytes);
    CHECK(errno == 3);
    prefer_huge_pages(nullptr, 0);
    CHECK(errno == 3);
}

}  // namespace
