"""micro.gpt: the model against plain loops and torch, its checkpoints, and the program that trains and samples."""
import math
import os
import pickle
import random
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from micro.files import Problem
from micro.gpt import (
    GPT,
    Attention,
    GPTConfig,
    checkpoint,
    choose,
    generate,
    get_batch,
    parameter_groups,
    token_shift,
    whole_loss,
)
from micro.gpt import __main__ as program
from micro.gpt import train as training
from micro.gpt.train import Trainer, encode, find_device
from tests.bench import gpt as bench
from tests.helpers import ROOT, bell, one_thread, runner  # noqa: F401 (a fixture is used by being there)

many = settings(max_examples=30, derandomize=True, deadline=None, database=None)
seeds, few = st.integers(0, 2**31), st.integers(1, 4)
activations = st.sampled_from(["gelu", "relu2"])
heads = st.sampled_from([(1, 4), (1, 6), (2, 4), (2, 6), (2, 10), (3, 6), (4, 4), (3, 12)])
# each: (n_head, n_embd)


def shaken(net, seed):
    """Every parameter random, in float64, so that no gain of 1 hides a mistake."""
    torch.manual_seed(seed)
    net = net.double()
    with torch.no_grad():
        for p in net.parameters():
            z = torch.randn_like(p)
            p.copy_(1.5 * z / math.sqrt(p.shape[-1]) if p.dim() > 1 else 1 + 0.3 * z)
    return net


def build(seed, V, T, n_layer, head, activation, shift):
    return shaken(GPT(GPTConfig(V, T, n_layer, *head, activation=activation, shift=shift)), seed)


nets = st.builds(build, seeds, st.integers(2, 9), st.integers(1, 9), st.integers(1, 3), heads,
                 activations, st.booleans())


def letters(seed, net, B, T):
    return torch.randint(net.config.vocab_size, (B, T), generator=torch.Generator().manual_seed(seed))


def close(a, b, atol=1e-9):
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=atol)


# -- the model written out -----------------------------------------------------------------------------

def plain_norm(x, gain):
    middle = x.mean(-1, keepdim=True)
    return (x - middle) / (((x - middle)**2).mean(-1, keepdim=True) + 1e-5).sqrt() * gain


def plain_shift(x):
    half, rows = x.shape[2] // 2, []
    for t in range(x.shape[1]):
        early = x[:, t - 1, :half] if t else torch.zeros_like(x[:, 0, :half])
        rows.append(torch.cat([early, x[:, t, half:]], 1))
    return torch.stack(rows, 1)


def plain_attention(x, qkv, proj, n_head):
    T, C = x.shape[1:]
    hs, outs = C // n_head, []
    seen = torch.ones(T, T).tril() == 1
    for h in range(n_head):
        rows = slice(h * hs, (h + 1) * hs)
        q, k, v = (x @ W[rows].T for W in (qkv[:C], qkv[C:2 * C], qkv[2 * C:]))
        scores = (q @ k.transpose(1, 2) / math.sqrt(hs)).masked_fill(~seen, -math.inf)
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        outs.append(weights @ v)
    return torch.cat(outs, 2) @ proj.T


def plain(net, ix, table, head):
    """The logits by formula. table, head: the matrix that reads tokens and the one that writes them."""
    c = net.config
    shift = plain_shift if c.shift else lambda x: x
    act = {"gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
           "relu2": lambda x: torch.where(x > 0, x * x, 0)}[c.activation]
    x = table[ix] + net.positions.weight[:ix.shape[1]]
    for b in net.blocks:
        x = x + plain_attention(shift(plain_norm(x, b.norm1.weight)), b.attention.qkv.weight,
                                b.attention.proj.weight, c.n_head)
        x = x + act(shift(plain_norm(x, b.norm2.weight)) @ b.feed.up.weight.T) @ b.feed.proj.weight.T
    return plain_norm(x, net.norm.weight) @ head.T


@many
@given(nets, seeds, few, st.data())
def test_fast_equals_plain_and_its_gradients_too(net, seed, B, data):
    T = data.draw(st.integers(1, net.config.block_size))
    ix, y = letters(seed, net, B, T), letters(seed + 1, net, B, T)
    table, head = (net.tokens.weight.detach().clone().requires_grad_() for _ in range(2))
    ours, theirs = net(ix), plain(net, ix, table, head)
    assert close(ours, theirs)
    rest = [p for name, p in net.named_parameters() if name != "tokens.weight"]
    our_loss = F.cross_entropy(ours.flatten(0, 1), y.flatten())
    mine = torch.autograd.grad(our_loss, [net.tokens.weight, *rest])
    logp = theirs - theirs.exp().sum(-1, keepdim=True).log()
    loss = -logp.gather(2, y[..., None]).mean()
    read, write, *others = torch.autograd.grad(loss, [table, head, *rest])
    assert close(mine[0], read + write), "one matrix reads and writes: it gets both gradients"
    assert all(close(a, b) for a, b in zip(mine[1:], others))


def test_one_matrix_reads_and_writes():
    net = build(1, 7, 5, 2, (2, 8), "gelu", True)
    assert [name for name, p in net.named_parameters() if p.shape[0] == 7] == ["tokens.weight"]
    ix = torch.tensor([[1, 2, 3]])
    (g,) = torch.autograd.grad(net(ix)[..., 5].sum(), net.tokens.weight)
    used = (g.abs().sum(1) > 1e-9).nonzero().flatten().tolist()
    assert used == [1, 2, 3, 5]                         # 5 is only written


