"""python -m micro.bpe: train a tokenizer on a text file, encode a file, decode ids."""
import argparse
import sys
import time

from micro.bpe import GPT2_SPLIT_PATTERN, GPT4_SPLIT_PATTERN, BasicTokenizer, GPT4Tokenizer, RegexTokenizer, files
from micro.files import Problem

HELP = """examples:
  python -m micro.bpe train my.txt --vocab-size 512 --out my      writes my.model and my.vocab
  python -m micro.bpe encode my.model my.txt > ids.txt
  python -m micro.bpe decode my.model ids.txt
  echo "hello world" | python -m micro.bpe encode gpt4            GPT-4's own tokenizer

Without a file, encode and decode read what is piped in. Encoding takes bytes as they are, UTF-8 or not, and
decoding gives the same bytes back. In them nothing is special, unless --special is given.
"""
PATTERNS = {"gpt2": GPT2_SPLIT_PATTERN, "gpt4": GPT4_SPLIT_PATTERN}


def parser():
    top = argparse.ArgumentParser("python -m micro.bpe", description=__doc__.split(": ", 1)[1], epilog=HELP,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("train", help="learn merges from a text file")
    one.add_argument("text", metavar="FILE", help="UTF-8 text; - for what is piped in")
    one.add_argument("--vocab-size", type=int, default=512, metavar="N", help="tokens, with the 256 bytes (512)")
    one.add_argument("--out", default="bpe", metavar="NAME", help="writes NAME.model and NAME.vocab (bpe)")
    one.add_argument("--pattern", default="gpt4", help="how texts are cut first: gpt4 (usual), gpt2, none or a pattern")
    one.add_argument("--special", action="append", default=[], metavar="TOKEN",
                     help="a special token, which gets the next free id; may be given again")
    for name, what in (("encode", "a file's token ids"), ("decode", "the bytes that token ids stand for")):
        two = commands.add_parser(name, help=what)
        two.add_argument("model", metavar="MODEL", help="a .model file, or gpt4")
        two.add_argument("file", metavar="FILE", nargs="?", default="-", help="without it, what is piped in")
        if name == "encode":
            two.add_argument("--special", action="store_true", help="special tokens in the text get their ids")
    return top


def read_bytes(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Problem(f"cannot read {path!r}: {error.strerror or error}. Name a file that exists.") from None


def text_of(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem(f"{path!r} is not text in UTF-8 (byte {error.start}): save it as UTF-8 first.") from None


def tokenizer_of(name: str) -> BasicTokenizer:
    if name == "gpt4":
        return GPT4Tokenizer()
    basic = files.load(name)["pattern"] is None
    tokenizer = BasicTokenizer() if basic else RegexTokenizer()
    tokenizer.load(name)
    return tokenizer


def run_train(args):
    text = text_of(read_bytes(args.text), args.text)
    if args.pattern == "none" and args.special:
        raise Problem("--special needs a pattern: leave --pattern none out.")
    tokenizer = BasicTokenizer() if args.pattern == "none" else RegexTokenizer(PATTERNS.get(args.pattern, args.pattern))
    started = time.perf_counter()
    tokenizer.train(text, args.vocab_size)
    seconds = time.perf_counter() - started
    if args.special:
        tokenizer.register_special_tokens({name: args.vocab_size + k for k, name in enumerate(args.special)})
    tokenizer.save(args.out)
    count, size = len(tokenizer.encode_ordinary(text)), len(text.encode())
    print(f"{args.vocab_size - 256:,} merges learnt in {seconds:.2f} s: {size:,} bytes become {count:,} tokens, "
          f"{size / max(count, 1):.2f} bytes each. Written: {args.out}.model, {args.out}.vocab")


def run_encode(args):
    tokenizer, data = tokenizer_of(args.model), read_bytes(args.file)
    if args.special:
        if tokenizer.pattern is None:
            raise Problem(f"{args.model!r} knows no special tokens: leave --special out.")
        ids = tokenizer.encode(text_of(data, args.file), allowed_special="all")
    else:
        ids = tokenizer.encode_bytes(data)
    print(*ids)


def run_decode(args):
    words = read_bytes(args.file).split()
    wrong = [word for word in words if not word.isdigit() or len(word) > 4000]
    if wrong:
        raise Problem(f"{args.file!r} must hold ids, whole numbers with spaces between: what is {wrong[0][:40]!r}?")
    sys.stdout.buffer.write(tokenizer_of(args.model).decode_bytes(map(int, words)))


def main(words=None):
    args = parser().parse_args(words)
    try:
        {"train": run_train, "encode": run_encode, "decode": run_decode}[args.command](args)
        return 0
    except KeyboardInterrupt:
        print("micro.bpe: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        print("micro.bpe: nobody reads the output any more", file=sys.stderr)
        return 2
    except (Problem, ValueError, OSError, RuntimeError) as problem:
        print(f"micro.bpe: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
