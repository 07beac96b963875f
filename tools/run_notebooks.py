"""Runs notebooks from top to bottom and stores their outputs. In the course's environment:

    make notebooks ARGS="01 05"        or        python tools/run_notebooks.py 01 05

Without names it runs them all. A notebook that fails is left as it was.
"""
import json
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def choose(words):
    """The notebooks whose names start with one of the words; all of them, if there are no words."""
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    for word in words:
        if not any(path.name.startswith(word) for path in paths):
            sys.exit(f"There is no notebook {word!r} in {NOTEBOOKS.name}.")
    return [path for path in paths if not words or path.name.startswith(tuple(words))]


def execute(path):
    """The notebook with fresh outputs, or None if one of its cells failed."""
    book = nbformat.read(path, as_version=4)
    client = NotebookClient(book, timeout=900, record_timing=False, resources={"metadata": {"path": path.parent}})
    # Progress bars would be stored with the outputs. And the speedrun's stored outputs are made with drawn images.
    env = {"MICRO_PROGRESS": "0", "MICRO_IMAGES": "drawn", **os.environ}
    with client.setup_kernel(env=env):
        for i, cell in enumerate(book.cells):
            try:
                client.execute_cell(cell, i)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                first = next(iter(cell.source.splitlines()), "")
                print(f"{error}\n{path.name}: cell {i} (id {cell.get('id')}) failed. It begins with: {first}",
                      file=sys.stderr)
                return None
    return json.loads(nbformat.writes(book))


def tidy(book):
    """Remove what differs between two people who run a notebook: versions, timings, the states of widgets."""
    book["metadata"].pop("widgets", None)
    book["metadata"].get("language_info", {}).pop("version", None)
    for cell in book["cells"]:
        for key in ("execution", "ExecuteTime", "collapsed"):
            cell["metadata"].pop(key, None)
        if "outputs" in cell:
            cell["outputs"] = join_streams(cell["outputs"])
    return book


def join_streams(outputs):
    """Put printed text into one piece. Where it was cut in two depends on how busy the machine was."""
    result = []
    for output in outputs:
        last = result[-1] if result else {}
        if output["output_type"] == last.get("output_type") == "stream" and output["name"] == last["name"]:
            last["text"] = "".join([*last["text"], *output["text"]]).splitlines(keepends=True)
        else:
            result.append(output)
    return result


def write(path, book):
    """Write a notebook whole or not at all."""
    new = path.with_name(path.name + ".new")
    text = json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    new.write_text(text, encoding="utf-8", newline="\n")
    os.replace(new, path)


def main(words):
    failed = False
    for path in choose(words):
        start = time.time()
        book = execute(path)
        if book is not None:
            write(path, tidy(book))
        failed = failed or book is None
        result = "left as it was" if book is None else "stored"
        print(f"{path.name}: {result} after {time.time() - start:.0f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
