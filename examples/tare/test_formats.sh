#!/bin/sh
# tare formats on files of a user's: element types, awkward names and tensors, and that what it
# writes can be read.
# Usage: test_formats.sh PATH_OF_THE_TOOL
. "$(dirname "$0")/script_setup.sh"

# A .safetensors file from a header of less than 256 bytes and the octal bytes of the tensors.
tensors() {
    printf "\\$(printf %o ${#2})\\0\\0\\0\\0\\0\\0\\0%s" "$2" > "$1"
    printf "$3" >> "$1"
}

# A NaN in no figure, names that are markup and control characters, a shape without axes.
tensors name.safetensors '{"a<b&\u001b[1m":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}' \
    '\0\0\300\077'
expect 0 formats --input name.safetensors --json all.json --csv all.csv --svg grid.svg --markdown -
grep -q '"shape": \[\]' all.json
grep -q 'a<b&?\[1m' all.json
grep -q 'a&lt;b&amp;?\[1m: 1 values' grid.svg
if grep -qi nan all.json all.csv grid.svg out; then
    echo "tare formats: a NaN in what it writes" >&2
    exit 1
fi

tensors eight.safetensors '{"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}' '\070\176'
expect 0 formats --input eight.safetensors --svg -
grep -q '>1</text>' out
grep -q '>448</text>' out

tensors int.safetensors '{"ids":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}' '\1\0\0\0'
expect 3 formats --input int.safetensors
grep -q 'no tensor of floating-point values; it holds ids' err
tensors big.safetensors '{"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}' \
    '\0\0\0\0\0\0\340\176'
expect 3 formats --input big.safetensors
grep -q 'beyond float32' err
tensors empty.safetensors '{"w":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}}' ''
expect 3 formats --input empty.safetensors
grep -q 'the tensor is empty' err
