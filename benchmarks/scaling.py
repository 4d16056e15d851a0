"""Many micrographs by several processes against one, and what that comes to for 40 TB on a cluster.

    python benchmarks/scaling.py [--files 64] [--workers 2] [--model MODEL.safetensors]

Each process computes with one thread, and the single one has one core to itself as each of several has:
with more it would read and write on the others. `efficiency` is the time a file takes one process over
that of all, times their number, once all are going; `overhead_ms` what a file costs beyond the work on
it. Then the times of the files are drawn again for 1 to 512 workers, with a store that reads and writes
so many gigabytes a second and a scheduler that hands out so many files a second: `--picture` draws how
far that goes. Prints one JSON line last.
"""

import heapq
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cyclopts
import numpy as np

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TERABYTES, FILE_MB = 40.0, 28.5  # 3838 x 3710 px of 16 bits
WRITTEN = 0.6  # bytes written for each that is read
HAND_OUT_SECONDS = 0.002  # measured with files that take no time, on one machine
LIMITS = {"efficiency": 0.9, "overhead_ms": 20.0}


def scaling(
    *,
    files: int = 64,
    workers: int = 2,
    side_px: int = 1024,
    model: Path | None = None,
    runs: int = 3,
    store_gb_s: float = 5.0,
    file_seconds: float = 4.0,
    picture: Path | None = None,
) -> None:
    """Time both ways, in turn, then simulate.

    Parameters
    ----------
    files, side_px
        How many images, and how large.
    workers
        Processes.
    model
        A trained model; a small U-Net with random weights if none is given.
    runs
        The median of so many.
    store_gb_s
        What the common file store reads and writes in all, in 10**9 bytes a second.
    file_seconds
        What a whole micrograph takes a worker, in the simulation.
    picture
        PNG to draw.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = Path(tempfile.mkdtemp(prefix="cellseg-scaling-"))
    try:
        paths, model = prepared(folder, files, side_px, model)
        alone, spread = list[Timing](), list[Timing]()
        for run in range(runs):
            with one_core():
                alone.append(timed(folder / f"alone{run}", paths, model, "", 1))
            spread.append(timed(folder / f"spread{run}", paths, model, f"local:{workers}", workers))
        relative = spread_of(folder / "alone0" / "summary.csv")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    one, all_ = (statistics.median(timing.file for timing in timings) for timings in (alone, spread))
    simulated = {count: hours(count, relative, file_seconds, store_gb_s) for count in WORKERS}
    line = {
        "benchmark": "scaling",
        "files": files,
        "side_px": side_px,
        "workers": workers,
        "one_seconds": round(one, 3),
        "all_seconds": round(all_, 3),
        "start_seconds": round(statistics.median(timing.start for timing in spread), 1),
        "efficiency": round(one / (workers * all_), 3),
        "overhead_ms": round(1000 * statistics.median(timing.overhead for timing in spread), 1),
        "limits": LIMITS,
        "simulated_hours": {str(count): round(found, 1) for count, found in simulated.items()},
        "simulated": {"terabytes": TERABYTES, "store_gb_s": store_gb_s, "file_seconds": file_seconds},
        "machine": f"{len(os.sched_getaffinity(0))} cores",
    }
    if picture is not None:
        draw(picture, simulated, relative, file_seconds)
    print(json.dumps(line))


@dataclass(frozen=True)
class Timing:
    """Seconds a file takes all together, and beyond the work on it; seconds until all workers were going."""

    file: float
    overhead: float
    start: float


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, with all its threads, on one core."""
    before, core = os.sched_getaffinity(0), {min(os.sched_getaffinity(0))}
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), core)
        yield
    finally:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), before)


def prepared(folder: Path, files: int, side_px: int, model: Path | None) -> tuple[list[Path], Path]:
    """Write images, and a model if there is none."""
    import tifffile

    from napari_cellseg.images.annotation import Classes
    from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph
    from napari_cellseg.nets.model import ModelSpec, new_model, save_model

    rng = np.random.default_rng(0)
    plane = simulate_micrograph(1, settings=SimulateSettings(shape=(side_px, side_px), pixel_nm=0.4)).image
    paths = [folder / f"mic_{number:03}.tif" for number in range(files)]
    for path in paths:
        noisy = plane + rng.normal(0, plane.std() / 10, plane.shape)
        tifffile.imwrite(path, (1000 * (noisy - noisy.min())).clip(0, 65535).astype(np.uint16))
    if model is None:
        spec = ModelSpec(
            "unet-light", "", Classes.of("filament"), stride=16, options={"depth": 4, "width": 16}
        )
        model = save_model(folder / "model.safetensors", spec, new_model(spec).net)
    return paths, model


def timed(out: Path, paths: list[Path], model: Path, scheduler: str, workers: int) -> Timing:
    """Return what the last three quarters of the files took: before, libraries are loaded."""
    import torch

    from napari_cellseg.predict.batch import segment_files
    from napari_cellseg.predict.segment_file import FileDone
    from napari_cellseg.settings import SegmentSettings

    torch.set_num_threads(1)
    settings = SegmentSettings(device="cpu", backend="torch")
    began, ended, work = time.perf_counter(), list[float](), list[float]()
    for record in segment_files(paths, model, out, settings=settings, scheduler=scheduler):
        if isinstance(record, FileDone):
            assert record.status == "done", record.message
            ended.append(time.perf_counter())
            work.append(record.seconds)
    first = len(paths) // 4
    later = len(paths) - first
    seconds = (ended[-1] - ended[first - 1]) / later
    return Timing(seconds, seconds * workers - sum(work[first:]) / later, ended[workers - 1] - began)


def spread_of(summary: Path) -> np.ndarray:
    """Return what each file took, relative to the mean."""
    import csv

    with summary.open(newline="") as file:
        seconds = np.array([float(row["seconds"]) for row in csv.DictReader(file)])
    return seconds / seconds.mean()


def hours(workers: int, relative: np.ndarray, file_seconds: float, store_gb_s: float, seed: int = 0) -> float:
    """Return how long 40 TB take: workers ask a scheduler, read and write through one store, compute.

    The store is one queue that serves all; so is the scheduler. A worker reads, computes and writes
    one file after the other.
    """
    rng = np.random.default_rng(seed)
    total = round(TERABYTES * 1e6 / FILE_MB)
    many = min(total, 200 * workers + 20_000)  # the rest goes on as evenly
    store_seconds = FILE_MB * (1 + WRITTEN) / 1e3 / store_gb_s
    ready = [(0.0, number) for number in range(workers)]
    scheduler_free = store_free = 0.0
    for work in rng.choice(relative, many) * file_seconds:
        now, number = heapq.heappop(ready)
        scheduler_free = max(scheduler_free, now) + HAND_OUT_SECONDS
        store_free = max(store_free, scheduler_free) + store_seconds
        heapq.heappush(ready, (store_free + work, number))
    return max(ready)[0] * total / many / 3600


def draw(path: Path, simulated: dict[int, float], relative: np.ndarray, file_seconds: float) -> None:
    """Draw hours against workers for several stores."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for store in (1.0, 5.0, 20.0):
        found = [hours(count, relative, file_seconds, store) for count in WORKERS]
        axes.loglog(WORKERS, found, "o-", label=f"store of {store:g} GB/s")
    ideal = [hours(1, relative, file_seconds, 1e9) / count for count in WORKERS]
    axes.loglog(WORKERS, ideal, "k:", label="ideal")
    axes.set(xlabel="workers", ylabel="hours for 40 TB", title=f"{file_seconds:g} s a micrograph and worker")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    cyclopts.run(scaling)