@many
@given(seeds, few, st.integers(1, 9), heads)
def test_attention_is_torchs(seed, B, T, head):
    config = GPTConfig(5, 9, 1, *head)
    ours = shaken(Attention(config), seed)
    theirs = nn.MultiheadAttention(config.n_embd, config.n_head, bias=False, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.out_proj.weight.copy_(ours.proj.weight)
    x, dy = bell(seed, B, T, config.n_embd).requires_grad_(), bell(seed + 1, B, T, config.n_embd)
    a = ours(x, {})
    b, _ = theirs(x, x, x, attn_mask=torch.ones(T, T, dtype=torch.bool).triu(1), need_weights=False)
    assert close(a, b)
    mine = torch.autograd.grad(a, [x, ours.qkv.weight, ours.proj.weight], dy)
    other = torch.autograd.grad(b, [x, theirs.in_proj_weight, theirs.out_proj.weight], dy)
    assert all(close(m, o) for m, o in zip(mine, other))


# -- causality and the cache ---------------------------------------------------------------------------

@many
@given(nets, seeds, st.integers(1, 3))
def test_a_token_changes_no_logits_before_it_and_some_at_it(net, seed, B):
    T = net.config.block_size
    ix = letters(seed, net, B, T)
    before = net(ix)
    for t in range(T):
        moved = ix.clone()
        moved[0, t] = (moved[0, t] + 1) % net.config.vocab_size
        after = net(moved)
        assert torch.equal(after[0, :t], before[0, :t])
        assert not close(after[0, t], before[0, t])
        assert torch.equal(after[1:], before[1:]), "batches never talk"


@many
@given(nets, seeds, st.integers(2, 5))
def test_each_row_of_a_batch_is_as_if_alone(net, seed, B):
    ix = letters(seed, net, B, net.config.block_size)
    assert all(close(net(ix[b:b + 1])[0], row, 1e-12) for b, row in enumerate(net(ix)))


def test_without_shift_one_block_sees_all_before_and_with_it_one_late():
    x = bell(1, 2, 5, 6)
    y = token_shift(x, {}, "now")
    assert torch.equal(y[:, :, 3:], x[:, :, 3:]) and torch.equal(y[:, 1:, :3], x[:, :-1, :3])
    assert not y[:, 0, :3].any()
    on, off = (build(3, 7, 5, 1, (2, 8), "gelu", shift) for shift in (True, False))
    assert not close(on(torch.tensor([[1, 2]])), off(torch.tensor([[1, 2]])))


@many
@given(nets, seeds, few, st.data())
def test_fed_in_pieces_it_says_the_same_as_in_one_go(net, seed, B, data):
    left = data.draw(st.integers(1, net.config.block_size))
    ix = letters(seed, net, B, left)
    cache, outs, at = net.empty_cache(), [], 0
    while at < ix.shape[1]:
        n = data.draw(st.integers(1, ix.shape[1] - at))
        outs.append(net(ix[:, at:at + n], cache))
        at += n
    assert close(torch.cat(outs, 1), net(ix), 1e-11)
    assert all(kept["k"].shape[2] == at for kept in cache)
    assert close(net(ix), net(ix), 0), "without a cache, nothing is kept from call to call"


hows = st.fixed_dictionaries({"temperature": st.sampled_from([0, 0.5, 1.0, 1.7])},
                             optional={"top_k": st.integers(1, 9), "top_p": st.floats(0.1, 1)})


@many
@given(nets, seeds, st.integers(1, 3), st.integers(1, 14), st.integers(0, 30), hows)
def test_the_cache_writes_the_same_text_far_beyond_the_block_too(net, seed, B, T, n, how):
    ix = letters(seed, net, B, T)
    kept = ix.clone()
    one, two = (generate(net, ix, n, torch.Generator().manual_seed(seed), cached, **how)
                for cached in (True, False))
    assert torch.equal(one, two) and one.shape == (B, T + n)
    assert torch.equal(one[:, :T], ix) and torch.equal(ix, kept), "the prompt is there, unchanged"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize("cached", [True, False])
def test_a_full_context_loses_its_older_half_and_reads_on(size, cached):
    net, seen = build(1, 5, size, 1, (1, 4), "gelu", True), []
    hook = net.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    out = generate(net, torch.arange(2 * size)[None] % 5, 3 * size + 2, cached=cached, temperature=0)
    hook.remove()
    at, context = 2 * size, 0                           # where a context should end, and its length
    for k, ix in enumerate(seen):
        context = context + 1 if k else size            # one letter more than the last time ...
        if context > size:
            context = size // 2 + 1 if size > 1 else 1  # ... or the younger half and the new one
            assert ix.shape[1] == context               # read again from the start
        whole = out[:, at + k - context:at + k]
        assert torch.equal(ix, whole if not cached or ix.shape[1] > 1 else whole[:, -1:])
        assert out[0, at + k] == net(whole)[0, -1].argmax()
    assert len(seen) == 3 * size + 2


# -- sampling ------------------------------------------------------------------------------------------

def plain_choose(logits, temperature, top_k, top_p):
    """One row, with Python's floats."""
    top = max(logits)
    weight = [math.exp((z - top) / temperature) for z in logits]
    order = sorted(range(len(logits)), key=lambda k: -weight[k])[:top_k]
    total, chosen, share = sum(weight[k] for k in order), [], 0.0
    for k in order:
        chosen.append(k)
        share += weight[k] / total
        if top_p is not None and share >= top_p:
            break
    total = sum(weight[k] for k in chosen)
    return [weight[k] / total if k in chosen else 0.0 for k in range(len(logits))]


@settings(many, max_examples=200)
@given(seeds, few, st.integers(1, 12), st.floats(0.2, 3), st.sampled_from([None, 1, 2, 3, 5, 14]),
       st.sampled_from([None, 0.001, 0.2, 0.4, 0.6, 0.8, 0.9, 1]))
def test_choose_is_the_rule_written_out(seed, B, V, temperature, top_k, top_p):
    logits = 2 * bell(seed, B, V)
    kept = logits.clone()
    probs = choose(logits, temperature, top_k, top_p)
    rows = [plain_choose(row, temperature, top_k, top_p) for row in logits.tolist()]
    wanted = torch.tensor(rows, dtype=torch.double)
    assert close(probs, wanted, 1e-12) and close(probs.sum(-1), torch.ones(B).double(), 1e-12)
    assert torch.equal(probs > 0, wanted > 0) and torch.equal(logits, kept)
    assert (probs.argmax(-1) == logits.argmax(-1)).all(), "the likeliest is always there"


def test_choose_by_hand():
    even = torch.zeros(1, 4, dtype=torch.double)                        # each has exactly 1/4
    assert choose(even, top_p=0.5).tolist() == [[0.5, 0.5, 0, 0]]       # 1/2 or more: two are enough
    assert choose(even, top_p=0.51).tolist() == [[1 / 3, 1 / 3, 1 / 3, 0]]
    assert choose(even, top_p=1).tolist() == choose(even, top_k=99).tolist() == [[0.25] * 4]
    assert choose(even, top_p=0.001).tolist() == choose(even, top_k=1).tolist() == [[1, 0, 0, 0]]
    assert choose(even, top_k=2, top_p=0.5).tolist() == [[1, 0, 0, 0]]  # of what top_k left
    z = torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, -2.0]])
    assert choose(z, temperature=0).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert choose(z, temperature=0.5)[0, 1] > choose(z)[0, 1] > choose(z, temperature=2)[0, 1] > 1 / 3
    assert close(choose(z), z.softmax(-1), 1e-7)


