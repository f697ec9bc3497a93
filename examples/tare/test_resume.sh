#!/bin/sh
# Kills `tare train` twenty times at random moments and resumes it each time: the last checkpoint
# must have the bits of a run that was never killed, for 1 and 4 threads. Then SIGINT, and bad files.
# Usage: test_resume.sh PATH_OF_THE_TOOL
set -eu
tool=$1
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here"

awk 'BEGIN { srand(7); for (l = 0; l < 400; ++l) { s = "";
    for (w = 0; w < 12; ++w) s = s " w" int(60 * rand() * rand()); print s } }' > text
cat > config.yaml <<'YAML'
n_vocab: 80
n_layers: 2
n_embed: 16
n_head: 2
n_k: 8
n_v: 8
n_inner: 32
n_seq: 16
cutoffs: [20, 40]
n_embeds: [16, 8, 4]
use_cache: true
n_cache: 50
cache_theta_init: 0.05
cache_lambda_init: 0.1
hebbian: true
scheduler: cosine
step_warmup: 10
steps: 400
step_save: 7
train_batch: 2
train_chunk: 64
eval_chunk: 64
YAML
train() { "$tool" train --config config.yaml --text text "$@"; }

train --out whole
train --out threads --threads 4
cmp whole/checkpoint.safetensors threads/checkpoint.safetensors

# The tool itself in the background, not a function: $! must be its number, not that of a shell.
in_background() { "$tool" train --config config.yaml --text text "$@" & child=$!; }
began=$(date +%s%N)
train --out timed
took=$((($(date +%s%N) - began) / 1000000))
kills=0
attempt=0
: > moments
while [ "$kills" -lt 20 ] && [ "$attempt" -lt 100 ]; do
    attempt=$((attempt + 1))
    in_background --out killed --resume --threads $((attempt % 4 + 1)) 2>/dev/null
    # About a quarter of the whole time each, so that kills fall on all of it.
    sleep "$(awk -v seed="$attempt" -v took="$took" 'BEGIN { srand(seed);
        printf "%.3f", 0.005 + took / 1000 * 0.5 * rand() }')"
    if kill -9 "$child" 2>/dev/null; then
        kills=$((kills + 1))
        wait "$child" 2>/dev/null || true
        grep -a -o '"steps":"[0-9]*"' killed/checkpoint.safetensors 2>/dev/null \
            | tr -dc '0-9\n' >> moments || true
    else
        wait "$child"
    fi
    # At its end: once more from the beginning.
    if cmp -s whole/checkpoint.safetensors killed/checkpoint.safetensors; then rm -rf killed; fi
done
echo "killed after steps: $(sort -n moments | uniq | tr '\n' ' ')"
[ "$kills" -eq 20 ] && [ "$(sort -u moments | wc -l)" -ge 5 ] || { echo "kills fell on too few steps"; exit 1; }
train --out killed --resume
cmp whole/checkpoint.safetensors killed/checkpoint.safetensors
echo "killed $kills times: same bits"

in_background --out stopped 2>note
while [ ! -f stopped/checkpoint.safetensors ] && kill -0 "$child" 2>/dev/null; do sleep 0.01; done
kill -INT "$child" 2>/dev/null || true
wait "$child" || [ $? -eq 130 ]
train --out stopped --resume
cmp whole/checkpoint.safetensors stopped/checkpoint.safetensors
echo "interrupted: same bits"

refused() { if train --resume --out "$@" 2>message; then echo "not refused"; exit 1; fi; cat message; }
head -c 3000 whole/checkpoint.safetensors > threads/checkpoint.safetensors
refused threads
cp whole/checkpoint.safetensors threads/checkpoint.safetensors
printf 'x' | dd of=threads/checkpoint.safetensors bs=1 seek=20000 conv=notrunc 2>/dev/null
refused threads
refused killed --seed 2
