"""A simulated export of IDEAS (Amnis ImageStream) in its real layout, with known classes."""

import csv
import io
import struct
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.simulate.cells_in_flow import KINDS, Look, draw_cell
from napari_cellseg.images.whole_files import write_errors, write_whole
from napari_cellseg.settings import Settings

CHANNELS = (4, 5, 6)


class IdeasExportSettings(Settings):
    """How an export of an imaging flow cytometer is simulated."""

    cells: int = Field(600, ge=1, le=1_000_000, description="Number of different cells.")
    samples: int = Field(3, ge=1, le=1000, description="Number of samples, each from a .rif file of its own.")
    imbalance: float = Field(
        0.5, ge=0, lt=1, description="0: all classes equally common; towards 1: the first ones prevail."
    )
    group_effect: float = Field(
        0.15, ge=0, le=2, description="How much light, gains, focus and shares of classes differ by sample."
    )
    missing: float = Field(0.02, ge=0, le=1, description="Share of the cells that lack a channel.")
    duplicates: float = Field(0.01, ge=0, le=1, description="Share of the cells that are there twice.")
    class_folders: bool = Field(True, description="Put each class into a folder of its name.")
    prefix: bool = Field(True, description="Begin file names with the name of the sample.")
    padded: bool = Field(False, description="Write Ch04 instead of Ch4.")


@dataclass(frozen=True, eq=False)
class SimulatedExport:
    """What is true of a simulated export, one entry a cell, doubles last.

    Attributes
    ----------
    folder : Path
        Where it lies; the same table is there as ``truth.csv``.
    objects : (n,) int
        Object numbers, counted within each sample.
    labels, samples : (n,) str
        Class and sample.
    lacking : (n,) str
        The channel that was not written, such as ``"Ch5"``, or "".
    double_of : (n,) int
        Index of the cell with the same pixels, or -1.
    """

    folder: Path
    objects: NDArray[np.int64]
    labels: NDArray[np.str_]
    samples: NDArray[np.str_]
    lacking: NDArray[np.str_]
    double_of: NDArray[np.int64]


def simulate_ideas_export(
    folder: str | Path, *, settings: IdeasExportSettings | None = None, seed: int = 0
) -> SimulatedExport:
    """Write an export of simulated cells of six classes, as IDEAS would, and return what is true of it.

    One uncompressed uint16 TIFF of 12 bit a cell and channel (Ch4 brightfield, Ch5
    chlorophyll, Ch6 side scatter), with IDEAS's FillOrder of 0, its private tags and an
    OME-XML that names the .rif file with the folders of a user. A cell takes some 3 ms.

    Parameters
    ----------
    folder : str or Path
        Must be empty or not there. ``truth.csv`` is written last.
    settings : IdeasExportSettings
        Default: 600 cells of three samples.
    seed : int
        The same seed and settings give the same files.

    Raises
    ------
    CellsegError
        If there is something in the folder, or it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> settings = IdeasExportSettings(cells=4, samples=2, missing=0, duplicates=0)
    >>> truth = simulate_ideas_export(tempfile.mkdtemp(), settings=settings)
    >>> len(list(truth.folder.rglob("*_Ch4.ome.tif")))
    4
    """
    folder, settings = Path(folder), settings or IdeasExportSettings()
    if folder.exists() and any(folder.iterdir()):
        raise CellsegError(f"{folder}: not empty", "a new folder for the simulated export", "choose another")
    truth, sample_of = _plan(folder, settings, seed)
    looks = [_look(np.random.default_rng([seed, 13, k]), settings) for k in range(settings.samples)]
    with write_errors(folder):
        for index in range(len(truth.labels)):
            drawn_as = index if truth.double_of[index] < 0 else int(truth.double_of[index])
            rng = np.random.default_rng([seed, 14, drawn_as])
            pixels = draw_cell(str(truth.labels[index]), rng, looks[sample_of[index]])
            _write_cell(truth, index, pixels, settings)
    write_whole(folder / "truth.csv", _table(truth, settings))
    return truth


