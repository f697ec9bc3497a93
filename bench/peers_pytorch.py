#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Peers in PyTorch: the champion's size (bench_model), one of its layers for one token
(bench_layer), and a few kernels of bench_rows and bench_elementwise.

Random weights, no cache; repetitions of all of them in turns. Prints lines of Google Benchmark's CSV, kernel/pytorch/size/threads, which
bench/report.awk puts beside ours. Attention goes by segments: one batched product of queries with
the keys of their own and the previous segment, read along its diagonals as a strided view, so
nothing is gathered; tails are computed for the words that fall into them; the online step keeps
keys and values and computes the whole distribution. Written for this bench.

    peers_pytorch.py [--threads N] [--repetitions R] [--filter REGEX]
"""
import argparse
import functools
import re
import time

import torch
import torch.nn.functional as F

LAYERS, WIDTH, HEADS, KEY, INNER, WINDOW = 8, 256, 8, 24, 768, 96
CUTOFFS, VOCABULARY, WIDTHS = [3500, 25000], 267735, [256, 64, 4]
BINS = list(zip([0] + CUTOFFS, CUTOFFS + [VOCABULARY]))
# Share of WikiText-103's test tokens in each bin.
SHARES = [198232 / 245569, 35479 / 245569, 11858 / 245569]


def skewed(x, rows, entries):
    """Entry (i, j) of the result is x(i, i + j): a view."""
    b, h, _, n = x.shape
    return x.as_strided((b, h, rows, entries), (h * rows * n, rows * n, n + 1, 1))


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
        self.qkv = torch.nn.Linear(WIDTH, HEADS * 3 * KEY)
        self.out = torch.nn.Linear(HEADS * KEY, WIDTH, bias=False)
        self.fc0, self.fc3 = torch.nn.Linear(WIDTH, INNER), torch.nn.Linear(INNER, WIDTH)
        self.positions = torch.nn.Parameter(0.02 * torch.randn(KEY, WINDOW + 1))

    def attend(self, x, memory):
        """x (T, WIDTH), T whole segments; memory (k, v) of WINDOW positions, (H, WINDOW, KEY)."""
        segments, s = x.shape[0] // WINDOW, WINDOW
        q, k, v = self.qkv(x).view(-1, HEADS, 3 * KEY).transpose(0, 1).split(KEY, dim=2)
        k, v = torch.cat([memory[0], k], 1), torch.cat([memory[1], v], 1)
        q = q.reshape(HEADS, segments, s, KEY).transpose(0, 1)

        def pairs(m):  # segment i with the one before it: (segments, H, 2 S, KEY), overlapping
            m = m.contiguous()
            return m.as_strided((segments, HEADS, 2 * s, KEY),
                                (s * KEY, m.stride(0), KEY, 1))

        content = torch.matmul(q, pairs(k).transpose(2, 3))
        scores = skewed(content, s, s + 1) + torch.matmul(q, self.positions)
        p = torch.softmax(scores * KEY**-0.5, -1)
        band = torch.zeros_like(content)
        skewed(band, s, s + 1).copy_(p)
        o = torch.matmul(band, pairs(v))
        o = o.transpose(1, 2).reshape(-1, HEADS * KEY)
        return o, (k[:, -s:].detach(), v[:, -s:].detach())

    def step(self, x, memory):
        """One position: memory (k, v) with room for one more at the end."""
        q, k, v = self.qkv(x).view(HEADS, 3 * KEY).split(KEY, dim=1)
        keys, values, at = memory
        if at == keys.shape[1]:  # a buffer with slack moves back now and then
            keys[:, :WINDOW] = keys[:, at - WINDOW:].clone()
            values[:, :WINDOW] = values[:, at - WINDOW:].clone()
            at = WINDOW
        keys[:, at], values[:, at] = k, v
        window = slice(at - WINDOW, at + 1)
        q = q.unsqueeze(1)
        scores = torch.matmul(q, keys[:, window].transpose(1, 2)) + torch.matmul(q, self.positions)
        p = torch.softmax(scores * KEY**-0.5, -1)
        memory[2] = at + 1
        return torch.matmul(p, values[:, window]).reshape(1, -1)

    def feed(self, x, attended):
        x = x + self.out(attended)
        return x + self.fc3(torch.relu(self.fc0(self.ln2(x))))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList(Layer() for _ in range(LAYERS))
        self.tables = torch.nn.ParameterList(
            torch.nn.Parameter(0.02 * torch.randn(b - a, w)) for (a, b), w in zip(BINS, WIDTHS))
        self.biases = torch.nn.ParameterList(
            torch.nn.Parameter(torch.zeros(b - a)) for a, b in BINS)
        self.widen = torch.nn.ModuleList(
            torch.nn.Linear(w, WIDTH, bias=False) for w in WIDTHS[1:])
        self.narrow = torch.nn.ModuleList(
            torch.nn.Linear(WIDTH, w, bias=False) for w in WIDTHS[1:])
        self.clusters = torch.nn.Linear(WIDTH, 2)

    def embed(self, words):
        x = torch.empty(len(words), WIDTH)
        for i, (a, b) in enumerate(BINS):
            rows = ((words >= a) & (words < b)).nonzero()[:, 0]
            if not len(rows):
                continue
            part = F.embedding(words[rows] - a, self.tables[i])
            x = x.index_put((rows,), part if i == 0 else self.widen[i - 1](part))
        return x * WIDTH**0.5

    def loss(self, h, words):
        head = torch.cat([F.linear(h, self.tables[0], self.biases[0]), self.clusters(h)], 1)
        target = words.clone()
        target[(words >= CUTOFFS[0]) & (words < CUTOFFS[1])] = CUTOFFS[0] + 1
        target[words >= CUTOFFS[1]] = CUTOFFS[0]
        total = F.cross_entropy(head, target, reduction="sum")
        for i, (a, b) in list(enumerate(BINS))[1:]:
            rows = ((words >= a) & (words < b)).nonzero()[:, 0]
            if len(rows):
                z = F.linear(self.narrow[i - 1](h[rows]), self.tables[i], self.biases[i])
                total = total + F.cross_entropy(z, words[rows] - a, reduction="sum")
        return total / len(words)

    def hidden(self, words, memory):
        x = self.embed(words)
        for i, layer in enumerate(self.layers):
            attended, memory[i] = layer.attend(layer.ln1(x), memory[i])
            x = layer.feed(x, attended)
        return x

    def online(self, word, memory):
        x = self.embed(word)
        for layer, m in zip(self.layers, memory):
            x = layer.feed(x, layer.step(layer.ln1(x), m))
        head = torch.cat([F.linear(x, self.tables[0], self.biases[0]), self.clusters(x)], 1)
        head = torch.softmax(head, 1)[0]
        parts = [head[:CUTOFFS[0]]]
        for i in (1, 2):
            z = F.linear(self.narrow[i - 1](x), self.tables[i], self.biases[i])
            parts.append(torch.softmax(z, 1)[0] * head[CUTOFFS[0] + 2 - i])
        return torch.cat(parts)


def words_of(count):
    bins = torch.multinomial(torch.tensor(SHARES), count, replacement=True)
    low = torch.tensor([a for a, _ in BINS])[bins]
    high = torch.tensor([b for _, b in BINS])[bins]
    return low + (torch.rand(count) * (high - low)).long().clamp(max=VOCABULARY)


def zeros(length):
    return torch.zeros(HEADS, length, KEY)


def no_grad(call):
    def run():
        with torch.no_grad():
            call()
    return run


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--filter", default=".")
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    wanted = []

    def add(kernel, size, items, make, least_seconds=0.0):
        """Times make()(), the items of one call known, at least that long."""
        name = f"{kernel}/pytorch/{size}/{options.threads}"
        if re.search(options.filter, name):
            wanted.append((name, items, make(), least_seconds))

    @functools.cache
    def model():
        return Model()

    def evaluate():
        memory = [(zeros(WINDOW), zeros(WINDOW)) for _ in range(LAYERS)]
        chunk = words_of(4033)
        return no_grad(lambda: model().loss(model().hidden(chunk[:-1], memory), chunk[1:]))

    def online():
        stream = [[zeros(3 * WINDOW), zeros(3 * WINDOW), WINDOW] for _ in range(LAYERS)]
        few = words_of(64)
        return no_grad(lambda: [model().online(few[t:t + 1], stream) for t in range(len(few))])

    def train():
        """Gradients, clipping and Adam: all that our step does."""
        batch = words_of(1153)
        adam = torch.optim.Adam(model().parameters(), lr=1e-4)

        def run():
            model().zero_grad(set_to_none=True)
            memory = [(zeros(WINDOW), zeros(WINDOW)) for _ in range(LAYERS)]
            model().loss(model().hidden(batch[:-1], memory), batch[1:]).backward()
            torch.nn.utils.clip_grad_norm_(model().parameters(), 0.5)
            adam.step()
        return run

    def layer():
        """One token through one layer, keys and values appended to a buffer with slack."""
        one = Layer()
        x = torch.randn(1, WIDTH)
        memory = [zeros(64 * WINDOW), zeros(64 * WINDOW), WINDOW]
        return no_grad(lambda: one.feed(x, one.step(one.ln1(x), memory)))

    def rows(function, shape):
        x = 6 * torch.rand(shape) - 3
        return no_grad(lambda: function(x))

    def nearest():
        """Codes of blocks: the largest x . c - |c|^2 / 2 as a product and arg max."""
        x, c = torch.rand(32768, 8), torch.rand(256, 8)
        half = 0.5 * (c * c).sum(1)
        return no_grad(lambda: torch.addmm(half, x, c.T, beta=-1).argmax(1))

    add("model_chunk", "champion_4032", 4032, evaluate)
    for kernel in ("model_online", "packed_online"):
        add(kernel, "champion_64", 64, online)
    add("model_step", "champion_1152", 1152, train)
    short = 0.02
    for kernel in ("layer_token", "layer_token_8_bit"):  # 8 bits are ours alone
        add(kernel, "d256_inner768_H8_D24_W97", 1, layer, short)
    for shape in [(512, 97), (16, 3502), (3, 21500), (1, 242735)]:
        size = f"{shape[0]}x{shape[1]}"
        add("softmax", size, shape[0], lambda: rows(lambda x: torch.softmax(x, 1), shape), short)
        add("log_softmax", size, shape[0], lambda: rows(lambda x: torch.log_softmax(x, 1), shape),
            short)
    for shape in [(16, 3502), (1, 242735)]:
        size = f"{shape[0]}x{shape[1]}"
        add("top_30", size, shape[0], lambda: rows(lambda x: torch.topk(x, 30, 1), shape), short)
        add("row_arg_max", size, shape[0], lambda: rows(lambda x: x.argmax(1), shape), short)
    add("layer_norm", "256x256", 256,
        lambda: rows(lambda x: F.layer_norm(x, (256,)), (256, 256)), short)
    add("k_means_256", "32768x8", 32768, nearest, short)
    for name, function in [("tanh", torch.tanh), ("sigmoid", torch.sigmoid), ("gelu", F.gelu),
                           ("exp", torch.exp)]:
        add(name, "65536", 65536, lambda: rows(function, (65536,)), short)
    add("mean_and_variance", "65536", 65536,
        lambda: rows(lambda x: torch.var_mean(x, unbiased=False), (65536,)), short)

    add("fake_quantize", "int8", 1 << 24,
        lambda: rows(lambda x: torch.fake_quantize_per_tensor_affine(x, 0.03, 0, -127, 127),
                     (1 << 24,)))

    for _, _, run, _ in wanted:
        run()
    for _ in range(options.repetitions):
        for name, items, run, least in wanted:
            calls, begin = 0, time.perf_counter()
            while calls == 0 or time.perf_counter() - begin < least:
                run()
                calls += 1
            ms = 1e3 * (time.perf_counter() - begin) / calls
            print(f'"{name}/real_time",{calls},{ms},{ms},ms,,{1e3 * items / ms},,,', flush=True)


if __name__ == "__main__":
    main()
