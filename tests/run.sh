#!/usr/bin/env bash
# Set-up and all tests. With arguments: other presets of CMakePresets.json instead of "release",
# for example  tests/run.sh clang avx2 plain asan-ubsan tsan
set -euo pipefail
cd "$(dirname "$0")/.."
. examples/setup.sh

presets=("$@")
[ ${#presets[@]} -gt 0 ] || presets=(release)
extra=()
for preset in "${presets[@]}"; do
    case "$preset" in clang | tsan) extra=(clang-14 libomp-14-dev libclang-rt-14-dev) ;; esac
done
install_packages "${extra[@]}"

for preset in "${presets[@]}"; do
    echo "== $preset"
    # Warnings stop developers (the presets), not somebody who tries the tests on another machine.
    # All of the tests, whatever an earlier command, examples/run.sh for one, left out of this folder.
    cmake --preset "$preset" -DTARE_TESTS=ON -DTARE_EXAMPLES=ON -DTARE_TEST_ROOMS= \
        -DTARE_BENCH=OFF -DTARE_WERROR=OFF >/dev/null
    cmake --build --preset "$preset" -j "$(nproc)"
    ctest --test-dir "build/$preset" --no-tests=error --output-on-failure -j "$(nproc)"
done
