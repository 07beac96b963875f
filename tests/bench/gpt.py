"""Measures micro.gpt: what each idea buys, against nanoGPT on a CPU, and the full-size recipe on a GPU.

    python -m tests.bench.gpt                          what each idea buys, then tokens a second
    python -m tests.bench.gpt --nanogpt DIR            also against nanoGPT's model and recipe in the folder DIR
                                                       (git clone https://github.com/karpathy/nanoGPT DIR)
    python -m tests.bench.gpt --only ideas|peer|speed|play one part; with --record the other recorded parts stay
    python -m tests.bench.gpt --gpu                    10.74 million parameters on CUDA, five seeds
    ... --record                                       also writes data/results/gpt.json (gpt_gpu.json)

Losses are those of the whole validation part (the last tenth of the course's plays) in windows that do not
overlap. The clock runs while a model trains, not while it is validated or built.
"""
import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from micro import gpt, train
from micro.data import shakespeare
from micro.gpt.train import encode, in_bfloat16
from tests.bench import _record

RESULTS = Path(__file__).parents[2] / "data" / "results"
BETAS = (0.9, 0.99)


def text():
    letters = shakespeare()
    chars = sorted(set(letters))
    data = encode(letters, chars)
    n = int(0.9 * len(data))
    return data[:n], data[n:], len(chars)


TRAIN, VALIDATION, VOCAB = text()


def cosine(k, n, warmup=100, least=0.1):
    """nanoGPT's schedule."""
    if k < warmup:
        return k / warmup
    return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * (k - warmup) / (n - warmup)))


def fit(model, optimizer, steps, seed, block_size=64, batch_size=12, schedule=train.linear_schedule, clip=1.0,
        net=None, data=TRAIN, half=None):
    """Train and return (validation loss, seconds)."""
    generator, net, device = torch.Generator().manual_seed(seed), net or model, next(model.parameters()).device

    def batch_loss():
        x, y = gpt.get_batch(data, block_size, batch_size, generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=bool(half)):
            logits = net(x)
        return F.cross_entropy(logits.flatten(0, 1).float(), y.flatten())

    seconds = train.fit(batch_loss, optimizer, steps, schedule, clip=clip).seconds
    return gpt.whole_loss(model, VALIDATION.to(device), block_size), seconds


# -- what each idea buys ----------------------------------------------------------------------------------

class TwoMatrices(gpt.GPT):
    """Reading and writing tokens with a matrix each."""

    def __init__(self, config):
        super().__init__(config)
        self.head = torch.nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(self, ix, cache=None):
        x = self.tokens(ix) + self.positions.weight[:ix.shape[1]]
        for block in self.blocks:
            x = block(x, {})
        return self.head(self.norm(x))


class OnceShifted(gpt.GPT):
    """Token shift on the embedding alone."""

    def __init__(self, config):
        super().__init__(config)
        for block in self.blocks:
            block.early = lambda x, cache, name: x
        self.tokens.register_forward_hook(lambda module, ix, x: gpt.token_shift(x, {}, "tokens"))

    def forward(self, ix, cache=None):
        return super().forward(ix)


def small(model):
    """nanoGPT's initialization: 0.02, and by depth where a residual path ends."""
    for name, p in model.named_parameters():
        if p.dim() == 2:
            deep = 2 * model.config.n_layer if name.endswith("proj.weight") else 1
            torch.nn.init.normal_(p, std=0.02 / math.sqrt(deep))


