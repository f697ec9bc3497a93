# SPDX-License-Identifier: MIT
# CSV of Google Benchmark, one line a repetition, to markdown tables: one table a kernel, one row a
# size and thread count, one column for each `who` of kernel/who/size/threads.

function sort(v, n,    i, j, x) {  # insertion sort: a few repetitions
    for (i = 2; i <= n; ++i) {
        x = v[i]
        for (j = i - 1; j > 0 && v[j] > x; --j) v[j + 1] = v[j]
        v[j + 1] = x
    }
}

# Value at fraction f of the sorted v[1..n].
function quantile(v, n, f,    i) {
    i = int(1 + f * (n - 1) + 0.5)
    return v[i]
}

# Sorted times of a row and column in `times`, their number returned.
function collect(key, who,    n, i) {
    n = count[key, who]
    for (i = 1; i <= n; ++i) times[i] = time[key, who, i]
    sort(times, n)
    return n
}

# Text in which numbers compare as numbers: each padded to twelve digits.
function padded(text,    out) {
    out = ""
    while (match(text, /[0-9]+/)) {
        out = out substr(text, 1, RSTART - 1) sprintf("%012d", substr(text, RSTART, RLENGTH))
        text = substr(text, RSTART + RLENGTH)
    }
    return out text
}

# Sorts list[prefix, 1..n]: the interleaved runs come in random order.
function sort_names(list, prefix, n,    i, j, x) {
    for (i = 2; i <= n; ++i) {
        x = list[prefix, i]
        for (j = i - 1; j > 0 && padded(list[prefix, j]) > padded(x); --j)
            list[prefix, j + 1] = list[prefix, j]
        list[prefix, j + 1] = x
    }
}

function human(seconds) {
    if (seconds < 1e-6) return sprintf("%.3g ns", seconds * 1e9)
    if (seconds < 1e-3) return sprintf("%.3g us", seconds * 1e6)
    return sprintf("%.3g ms", seconds * 1e3)
}

# 1e9 a second, or a dash where nothing was counted; uses `mine`.
function rate(amount) {
    return amount > 0 ? sprintf("%.1f", amount / mine / 1e9) : "-"
}

BEGIN { FS = ","; unit["ns"] = 1e-9; unit["us"] = 1e-6; unit["ms"] = 1e-3; unit["s"] = 1 }

$1 ~ /^"/ && $5 in unit {
    name = $1
    gsub(/"/, "", name)
    if (name ~ /_(mean|median|stddev|cv)$/) next
    sub(/\/real_time$/, "", name)
    parts = split(name, part, "/")
    kernel = part[1]
    who = parts > 1 ? part[2] : "tare"
    size = ""
    for (i = 3; i < parts; ++i) size = size (i > 3 ? "/" : "") part[i]
    threads = "1"
    if (parts > 2) {
        if (part[parts] ~ /^(threads:)?[0-9]+$/) {
            threads = part[parts]
            sub(/threads:/, "", threads)
        } else {
            size = size (size == "" ? "" : "/") part[parts]
        }
    }
    key = threads SUBSEP size SUBSEP kernel
    if (!(kernel in kernel_seen)) { kernel_seen[kernel] = 1; kernels["", ++kernel_count] = kernel }
    if (!(key in key_seen)) { key_seen[key] = 1; keys[kernel, ++key_count[kernel]] = key }
    if (!((kernel, who) in who_seen)) {
        who_seen[kernel, who] = 1
        whos[kernel, ++who_count[kernel]] = who
    }
    time[key, who, ++count[key, who]] = $3 * unit[$5]
    per_call[key, who, "bytes"] = $6 * $3 * unit[$5]
    per_call[key, who, "items"] = $7 * $3 * unit[$5]
}

END {
    sort_names(kernels, "", kernel_count)
    for (k = 1; k <= kernel_count; ++k) {
        kernel = kernels["", k]
        sort_names(keys, kernel, key_count[kernel])
        sort_names(whos, kernel, who_count[kernel])
        ours = ((kernel, "tare") in who_seen) ? "tare" : whos[kernel, 1]
        printf "## %s\n\n| size | threads | %s | spread | Gop/s | GB/s |", kernel, ours
        rule = "|---|---|---|---|---|---|"
        for (w = 1; w <= who_count[kernel]; ++w)
            if (whos[kernel, w] != ours) {
                printf " %s |", whos[kernel, w]
                rule = rule "---|"
            }
        print "\n" rule
        for (i = 1; i <= key_count[kernel]; ++i) {
            key = keys[kernel, i]
            split(key, field, SUBSEP)
            n = collect(key, ours)
            if (n == 0) {
                printf "| %s | %s | - | - | - | - |", field[2], field[1]
                mine = 0
            } else {
                mine = quantile(times, n, 0.5)
                spread = 100 * (quantile(times, n, 0.9) - quantile(times, n, 0.1)) / mine
                printf "| %s | %s | %s | %.0f %% | %s | %s |", field[2], field[1], human(mine),
                    spread, rate(per_call[key, ours, "items"]), rate(per_call[key, ours, "bytes"])
            }
            for (w = 1; w <= who_count[kernel]; ++w) {
                who = whos[kernel, w]
                if (who == ours) continue
                n = collect(key, who)
                if (n == 0) printf " - |"
                else if (mine > 0) printf " %.2f |", quantile(times, n, 0.5) / mine
                else printf " %s |", human(quantile(times, n, 0.5))
            }
            print ""
        }
        print ""
    }
}
