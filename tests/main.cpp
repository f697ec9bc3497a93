// SPDX-License-Identifier: MIT
// The only translation unit that compiles doctest itself (3.5 s); every test program links it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
