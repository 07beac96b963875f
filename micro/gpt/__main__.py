"""python -m micro.gpt: train a small GPT on a text file, go on training it, and let it write."""
import argparse
import dataclasses
import os
import sys

import torch

from micro import train
from micro.files import Problem
from micro.gpt import GPTConfig, generate
from micro.gpt.train import TrainConfig, Trainer, encode, find_device, load

HELP = """examples:
  python -m micro.gpt train                             the course's nine plays: about 20 s on one CPU core
  python -m micro.gpt train --text my.txt --out my.pt   your own text
  python -m micro.gpt train --text my.txt --out my.pt --resume      go on where that run stopped
  python -m micro.gpt sample --out my.pt --prompt "To be"
  torchrun --nproc_per_node=2 -m micro.gpt train        two processes share the batch
"""


def flags(parser, kind, texts):
    """A flag for each field of a dataclass; None where it was not given."""
    for field in dataclasses.fields(kind):
        if field.name in texts:
            usual = "" if field.default is dataclasses.MISSING else f" (usually {field.default})"
            parser.add_argument("--" + field.name.replace("_", "-"), type=type(field.default), metavar="N",
                                help=texts[field.name] + usual)


def parser():
    top = argparse.ArgumentParser("python -m micro.gpt", description=__doc__.split(": ", 1)[1], epilog=HELP,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("train", help="train on a text file")
    one.add_argument("--text", metavar="FILE", help="UTF-8 text; without it, the plays that come with the course")
    one.add_argument("--resume", action="store_true", help="go on from the checkpoint --out")
    one.add_argument("--every", type=int, default=250, metavar="N", help="save and validate so often (250)")
    one.add_argument("--until", type=int, metavar="N", help="stop after this step; --resume goes on from there")
    one.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the matrix products")
    one.add_argument("--compile", action="store_true", help="torch.compile the model (needs a C++ compiler)")
    one.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    flags(one, GPTConfig, {"block_size": "context, in characters", "n_layer": "blocks", "n_head": "heads",
                           "n_embd": "channels", "dropout": "share of values that training drops"})
    flags(one, TrainConfig, {"steps": "steps in all", "batch_size": "windows in a step", "lr": "peak learning rate",
                        "weight_decay": "pull of the matrices towards 0", "warmup": "share of the steps for warm-up",
                        "clip": "longest gradient", "seed": "where random numbers start"})
    two = commands.add_parser("sample", help="let a trained GPT write")
    two.add_argument("--prompt", default="\n", help="what it goes on from")
    two.add_argument("--length", type=int, default=500, metavar="N", help="characters to write (500)")
    two.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0: the likeliest always (0.8)")
    two.add_argument("--top-k", type=int, metavar="K", help="choose among the K likeliest")
    two.add_argument("--top-p", type=float, metavar="P", help="choose among the likeliest with probability P together")
    two.add_argument("--seed", type=int, default=0, metavar="N", help="where random numbers start")
    for command in (one, two):
        command.add_argument("--out", default="gpt.pt", metavar="FILE", help="the checkpoint (gpt.pt)")
        command.add_argument("--device", help="cpu, cuda or mps; without it, a GPU if there is one")
    return top


def positive(args):
    """Refuse numbers that no run can be made with."""
    least = {"steps": 1, "batch_size": 1, "block_size": 1, "n_layer": 1, "n_head": 1, "n_embd": 2, "every": 1,
             "until": 1, "length": 1, "top_k": 1, "threads": 1, "temperature": 0}
    for name, low in least.items():
        value = getattr(args, name, None)
        if value is not None and not value >= low:
            raise Problem(f"--{name.replace('_', '-')} must be at least {low}, not {value}.")
    for name, low, high in (("dropout", 0, 0.99), ("warmup", 0.001, 0.99), ("top_p", 0.001, 1), ("lr", 1e-9, 10),
                            ("seed", 0, 2**31 - 1), ("weight_decay", 0, 10), ("clip", 1e-9, 1e9)):
        value = getattr(args, name, None)
        if value is not None and not low <= value <= high:
            raise Problem(f"--{name.replace('_', '-')} must lie between {low} and {high}, not {value}.")


def run_train(args):
    try:
        train.threads(args.threads)
    except ValueError as error:
        raise Problem(str(error)) from None
    asked = {f.name: getattr(args, f.name, None) for kind in (GPTConfig, TrainConfig) for f in dataclasses.fields(kind)}
    run = Trainer(args.text, args.out, asked, args.resume, args.device, args.dtype, args.compile)
    say = print if run.rank == 0 else lambda *_: None
    say(f"{sum(p.numel() for p in run.model.parameters()):,} parameters on {run.device}, "
        f"{len(run.tokens):,} characters to train on, {len(run.validation):,} for validation")
    whole = run.go(args.every, args.until, say)
    say(f"saved at step {run.saved} of {run.recipe.steps} in {args.out}" if run.saved else "nothing saved yet")
    return 0 if whole else 1


def run_sample(args):
    model, state = load(args.out, find_device(args.device))
    if not args.prompt:
        raise Problem("--prompt must hold at least one character.")
    ix = encode(args.prompt, state["chars"])[None].to(model.tokens.weight.device)
    generator = torch.Generator(ix.device).manual_seed(args.seed)
    how = {"temperature": args.temperature, "top_k": args.top_k, "top_p": args.top_p}
    print("".join(state["chars"][i] for i in generate(model, ix, args.length, generator, **how)[0]))
    return 0


def main(words=None):
    args = parser().parse_args(words)
    try:
        positive(args)
        return {"train": run_train, "sample": run_sample}[args.command](args)
    except Problem as problem:
        print(f"micro.gpt: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    code = main()
    if "WORLD_SIZE" in os.environ:      # under torchrun: threads of torch.distributed outlive Python, and its usual
        sys.stdout.flush()              # way out sometimes aborts the process because of them
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
