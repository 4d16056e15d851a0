"""Six kinds of cells as an imaging flow cytometer sees them: brightfield, chlorophyll, side scatter.

Shapes are drawn after what the names stand for, freely; they are for testing classifiers, and
two of the kinds (the chains) are meant to be mistaken for each other now and then.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Plane = NDArray[np.float64]
HEIGHTS, WIDTHS = (69, 125), (58, 114)  # pixels; what real exports hold
COUNTS = 4095  # 12 bit


@dataclass(frozen=True)
class Drawn:
    """A cell before the optics: how dense, how pigmented and how grainy each pixel is, (y, x) each."""

    body: Plane
    pigment: Plane
    grain: Plane


@dataclass(frozen=True)
class Look:
    """What differs from sample to sample: gains, background and focus, all 1 where nothing does."""

    light: float
    pigment: float
    scatter: float
    blur: float


def _edge(distance: Plane, softness: float = 0.6) -> Plane:
    """Return 1 inside (negative distance), 0 outside, soft between."""
    return np.asarray(1 / (1 + np.exp(np.clip(distance / softness, -30, 30))))


def _ellipse(u: Plane, v: Plane, along: float, across: float) -> Plane:
    return np.asarray((np.hypot(u / along, v / across) - 1) * min(along, across))


def _grains(rng: np.random.Generator, shape: tuple[int, ...], size_px: float) -> Plane:
    """Return smooth noise of mean 1 and spread about 0.6, never negative."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), size_px)
    return np.asarray(np.clip(1 + 0.6 * noise / noise.std(), 0, None))


def _spiny_chain(rng: np.random.Generator, u: Plane, v: Plane) -> Drawn:
    count, side = int(rng.integers(1, 6)), rng.uniform(4.0, 7.5)
    pitch = side * rng.uniform(2.1, 2.5)
    places = (np.arange(count) - (count - 1) / 2) * pitch
    spines = rng.choice([0.15, 0.7, 1.0], p=[0.2, 0.4, 0.4])  # some have lost theirs
    body = np.zeros(u.shape)
    pigment = np.zeros(u.shape)
    for place in places:
        box = np.maximum(np.abs(u - place) - side * 0.85, np.abs(v) - side)
        body = np.maximum(body, 0.75 * _edge(box))
        spot = _ellipse(u - place, v - rng.normal(0, 1), side * 0.5, side * 0.6)
        pigment += rng.uniform(0.5, 1.0) * _edge(spot, 1.0)
        for way in (-1, 1):  # a spine on each side, bent outwards
            lean = rng.normal(0, 0.35)
            line = np.abs(u - place - pitch / 2 - lean * (np.abs(v) - side)) - 0.5
            reach = np.abs(v) - side * rng.uniform(2.5, 4.0)
            body = np.maximum(body, 0.5 * spines * _edge(line) * _edge(reach) * (v * way > 0))
    return Drawn(body, pigment, 0.35 * body * _grains(rng, u.shape, 1.5))


def _bead_chain(rng: np.random.Generator, u: Plane, v: Plane) -> Drawn:
    count, radius = int(rng.integers(1, 8)), rng.uniform(3.5, 7.0)
    pitch = radius * rng.uniform(2.2, 2.9)
    places = (np.arange(count) - (count - 1) / 2) * pitch
    body = 0.35 * _edge(np.maximum(np.abs(v) - 1.0, np.abs(u) - places[-1]))
    pigment = np.zeros(u.shape)
    for place in places:
        bead = _ellipse(u - place, v, radius * rng.uniform(0.8, 1), radius)
        body = np.maximum(body, 0.7 * _edge(bead))
        pigment += rng.uniform(0.4, 1.0) * _edge(bead + radius * 0.4, 1.0)
    return Drawn(body, pigment, 0.35 * body * _grains(rng, u.shape, 1.5))


def _ribbed_disc(rng: np.random.Generator, u: Plane, v: Plane) -> Drawn:
    radius = rng.uniform(10, 22)
    distance = _ellipse(u, v, radius * rng.uniform(0.35, 1), radius)  # discs lie in any direction
    inside = _edge(distance)
    rim = _edge(np.abs(distance + 1.2) - 1.0)
    ribs = np.cos(np.arctan2(v, u) * int(rng.integers(10, 20))) * np.clip(1 + distance / radius, 0, 1)
    body = inside * (0.38 + 0.12 * ribs) + 0.4 * rim
    plastids = _grains(rng, u.shape, 2.0) ** 2
    return Drawn(body, 0.6 * inside * plastids, inside * (0.25 + 0.5 * rim) * _grains(rng, u.shape, 1.2))


