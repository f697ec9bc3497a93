#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the benches, ours and the peers in turns, and writes tables of ratios in markdown.
#
#   bench/report.sh [-b BUILD_DIR] [-o OUT_DIR] [-f FILTER] [-r REPETITIONS] [-t SECONDS] [-s]
#
#   -b  build folder, default build/report (made, with the peers where Debian's packages are there)
#   -o  where report.md and the raw CSV go, default BUILD_DIR/report
#   -f  benches whose name kernel/who/size/threads matches the regular expression, `.` for all;
#       default: those that bench/goals.tsv judges, about nine minutes
#   -r  repetitions, default 5; each runs everything once, a kernel's peers one after another
#   -t  least seconds of one repetition, default 0.02
#   -s  skip configuring and building
#
# A new bench needs no line here: every program BUILD_DIR/bench/bench_* is run, and every name
# kernel/who/size/threads finds its row and its column. Needs cmake, ninja and awk; with Debian's
# python3-torch PyTorch is a column too.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/report
out=
filter=
repetitions=5
seconds=0.02
skip=
while getopts b:o:f:r:t:s option; do
    case $option in
        b) build=$OPTARG ;;
        o) out=$OPTARG ;;
        f) filter=$OPTARG ;;
        r) repetitions=$OPTARG ;;
        t) seconds=$OPTARG ;;
        s) skip=yes ;;
        *) sed -n '3,18s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
out=${out:-$build/report}
mkdir -p "$out"
goals=$root/bench/goals.tsv
if [ -z "$filter" ]; then
    filter=$(awk -F '\t' '!/^#/ { printf "%s^%s/[a-z_0-9]+/(%s)/%s(/|$)", sep, $1, $2, $3; sep = "|" }' \
        "$goals")
fi

if [ -z "$skip" ]; then
    configure() {
        cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTARE_TESTS=OFF \
            -DTARE_EXAMPLES=OFF -DTARE_BENCH=ON -DTARE_BENCH_PEERS="$1" >"$out/configure.log" 2>&1
    }
    configure ON || {
        echo "report.sh: peers not found, our own benches alone (see $out/configure.log);" \
            "on Debian: libopenblas0-openmp libopenblas-dev libdnnl-dev libeigen3-dev" >&2
        configure OFF
    }
    cmake --build "$build"
fi

# A processor newer than OpenBLAS gets its oldest kernels unless told otherwise, and some machines
# pin it to AVX2: the fair peer is the fastest one.
unset OPENBLAS_CORETYPE
probe=$build/bench/bench_peak
core=
if [ -x "$probe" ]; then
    core=$("$probe" --benchmark_filter='^peak_fma/tare/fp32/1/' --benchmark_min_time=0.001 \
        --benchmark_format=json 2>/dev/null | sed -n 's/.*"openblas_core": "\(.*\)".*/\1/p')
fi
if [ -n "$core" ] && grep -qm1 avx512f /proc/cpuinfo; then
    case $core in
        SkylakeX | Cooperlake | Sapphirerapids) ;;
        *) export OPENBLAS_CORETYPE=SkylakeX
           core="SkylakeX (it chose $core)" ;;
    esac
fi

rm -f "$out"/*.csv "$out"/*.json
for repetition in $(seq "$repetitions"); do
    for program in "$build"/bench/bench_*; do
        [ -x "$program" ] && [ -f "$program" ] || continue
        name=$(basename "$program")
        echo "report.sh: $repetition of $repetitions, $name" >&2
        "$program" --benchmark_filter="$filter" --benchmark_min_time="$seconds" \
            --benchmark_out="$out/$name.$repetition.json" --benchmark_out_format=json \
            --benchmark_format=csv >>"$out/$name.csv" 2>"$out/$name.log" || {
            # A filter that matches nothing is no failure.
            grep -q 'Failed to match' "$out/$name.log" && continue
            cat "$out/$name.log" >&2
            exit 1
        }
    done
    # PyTorch with the OpenMP flavour of OpenBLAS: one pool of threads, not two.
    /usr/bin/python3 -c 'import torch' 2>/dev/null || continue
    for threads in 1 4; do
        [ "$threads" -le "$(nproc)" ] || continue
        echo "report.sh: $repetition of $repetitions, peers_pytorch.py, $threads threads" >&2
        LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/openblas-openmp OMP_WAIT_POLICY=passive \
            /usr/bin/python3 "$root/bench/peers_pytorch.py" --threads "$threads" \
            --repetitions 1 --filter "$filter" >>"$out/peers_pytorch.csv"
    done
done

value() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt" | head -n 1; }
compiler=$(value CMAKE_CXX_COMPILER)
{
    echo "# Benchmarks"
    echo
    echo "- machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)," \
        "$(grep -c ^processor /proc/cpuinfo) cores; load $(cut -d' ' -f1 /proc/loadavg) at the end"
    echo "- compiler: $("$compiler" --version | head -n 1)"
    echo "- flags: $(value CMAKE_CXX_FLAGS) $(value CMAKE_CXX_FLAGS_RELEASE)" \
        "-march=$(value TARE_MARCH) -ffp-contract=off -fopenmp"
    [ -z "$core" ] || echo "- OpenBLAS kernels: $core"
    echo "- median of $repetitions repetitions of at least $seconds s;" \
        "spread: (90th - 10th percentile) / median"
    echo "- ratio: a peer's time divided by ours in the same repetition (above 1: we are faster)," \
        "median of the repetitions; of several peers the fastest counts. A \`_peak\` is a limit of" \
        "the machine, measured in the same run. Undisturbed: how many sizes meet the goal by the" \
        "least times of both sides"
    echo
    awk -f "$root/bench/report.awk" "$goals" "$out"/*.csv
} >"$out/report.md"
echo "report.sh: $out/report.md" >&2
