"""micro.gpt against plain loops and torch: causality, cache, gradients, batches, sampling."""
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from micro.gpt import (
    GPT,
    Attention,
    GPTConfig,
    choose,
    generate,
    get_batch,
    parameter_groups,
    token_shift,
    whole_loss,
)
from tests.bench import gpt as bench
from tests.tensors import bell, one_thread  # noqa: F401 (a fixture is used by being there)

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


# -- the measurements ----------------------------------------------------------------------------------

def test_the_measurement_on_a_gpu_runs_in_miniature_on_the_cpu(monkeypatch):
    """What `make gpt-gpu` does, so that it is not found broken where there is a GPU at last."""
    monkeypatch.setattr(bench, "VALIDATION", bench.VALIDATION[:2000])
    size = {"block_size": 16, "n_layer": 1, "n_head": 2, "n_embd": 16, "dropout": 0.1}
    row = bench.gpu(2, 30, 4, 1e-2, size, compiled=False, device="cpu")
    assert row["n"] == 2 and row["steps"] == 30 and len(row["loss_runs"]) == 2
    assert row["loss"] < 3.5 and row["seconds"] > 0 and row["loss_runs"][0] != row["loss_runs"][1]


def test_the_full_size_is_the_one_that_is_named():
    config = GPTConfig(bench.VOCAB, **bench.FULL)
    assert 10.5e6 < sum(p.numel() for p in GPT(config).parameters()) < 10.8e6