@many
@given(nets, seeds, few, st.integers(1, 12))
def test_among_the_likeliest_one_is_greedy(net, seed, B, n):
    ix = letters(seed, net, B, 1)
    n = min(n, net.config.block_size)
    greedy = ix
    for _ in range(n):
        greedy = torch.cat([greedy, net(greedy)[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(generate(net, ix, n, top_k=1), greedy)
    assert torch.equal(generate(net, ix, n, temperature=0), greedy)


def test_the_letters_come_as_often_as_choose_says():
    net = build(4, 6, 4, 1, (2, 4), "relu2", True)
    ix = torch.tensor([[2, 5, 1]]).repeat(20000, 1)
    how = {"temperature": 0.7, "top_k": 5, "top_p": 0.95}
    drawn = generate(net, ix, 1, torch.Generator().manual_seed(1), **how)[:, -1]
    wanted = choose(net(ix[:1])[:, -1], **how)[0]
    assert (drawn.bincount(minlength=6) / 20000 - wanted).abs().max() < 0.02
    assert 2 <= (wanted > 0).sum() < 6


def test_the_same_generator_writes_the_same_text_and_another_another():
    net, ix = build(5, 9, 6, 2, (2, 8), "relu2", True), torch.zeros(1, 1, dtype=torch.long)
    texts = [generate(net, ix, 40, torch.Generator().manual_seed(k)) for k in (7, 7, 8)]
    assert torch.equal(texts[0], texts[1]) and not torch.equal(texts[0], texts[2])
    assert torch.equal(generate(net, ix, 0), ix)


def test_generate_is_in_eval_mode_without_gradient_and_leaves_the_modes():
    net = shaken(GPT(GPTConfig(9, 6, 2, 2, 8, dropout=0.5)), 6)
    ix, seen = torch.zeros(1, 2, dtype=torch.long), []
    net.blocks[1].eval()                                # a mixed state must come back as it was
    modes = [m.training for m in net.modules()]
    net.register_forward_hook(lambda m, args, out: seen.append((m.training, out.requires_grad)))
    text = generate(net, ix, 20, top_k=1)
    assert seen == [(False, False)] * 20 and [m.training for m in net.modules()] == modes
    assert torch.equal(text, generate(net.eval(), ix, 20, temperature=0))


# -- dropout, start values, parameters -----------------------------------------------------------------

def test_dropout_acts_in_training_alone():
    net, ix = shaken(GPT(GPTConfig(7, 8, 2, 2, 8, dropout=0.3)), 1), torch.arange(7)[None]
    assert not close(net(ix), net(ix))
    still = shaken(GPT(GPTConfig(7, 8, 2, 2, 8)), 1)
    net.eval()
    assert torch.equal(net(ix), net(ix)) and torch.equal(net(ix), still(ix))
    assert sum(isinstance(m, nn.Dropout) and m.p == 0.3 for m in net.modules()) == 3
    assert torch.equal(still(ix), still.eval()(ix))


def test_each_part_is_dropped_from():
    config = GPTConfig(7, 8, 1, 2, 8, dropout=0.5)
    attention, x = shaken(Attention(config), 1), bell(1, 1, 5, 8)
    assert not close(attention(x, {}), attention(x, {})), "among the weights of attention"
    assert torch.equal(attention.eval()(x, {}), attention(x, {}))
    for part in ("attention", "feed", "tokens"):
        torch.manual_seed(1)
        net = GPT(GPTConfig(7, 8, 1, 2, 8, dropout=0.5)).double()
        net.blocks[0].attention.dropout = 0.0           # so that only the paths are left
        with torch.no_grad():
            for name in {"attention", "feed", "tokens"} - {part}:
                last = net.positions if name == "tokens" else getattr(net.blocks[0], name).proj
                last.weight.zero_()
        if part != "tokens":
            net.dropout.p = 0.0
        ix = torch.arange(7)[None]
        assert not close(net(ix), net(ix)), part


@many
@given(st.integers(2, 99), st.integers(1, 40), st.integers(1, 4), heads, activations, st.booleans())
def test_the_number_of_parameters(V, T, L, head, activation, shift):
    C = head[1]
    net = GPT(GPTConfig(V, T, L, *head, activation=activation, shift=shift))
    assert sum(p.numel() for p in net.parameters()) == V * C + T * C + L * (12 * C * C + 2 * C) + C
    groups = parameter_groups(net, 0.3)
    assert [g["weight_decay"] for g in groups] == [0.3, 0.0]
    counts = [sum(p.numel() for p in g["params"]) for g in groups]
    assert counts == [V * C + T * C + L * 12 * C * C, (2 * L + 1) * C]
    every = [id(p) for g in groups for p in g["params"]]
    assert sorted(every) == sorted(map(id, net.parameters()))   # each exactly once


@pytest.mark.parametrize("L", [1, 2, 5])
def test_start_values_are_narrower_where_a_path_ends_the_deeper_the_net(L):
    torch.manual_seed(L)
    C = 64
    net = GPT(GPTConfig(200, 80, L, 4, C))
    by_name = {"tokens.weight": 3 * C, "positions.weight": 3 * C,
               "qkv.weight": 3 * C, "up.weight": 3 * C,
               "attention.proj.weight": 3 * C * 2 * L, "feed.proj.weight": 3 * 4 * C * 2 * L}
    for name, p in net.named_parameters():
        if p.dim() == 1:
            assert (p == 1).all()
        else:
            (wanted,) = (1 / math.sqrt(n) for end, n in by_name.items() if name.endswith(end))
            assert p.std().item() == pytest.approx(wanted, rel=0.06), name
            assert abs(p.mean().item()) < wanted * 0.08 and (p.abs() > 2.5 * wanted).any(), name


@pytest.mark.parametrize("n_embd, n_head", [(10, 4), (9, 3), (7, 1)])
def test_sizes_that_do_not_fit_are_named(n_embd, n_head):
    with pytest.raises(ValueError, match=f"n_embd = {n_embd} .* n_head = {n_head}"):
        GPTConfig(5, n_embd=n_embd, n_head=n_head)


# -- batches and the loss on all data ------------------------------------------------------------------

@many
@given(seeds, st.integers(1, 6), st.integers(1, 5), st.integers(1, 12))
def test_targets_are_one_later(seed, T, B, more):
    data = torch.randperm(T + more, generator=torch.Generator().manual_seed(seed))
    x, y = get_batch(data, T, B, torch.Generator().manual_seed(seed))
    assert x.shape == y.shape == (B, T)
    place = data.argsort()                              # place[letter]: where it stands
    assert torch.equal(place[y], place[x] + 1) and torch.equal(x[:, 1:], y[:, :-1])
    again = get_batch(data, T, B, torch.Generator().manual_seed(seed))
    assert torch.equal(x, again[0]) and torch.equal(y, again[1])


def test_every_window_is_drawn_alike_the_last_one_too():
    generator = torch.Generator().manual_seed(1)
    x, y = get_batch(torch.arange(10), 4, 6000, generator)
    counts = x[:, 0].bincount(minlength=10)
    assert (counts[:6] > 880).all() and not counts[6:].any() and y.max() == 9
    later, _ = get_batch(torch.arange(10), 4, 6000, generator)
    assert not torch.equal(x, later), "the generator goes on"
    x, y = get_batch(torch.arange(5), 4, 3, generator)
    assert x.tolist() == [[0, 1, 2, 3]] * 3 and y.tolist() == [[1, 2, 3, 4]] * 3


@many
@given(nets, seeds, st.integers(1, 5), st.data())
def test_the_whole_loss_is_the_mean_over_windows_one_by_one(net, seed, batch, data):
    T = net.config.block_size
    ix = letters(seed, net, 1, data.draw(st.integers(T + 1, 4 * T + 3)))[0]
    losses, at = [], 0
    while at + T + 1 <= len(ix):
        logp = net(ix[None, at:at + T])[0].log_softmax(-1)
        losses += [-logp[t, ix[at + t + 1]].item() for t in range(T)]
        at += T
    assert whole_loss(net, ix, T, batch) == pytest.approx(sum(losses) / len(losses), abs=1e-5)


def test_the_whole_loss_is_taken_in_eval_mode_and_leaves_the_modes():
    net, seen = shaken(GPT(GPTConfig(7, 4, 2, 2, 8, dropout=0.5)), 1), []
    net.blocks[1].eval()
    modes = [m.training for m in net.modules()]
    net.register_forward_hook(lambda m, args, y: seen.append((m.training, y.requires_grad, len(y))))
    data = letters(1, net, 1, 30)[0]
    assert whole_loss(net, data, 4, 3) == whole_loss(net, data, 4, 3)
    assert seen == [(False, False, n) for n in (3, 3, 1)] * 2
    assert [m.training for m in net.modules()] == modes


def test_it_learns_a_text_by_heart():
    torch.manual_seed(1)
    net = GPT(GPTConfig(6, 8, 1, 2, 16))
    data = torch.tensor([0, 1, 2, 3, 4, 5, 0, 2, 4, 1, 5, 3] * 8)
    optimizer = torch.optim.AdamW(parameter_groups(net), lr=0.01)
    generator = torch.Generator().manual_seed(1)
    for _ in range(120):
        x, y = get_batch(data, 8, 8, generator)
        optimizer.zero_grad()
        F.cross_entropy(net(x).flatten(0, 1), y.flatten()).backward()
        optimizer.step()
    assert generate(net, data[None, :8], 30, temperature=0)[0].tolist() == (data.tolist() * 2)[:38]


# -- checkpoints ---------------------------------------------------------------------------------------

def same(a, b, but=()):
    """Equal in type, value and, for tensors, dtype; whatever lies within, except under the keys `but`."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k], but) for k in a if k not in but)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y, but) for x, y in zip(a, b))
    return a == b


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "a.pt"
    deep = [{"text": "é\n\0", "many": (1, 2.5, True, [])}, torch.zeros(0, 3), 2**80, float("inf")]
    state = {"weights": bell(1, 3, 4), "half": bell(2, 5).bfloat16(), "whole": torch.arange(4),
             "none": None, "deep": deep}
    checkpoint.save(path, state)
    assert same(checkpoint.load(path), state) and os.listdir(tmp_path) == ["a.pt"]
    checkpoint.save(str(path), [1])                     # over the old one, and by its name as text
    assert checkpoint.load(str(path)) == [1] and os.listdir(tmp_path) == ["a.pt"]


def test_a_model_and_its_optimizer_go_on_as_before(tmp_path):
    def made():
        torch.manual_seed(1)
        net = torch.nn.Linear(3, 2)
        return net, torch.optim.AdamW(net.parameters(), lr=0.1)

    def step(net, optimizer):
        optimizer.zero_grad()
        net(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
    (net, optimizer), (other, another) = made(), made()
    step(net, optimizer)
    checkpoint.save(tmp_path / "a", {"net": net.state_dict(), "optimizer": optimizer.state_dict()})
    state = checkpoint.load(tmp_path / "a")
    other.load_state_dict(state["net"])
    another.load_state_dict(state["optimizer"])
    step(net, optimizer)
    step(other, another)
    assert torch.equal(net.weight, other.weight) and not torch.equal(state["net"]["weight"], net.weight)


def test_a_view_is_saved_by_value_and_later_changes_do_not_reach_the_file(tmp_path):
    x = bell(1, 4, 4)
    checkpoint.save(tmp_path / "a", {"row": x[1]})
    before = x[1].clone()
    x.zero_()
    assert torch.equal(checkpoint.load(tmp_path / "a")["row"], before)


@pytest.mark.parametrize("old", [b"the one before", None])
def test_an_error_in_a_save_leaves_just_the_old_file(tmp_path, monkeypatch, old):
    """The rest of what can go wrong while a file is written, kills included: tests/test_files.py."""
    path = tmp_path / "a.pt"
    if old:
        path.write_bytes(old)

    def half(state, file):
        file.write(b"half of it")
        file.flush()
        assert not old or path.read_bytes() == old, "a kill here would lose the old file"
        raise KeyboardInterrupt
    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {"n": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"] * bool(old)
    assert not old or path.read_bytes() == old


class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("write", [torch.save, lambda x, file: pickle.dump(x, file, protocol=2)])
def test_code_in_a_checkpoint_does_not_run(tmp_path, write):
    path, trap = tmp_path / "a.pt", tmp_path / "trap"
    with open(path, "wb") as file:
        write({"model": torch.ones(2), "x": Evil(trap)}, file)
    with pytest.raises(ValueError, match="no plain checkpoint"):
        checkpoint.load(path)
    assert not trap.exists()
    if write is torch.save:                             # and it would have run
        torch.load(path, weights_only=False)
        assert trap.exists()


def cut(share):
    """A writer of the first part of a checkpoint."""
    def write(path):
        checkpoint.save(path, {"x": torch.arange(4000.0), "n": list(range(50))})
        path.write_bytes(path.read_bytes()[:int(share * path.stat().st_size)])
    return write


@pytest.mark.parametrize("write, error", [
    (lambda path: None, FileNotFoundError), *[(cut(share), ValueError) for share in (0, 0.001, 0.2, 0.5, 0.9999)],
    *[(lambda path, content=content: path.write_bytes(content), ValueError) for content in (
        b"To be, or not to be\n", b"PK\x03\x04", b"\x80\x02.", b"hlrwl..")],    # the last two look like a pickle
    (lambda path: torch.save(nn.Linear(2, 2), path), ValueError), (Path.mkdir, ValueError)])
def test_what_is_no_checkpoint_is_named_in_one_sentence(tmp_path, write, error):
    path = tmp_path / "a.pt"
    write(path)
    with pytest.raises(error, match="name another") as caught:
        checkpoint.load(path)
    assert repr(str(path)) in str(caught.value) and "\n" not in str(caught.value)


# -- the program: training -----------------------------------------------------------------------------

TINY = "--n-embd 16 --block-size 16 --batch-size 4 --n-layer 1 --n-head 2"
SHORT = f"{TINY} --steps 6"
NEW = f"train --device cpu --out m.pt --text t.txt {SHORT}"
GO_ON = "train --device cpu --out m.pt --text t.txt --resume"
SAMPLE = "sample --device cpu --out m.pt --prompt a"


def nothing_from_outside(monkeypatch, folder):
    """Work in the folder, with a text in it, and without variables that change what the program does."""
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MICRO_DEVICE", "MICRO_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    draw = random.Random(1)
    words = ["".join(draw.choice("abcdef") for _ in range(5)) for _ in range(12)]
    Path("t.txt").write_text(" ".join(draw.choice(words) for _ in range(500)) + "\n")


@pytest.fixture
def place(monkeypatch, tmp_path):
    nothing_from_outside(monkeypatch, tmp_path)


@pytest.fixture
def do(place, capsys):
    """Runs the program in a folder of its own: words (a string is cut at spaces) -> exit code, stdout, stderr."""
    run = runner(program.main, capsys)
    return lambda command, *words: run(*shlex.split(command), *words)


@pytest.fixture
def train(do):
    return lambda out, how, *words: do(f"train --text t.txt --device cpu --out {out} {how}", *words)


def loaded(path):
    """A checkpoint without its clock."""
    return {k: v for k, v in checkpoint.load(path).items() if k != "seconds"}


def test_it_trains_saves_and_says_so(train):
    code, out, err = train("m.pt", SHORT, "--every", 4)
    first, four, six, last = out.splitlines()
    assert code == 0 and err == "" and sorted(os.listdir()) == ["m.pt", "t.txt"]
    count = 8 * 16 + 16 * 16 + 12 * 16 * 16 + 2 * 16 + 16
    assert re.findall(r"[\d,]*\d", first) == [f"{count:,}", "2,700", "300"]
    state = checkpoint.load("m.pt")
    model, _ = training.load("m.pt")
    loss = whole_loss(model, encode(Path("t.txt").read_text()[2700:], state["chars"]), 16)
    assert four.startswith("step 4: ") and six.startswith("step 6: ")
    assert f"training loss {state['losses'][5]:.3f}, validation loss {loss:.4f}, " in six, "of what it saved"
    assert last == "saved at step 6 of 6 in m.pt"
    assert state["step"] == len(state["losses"]) == 6 and state["chars"] == "\n abcdef"
    assert state["config"]["n_embd"] == 16 and state["config"]["n_layer"] == 1
    assert state["recipe"]["steps"] == 6 and state["recipe"]["batch_size"] == 4


def test_it_learns(train):
    _, out, _ = train("m.pt", TINY, "--steps", 150, "--every", 1000, "--lr", 0.02)
    assert float(re.search(r"validation loss (\S+),", out)[1]) < 1.5    # nothing learned: log(8) = 2.08


def test_without_a_text_it_reads_the_nine_plays(do):
    code, out, _ = do(f"train --out m.pt --device cpu {TINY} --steps 1")
    assert code == 0 and "1,064,663 characters to train on, 118,296 for validation" in out


def test_a_seed_gives_the_same_run_again_and_another_another(train):
    states = []
    for k, seed in enumerate((5, 5, 6)):
        train(f"{k}.pt", SHORT, "--seed", seed, "--dropout", 0.2)
        states.append(loaded(f"{k}.pt"))
    assert same(states[0], states[1]) and states[0]["losses"] != states[2]["losses"]


def windows(seed, step=0):
    """The first batch of a run, and what dropout starts from."""
    asked = {"block_size": 16, "n_embd": 16, "n_layer": 1, "seed": seed}
    run = Trainer("t.txt", "m.pt", asked, device="cpu")
    seen = []
    run.model.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    run.draw, run.fresh, run.step = torch.Generator(), [], step
    run.batch_loss()
    return seen[0], torch.rand(5)


def test_each_step_and_each_seed_has_its_own_batch_and_its_own_dropout(place):
    (x, noise), (again, noise2) = windows(1), windows(1)
    assert torch.equal(x, again) and torch.equal(noise, noise2)
    for other, noise3 in (windows(1, step=1), windows(2)):
        assert not torch.equal(x, other) and not torch.equal(noise, noise3)


def test_bfloat16_trains_to_nearly_the_same_loss(train):
    code, _, _ = train("half.pt", TINY, "--steps", 30, "--dtype", "bfloat16")
    train("full.pt", TINY, "--steps", 30)
    half, full = checkpoint.load("half.pt"), checkpoint.load("full.pt")
    assert code == 0 and half["losses"] != full["losses"]
    assert max(abs(a - b) for a, b in zip(half["losses"], full["losses"])) < 0.05
    assert all(x.dtype == torch.float32 for x in half["model"].values())
    assert half["model"].keys() == full["model"].keys()


def test_the_shortest_text_that_is_long_enough_is_taken(train):
    Path("t.txt").write_text("ab" * 80 + "a")           # one less is refused below
    assert train("m.pt", SHORT)[0] == 0


def test_a_text_becomes_the_places_of_its_letters():
    assert encode("cab", "abc").tolist() == [2, 0, 1] and encode("", "abc").dtype == torch.long
    with pytest.raises(Problem, match="'z'"):
        encode("abz", "abc")


# -- the program: going on -----------------------------------------------------------------------------

@pytest.mark.parametrize("dropout", [0, 0.2])
@pytest.mark.parametrize("stops", [[3], [1, 2, 5]])
def test_a_run_that_stopped_and_went_on_is_one_that_never_stopped(train, dropout, stops):
    train("whole.pt", SHORT, "--dropout", dropout)
    for k, stop in enumerate([*stops, None]):
        torch.rand(k + 3)                               # the global generator is no part of it
        how = "--resume" if k else f"{SHORT} --dropout {dropout}"
        code, out, err = train("m.pt", how, *(["--until", stop] if stop else []))
        assert code == 0 and err == "" and out.endswith(f"saved at step {stop or 6} of 6 in m.pt\n")
    assert same(loaded("whole.pt"), loaded("m.pt"))


def spoil_rate(monkeypatch, state):
    def fit(batch_loss, optimizer, *args, real=training.train.fit, **how):
        for group, saved in zip(optimizer.param_groups, state["optimizer"]["param_groups"]):
            group["lr"] = saved["lr"]
        return real(batch_loss, optimizer, *args, **how)
    monkeypatch.setattr(training.train, "fit", fit)


def spoil_moments(monkeypatch, state):
    for kept in state["optimizer"]["state"].values():
        kept["exp_avg"].zero_()


def spoil_count(monkeypatch, state):
    for kept in state["optimizer"]["state"].values():
        kept["step"].zero_()


def spoil_step(monkeypatch, state):
    state["step"] -= 1


def spoil_noise(monkeypatch, state):
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)


@pytest.mark.parametrize("spoil", [None, spoil_rate, spoil_moments, spoil_count, spoil_step, spoil_noise])
def test_a_resume_that_forgets_something_would_differ(train, monkeypatch, spoil):
    train("whole.pt", SHORT, "--dropout", 0.2)
    train("m.pt", SHORT, "--dropout", 0.2, "--until", 3)
    state = checkpoint.load("m.pt")
    if spoil:
        spoil(monkeypatch, state)
    checkpoint.save("m.pt", state)
    assert train("m.pt", "--resume")[0] == 0
    whole, now = checkpoint.load("whole.pt"), checkpoint.load("m.pt")
    assert same(whole["model"], now["model"]) == (whole["losses"] == now["losses"]) == (spoil is None)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_an_interrupt_leaves_the_last_save_to_go_on_from(train, monkeypatch, where):
    train("whole.pt", SHORT)
    calls = []

    def stops(*args, real, **how):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*args, **how)
    with monkeypatch.context() as patch:
        if where == "forward":
            patch.setattr(Trainer, "batch_loss", lambda self, real=Trainer.batch_loss: stops(self, real=real))
        else:
            clip = torch.nn.utils.clip_grad_norm_
            patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *args: stops(*args, real=clip))
        code, out, err = train("m.pt", SHORT, "--every", 2)
    assert code == 1 and err == "" and "Interrupted after" in out
    assert out.endswith("saved at step 4 of 6 in m.pt\n") and sorted(os.listdir()) == ["m.pt", "t.txt", "whole.pt"]
    assert checkpoint.load("m.pt")["step"] == 4
    assert train("m.pt", "--resume")[0] == 0
    assert same(loaded("whole.pt"), loaded("m.pt"))


def stop_at_once(*_):
    raise KeyboardInterrupt


def test_an_interrupt_before_the_first_save_says_so_and_keeps_the_old_file(train, monkeypatch):
    train("m.pt", SHORT)
    before = Path("m.pt").read_bytes()
    monkeypatch.setattr(Trainer, "batch_loss", stop_at_once)
    code, out, _ = train("m.pt", SHORT)
    assert code == 1 and out.endswith("nothing saved yet\n") and Path("m.pt").read_bytes() == before


def test_an_interrupt_in_the_last_save_is_not_called_saved(train, monkeypatch):
    train("m.pt", SHORT, "--until", 3)
    monkeypatch.setattr(torch, "save", stop_at_once)
    code, out, _ = train("m.pt", "--resume")
    assert checkpoint.load("m.pt")["step"] == 3 and "saved at step 6" not in out
    assert code == 1


def test_a_loss_that_is_not_finite_ends_it_and_keeps_the_last_save(train, monkeypatch):
    monkeypatch.setattr(Trainer, "batch_loss", lambda self, real=Trainer.batch_loss: (
        real(self) * (float("nan") if self.step == 4 else 1)))
    code, out, _ = train("m.pt", SHORT, "--every", 3)
    assert code == 1 and "the loss is nan" in out and checkpoint.load("m.pt")["step"] == 3


def test_going_on_with_the_same_size_said_again_is_fine(train):
    train("m.pt", SHORT, "--until", 3)
    assert train("m.pt", f"--resume {SHORT}")[0] == 0


# -- the program: two processes ------------------------------------------------------------------------

def torchrun(*words):
    with_two = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]    # it finds a free port itself
    env = os.environ | {"OMP_NUM_THREADS": "1", "MICRO_PROGRESS": "0", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *with_two, "-m", "micro.gpt", *map(str, words)], env=env,
                          capture_output=True, text=True, timeout=300)


def said(out):
    """The words without decimals, and the losses."""
    out = re.sub(r", \d+\.\d s\n", "\n", out)
    return re.sub(r"\d+\.\d+", "", out), [float(x) for x in re.findall(r"\d+\.\d+", out)]


def test_two_processes_train_as_one_does(train, do):
    _, whole, _ = train("m.pt", SHORT, "--every", 3)
    one = checkpoint.load("m.pt")
    Path("m.pt").unlink()
    done = torchrun(*NEW.split(), "--every", 3)
    assert done.returncode == 0, done.stderr
    two = checkpoint.load("m.pt")
    (words, losses), (same_words, same_losses) = said(done.stdout), said(whole)
    assert words == same_words, "the same split, and only one of the two prints"
    assert losses == pytest.approx(same_losses, abs=0.0011) and len(losses) == 4  # of 3 digits
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5) and two["step"] == 6
    assert all(torch.allclose(w, two["model"][k], rtol=0, atol=1e-4) for k, w in one["model"].items())
    assert two["recipe"] == one["recipe"] and two["model"].keys() == one["model"].keys()
    assert do(SAMPLE, "--length", 5)[0] == 0


def share(monkeypatch, many, rank, seed=1):
    """The rows that one of many processes reads, without starting them."""
    monkeypatch.setenv("WORLD_SIZE", str(many))
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(training.dist, "init_process_group", lambda *_: None)
    monkeypatch.setattr(training, "DistributedDataParallel", lambda net: net)
    return windows(seed, step=2)


@pytest.mark.parametrize("many", [1, 2, 3, 4])
def test_the_processes_share_the_rows_of_the_one_batch_and_drop_differently(place, monkeypatch, many):
    whole, _ = share(monkeypatch, 1, 0)
    shares = [share(monkeypatch, many, rank) for rank in range(many)]
    rows = sorted(row for x, _ in shares for row in x.tolist())
    assert rows == sorted(whole.tolist()) and {len(x) for x, _ in shares} == {12 // many}
    assert len({tuple(noise.tolist()) for _, noise in shares}) == many


@pytest.mark.parametrize("name", ["cuda", None])
def test_each_process_of_a_machine_gets_its_own_gpu(place, monkeypatch, name):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device(name) == torch.device("cuda:1")


# -- the program: sampling -----------------------------------------------------------------------------

def test_a_sample_goes_on_from_its_prompt_in_the_letters_of_the_text(train, do):
    train("m.pt", SHORT)
    words = "sample --device cpu --out m.pt --prompt abba --length 60"
    code, out, err = do(words)
    assert code == 0 and err == "" and out.startswith("abba") and len(out) == 4 + 60 + 1
    assert set(out) <= set("\n abcdef") and do(words)[1] == out and do(words, "--seed", 1)[1] != out
    assert do("sample --device cpu --out m.pt --length 5")[1][0] == "\n"
    greedy = "--temperature 0", "--temperature 1e-40", "--top-k 1", "--top-p 0.001", "--top-k 1 --seed 9"
    assert len({do(f"{SAMPLE} --length 60 {how}")[1] for how in greedy}) == 1
    others = "--temperature 0.2", "--temperature 0.8", "--temperature 3", "--top-k 3", "--top-p 0.5"
    assert len({do(f"{SAMPLE} --length 60 {how}")[1] for how in others}) == 5


def test_a_run_at_half_precision_or_with_dropout_samples_as_its_weights_say(train, do):
    train("m.pt", SHORT, "--dropout", 0.5, "--dtype", "bfloat16")
    model, state = training.load("m.pt")
    ix, text = encode("a", state["chars"])[None], "a"
    for _ in range(12):
        ix = torch.cat([ix, model.eval()(ix)[:, -1].argmax(-1, keepdim=True)], 1)
        text += state["chars"][ix[0, -1]]
    assert do(SAMPLE, "--length", 12, "--temperature", 0)[1] == text + "\n"


# -- the program: what it refuses ----------------------------------------------------------------------

@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A folder with a run that stopped half-way, and with files that are no good."""
    folder = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as monkeypatch:
        nothing_from_outside(monkeypatch, folder)
        assert program.main(f"{NEW} --until 3".split()) == program.main(f"{NEW} --out done.pt".split()) == 0
    (folder / "latin.txt").write_bytes(("é" * 999).encode("latin-1"))
    (folder / "other.txt").write_text("fedcba \n" * 100)
    (folder / "empty.txt").write_text("")
    (folder / "short.txt").write_text("ab" * 80)
    (folder / "folder").mkdir()
    state = checkpoint.load(folder / "m.pt")
    (folder / "text.pt").write_text("To be, or not to be\n")
    (folder / "cut.pt").write_bytes((folder / "m.pt").read_bytes()[:20000])
    torch.save(nn.Linear(2, 2), folder / "module.pt")
    checkpoint.save(folder / "tensor.pt", torch.ones(2))
    checkpoint.save(folder / "config.pt", state | {"config": {"size": 1}})
    checkpoint.save(folder / "model.pt", state | {"model": {}})
    for key in ("chars", "optimizer"):
        checkpoint.save(folder / f"no_{key}.pt", {k: v for k, v in state.items() if k != key})
    return folder


LOW = {"steps": 0, "batch-size": 0, "block-size": -3, "n-layer": 0, "n-head": 0, "n-embd": 1, "every": 0, "until": 0,
       "threads": 0}
LOW_SAMPLE = {"length": 0, "top-k": 0, "temperature": -0.5}
OUTSIDE = {"dropout": (-0.1, 1.0), "warmup": (0.0, 1.0), "lr": (0.0, 11.0, "nan", "inf"), "seed": (-1, 2**31),
           "weight-decay": (-1.0, 11.0), "clip": (0.0, "nan")}
CHANGED = [("n-layer", 1, 2), ("lr", 0.006, 0.01), ("weight-decay", 0.1, 0.0), ("seed", 0, 1), ("dropout", 0.0, 0.5)]
NO_RUN = "text.pt cut.pt module.pt tensor.pt config.pt model.pt no_chars.pt no_optimizer.pt folder".split()

REFUSED = [  # a command line (NAME=value before it: an environment variable), then what the answer must hold
    # the text
    (f"{NEW} --text none.txt", "'none.txt'", "file that exists"),
    (f"{NEW} --text folder", "'folder'", "file that exists"),
    (f"{NEW} --text latin.txt", "'latin.txt'", "save it as UTF-8"),
    (f"{NEW} --text empty.txt", "'empty.txt'", "0 characters", "longer than --block-size 16"),
    (f"{NEW} --text short.txt", "'short.txt'", "160 characters", "longer than --block-size 16"),
    # the checkpoint
    (f"{NEW} --out none/m.pt", "'none'", "make it first"),
    (f"{NEW} --out folder", "'folder'", "--out"),
    (f"{GO_ON} --out none.pt", "'none.pt'", "name another"),
    (f"{SAMPLE} --out none.pt", "'none.pt'", "name another"),
    *[(f"{SAMPLE} --out {file}", f"'{file}'", "name another") for file in NO_RUN],
    *[(f"{GO_ON} --out {file}", f"'{file}'", "name") for file in ("cut.pt", "no_optimizer.pt", "folder")],
    # going on
    *[(f"{GO_ON} --{flag} {new}", "'m.pt'", f"--{flag} {old}, not {new}", f"leave --{flag} out", "another --out")
      for flag, old, new in CHANGED],
    (f"{GO_ON} --text other.txt", "'m.pt'", "--text", "another --out"),
    (f"{GO_ON} --out done.pt", "'done.pt'", "6 of 6 steps"),
    (f"{GO_ON} --until 2", "'m.pt'", "3 of 6 steps", "--until 2"),
    # the machine
    *[(f"{command} --device {device}", device, "'cpu'") for command in (NEW, SAMPLE) for device in ("cuda", "abacus")],
    (f"MICRO_THREADS=many {NEW}", "MICRO_THREADS", "whole number"),
    (f"WORLD_SIZE=3 {NEW}", "--batch-size 4", "3 processes"),
    (f"WORLD_SIZE=3 {GO_ON}", "--batch-size 4", "3 processes"),
    # the prompt
    (f"{SAMPLE} --prompt abXYc", "'X'", r"'\n abcdef'"),
    (f"{SAMPLE} --prompt \N{SNOWMAN}", "\N{SNOWMAN}", r"'\n abcdef'"),
    (f"{SAMPLE} --prompt ''", "--prompt", "at least one"),
    # sizes and numbers
    (f"{NEW} --n-embd 18 --n-head 4", "18", "multiple of n_head = 4"),
    (f"{NEW} --n-embd 15 --n-head 3", "15", "even"),
    *[(f"{NEW} --{flag} {n}", f"--{flag} must be at least", f"not {n}") for flag, n in LOW.items()],
    *[(f"{SAMPLE} --{flag} {n}", f"--{flag} must be at least", f"not {n}") for flag, n in LOW_SAMPLE.items()],
    (f"{SAMPLE} --temperature nan", "--temperature must be at least 0"),
    *[(f"{NEW} --{flag} {n}", f"--{flag} must lie between", f"not {n}") for flag, ns in OUTSIDE.items() for n in ns],
    *[(f"{SAMPLE} --{flag} {n}", f"--{flag} must lie between", f"not {n}")
      for flag, n in (("top-p", 0.0), ("top-p", 1.1), ("top-p", "nan"), ("seed", -1))],
]


@pytest.mark.parametrize("line, pieces", [(line, pieces) for line, *pieces in REFUSED],
                         ids=[line.replace(NEW, "NEW").replace(GO_ON, "GO_ON").replace(SAMPLE, "SAMPLE").encode(
                             "ascii", "replace").decode() for line, *_ in REFUSED])
def test_what_it_refuses_it_names_in_one_line_and_touches_nothing(shelf, do, monkeypatch, line, pieces):
    monkeypatch.chdir(shelf)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    words = shlex.split(line)
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("="))
    files = {p: p.is_file() and p.read_bytes() for p in shelf.rglob("*")}
    code, _, err = do(shlex.join(words))
    assert code == 2 and re.fullmatch(r"micro\.gpt: .*\.\n", err), err      # no other line end
    assert [piece for piece in pieces if piece not in err] == [], err
    assert {p: p.is_file() and p.read_bytes() for p in shelf.rglob("*")} == files


@pytest.mark.parametrize("line, piece", [
    ("train --steps six", "--steps"), ("train --dtype float16", "--dtype"), ("", "command"), ("dance", "dance"),
    ("sample --text t.txt", "--text")])
def test_what_is_no_flag_or_number_is_refused_with_the_usage(do, capsys, line, piece):
    with pytest.raises(SystemExit) as stop:
        do(line)
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.startswith("usage: python -m micro.gpt") and piece in err.splitlines()[-1]
    assert os.listdir() == ["t.txt"]


FLAGS = {"train": "text resume every until dtype compile threads block-size n-layer n-head n-embd dropout steps "
                  "batch-size lr weight-decay warmup clip seed out device help",
         "sample": "prompt length temperature top-k top-p seed out device help"}


@pytest.mark.parametrize("command", FLAGS)
def test_help_names_every_flag(do, capsys, command):
    with pytest.raises(SystemExit) as stop:
        do(command, "--help")
    out, err = capsys.readouterr()
    named = set(re.findall(r"^ +(?:-h, )?--([a-z-]+)", out.partition("options:")[2], re.MULTILINE))
    assert stop.value.code == 0 and err == "" and named == set(FLAGS[command].split())


def test_run_as_a_program_it_ends_with_its_exit_code(place, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["micro.gpt", *SAMPLE.split()])
    with pytest.raises(SystemExit) as stop:             # without the start of another Python
        runpy.run_path(program.__file__, run_name="__main__")
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == "" and err.startswith("micro.gpt: ") and err.count("\n") == 1


# -- the measurements ----------------------------------------------------------------------------------

def test_the_measurement_on_a_gpu_runs_in_miniature_on_the_cpu(monkeypatch):
    """What `make gpt-gpu` does, so that it is not found broken where there is a GPU at last."""
    monkeypatch.setattr(bench, "VALIDATION", bench.VALIDATION[:2000])
    size = {"block_size": 16, "n_layer": 1, "n_head": 2, "n_embd": 16, "dropout": 0.1}
    row = bench.gpu(2, 30, 4, 1e-2, size, compiled=False, device="cpu")
    assert row["n"] == 2 and row["steps"] == 30 and len(row["loss_runs"]) == 2
    assert row["loss"] < 3.5 and row["seconds"] > 0 and row["loss_runs"][0] != row["loss_runs"][1]


def test_the_full_size_is_the_one_that_is_named():
    with torch.device("meta"):                          # sizes only
        net = GPT(GPTConfig(bench.VOCAB, **bench.FULL))
    assert 10.5e6 < sum(p.numel() for p in net.parameters()) < 10.8e6
