# SPDX-License-Identifier: MIT
# goals.tsv and the CSV of Google Benchmark, one line a repetition, to markdown: first the goals, one
# row each, then one table a kernel, one row a size and thread count, one column for each `who` of
# kernel/who/size/threads. A ratio is the median of the ratios of single repetitions, whose two sides
# ran within a second of each other: neighbours on the machine, who come and go more slowly, cancel.
# "Undisturbed" compares the least times of both sides instead.

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

# Sorts list[prefix, 1..n]: sizes in their order, programs come in theirs.
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

# Median over the repetitions of a peer's time divided by ours, or 0 where one side was not run.
function paired(key, ours, peer,    n, i) {
    n = count[key, ours] < count[key, peer] ? count[key, ours] : count[key, peer]
    if (n == 0) return 0
    for (i = 1; i <= n; ++i) times[i] = time[key, peer, i] / time[key, ours, i]
    sort(times, n)
    return quantile(times, n, 0.5)
}

# The least time of a peer divided by ours, or 0 where one side was not run: what both do in the
# moments when nobody else uses the core.
function undisturbed(key, ours, peer,    mine) {
    if (collect(key, ours) == 0) return 0
    mine = times[1]
    return collect(key, peer) == 0 ? 0 : times[1] / mine
}

# Ours against the fastest of the peers of a goal, or 0 where one side was not run: by the median, or
# by the least times.
function ratio_of(key, who, peers, by_least,    n, i, all, least, ratio) {
    if (peers == "items") {
        n = collect(key, who)
        return n == 0 ? 0 : per_call[key, who, "items"] / quantile(times, n, by_least ? 0 : 0.5)
    }
    all = split(peers, peer, ",")
    least = 0
    for (i = 1; i <= all; ++i) {
        ratio = by_least ? undisturbed(key, who, peer[i]) : paired(key, who, peer[i])
        if (ratio > 0 && (least == 0 || ratio < least)) least = ratio
    }
    return least
}

# (a|b) as "a, b": a bar would end the cell.
function listed(pattern) {
    gsub(/[()]/, "", pattern)
    gsub(/\|/, ", ", pattern)
    return pattern
}

# One row for a goal: the least and the middle ratio of its sizes, and how many reach it, by the
# median and by the least times.
function judge(goal,    k, i, n, kernel, field, value, enough, met, met_least, least, where, shown) {
    n = met = met_least = 0
    enough = 0.995 * goal_least[goal]  # half a percent is within any spread
    for (k = 1; k <= kernel_count; ++k) {
        kernel = kernels["", k]
        if (kernel !~ "^" goal_kernel[goal] "$") continue
        for (i = 1; i <= key_count[kernel]; ++i) {
            split(keys[kernel, i], field, SUBSEP)
            if (field[1] !~ "^" goal_threads[goal] "$") continue
            if (field[2] !~ "^(" goal_sizes[goal] ")$") continue
            value = ratio_of(keys[kernel, i], "tare", goal_peers[goal], 0)
            if (value == 0) continue
            ratios[++n] = value
            if (n == 1 || value < least) {
                least = value
                where = kernel " " field[2]
            }
            if (value >= enough) ++met
            if (ratio_of(keys[kernel, i], "tare", goal_peers[goal], 1) >= enough) ++met_least
        }
    }
    if (n == 0) return
    sort(ratios, n)
    shown = goal_peers[goal] == "items" ? "%.3g" : "%.2f"
    printf "| %s | %s | %s | %s | " shown " | " shown " | %s | %d of %d | %d |\n", goal_what[goal],
        listed(goal_kernel[goal]), goal_threads[goal], goal_peers[goal] " " goal_least[goal],
        quantile(ratios, n, 0.5), least, where, met, n, met_least
}

FILENAME ~ /goals\.tsv$/ {
    if ($0 ~ /^#/) next
    split($0, part, "\t")
    ++goals
    goal_kernel[goals] = part[1]
    goal_sizes[goals] = part[2]
    goal_threads[goals] = part[3]
    goal_peers[goals] = part[4]
    goal_least[goals] = part[5]
    goal_what[goals] = part[6]
    next
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
    print "## Goals\n"
    print "| what | kernel | threads | beside, at least | median of the sizes | least | where | met | undisturbed |"
    print "|---|---|---|---|---|---|---|---|---|"
    for (g = 1; g <= goals; ++g) judge(g)
    print ""
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
                else if (mine > 0) printf " %.2f |", paired(key, ours, who)
                else printf " %s |", human(quantile(times, n, 0.5))
            }
            print ""
        }
        print ""
    }
}
