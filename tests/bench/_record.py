"""What the benches share: how a record is written, and the command line of those with several parts."""
import argparse
import datetime
import json
import os
import platform

import torch

from micro.data import processor
from micro.files import whole_file


def write(path, what, module, found, **versions):
    """Write a record: what was measured, by which command, when, on which machine, with which versions, and `found`.

    versions: further ones than Python's and torch's; "device" replaces this processor. Completely or not at all.
    """
    head = {"what": what, "made_by": f"python -m {module} --record", "date": datetime.date.today().isoformat(),
            "device": f"CPU, {processor()}, one thread", "python": platform.python_version(),
            "torch": torch.__version__.split("+")[0], **versions}
    with whole_file(path, "w") as file:
        file.write(json.dumps(head | found, indent=1, ensure_ascii=False) + "\n")


def record(path, what, module, parts, found):
    """Write `found`, part -> figures; the other parts that the file holds stay as they were."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write(path, what, module, {k: v for k, v in old.items() if k in parts} | found)


def command(doc, parts, load, save, argv=None):
    """Run the parts named after --only (or all) on what load() gives, and save({part: figures}) with --record."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    args = parser.parse_args(argv)
    os.environ["MICRO_PROGRESS"] = "0"
    torch.set_num_threads(1)
    loaded = load()
    for name in args.only:
        found = {name: parts[name](*loaded)}
        if args.record:                                     # one by one: an interrupt loses one part at most
            save(found)
