#!/usr/bin/env bash
# Set-up and the main job on a bare Debian 12: builds the tool and the examples for this machine,
# weighs the published champion, and explains where its published score departs from the rules.
set -euo pipefail
cd "$(dirname "$0")/.."
. examples/setup.sh
install_packages
cmake --preset release -DTARE_TESTS=OFF -DTARE_BENCH=OFF -DTARE_WERROR=OFF >/dev/null
targets=(tare_tool)
for example in examples/[0-2]*.cpp; do  # those from 30 on want texts of yours
    targets+=("example_$(basename "$example" .cpp)")
done
cmake --build --preset release -j "$(nproc)" --target "${targets[@]}" >&2
tool=build/release/examples/tare

echo '$ tare count --preset champion'
"$tool" count --preset champion
echo
echo '$ tare count --preset champion --rules hanlab_published'
"$tool" count --preset champion --rules hanlab_published
echo
echo '$ tare count --preset champion --diff hanlab_published micronet_2019'
"$tool" count --preset champion --diff hanlab_published micronet_2019
for target in "${targets[@]:1}"; do
    echo
    echo "\$ $target"
    "build/release/examples/$target"
done
