"""Shows what is long, as advice: no size is a rule here. `make lint` runs it after ruff."""
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def count_lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def main():
    modules = sorted((ROOT / "micro").rglob("*.py"), key=count_lines, reverse=True)
    print("\nLongest modules: " + ", ".join(f"{p.relative_to(ROOT).as_posix()} {count_lines(p)}" for p in modules[:5]))
    print("\nnotebook              code cells   median lines   longest cell   longest line")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]).splitlines() for cell in cells if cell["cell_type"] == "code"]
        lengths = sorted(len(lines) for lines in sources) or [0]
        widest = max((len(line) for lines in sources for line in lines), default=0)
        print(f"{path.stem:20} {len(sources):11} {lengths[len(lengths) // 2]:14} {lengths[-1]:14} {widest:14}")


if __name__ == "__main__":
    main()
