"""The whole path on simulated micrographs: annotate, train, segment, trace, find troponin, score, report.

Everything is done through the same functions the viewer and the command line use.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import coordinate_file, write_coordinates
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.project import Project
from napari_cellseg.images.simulate import (
    Simulated,
    SimulateSettings,
    simulate_micrograph,
    sparse_annotation,
    write_micrograph,
    write_truth,
)
from napari_cellseg.images.simulate.sweeps import sweep_background
from napari_cellseg.nets.presets import settings_from
from napari_cellseg.objects.straighten import Strip, straighten
from napari_cellseg.predict.batch import segment_files
from napari_cellseg.predict.extract import write_strips
from napari_cellseg.predict.segment_file import FileDone
from napari_cellseg.predict.trace import trace_files
from napari_cellseg.report.demo_page import demo_page
from napari_cellseg.report.demo_troponin import Troponins, find_troponins
from napari_cellseg.report.evaluate import read_labels
from napari_cellseg.report.metrics import pixel_scores
from napari_cellseg.report.metrics.filaments import FilamentScores, filament_scores
from napari_cellseg.report.page import write_page
from napari_cellseg.settings import SegmentSettings, Settings, TrainSettings
from napari_cellseg.train.records import Epoch, Finished, Started, Step

PARTS = ("micrographs", "unseen", "demo.cellseg", "result", "filaments", "troponin", "report.html")
FORMATS = ("relion", "csv", "svg")
LEAST_WIDTHS = 3.0  # of a true filament with less than this in the field nothing is asked
STRIP_WIDTHS = 2.5
CLASSES = Classes.of("filament")
TRAINING = {"split": "window", "steps": 80}  # two images are too few to hold one out
# One session at the microscope: the dose hardly changes, the defocus does.
SESSION = SimulateSettings(lumps=(2, 4), dose=(35.0, 45.0), defocus_um=(1.5, 3.0))


class DemoSettings(Settings):
    """How the demo is run."""

    seed: int = Field(1, ge=0, description="Seed of the micrographs, the strokes and the training.")
    micrographs: SimulateSettings = Field(SESSION, description="How micrographs are simulated.")
    training: TrainSettings = Field(
        settings_from("filament-fast", TRAINING), description="How the network is trained."
    )
    segmenting: SegmentSettings = Field(SegmentSettings(), description="How the network is run.")
    annotated: float = Field(0.3, gt=0, le=1, description="Share of the filaments that is drawn over.")


@dataclass(frozen=True)
class DemoStep:
    """The share of the demo that is behind us, 0 to 1, and what goes on."""

    share: float
    text: str


@dataclass(frozen=True)
class DemoDone:
    """What came out.

    Attributes
    ----------
    report : Path
        The page.
    scores : dict
        As `pixel_scores` returns them, on the unseen micrograph.
    tracing : FilamentScores
        Of its filaments.
    troponin : Troponins or str
        What was found along them, or why nothing was looked for.
    seconds : dict
        Seconds that each part took.
    """

    report: Path
    scores: dict[str, Any]
    tracing: FilamentScores
    troponin: Troponins | str
    seconds: dict[str, float]


@dataclass
class DemoState:
    """What the parts of the demo hand on to each other, and the page shows."""

    out: Path
    settings: DemoSettings
    seen: list[tuple[Path, Simulated]] = field(default_factory=list)
    unseen: tuple[Path, Simulated] | None = None
    strokes: dict[str, Any] = field(default_factory=dict)
    run: Path | None = None
    started: Started | None = None
    epochs: list[Epoch] = field(default_factory=list)
    finished: Finished | None = None
    labels: Any = None
    scores: dict[str, Any] = field(default_factory=dict)
    traced: Coordinates | None = None
    tracing: FilamentScores | None = None
    strip: Strip | None = None
    troponin: Troponins | str = ""
    seconds: dict[str, float] = field(default_factory=dict)


def run_demo(
    out: Path, *, settings: DemoSettings | None = None, overwrite: bool = False
) -> Iterator[DemoStep | DemoDone]:
    """Yield the progress of the demo, then what came out.

    Parameters
    ----------
    out : Path
        Folder to make: micrographs/, unseen/, demo.cellseg/ (a project for the viewer),
        result/, filaments/ (coordinates for other programs, straightened filaments), troponin/
        (points, filters), report.html.
    settings : DemoSettings
        Sizes, seed, training.
    overwrite : bool
        Whether an earlier demo in `out` may be replaced; other files there stay.

    Raises
    ------
    CellsegError
        If something is in `out` already.
    """
    _make_room(out, overwrite)
    state = DemoState(out, settings or DemoSettings())
    parts = (
        ("simulate", _simulate, 0.0, 0.15),
        ("annotate", _annotate, 0.15, 0.2),
        ("train", _train, 0.2, 0.85),
        ("segment", _segment, 0.85, 0.92),
        ("trace", _trace, 0.92, 0.96),
        ("troponin", _troponin, 0.96, 0.98),
        ("score", _score, 0.98, 1.0),
    )
    behind = 0.0
    for name, part, begin, end in parts:
        before = time.perf_counter()
        for share, text in part(state):
            behind = max(behind, begin + (end - begin) * share)  # a time limit may be planned anew
            yield DemoStep(behind, text)
        state.seconds[name] = time.perf_counter() - before
    report = out / "report.html"
    write_page(report, demo_page(state))
    assert state.tracing is not None
    yield DemoDone(report, state.scores, state.tracing, state.troponin, state.seconds)


def _make_room(out: Path, overwrite: bool) -> None:
    if out.is_file():
        raise CellsegError(f"{out}: is a file", "a folder to make", "choose another name")
    present = [out / part for part in PARTS if (out / part).exists()]
    if not present:
        out.mkdir(parents=True, exist_ok=True)
        return
    if not overwrite:
        raise CellsegError(
            f"{present[0]}: exists already", remedy="choose another folder or give --overwrite"
        )
    for path in present:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _simulate(state: DemoState) -> Iterator[tuple[float, str]]:
    files = ("micrographs/mic_001.tif", "micrographs/mic_002.mrc", "unseen/mic_003.mrc")
    for number, file in enumerate(files):
        yield number / len(files), f"simulating {file}"
        path = state.out / file
        simulated = simulate_micrograph(
            1000 * state.settings.seed + number, settings=state.settings.micrographs
        )
        path.parent.mkdir(exist_ok=True)
        write_micrograph(path, simulated)
        if path.parent.name == "unseen":
            write_truth(path.parent, simulated, stem=path.stem)
            state.unseen = path, simulated
        else:
            state.seen.append((path, simulated))


def _annotate(state: DemoState) -> Iterator[tuple[float, str]]:
    project = Project.create(state.out / "demo.cellseg", CLASSES)
    for number, (path, simulated) in enumerate(state.seen):
        yield number / len(state.seen), f"drawing strokes on {path.name}"
        entry = project.add_image(path)
        strokes = sparse_annotation(simulated, state.settings.seed, share=state.settings.annotated)
        strokes = sweep_background(simulated, strokes, state.settings.seed)
        project.save_labels(entry.name, strokes)
        state.strokes[entry.name] = strokes
    training = state.settings.training.model_copy(update={"seed": state.settings.seed})
    state.run = project.new_run(training)


def _train(state: DemoState) -> Iterator[tuple[float, str]]:
    from napari_cellseg.train.segment import train  # brings torch

    assert state.run is not None
    yield 0.0, "training"
    for record in train(state.run):
        if isinstance(record, Step):
            yield record.step / record.steps, f"training, loss {record.loss:.3f}"
        elif isinstance(record, Epoch):
            state.epochs.append(record)
        elif isinstance(record, Started):
            state.started = record
        elif isinstance(record, Finished):
            state.finished = record


def _segment(state: DemoState) -> Iterator[tuple[float, str]]:
    """Segment the unseen micrograph, and those it learned from: troponin is learned along filaments."""
    assert state.run is not None
    assert state.finished is not None
    model, files = state.run / state.finished.model, _files(state)
    yield 0.0, f"segmenting {files[0].name}"
    through = 0
    for record in segment_files(files, model, state.out / "result", settings=state.settings.segmenting):
        if not isinstance(record, FileDone):
            yield (through + record.done / record.total) / len(files), f"segmenting {files[through].name}"
        elif record.status == "failed":
            raise CellsegError(record.message)
        else:
            through += 1


def _files(state: DemoState) -> list[Path]:
    """Return all micrographs, the unseen one first."""
    assert state.unseen is not None
    return [state.unseen[0], *(path for path, _ in state.seen)]


def _score(state: DemoState) -> Iterator[tuple[float, str]]:
    assert state.unseen is not None
    path, simulated = state.unseen
    yield 0.0, "scoring"
    state.labels, _ = read_labels(state.out / "result" / f"{path.stem}_labels.tif")
    state.scores = pixel_scores(state.labels, simulated.mask, CLASSES)
    if state.traced is not None:
        width_px = simulated.settings.width_nm / simulated.pixel_nm
        axes = (Filament(axis) for axis in simulated.filaments if len(axis) > 1)
        true = [axis for axis in axes if axis.length_px >= LEAST_WIDTHS * width_px]
        state.tracing = filament_scores(state.traced.filaments, true, tolerance_px=width_px / 2)


def _trace(state: DemoState) -> Iterator[tuple[float, str]]:
    """Trace filaments through crossings, write them for other programs, straighten the unseen ones."""
    files, out = _files(state), state.out / "filaments"
    results = [state.out / "result" / f"{path.stem}.ome.zarr" for path in files]
    for number, record in enumerate(trace_files(results, out, format=FORMATS[0], images=files)):
        if record.coordinates is None:
            raise CellsegError(record.message)
        for format in FORMATS[1:]:
            write_coordinates(coordinate_file(out, files[number], format), record.coordinates, format=format)
        state.traced = record.coordinates if number == 0 else state.traced
        yield number / len(files), f"tracing filaments of {files[number].name}"
    yield from _straighten(state)


def _straighten(state: DemoState) -> Iterator[tuple[float, str]]:
    assert state.unseen is not None
    assert state.traced is not None
    path, simulated = state.unseen
    filaments = sorted(state.traced.filaments, key=lambda one: one.length_px, reverse=True)
    if not filaments:
        return
    width_px = STRIP_WIDTHS * simulated.settings.width_nm / simulated.pixel_nm
    state.strip = straighten(simulated.image, filaments[0], width_px)
    yield 1.0, "straightening filaments"
    strips = write_strips(
        simulated.image,
        filaments,
        state.out / "filaments",
        path.stem,
        width_px=width_px,
        pixel_nm=simulated.pixel_nm,
    )
    for _ in strips:
        yield 1.0, "straightening filaments"


def _troponin(state: DemoState) -> Iterator[tuple[float, str]]:
    assert state.unseen is not None
    yield 0.0, "finding troponin"
    state.troponin = find_troponins(state.seen, state.unseen, state.out / "filaments", state.out / "troponin")
