"""Runs pieces of source, each as a program of its own, and tells which of them fail.

    python -m tests.alone < sources.json        a list of [name, source]; prints a list of [name, error]

Each runs in a forked child of a process that has imported torch already, which saves seconds per piece; where there is
no fork (Windows), in a fresh interpreter.
"""
import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings


def in_a_child(source):
    """What a forked child that runs the source writes to stderr, or "" if it ends well."""
    with tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                sys.stdout = open(os.devnull, "w")
                warnings.simplefilter("error", SyntaxWarning)
                exec(compile(source, "<a copied cell>", "exec"), {"__name__": "__main__"})
                code = 0
            except BaseException:
                traceback.print_exc(file=errors)
                errors.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        errors.seek(0)
        return "" if status == 0 else errors.read() or f"ended with status {status}"


def in_an_interpreter(source):
    done = subprocess.run([sys.executable, "-W", "error::SyntaxWarning", "-c", source], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    return "" if done.returncode == 0 else done.stderr


def main():
    os.environ["MPLBACKEND"] = "agg"
    if hasattr(os, "fork"):
        import matplotlib.pyplot  # noqa: F401
        import torch  # noqa: F401
    run = in_a_child if hasattr(os, "fork") else in_an_interpreter
    failed = [[name, error] for name, source in json.load(sys.stdin) if (error := run(source))]
    print(json.dumps(failed))


if __name__ == "__main__":
    main()
