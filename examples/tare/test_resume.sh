#!/bin/sh
# Kills `tare train` twenty times at random moments and resumes it each time: the last checkpoint
# must have the bits of a run that was never killed, for 1 and 4 threads. Then SIGINT, and bad files.
# The same with `tare search`, which must not evaluate anything twice, `tare quantize` and
# `tare eval`.
# Usage: test_resume.sh PATH_OF_THE_TOOL
. "$(dirname "$0")/script_setup.sh"

{ sizes; echo "$cache
hebbian: true
scheduler: cosine
step_warmup: 10
steps: 400
step_save: 7"; } > config.yaml
train() { "$tool" train --config config.yaml --text text "$@"; }

train --out whole
train --out threads --threads 4
cmp whole/checkpoint.safetensors threads/checkpoint.safetensors

# The tool itself in the background, not a function: $! must be its number, not that of a shell.
in_background() { "$tool" train --config config.yaml --text text "$@" & child=$!; }
milliseconds train --out timed
kills=0
attempt=0
: > moments
while [ "$kills" -lt 20 ] && [ "$attempt" -lt 100 ]; do
    attempt=$((attempt + 1))
    in_background --out killed --resume --threads $((attempt % 4 + 1)) 2>/dev/null
    # About a quarter of the whole time each, so that kills fall on all of it.
    sleep_for "$attempt" 0.5
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

echo "-- a search"
for i in 1 2 3 4; do cat text; done > long_text
search() {
    "$tool" search --config config.yaml --weights whole/checkpoint.safetensors --tokens long_text \
        --vocabulary whole/vocabulary.txt --cache 500 "$@" > trials
}

# killed_often COUNT SHARE COMMAND: kills the command so many times, each within SHARE of $took.
# Where it ends by itself, ended says whether that was right and makes it begin anew; after a kill,
# seen notes where that was.
killed_often() {
    count=$1; share=$2; shift 2
    kills=0
    attempt=0
    : > moments
    while [ "$kills" -lt "$count" ] && [ "$attempt" -lt 60 ]; do
        attempt=$((attempt + 1))
        "$@" > /dev/null 2>&1 &
        child=$!
        sleep_for "$attempt" "$share"
        if kill -9 "$child" 2>/dev/null; then
            kills=$((kills + 1))
            wait "$child" 2>/dev/null || true
            seen >> moments 2>/dev/null || true
        else
            wait "$child"
            ended
        fi
    done
    echo "killed at: $(sort -n moments | uniq | tr '\n' ' ')"
    [ "$kills" -eq "$count" ] && [ "$(sort -u moments | wc -l)" -ge 3 ] \
        || { echo "kills fell on too few moments"; exit 1; }
}

milliseconds search --out whole.yaml
trials=$(($(wc -l < trials) - 2))
seen() { if [ -f work/trials.jsonl ]; then wc -l < work/trials.jsonl; fi; }
ended() { cmp whole.yaml killed.yaml; rm -rf work killed.yaml; }
killed_often 8 0.4 "$tool" search --config config.yaml --weights whole/checkpoint.safetensors \
    --tokens long_text --vocabulary whole/vocabulary.txt --cache 500 --work work --out killed.yaml
search --work work --out killed.yaml --threads 4
cmp whole.yaml killed.yaml
# The first line is the key; the last one of a kill may have been torn and mended.
[ "$(grep -c '"perplexity"' work/trials.jsonl)" -eq "$trials" ] || { echo "evaluated twice"; exit 1; }
echo "killed $kills times: same constants, each of $trials evaluations made once"

echo "-- quantization"
quantize() {
    "$tool" quantize --config config.yaml --checkpoint whole/checkpoint.safetensors --bits 8 \
        --calibrate text --chunk 64 "$@" > note 2>&1
}
seen() { grep -a -o '"steps":"[0-9]*"' held/checkpoint.safetensors | tr -dc '0-9\n'; }
ended() { cmp whole.packed killed.packed; rm -rf held killed.packed; }
milliseconds quantize --qat-steps 300 --out whole.packed
killed_often 6 0.6 "$tool" quantize --config config.yaml --checkpoint whole/checkpoint.safetensors \
    --bits 8 --calibrate text --chunk 64 --qat-steps 300 --save-every 7 --work held \
    --out killed.packed
quantize --qat-steps 300 --work held --out killed.packed --threads 4
cmp whole.packed killed.packed
# The ranges alone, and a folder of something else: it begins anew.
quantize --samples 40 --out whole.packed
quantize --samples 40 --work held --out killed.packed
cmp whole.packed killed.packed
echo "killed $kills times: same packed file"

echo "-- an evaluation"
for i in 1 2 3; do cat long_text; done > longer_text
evaluate() { # the figures without the time that they took
    "$tool" eval --packed whole.packed --vocabulary whole/vocabulary.txt --tokens longer_text \
        --json - "$@" 2>/dev/null | grep -v 'seconds\|per_second\|threads'
}
seen() { wc -l < sums/evaluation.jsonl; }
ended() { rm -rf sums; }
for mode in "--chunk 3" --online; do
    milliseconds evaluate $mode > whole.json
    killed_often 8 0.4 "$tool" eval --packed whole.packed --vocabulary whole/vocabulary.txt \
        --tokens longer_text $mode --work sums
    evaluate $mode --work sums > killed.json
    cmp whole.json killed.json
    echo "$mode, killed $kills times: same figures"
done
