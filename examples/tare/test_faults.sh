#!/bin/sh
# What the tool does with what it cannot use: texts, configurations, plans and checkpoints that are
# wrong, a loss without value, a disk that is full. Each is refused with a message that says what
# to do, an exit code other than 0 and without loss of what was there.
# Usage: test_faults.sh PATH_OF_THE_TOOL
. "$(dirname "$0")/script_setup.sh"

{ sizes; echo "lr: 0.01
steps: 30
step_save: 10"; } > config.yaml

# refuses CODE WORDS ARGUMENTS: the tool ends with the code and its message holds the words.
refuses() {
    code=$1; words=$2; shift 2
    got=0; "$tool" "$@" > out 2> message || got=$?
    if [ "$got" -ne "$code" ] || ! grep -q -- "$words" message; then
        echo "tare $*"; echo "ended with $got, expected $code and: $words"; cat message; exit 1
    fi
    printf '%s\n' "$(tail -n 1 message)"
}
train() { refuses "$1" "$2" train --config "$3" --text "$4" --out "$5"; }
changed() { sed "$1" config.yaml > changed.yaml; }

echo "-- texts"
: > empty
printf 'one' > one
head -c 100000 /dev/urandom > garbage
head -c 200000000 /dev/zero | tr '\0' 'x' > long_word
train 3 "holds no token" config.yaml empty run
train 3 "give more text or a shorter chunk" config.yaml one run
train 3 "not text\|more than 1048576 bytes" config.yaml garbage run
train 3 "a word of more than 1048576 bytes" config.yaml long_word run
rm long_word
# One line of 200 MB is a text like any other.
yes 'aa bb cc' | tr '\n' ' ' | head -c 200000000 > long_line
"$tool" train --config config.yaml --text long_line --out long --steps 2 2> message
rm long_line

echo "-- configurations"
changed 's/n_layers/n_layer/'; train 3 "Did you mean n_layers" changed.yaml text run
changed 's/n_layers: 2/n_layers: 0/'; train 3 "expected 1 to" changed.yaml text run
changed 's/n_head: 2/n_head: 9000000/; s/n_k: 8/n_k: 9000000/'
train 3 "at most 1e12" changed.yaml text run
changed 's/n_vocab: 80/n_vocab: 2000000000/; s/n_embed: 16/n_embed: 400/; s/n_embeds: .*/n_embeds: [400, 8, 400]/'
train 3 "dry-run says what" changed.yaml text run
"$tool" train --config changed.yaml --dry-run > out
grep -q "none: this machine has" out
changed 's/train_chunk: 64/train_chunk: 100000/'; train 3 "shorter chunk" changed.yaml text run
refuses 2 "does not exist" train --config nowhere.yaml --text text --out run
# A file lies where the folder should be.
refuses 3 "text: this folder cannot be made" train --config config.yaml --text text --out text

echo "-- plans"
"$tool" train --config config.yaml --text text --out good 2> message
cat > plan.yaml <<'YAML'
pruners:
  all: {class: AutomatedGradualPruner, initial_sparsity: 0.1, final_sparsity: 0.4,
        weights: ['layers[.]9[.]qkv.weight']}
policies:
- {pruner: {instance_name: all}, starting_epoch: 0, ending_epoch: 25, frequency: 1}
YAML
refuses 3 "no tensor of the model fits layers" prune --config config.yaml --text text --from good \
    --plan plan.yaml --out pruned

echo "-- checkpoints"
cp -r good damaged
changed 's/n_inner: 32/n_inner: 24/'
refuses 3 "inner 32.*inner 24" train --config changed.yaml --text text --out damaged --resume
size=$(wc -c < good/checkpoint.safetensors)
for share in 0 1 3 7 9; do
    head -c $((size * share / 10)) good/checkpoint.safetensors > damaged/checkpoint.safetensors
    refuses 3 "damaged/checkpoint.safetensors" train --config config.yaml --text text \
        --out damaged --resume
done
for place in 9 1000 12000 30000 60000; do
    cp good/checkpoint.safetensors damaged/checkpoint.safetensors
    byte=$(od -An -t u1 -j $place -N 1 good/checkpoint.safetensors | tr -d ' ')
    printf "\\$(printf '%03o' $((byte ^ 4)))" \
        | dd of=damaged/checkpoint.safetensors bs=1 seek=$place conv=notrunc 2> /dev/null
    refuses 3 "damaged/checkpoint.safetensors" train --config config.yaml --text text \
        --out damaged --resume
done
refuses 3 "not a safetensors file" generate --packed garbage --vocabulary good/vocabulary.txt
refuses 3 "expected (24,16)" eval --config changed.yaml --weights good/checkpoint.safetensors \
    --tokens text --vocabulary good/vocabulary.txt

echo "-- a loss without value"
{ sed 's/lr: 0.01/lr: 1000/; s/step_save: 10/step_save: 1/' config.yaml
  echo "$cache"; } > wild.yaml
train 1 "at step [0-9]*; the parameters are those before it" wild.yaml text wild
# What stands there is the last good state: the run goes on from it, up to the same step.
refuses 1 "at step [0-9]*; the parameters" train --config wild.yaml --text text --out wild --resume

echo "-- a full disk"
cp -r good full
cp full/checkpoint.safetensors before
# Half of a checkpoint fits: the write fails, and the old checkpoint stays, whole.
blocks=$((size / 2 / 512))
got=0
(ulimit -f $blocks; "$tool" train --config config.yaml --text text --out full > out 2> message) || got=$?
cat message
[ "$got" -eq 3 ] && grep -q "left as it was before" message
cmp before full/checkpoint.safetensors
[ -z "$(find full -name '*.tmp.*')" ]
"$tool" train --config config.yaml --text text --out full --resume 2> message
cmp before full/checkpoint.safetensors
echo "all refused"