def not_by_depth(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("proj.weight"):
                p *= math.sqrt(2 * model.config.n_layer)


def warm(share):
    return lambda k, n: train.linear_schedule(k, n, share)


IDEAS = {
    "as it is": {},
    "no token shift": {"config": {"shift": False}},
    "token shift on the embedding only": {"kind": OnceShifted},
    "GELU for squared ReLU": {"config": {"activation": "gelu"}},
    "all weights start at 0.02 (as GPT-2's)": {"init": small},
    "neither token shift nor larger start": {"config": {"shift": False}, "init": small},
    "residual ends not scaled by depth": {"init": not_by_depth},
    "no weight tying": {"kind": TwoMatrices},
    "no clipping": {"clip": None},
    "no weight decay": {"decay": 0.0},
    "no warm-up": {"schedule": lambda k, n: 1 - (k + 1) / (n + 1)},
    "cosine to a tenth": {"schedule": lambda k, n: cosine(k, n, 30)},
    "constant rate after warm-up": {"schedule": lambda k, n: min(1, (k + 1) / 30)},
    "lr 0.001 (nanoGPT's)": {"lr": 1e-3},
    "lr 0.003": {"lr": 3e-3},
    "lr 0.012": {"lr": 12e-3},
}


def idea(seed, config=None, kind=gpt.GPT, init=None, decay=0.1, lr=6e-3, steps=600, **how):
    train.seed(seed)
    model = kind(gpt.GPTConfig(VOCAB, **(config or {})))
    if init:
        init(model)
    optimizer = torch.optim.AdamW(gpt.parameter_groups(model, decay), lr=lr, betas=BETAS, fused=True)
    return fit(model, optimizer, steps, seed, **({"schedule": warm(0.05)} | how))


def measured(runs):
    """[(loss, seconds)] as a row."""
    losses, seconds = zip(*runs)
    return {"n": len(runs), "loss": round(statistics.mean(losses), 4), "loss_sd": round(statistics.stdev(losses), 4),
            "seconds": round(statistics.median(seconds), 2), "loss_runs": [round(v, 4) for v in losses]}


def ideas(n):
    rows = {}
    for name, how in IDEAS.items():
        rows[name] = measured([idea(seed, **how) for seed in range(n)])
        print(f"{name:45s}", rows[name], flush=True)
    return rows


# -- nanoGPT ----------------------------------------------------------------------------------------------

def nanogpt(folder):
    sys.path.insert(0, folder)
    import model
    return model


def peer(folder, n):
    """nanoGPT's CPU recipe (its README) and ours, in turns."""
    nano, rows = nanogpt(folder), {"nanoGPT's CPU recipe": [], "ours, 600 steps": [], "ours, 1,000 steps": []}
    for seed in range(n):
        train.seed(seed)
        model = nano.GPT(nano.GPTConfig(block_size=64, vocab_size=VOCAB, n_layer=4, n_head=4, n_embd=128,
                                        dropout=0.0, bias=False))
        optimizer = model.configure_optimizers(0.1, 1e-3, BETAS, "cpu")
        forward = model.forward
        model.forward = lambda ix, forward=forward: forward(ix, ix.contiguous())[0]  # with targets: all logits
        rows["nanoGPT's CPU recipe"].append(fit(model, optimizer, 2000, seed, schedule=cosine))
        rows["ours, 600 steps"].append(idea(seed))
        rows["ours, 1,000 steps"].append(idea(seed, steps=1000))
    rows = {name: measured(runs) for name, runs in rows.items()}
    ratio = rows["nanoGPT's CPU recipe"]["seconds"] / rows["ours, 600 steps"]["seconds"]
    print(json.dumps(rows, indent=1), f"\n{ratio:.1f} times faster to a loss at least as low")
    return rows


def speed(folder=None, times=25):
    """Training and generation in tokens a second at nanoGPT's CPU size, in turns, medians."""
    size, B, T = {"n_layer": 4, "n_head": 4, "n_embd": 128}, 12, 64
    x, y = (t.contiguous() for t in gpt.get_batch(TRAIN, T, B, torch.Generator().manual_seed(0)))
    train.seed(0)
    same = gpt.GPT(gpt.GPTConfig(VOCAB, T, **size, activation="gelu", shift=False))
    ours, half = (gpt.GPT(gpt.GPTConfig(VOCAB, T, **size)) for _ in range(2))
    in_bfloat16(half)
    nets = {"the same model in micro.gpt": same, "micro.gpt's own (shift, squared ReLU)": ours,
            "its matrix products in bfloat16": half}

    def step(loss, model, optimizer):
        def run():
            loss().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return run

    jobs = {}
    if folder:
        nano = nanogpt(folder)
        model = nano.GPT(nano.GPTConfig(block_size=T, vocab_size=VOCAB, dropout=0.0, bias=False, **size))
        copy(model, same)
        assert torch.allclose(model(x, y)[0], same(x), atol=1e-5), "the two models differ"
        jobs["nanoGPT"] = step(lambda: model(x, y)[1], model, model.configure_optimizers(0.1, 1e-3, BETAS, "cpu"))
    for name, net in nets.items():
        optimizer = torch.optim.AdamW(gpt.parameter_groups(net), lr=1e-3, betas=BETAS, fused=True)
        jobs[name] = step(lambda net=net: F.cross_entropy(net(x).flatten(0, 1), y.flatten()), net, optimizer)
    training = in_turns(jobs, B * T, times)

    ix, n = torch.zeros(1, 1, dtype=torch.long), T - 1
    jobs = {"micro.gpt, cached": lambda: gpt.generate(same, ix, n),
            "micro.gpt, without the cache": lambda: gpt.generate(same, ix, n, cached=False)}
    if folder:
        jobs["nanoGPT"] = lambda: model.generate(ix, n)
    return {"training": training, "generation within 64 characters": in_turns(jobs, n, times)}


def copy(nano, ours):
    """Give our model nanoGPT's weights."""
    with torch.no_grad():
        ours.tokens.weight.copy_(nano.transformer.wte.weight)
        ours.positions.weight.copy_(nano.transformer.wpe.weight)
        for theirs, block in zip(nano.transformer.h, ours.blocks):
            block.attention.qkv.weight.copy_(theirs.attn.c_attn.weight)
            block.attention.proj.weight.copy_(theirs.attn.c_proj.weight)
            block.feed.up.weight.copy_(theirs.mlp.c_fc.weight)
            block.feed.proj.weight.copy_(theirs.mlp.c_proj.weight)


def in_turns(jobs, tokens, times):
    taken = {name: [] for name in jobs}
    for k in range(times + 2):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if k >= 2:
                taken[name].append(time.perf_counter() - start)
    rate = {name: tokens / statistics.median(runs) for name, runs in taken.items()}
    for name, value in rate.items():
        print(f"{name:40s} {value:9,.0f} tokens/s" + (f"  {value / rate['nanoGPT']:.2f} times nanoGPT"
                                                      if "nanoGPT" in rate else ""), flush=True)
    return {name: round(value) for name, value in rate.items()}


# -- a longer run -----------------------------------------------------------------------------------------

def play(steps=4000):
    """0.8 million parameters for some minutes on one core, and what they write."""
    train.seed(0)
    model = gpt.GPT(gpt.GPTConfig(VOCAB, 128, 4, 4, 128, dropout=0.05))
    optimizer = torch.optim.AdamW(gpt.parameter_groups(model), lr=4e-3, betas=BETAS, fused=True)
    loss, seconds = fit(model, optimizer, steps, 0, block_size=128, schedule=warm(0.05))
    g, chars = torch.Generator().manual_seed(0), sorted(set(shakespeare()))
    ix = gpt.generate(model, torch.tensor([[chars.index("\n")]]), 1500, g, temperature=0.7, top_p=0.95)
    row = {"parameters": sum(p.numel() for p in model.parameters()), "steps": steps, "loss": round(loss, 4),
           "seconds": round(seconds), "n": 1, "text": "".join(chars[i] for i in ix[0]).strip()}
    print(json.dumps(row, indent=1).replace("\\n", "\n"))
    return row


# -- the GPU ----------------------------------------------------------------------------------------------

FULL = {"block_size": 256, "n_layer": 6, "n_head": 6, "n_embd": 384, "dropout": 0.2}


def gpu(n, steps=2000, batch_size=64, lr=2e-3, size=FULL, compiled=True, device="cuda"):
    """6 layers, 384 wide, context 256. Warm-up (compilation, allocation) stands before the clock."""
    rows, data = [], TRAIN.to(device)
    for seed in range(n):
        train.seed(seed)
        model = gpt.GPT(gpt.GPTConfig(VOCAB, **size)).to(device)
        net = torch.compile(model) if compiled else model
        optimizer = torch.optim.AdamW(gpt.parameter_groups(model), lr=lr, betas=BETAS, fused=True)
        how = {"block_size": size["block_size"], "batch_size": batch_size, "schedule": warm(0.05), "net": net,
               "data": data, "half": True}
        begun = {name: value.clone() for name, value in model.state_dict().items()}
        fit(model, optimizer, min(20, steps), seed, **how)
        model.load_state_dict(begun)
        optimizer.state.clear()
        rows.append(fit(model, optimizer, steps, seed, **how))
        print(f"seed {seed}: {rows[-1][0]:.4f} in {rows[-1][1]:.2f} s", flush=True)
    return measured(rows) | size | {"parameters": sum(p.numel() for p in model.parameters()), "steps": steps,
                                    "batch_size": batch_size, "lr": lr, "compiled": compiled}


def record(name, found):
    versions = {} if name == "gpt" else {"device": torch.cuda.get_device_name()}
    _record.write(RESULTS / f"{name}.json", found.pop("what"), "tests.bench.gpt" + " --gpu" * (name != "gpt"), found,
                  **versions)


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--record", action="store_true")
    args.add_argument("--only", choices=["ideas", "peer", "speed", "play"])
    args.add_argument("--nanogpt", metavar="DIR", help="a clone of nanoGPT")
    args.add_argument("--gpu", action="store_true")
    args.add_argument("--n", type=int, help="seeds of each (3; 5 with --gpu)")
    args.add_argument("--steps", type=int, default=2000, help="with --gpu")
    args = args.parse_args()
    torch.set_num_threads(1)
    if args.gpu:
        if not torch.cuda.is_available():
            raise SystemExit("There is no CUDA GPU here: run this on a machine that has one.")
        found = {"what": "micro.gpt with 10.74 million parameters on the course's plays: validation loss and seconds."}
        found |= gpu(args.n or 5, args.steps)
        return record("gpt_gpu", found) if args.record else print(json.dumps(found, indent=1))
    path = RESULTS / "gpt.json"
    found = {}
    if args.only in (None, "ideas"):
        found["ideas"] = ideas(args.n or 3)
    if args.only in (None, "peer") and args.nanogpt:
        found["peer"] = peer(args.nanogpt, args.n or 3)
    if args.only in (None, "speed"):
        found["speed"] = speed(args.nanogpt)
    if args.only in (None, "play"):
        found["play"] = play()
    if args.record:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}  # what was recorded meanwhile
        found = {part: found.get(part, kept.get(part)) for part in ("ideas", "peer", "speed", "play")}
        found["what"] = ("Notebook 07: losses (nats a character, whole validation part, means over n seeds with their "
                         "standard deviation) and median seconds of training. ideas: micro.gpt, 600 steps, with one "
                         "thing changed at a time. peer: nanoGPT's README recipe for a CPU, 2,000 steps, and ours. "
                         "speed: tokens a second at nanoGPT's CPU size (4 layers, 128 wide, context 64). play: "
                         "a longer run and what it wrote.")
        record("gpt", found)


if __name__ == "__main__":
    main()
