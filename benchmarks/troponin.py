"""Troponin on simulated micrographs: how much of it is found within 4 nm, with and without its spacing.

    python benchmarks/troponin.py OUT [--train 101 ... 112] [--test 201 ... 206] [--model MODEL]

Micrographs with the field of view, dose and defocus of the demo are simulated at 0.274 nm a pixel.
Filters are learned from the points of some, and points are found on others that they never saw,
along filaments traced in the true masks. With MODEL, a segmenter that was trained with the preset
`troponin`, what it says is looked at as well. All troponins in the field count, also those under ice
and over carbon. Prints one JSON line last.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.micrographs import Image
from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.objects.filaments import trace
from napari_cellseg.objects.points import find_points
from napari_cellseg.objects.settings import PointSettings
from napari_cellseg.objects.site_filters import find_sites, learn_sites
from napari_cellseg.report.figures import draw_spacings
from napari_cellseg.report.metrics.points import PointScores, point_scores, spacings

SESSION = SimulateSettings(
    shape=(1855, 1919), pixel_nm=0.274, lumps=(2, 4), dose=(35.0, 45.0), defocus_um=(1.5, 3.0)
)
TOLERANCE_NM = 4.0
WAYS = {"with_spacing": PointSettings(), "without_spacing": PointSettings(use_spacing=False)}


def micrographs(seeds: Sequence[int]) -> Iterator[tuple[np.ndarray, Coordinates]]:
    """Yield simulated images with their true troponins and the filaments traced in their true masks."""
    for seed in seeds:
        simulated = simulate_micrograph(seed, settings=SESSION)
        lines = trace(simulated.mask == 2, pixel_nm=simulated.pixel_nm)
        yield simulated.image, Coordinates(tuple(lines), simulated.troponins, pixel_nm=simulated.pixel_nm)


def probabilities(model: Path, image: np.ndarray) -> np.ndarray:
    """Return what a model says of troponin in a micrograph."""
    from napari_cellseg.nets.model import load_model
    from napari_cellseg.predict.segment import segment

    lazy = segment(Image.from_array(image, pixel_nm=SESSION.pixel_nm), load_model(model))
    plane: np.ndarray = lazy[1].compute()
    return plane


class Tally:
    """What one way of looking finds over all micrographs."""

    def __init__(self) -> None:
        self.scores, self.spacings_nm, self.seconds = PointScores(0, 0, 0), [np.empty(0)], 0.0

    def add(self, found: Coordinates, true: Coordinates, settings: PointSettings, begun: float) -> None:
        """Count what was found in one micrograph."""
        self.seconds += time.process_time() - begun
        tolerance_px = TOLERANCE_NM / SESSION.pixel_nm
        self.scores += point_scores(found.points, true.points, tolerance_px=tolerance_px)
        arcs_nm = found.arcs_px * SESSION.pixel_nm
        self.spacings_nm.append(spacings(found.owners, arcs_nm, settings.spacing_nm))

    def figures(self) -> dict[str, float]:
        """Return the figures of the JSON line."""
        scores = {key: round(getattr(self.scores, key), 3) for key in ("f1", "precision", "recall")}
        median = float(np.median(np.concatenate(self.spacings_nm)))
        return scores | {"median_spacing_nm": round(median, 1), "cpu_seconds": round(self.seconds, 1)}


def main() -> None:
    """Learn, find, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, nargs="+", default=list(range(101, 113)))
    parser.add_argument("--test", type=int, nargs="+", default=list(range(201, 207)))
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    if set(arguments.train) & set(arguments.test):
        parser.error("a seed is both to learn from and to be tested on")
    examples = list(micrographs(arguments.train))
    begun = time.process_time()
    filters = learn_sites(examples)
    learned = time.process_time() - begun
    tallies: dict[str, Tally] = {}
    for seed, (image, true) in zip(arguments.test, micrographs(arguments.test), strict=True):
        said = None if arguments.model is None else probabilities(arguments.model, image)
        for name, settings in WAYS.items():
            facts: dict[str, Any] = {"pixel_nm": SESSION.pixel_nm, "settings": settings}
            begun = time.process_time()
            found = find_sites(image, true.filaments, filters, **facts)
            tallies.setdefault(name, Tally()).add(found, true, settings, begun)
            if said is not None:
                begun = time.process_time()
                found = find_points(said, true.filaments, **facts)
                tallies.setdefault(f"network_{name}", Tally()).add(found, true, settings, begun)
        print(f"seed {seed}: {len(true.points)} troponins, {len(true.filaments)} filaments", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in WAYS:
        picture = draw_spacings(np.concatenate(tallies[name].spacings_nm), WAYS[name].spacing_nm)
        write_whole(arguments.out / f"spacings_{name}.png", picture)
    result: dict[str, Any] = {"f1": tallies["with_spacing"].figures()["f1"]}
    result |= {name: tally.figures() for name, tally in tallies.items()}
    result |= {"troponins": tallies["with_spacing"].scores.true, "learn_cpu_seconds": round(learned, 1)}
    result |= {"sites": filters.sites, "train_seeds": arguments.train, "test_seeds": arguments.test}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
