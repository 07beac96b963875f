"""What was measured once, at full length, and is cited in a chapter; and on which machine."""
import functools
import json
import platform
import re
import subprocess
from pathlib import Path

from micro.data import texts


def results(name):
    """A measurement that ships with the course, as a dict: data/results/NAME.json.

    Each says what was measured, by which command, when, on what device and with which versions.

    Raises FileNotFoundError if there is none of that name.

    >>> results("engine")["made_by"]
    'python -m tests.bench.engine --record'
    """
    for place in texts.PLACES:
        path = place / "results" / f"{name}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    there = sorted(path.stem for place in texts.PLACES for path in place.glob("results/*.json"))
    raise FileNotFoundError(f"there is no result {name!r}; choose one of {there}, or make it with `make bench`.")


@functools.cache
def processor():
    """The processor's model, as the system calls it, for every record of a measurement.

    >>> bool(processor())
    True
    """
    try:
        if platform.system() == "Linux":
            found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
            return found[1] if found else platform.machine()
        if platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pass
    return platform.processor() or platform.machine()
