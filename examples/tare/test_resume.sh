#!/bin/sh
# Kills `tare train` twenty times at random moments and resumes it each time: the last checkpoint
# must have the bits of a run that was never killed, for 1 and 4 threads. Then SIGINT, and bad files.
# The same with `tare search`, which must not evaluate anything twice.
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
milliseconds search --out whole.yaml
trials=$(($(wc -l < trials) - 2))
kills=0
attempt=0
: > moments
while [ "$kills" -lt 8 ] && [ "$attempt" -lt 60 ]; do
    attempt=$((attempt + 1))
    "$tool" search --config config.yaml --weights whole/checkpoint.safetensors --tokens long_text \
        --vocabulary whole/vocabulary.txt --cache 500 --work work --out killed.yaml > /dev/null &
    child=$!
    sleep_for "$attempt" 0.4
    if kill -9 "$child" 2>/dev/null; then
        kills=$((kills + 1))
        wait "$child" 2>/dev/null || true
        if [ -f work/trials.jsonl ]; then wc -l < work/trials.jsonl >> moments; fi
    else
        wait "$child"
        cmp whole.yaml killed.yaml
        rm -rf work killed.yaml
    fi
done
echo "killed after evaluations: $(sort -n moments | uniq | tr '\n' ' ')"
[ "$kills" -eq 8 ] && [ "$(sort -u moments | wc -l)" -ge 3 ] || { echo "kills fell on too few moments"; exit 1; }
search --work work --out killed.yaml --threads 4
cmp whole.yaml killed.yaml
# The first line is the key; the last one of a kill may have been torn and mended.
[ "$(grep -c '"perplexity"' work/trials.jsonl)" -eq "$trials" ] || { echo "evaluated twice"; exit 1; }
echo "killed $kills times: same constants, each of $trials evaluations made once"
