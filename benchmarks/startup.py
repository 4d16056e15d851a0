"""How long `import napari_cellseg` and `napari-cellseg --help` take, each in a fresh process.

Prints one JSON line; the import must stay under 0.3 s and bring no torch.
"""

import json
import subprocess
import sys
import time

REPEATS = 7
LISTING = "import napari_cellseg, sys; print(json.dumps(sorted(sys.modules)))".replace("sys;", "sys, json;")


def seconds(*arguments: str) -> float:
    """Return the shortest of some runs of the interpreter, in seconds of wall time."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure and print."""
    bare = seconds("-c", "pass")
    imported = seconds("-c", "import napari_cellseg")
    helped = seconds("-m", "napari_cellseg", "--help")
    modules = json.loads(subprocess.check_output([sys.executable, "-c", LISTING], text=True))
    figures = {
        "benchmark": "startup",
        "seconds": round(imported - bare, 4),
        "over_bare": round(imported / bare, 2),
        "help_seconds": round(helped, 3),
        "torch": "torch" in modules,
        "limit_seconds": 0.3,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
