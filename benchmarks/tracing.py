"""Filaments traced in the true masks of simulated micrographs: whole ones, fragments, error, time.

    python benchmarks/tracing.py [--seeds 1 2 3 4 5 6] [--length-um 0.5] [--crossings 15]

Of each seed a micrograph of 3838 x 3710 px with 20 filaments is simulated; those whose filaments
cross less often than `--crossings` are left out. Every tracer gets the same masks; plain
skan is measured too where it is installed. Prints one JSON line last.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from napari_cellseg.images.filament import Filament
from napari_cellseg.images.simulate import Simulated, SimulateSettings, simulate_micrograph
from napari_cellseg.objects.filaments import TRACERS, trace
from napari_cellseg.objects.settings import TraceSettings
from napari_cellseg.objects.straighten import straighten
from napari_cellseg.report.metrics.filaments import FilamentScores, filament_scores

FILAMENTS = 20
REPEATS = 5
LEAST_WIDTHS = 3.0  # true filaments of which less than this is in the field are no task

Paths = list[Filament]


def crossings(paths: Paths) -> int:
    """How often the true filaments cross each other."""
    count = 0
    for number, one in enumerate(paths):
        for other in paths[:number]:
            a, b = one.path, other.path
            p, r = a[:-1, None], np.diff(a, axis=0)[:, None]
            q, s = b[None, :-1], np.diff(b, axis=0)[None]
            cross = r[..., 0] * s[..., 1] - r[..., 1] * s[..., 0]
            cross = np.where(cross == 0, np.inf, cross)
            t = ((q - p)[..., 0] * s[..., 1] - (q - p)[..., 1] * s[..., 0]) / cross
            u = ((q - p)[..., 0] * r[..., 1] - (q - p)[..., 1] * r[..., 0]) / cross
            count += int(((t >= 0) & (t < 1) & (u >= 0) & (u < 1)).sum())
    return count


def true_filaments(simulated: Simulated, width_px: float) -> Paths:
    """Return the true filaments that are long enough to be seen."""
    paths = [Filament(path) for path in simulated.filaments if len(path) > 1]
    return [one for one in paths if one.length_px >= LEAST_WIDTHS * width_px]


def with_skan(mask: np.ndarray) -> Paths:
    """Plain skan: every branch of the skeleton is a filament."""
    from skan import Skeleton
    from skimage.morphology import skeletonize

    skeleton = Skeleton(skeletonize(mask))
    paths = [skeleton.path_coordinates(number) for number in range(skeleton.n_paths)]
    return [Filament(path[::8] if len(path) > 16 else path) for path in paths if len(path) > 1]


def strips_seconds(plane: np.ndarray) -> tuple[float, float]:
    """Return seconds and processor seconds of straightening 100 filaments of 1,000 px, 64 px wide."""
    rng = np.random.default_rng(0)
    filaments = []
    for _ in range(100):
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.05, 25))
        path = np.cumsum(41.7 * np.stack([np.sin(turns), np.cos(turns)], 1), axis=0)
        filaments.append(Filament(path - path.mean(0) + rng.uniform(0.3, 0.7, 2) * plane.shape))
    times = []
    for _ in range(REPEATS):
        begin, used = time.perf_counter(), time.process_time()
        for filament in filaments:
            straighten(plane, filament, 64)
        times.append((time.perf_counter() - begin, time.process_time() - used))
    return statistics.median(wall for wall, _ in times), statistics.median(cpu for _, cpu in times)


def summary(scores: list[FilamentScores], seconds: list[float]) -> dict[str, float]:
    """Figures over all micrographs."""
    whole, filaments = sum(s.whole for s in scores), sum(s.filaments for s in scores)
    errors = np.concatenate([s.error_px for s in scores])
    return {
        "whole": round(whole / filaments, 3),
        "fragments": round(sum(s.pieces for s in scores) / max(1, sum(s.seen for s in scores)), 3),
        "spurious": sum(s.spurious for s in scores),
        "error_px": round(float(np.median(errors)), 3) if len(errors) else None,
        "seconds": round(statistics.median(seconds), 2),
    }


def main() -> None:
    """Simulate, trace, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 7)))
    parser.add_argument("--length-um", type=float, default=0.5)
    parser.add_argument("--crossings", type=int, default=15)
    arguments = parser.parse_args()
    settings = SimulateSettings(filaments=(FILAMENTS, FILAMENTS), length_um=arguments.length_um)
    width_px = settings.width_nm / settings.pixel_nm
    tracers: dict[str, Callable[[np.ndarray], Paths]] = {
        name: lambda mask, name=name: trace(mask, settings=TraceSettings(tracer=name)) for name in TRACERS
    }
    try:
        import skan  # noqa: F401

        tracers["skan"] = with_skan
    except ImportError:
        print("skan is not installed: it is left out")
    scores: dict[str, list[FilamentScores]] = {name: [] for name in tracers}
    seconds: dict[str, list[float]] = {name: [] for name in tracers}
    used, crossed, again, strips = [], [], [], (0.0, 0.0)
    for seed in arguments.seeds:
        simulated = simulate_micrograph(seed, settings=settings)
        truth, mask = true_filaments(simulated, width_px), simulated.mask == 2
        many = crossings(truth)
        if many < arguments.crossings:
            print(f"seed {seed}: {many} crossings, left out")
            continue
        used.append(seed)
        crossed.append(many)
        for name, tracer in tracers.items():
            begin = time.perf_counter()
            found = tracer(mask)
            seconds[name].append(time.perf_counter() - begin)
            scores[name].append(filament_scores(found, truth, tolerance_px=width_px / 2))
            one = scores[name][-1]
            print(f"seed {seed}, {many} crossings, {name}: {one.whole} of {one.filaments} whole", flush=True)
        if not again:
            for _ in range(REPEATS):
                begin, used_up = time.perf_counter(), time.process_time()
                trace(mask)
                again.append((time.perf_counter() - begin, time.process_time() - used_up))
            strips = strips_seconds(simulated.image)
    print(
        json.dumps(
            {name: summary(scores[name], seconds[name]) for name in tracers}
            | {
                "seeds": used,
                "crossings": crossed,
                "filaments": sum(s.filaments for s in scores["pairing"]),
                "trace_seconds": round(statistics.median(wall for wall, _ in again), 2),
                "trace_cpu_seconds": round(statistics.median(cpu for _, cpu in again), 2),
                "strips_seconds": round(strips[0], 2),
                "strips_cpu_seconds": round(strips[1], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
