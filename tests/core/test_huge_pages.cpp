// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

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

#ifdef __linux__
// The process' memory on large pages, in bytes; 0 where the system does not say.
std::size_t huge_bytes() {
    std::ifstream file("/proc/self/smaps_rollup");
    for (std::string name; file >> name;) {
        std::size_t kilobytes = 0;
        if (name == "AnonHugePages:" && file >> kilobytes) return 1024 * kilobytes;
    }
    return 0;
}

// As much as the system gives to one who asks for memory of his own, touched afterwards.
std::size_t huge_bytes_given(std::size_t bytes) {
    const std::size_t before = huge_bytes();
    void* const block = ::mmap(nullptr, bytes + huge_page_bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return 0;
    const auto begin = reinterpret_cast<std::uintptr_t>(block) + huge_page_bytes - 1;
    void* const first = reinterpret_cast<void*>(begin / huge_page_bytes * huge_page_bytes);
    (void)::madvise(first, bytes, MADV_HUGEPAGE);
    std::memset(first, 1, bytes);
    const std::size_t given = huge_bytes() - before;
    ::munmap(block, bytes + huge_page_bytes);
    return given;
}

TEST_CASE("memory is on large pages where the system gives them") {
    constexpr std::size_t bytes = 16 * huge_page_bytes;
    if (huge_bytes_given(bytes) < bytes) {
        MESSAGE("the system gives no large pages");
        return;
    }
    constexpr std::size_t whole = bytes - 2 * huge_page_bytes;  // the two ends are shared
    const std::size_t before = huge_bytes();
    const lasting_vector<char> fresh(bytes, 'a');
    CHECK(huge_bytes() >= before + whole);

    const std::vector<char> touched(bytes, 'b');
    const std::size_t between = huge_bytes();
    prefer_huge_pages(touched.data(), bytes);
    CHECK(huge_bytes() >= between + whole);
    CHECK(std::ranges::count(touched, 'b') == static_cast<std::ptrdiff_t>(bytes));
}
#endif

}  // namespace
