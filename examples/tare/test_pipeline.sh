#!/bin/sh
# A miniature of `tare pipeline`, end to end: run whole, and killed twenty times at moments spread
# over all its stages and taken up again by the same command. Every file of a model must have the
# same bits, for any number of threads. Then what the tool says of the packed file is compared with
# the file itself, and every dot of the frontier with the table.
# Usage: test_pipeline.sh PATH_OF_THE_TOOL
. "$(dirname "$0")/script_setup.sh"

text() { awk -v seed="$1" -v lines="$2" 'BEGIN { srand(seed); for (l = 0; l < lines; ++l) { s = "";
    for (i = 0; i < 11; ++i) { k = int(4 * rand()); w = k == 0 ? int(90 * rand()) : (w * 7 + 3 + k) % 40;
    s = s " w" w } print s } }'; }
text 1 400 > train.txt
text 2 60 > test.txt
sizes() { cat <<'YAML'
n_vocab: 96
cutoffs: [20, 50]
n_embeds: [16, 8, 4]
n_embed: 16
n_layers: 2
n_head: 2
n_k: 8
n_v: 8
n_inner: 24
n_seq: 8
eval_chunk: 64
train_chunk: 48
train_batch: 2
scheduler: cosine
step_save: 20
YAML
}
{ sizes; echo "lr: 0.01
steps: 400
dropout: 0.1"; } > core.yaml
{ cat core.yaml; echo "$cache"; } > cache.yaml
{ cat cache.yaml; echo "hebbian: true"; } > hebbian.yaml
cp core.yaml teacher.yaml
{ cat cache.yaml; echo "distill: true
distill_first_bin: true"; } > distil.yaml
{ sizes; echo "$cache
lr: 0.002
steps: 300
steps_per_epoch: 10
compress: plan.yaml"; } > prune.yaml
{ sizes; echo "lr: 0.0001
steps: 200
bits: 9"; } > quantize.yaml
cat > plan.yaml <<'YAML'
pruners:
  all: {class: AutomatedGradualPruner, initial_sparsity: 0.1, final_sparsity: 0.4,
        weights: ['layers[.].*(qkv|out|fc.[03]).weight', 'embed.*weight']}
policies:
- {pruner: {instance_name: all}, starting_epoch: 0, ending_epoch: 25, frequency: 1}
YAML
cat > pipeline.yaml <<'YAML'
train: train.txt
test: test.txt
validation_tokens: 600
n_cache: 50
top_k: 10
core: core.yaml
cache: cache.yaml
hebbian: hebbian.yaml
teacher: teacher.yaml
distil: distil.yaml
prune: prune.yaml
quantize: quantize.yaml
frontier_bits: [5, 9]
frontier_sparsities: [0, 0.2]
YAML
pipeline() { "$tool" pipeline pipeline.yaml "$@"; }

whole() { pipeline --out whole --frontier > whole.out 2> whole.log || { cat whole.log; exit 1; }; }
milliseconds whole
cat whole.out

# The same files, but for the records of time.
same() {
    for file in $(cd whole && find . -name '*.safetensors' -o -name '*.yaml' -o -name '*.bin' -o -name vocabulary.txt); do
        cmp "whole/$file" "$1/$file"
    done
    # All columns but the seconds.
    cut -d, -f1-7 whole/table.csv > a; cut -d, -f1-7 "$1/table.csv" > b; cmp a b
    cmp whole/frontier.csv "$1/frontier.csv"
}
pipeline --out threads --frontier --threads 3 > threads.out 2>&1
same threads
echo "three threads: same bits"

kills=0
attempt=0
: > stages
while [ "$kills" -lt 20 ] && [ "$attempt" -lt 100 ]; do
    attempt=$((attempt + 1))
    # Not through a function: $! must be the tool itself, not a shell around it.
    "$tool" pipeline pipeline.yaml --out killed --frontier --threads $((attempt % 2 + 1)) \
        > killed.out 2>&1 &
    child=$!
    # A run gets a sixteenth of the whole time, more or less: start-up is a small part of it.
    sleep "$(awk -v seed="$attempt" -v took="$took" 'BEGIN { srand(seed);
        printf "%.3f", 0.02 + took / 1000 / 16 * (0.3 + 1.4 * rand()) }')"
    if kill -9 "$child" 2>/dev/null; then
        wait "$child" 2>/dev/null || true
        kills=$((kills + 1))
        grep -l '"done": false' killed/*.json 2>/dev/null >> stages || true
        if [ -f killed/frontier.svg ]; then rm -rf killed; fi
    else
        wait "$child" || { cat killed.out; exit 1; }
        rm -rf killed  # it came to its end: once more from the beginning
    fi
done
pipeline --out killed --frontier > killed.out 2>&1 || { cat killed.out; exit 1; }
same killed
sort stages | uniq -c
[ "$kills" -eq 20 ] && [ "$(sort -u stages | wc -l)" -ge 5 ] || { echo "kills fell on too few stages"; exit 1; }
echo "killed $kills times, in $(sort -u stages | wc -l) stages: same bits"

# SIGINT in a training saves and says how to go on.
"$tool" pipeline pipeline.yaml --out stopped > stopped.out 2>&1 &
child=$!
while [ ! -f stopped/core/checkpoint.safetensors ] && kill -0 "$child" 2>/dev/null; do sleep 0.01; done
kill -INT "$child"
code=0; wait "$child" || code=$?
[ "$code" -eq 130 ] && grep -q "goes on where this one stopped" stopped.out || { cat stopped.out; exit 1; }
pipeline --out stopped --frontier > stopped.out 2>&1
same stopped
echo "interrupted: same bits"

# The score that `tare count` prints for the packed file is that of the file's own size.
"$tool" count --packed whole/quantize.packed.safetensors --bin-counts 400,200,60 --json count.json \
    > count.out 2> count.err
cat count.err
payload=$(sed -n 's/.*payload of \([0-9]*\) bits.*/\1/p' count.err)
size=$(wc -c < whole/quantize.packed.safetensors)
header=$(od -An -t u8 -N 8 whole/quantize.packed.safetensors | tr -d ' ')
field() { sed -n "s/.*\"$1\": *\([-0-9.e+]*\).*/\1/p" count.json | tail -n 1; }
# Each tensor's payload is rounded up to whole bytes: nothing else stands behind the header.
awk -v payload="$payload" -v data=$((size - 8 - header)) -v stored="$(field storage_bits)" \
    -v operations="$(field ops_per_token)" -v score="$(field score)" 'BEGIN {
    own = payload / 32 / 159e6 + operations / 318e6
    if (stored != payload || payload > 8 * data || (own - score) ^ 2 > (1e-15 * score) ^ 2) {
        print "of the file:", own, "printed:", score; exit 1 }
    printf "score of a file of %d bytes: %.12g, as printed\n", data, own }'
"$tool" eval --packed whole/quantize.packed.safetensors --tokens test.txt \
    --vocabulary whole/vocabulary.txt | tee eval.out
