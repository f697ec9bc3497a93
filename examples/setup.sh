# Sourced by examples/run.sh and tests/run.sh: installs what a bare Debian 12 lacks.
# Packages: compiler and build tools; the library's own three (xtensor, xsimd; OpenMP comes with the
# compiler); doctest and Google Benchmark; zlib, nlohmann-json and yaml-cpp for files; CLI11.
packages=(g++ cmake ninja-build
          libxtensor-dev libxsimd-dev
          doctest-dev libbenchmark-dev
          zlib1g-dev nlohmann-json3-dev libyaml-cpp-dev libcli11-dev)

install_packages() {
    local missing=()
    for package in "${packages[@]}" "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "missing packages: ${missing[*]}; install them as root and run this again" >&2
            return 3
        }
        as_root=(sudo)
    fi
    echo "installing: ${missing[*]}" >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}
