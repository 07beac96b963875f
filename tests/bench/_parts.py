"""What benches of several parts share: their command line, and a record that is kept part by part."""
import argparse
import datetime
import json
import os
import platform

import torch


def record(path, what, module, parts, found):
    """Write `found`, part -> figures, to the JSON file `path`, atomically; the other parts stay as they were."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    result = {"what": what, "made_by": f"python -m {module} --record", "date": datetime.date.today().isoformat(),
              "device": f"CPU, {platform.machine()}, one thread", "python": platform.python_version(),
              "torch": torch.__version__.split("+")[0],
              **{k: v for k, v in old.items() if k in parts}, **found}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


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
