#!/bin/sh
# What tare count writes beside its table: JSON, CSV and limits for every rule set and for
# differences, and vocabularies of more bins than the entry's three.
# Usage: test_count.sh PATH_OF_THE_TOOL
. "$(dirname "$0")/script_setup.sh"

expect 0 count --rules hanlab_published --json -
grep -q '^{' out
grep -q '"ops_per_token": 8806978.89' out
expect 0 count --rules hanlab_published --csv sums.csv
grep -q '^total size,1757465.28' sums.csv
expect 1 count --rules hanlab_published --limit 0.03
expect 0 count --diff hanlab_published micronet_2019 --csv -
[ "$(head -n 1 out)" = group,delta,item ]
expect 0 count --diff micronet_2019 micronet_2019_softmax_maximum --json diff.json
grep -q '"items"' diff.json
expect 3 count --json - --csv -
expect 3 count --diff hanlab_published micronet_2019 --limit 1

cat > bins.yaml <<'YAML'
n_vocab: 80
n_layers: 1
n_embed: 7
n_head: 3
n_k: 2
n_v: 5
n_inner: 9
n_seq: 4
cutoffs: [1, 2, 9, 20, 40, 79]
n_embeds: [7, 1, 2, 3, 4, 5, 6]
use_cache: true
n_cache: 6
cache_theta: 0.1
cache_lambda: 0.1
train_chunk: 12
eval_chunk: 12
lr: 0.001
YAML
expect 0 count --config bins.yaml --bin-counts 9,8,7,6,5,4,3
expect 3 count --config bins.yaml --bin-counts 9,8,7
