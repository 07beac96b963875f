"""Copies a definition between the notebook cell that builds it and the module that keeps it.

    python tools/sync.py                            shows which of them differ
    python tools/sync.py --to-module                copies every cell that differs into its module
    python tools/sync.py --to-notebook GPT Value    copies these two from their modules into the notebooks

A cell with the tag graduate:micro.engine.Value has to define Value as micro/engine.py does. Only docstrings may differ:
each side keeps its own. Comments inside the definition are copied. Everything else in the file stays as it is.
"""
import argparse
import ast
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


# ---- definitions as text ------------------------------------------------------------------------------

def start(node):
    """The row in which a statement begins, decorators included. Rows count from 0."""
    return min(n.lineno for n in [node, *getattr(node, "decorator_list", [])]) - 1


def find(source, name):
    """The rows of a definition at the top level of a source, as (first, last + 1), or None."""
    for node in ast.parse(source).body:
        if isinstance(node, DEFINITIONS) and node.name == name:
            return start(node), node.end_lineno
    return None


def extract(source, name):
    first, end = find(source, name)
    return "\n".join(source.split("\n")[first:end])


def definitions(node, path=()):
    """Every function and class inside a node as (path, node), in the order of the text: ("Value", "__add__"), ..."""
    if isinstance(node, DEFINITIONS):
        path = (*path, node.name)
        yield path, node
    for child in ast.iter_child_nodes(node):
        yield from definitions(child, path)


def has_docstring(node):
    return ast.get_docstring(node) is not None


def bare(source):
    """The syntax tree as text, without docstrings."""
    tree = ast.parse(source)
    for _, node in definitions(tree):
        if has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def end_of_docstring(lines, node):
    """The row behind a docstring and behind the empty rows that separate it from the body."""
    row = node.body[0].end_lineno
    while len(node.body) > 1 and not lines[row].strip():
        row += 1
    return row


def docstrings(source):
    """Path -> the rows of the docstring of each definition with that path (a property and its setter share one)."""
    found, lines = defaultdict(list), source.split("\n")
    for path, node in definitions(ast.parse(source)):
        rows = []
        if has_docstring(node):
            rows = lines[start(node.body[0]):end_of_docstring(lines, node)]
            if node.body[0].lineno == node.lineno:  # class Problem(Exception): "The docstring is in the same row."
                rows = [" " * (node.col_offset + 4) + ast.get_source_segment(source, node.body[0])]
        found[path].append(rows)
    return found


def with_docstrings(source, kept):
    """A definition with these docstrings in place of its own."""
    lines = source.split("\n")
    for path, node in reversed(list(definitions(ast.parse(source)))):  # from the bottom up: the rows above stay valid
        wanted = kept[path].pop() if kept[path] else []
        body, row = node.body[0], start(node.body[0])
        indent = " " * (node.col_offset + 4)
        head = lines[row].encode()[:body.col_offset].decode()
        if head.strip():  # def f(x): return x
            if wanted or has_docstring(node):
                rest = "pass" if has_docstring(node) else lines[row][len(head):]
                lines[row:row + 1] = [head.rstrip(), *wanted, indent + rest]
        elif not has_docstring(node):
            while lines[row - 1].lstrip().startswith("#"):  # a docstring stands above the first comment
                row -= 1
            lines[row:row] = wanted
        elif wanted or len(node.body) > 1:
            lines[row:end_of_docstring(lines, node)] = wanted
        else:
            lines[row:body.end_lineno] = [indent + "pass"]
    return "\n".join(lines)


def replace(target, name, definition):
    """The text `target` with `name` defined as in `definition`, and with the docstrings that it had."""
    first, end = find(target, name)
    new = with_docstrings(definition, docstrings(extract(target, name)))
    assert bare(new) == bare(definition), f"{name} could not be copied. Please copy it by hand."
    lines = target.split("\n")
    return "\n".join([*lines[:first], new, *lines[end:]])


# ---- cells and modules --------------------------------------------------------------------------------

def home(module, name):
    """The path of the file that defines micro.gpt's GPT, say. A package's __init__ may import it from elsewhere."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.exists():
        return None
    source = path.read_text(encoding="utf-8")
    if find(source, name):
        return path
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and any(alias.name in (name, "*") for alias in node.names):
            base = package[:len(package) - node.level + 1] if node.level else []
            found = home(".".join([*base, node.module] if node.module else base), name)
            if found:
                return found
    return None


def graduates():
    """The tagged cells: (notebook's path, number of the cell, tag without "graduate:")."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for i, cell in enumerate(read(path)["cells"]):
            for tag in cell["metadata"].get("tags", []):
                if tag.startswith("graduate:"):
                    yield path, i, tag.split(":", 1)[1]


def read(path):
    """A notebook as a dictionary; any other file as text."""
    text = path.read_bytes().decode()
    return json.loads(text) if path.suffix == ".ipynb" else text


def write(path, content):
    """Write a file whole or not at all."""
    if path.suffix == ".ipynb":
        content = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    new = path.with_name(path.name + ".new")
    new.write_bytes(content.encode())
    os.replace(new, path)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument("--to-module", action="store_true", help="copy from the cell into the module")
    direction.add_argument("--to-notebook", action="store_true", help="copy from the module into the cell")
    parser.add_argument("names", nargs="*", help="only these, as GPT or as micro.gpt.GPT")
    args = parser.parse_args(argv)

    tagged = list(graduates())
    known = {t for _, _, target in tagged for t in (target, target.rpartition(".")[2])}
    unknown = [name for name in args.names if name not in known]
    if unknown:
        parser.error(f"no cell has the tag graduate: with the name {unknown[0]}")

    left = 0  # how many pairs differ in the end
    for path, i, target in tagged:
        module, _, name = target.rpartition(".")
        if args.names and not {name, target} & set(args.names):
            continue
        book, file = read(path), home(module, name)
        cell = "".join(book["cells"][i]["source"])
        if file is None or not find(cell, name):
            where = module if file is None else f"the tagged cell of {path.name}"
            print(f"{target}: {where} does not define {name}. Please write it there first.")
            left += 1
            continue
        text = read(file)
        if bare(extract(cell, name)) == bare(extract(text, name)):
            continue
        here = f"{path.name} (cell {i})", file.relative_to(ROOT).as_posix()
        if args.to_module:
            write(file, replace(text, name, extract(cell, name)))
            print(f"{target}: copied from {here[0]} to {here[1]}")
        elif args.to_notebook:
            new = replace(cell, name, extract(text, name))
            book["cells"][i]["source"] = new.splitlines(keepends=True)
            write(path, book)
            print(f"{target}: copied from {here[1]} to {here[0]}; run it with: make notebooks ARGS={path.name[:2]}")
        else:
            print(f"{target}: {here[0]} and {here[1]} differ")
            left += 1
    if not left:
        print("The cells and the modules agree.")
    elif not (args.to_module or args.to_notebook):
        print("Copy with --to-module or --to-notebook, and the names if you mean only some.")
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main())