def _armoured(rng: np.random.Generator, u: Plane, v: Plane) -> Drawn:
    long = rng.uniform(9, 20)
    distance = _ellipse(u * (1 + 0.012 * v), v, long, long * rng.uniform(0.6, 0.95))
    inside = _edge(distance)
    groove = _edge(np.abs(u - rng.normal(0, 1) - 0.02 * v**2) - rng.uniform(0.8, 1.5))
    body = inside * (0.85 - 0.3 * groove)
    core = _ellipse(u + long * 0.35, v, long * 0.5, long * 0.6)
    pigment = inside * (0.5 + 0.7 * _edge(core, 1.5)) * _grains(rng, u.shape, 2.5)
    return Drawn(body, pigment, 0.9 * inside * _grains(rng, u.shape, 1.0))


def _flagellate(rng: np.random.Generator, u: Plane, v: Plane) -> Drawn:
    long = rng.uniform(6, 14)
    distance = _ellipse(u, v * (1 + 0.03 * u), long, long * rng.uniform(0.5, 0.9))
    inside = _edge(distance)
    side = _ellipse(u - long * 0.2, v - long * 0.2, long * 0.6, long * 0.35)
    pigment = 1.5 * _edge(side, 1.2) + 0.5 * inside
    return Drawn(0.6 * inside, pigment, 0.25 * inside * _grains(rng, u.shape, 1.5))


def _detritus(rng: np.random.Generator, u: Plane, v: Plane) -> Drawn:
    radius = rng.uniform(6, 20)
    rough = ndimage.gaussian_filter(rng.standard_normal(u.shape), rng.uniform(2.5, 5.0))
    roughness = rng.uniform(0.08, 0.35) * radius / rough.std()
    inside = _edge(_ellipse(u, v, radius, radius * rng.uniform(0.45, 1)) + roughness * rough)
    body = inside * 0.65 * _grains(rng, u.shape, rng.uniform(1, 4)) ** 0.5
    pigment = inside * rng.choice([0.08, 0.3, 0.8], p=[0.35, 0.35, 0.3]) * _grains(rng, u.shape, 2.0)
    return Drawn(body, pigment, 0.8 * inside * _grains(rng, u.shape, 0.8))


KINDS: dict[str, Callable[[np.random.Generator, Plane, Plane], Drawn]] = {
    "Chaetoceros": _spiny_chain,
    "Skeletonema": _bead_chain,
    "Thalassiosira": _ribbed_disc,
    "Alexandrium": _armoured,
    "Rhodomonas": _flagellate,
    "Detritus": _detritus,
}


def draw_cell(kind: str, rng: np.random.Generator, look: Look) -> NDArray[np.uint16]:
    """Return one cell in three channels: brightfield, chlorophyll, side scatter.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    rng : numpy.random.Generator
        Size, turn, focus, pigment and noise are drawn from it.
    look : Look
        Of the sample.

    Returns
    -------
    (3, y, x) uint16
        12 bit; y 69 to 125, x 58 to 114 pixels.

    Examples
    --------
    >>> cell = draw_cell("Detritus", np.random.default_rng(0), Look(1, 1, 1, 1))
    >>> cell.shape[0], cell.dtype, bool(cell.max() <= 4095)
    (3, dtype('uint16'), True)
    """
    turn = rng.uniform(0, 2 * np.pi)
    centre = rng.normal(0, 1.5, 2)
    y, x = np.mgrid[-70:71, -70:71].astype(float)
    y, x = y - centre[0], x - centre[1]
    drawn = KINDS[kind](rng, x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn))
    box = _box(drawn.body + drawn.pigment, rng)
    focus = look.blur * min(rng.lognormal(0.2, 0.6), 4.5)
    body, pigment, grain = (
        ndimage.gaussian_filter(plane[box], sigma * focus)
        for plane, sigma in ((drawn.body, 0.7), (drawn.pigment, 1.1), (drawn.grain, 1.0))
    )
    halo = ndimage.gaussian_filter(drawn.body[box], 3.5 * focus) - body  # bright fringe out of focus
    stained, shining = rng.lognormal(0, 0.7), rng.lognormal(0, 0.5)
    expected = np.stack(
        [
            look.light * 900 * (1 - 0.62 * np.clip(body, 0, 1.2) + 0.35 * halo),
            35 + look.pigment * stained * 900 * pigment,
            45 + look.scatter * shining * 1000 * grain,
        ]
    )
    noisy = expected + rng.normal(0, 1, expected.shape) * np.sqrt(np.clip(2.5 * expected, 0, None) + 16)
    return np.clip(np.round(noisy), 0, COUNTS).astype(np.uint16)


def _box(seen: Plane, rng: np.random.Generator) -> tuple[slice, slice]:
    """Return the part of the field that the instrument would cut out: the cell and a margin."""
    spans = []
    for axis, (least, most) in ((1, HEIGHTS), (0, WIDTHS)):
        hit = np.flatnonzero((seen > 0.1).any(axis=axis))
        first, last = (hit[0], hit[-1]) if len(hit) else (70, 70)
        side = int(np.clip(last - first + rng.integers(24, 44), least, most))
        start = int(np.clip((first + last - side) // 2 + rng.integers(-2, 3), 0, 141 - side))
        spans.append(slice(start, start + side))
    return spans[0], spans[1]