def _plan(
    folder: Path, settings: IdeasExportSettings, seed: int
) -> tuple[SimulatedExport, NDArray[np.int64]]:
    """Decide on class and sample of each cell, and which lack a channel or come twice."""
    rng = np.random.default_rng([seed, 12])
    names = np.array(list(KINDS))
    common = (1 - settings.imbalance) ** (np.arange(len(names)) / 2)
    shares = common * rng.lognormal(0, settings.group_effect, (settings.samples, len(names)))
    sample_of = np.sort(rng.integers(settings.samples, size=settings.cells))
    kinds = [rng.choice(len(names), p=shares[k] / shares[k].sum()) for k in sample_of.tolist()]
    doubled = rng.permutation(settings.cells)[: round(settings.duplicates * settings.cells)]
    double_of = np.concatenate([np.full(settings.cells, -1), np.sort(doubled)])
    origin = np.where(double_of < 0, np.arange(len(double_of)), double_of)
    sample_of, labels = sample_of[origin], names[np.array(kinds)][origin]
    lacking = np.full(len(origin), "", "<U8")
    gaps = rng.permutation(len(origin))[: round(settings.missing * settings.cells)]
    lacking[gaps] = [f"Ch{number}" for number in rng.choice(CHANNELS, len(gaps))]
    objects = np.zeros(len(origin), np.int64)
    for k in range(settings.samples):
        # object numbers of a gated population have gaps
        own = np.flatnonzero(sample_of == k)
        objects[own] = np.cumsum(rng.integers(1, 6, len(own)))
    samples = np.array([f"station{k + 1}" for k in range(settings.samples)])[sample_of]
    return SimulatedExport(folder, objects, labels, samples, lacking, double_of), sample_of


def _look(rng: np.random.Generator, settings: IdeasExportSettings) -> Look:
    light, pigment, scatter, blur = rng.lognormal(0, settings.group_effect, 4)
    return Look(float(np.sqrt(light)), float(pigment), float(scatter), float(blur))


def _stem(truth: SimulatedExport, index: int, settings: IdeasExportSettings) -> str:
    """Return folder and name of a cell's files without the channel, with ``/``."""
    sample, label = str(truth.samples[index]), str(truth.labels[index])
    # without the sample in the name two cells could have the same one
    inner = [] if settings.prefix else [sample]
    inner += [label] if settings.class_folders else []
    name = f"{sample}_{truth.objects[index]}" if settings.prefix else str(truth.objects[index])
    return "/".join([*inner, name])


def _write_cell(
    truth: SimulatedExport, index: int, pixels: NDArray[np.uint16], settings: IdeasExportSettings
) -> None:
    stem = truth.folder / _stem(truth, index, settings)
    stem.parent.mkdir(parents=True, exist_ok=True)
    for number, plane in zip(CHANNELS, pixels, strict=True):
        if truth.lacking[index] != f"Ch{number}":
            ending = f"_Ch{number:02d}.ome.tif" if settings.padded else f"_Ch{number}.ome.tif"
            content = ideas_tiff(plane, number, int(truth.objects[index]), str(truth.samples[index]))
            stem.with_name(stem.name + ending).write_bytes(content)


def ideas_tiff(plane: NDArray[np.uint16], channel: int, number: int, sample: str) -> bytes:
    """Return a TIFF file as IDEAS writes it: one page, one strip, FillOrder 0, private tags.

    Parameters
    ----------
    plane : (y, x) uint16
    channel, number : int
        Of the channel and of the object.
    sample : str
        Name of the .rif file without its ending.
    """
    rows, cols = plane.shape
    source = f"C:\\Users\\operator\\ImageStream\\{sample}.rif"
    xml = (
        f'<?xml version="1.0" encoding="utf-8"?><OME><Experimenter UserName="operator" />'
        f'<Image Name="{escape(source)}" ID="{number}"><ids:Pixels Channel="Ch{channel}" SizeX="{cols}" '
        f'SizeY="{rows}" Type="uint16" /></Image></OME>'  # the prefix is declared nowhere
    )
    text = xml.encode() + b"\0"
    tags = [
        (256, 4, 1, cols), (257, 4, 1, rows), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1), (266, 3, 1, 0),
        (270, 2, len(text), 0), (273, 4, 1, 0), (277, 3, 1, 1), (278, 4, 1, rows),
        (279, 4, 1, plane.nbytes), (33003, 4, 1, number), (33024, 4, 1, number),
    ]  # fmt: skip
    text_at = 8 + 2 + 12 * len(tags) + 4
    pixels_at = text_at + len(text) + len(text) % 2
    places = {270: text_at, 273: pixels_at}
    entries = [struct.pack("<HHII", tag, kind, n, places.get(tag, value)) for tag, kind, n, value in tags]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(entries) + struct.pack("<I", 0)
    return (head + text).ljust(pixels_at, b"\0") + plane.astype("<u2").tobytes()


def _table(truth: SimulatedExport, settings: IdeasExportSettings) -> str:
    stems = [_stem(truth, index, settings) for index in range(len(truth.labels))]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["cell", "label", "sample", "lacking", "double_of"])
    for index, stem in enumerate(stems):
        twin = int(truth.double_of[index])
        row = (truth.labels[index], truth.samples[index], truth.lacking[index])
        table.writerow([stem, *map(str, row), "" if twin < 0 else stems[twin]])
    return text.getvalue()
