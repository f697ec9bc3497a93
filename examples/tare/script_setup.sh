# What the scripts that test the tool begin with; sourced with the path of the tool as $1: a folder
# of their own, left at the end, and a small text with the sizes of a small model.
set -eu
tool=$1
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here"

# 4,800 words in 400 lines.
awk 'BEGIN { srand(7); for (l = 0; l < 400; ++l) { s = "";
    for (w = 0; w < 12; ++w) s = s " w" int(60 * rand() * rand()); print s } }' > text

sizes() { cat <<'YAML'
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
train_batch: 2
train_chunk: 64
eval_chunk: 64
YAML
}
cache='use_cache: true
n_cache: 50
cache_theta_init: 0.05
cache_lambda_init: 0.1'

# expect CODE ARGUMENTS: runs the tool, whose output is in out and err then, and must end with CODE.
expect() {
    want=$1
    shift
    got=0
    "$tool" "$@" > out 2> err || got=$?
    [ "$got" -eq "$want" ] || {
        echo "tare $*: exit code $got, expected $want" >&2
        cat err >&2
        exit 1
    }
}

# milliseconds COMMAND: how long it takes, in $took.
milliseconds() {
    began=$(date +%s%N)
    "$@"
    took=$((($(date +%s%N) - began) / 1000000))
}
# sleep_for SEED SHARE: least plus a random part, uniform up to SHARE of $took.
sleep_for() {
    sleep "$(awk -v seed="$1" -v share="$2" -v took="$took" 'BEGIN { srand(seed);
        printf "%.3f", 0.005 + took / 1000 * share * rand() }')"
}
