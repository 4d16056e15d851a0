"""Cleaning up what a network found: `STEPS`, each a plain function on whole planes.

Labels (y, x) are 0 = not annotated, which no step touches, 1 = background, 2.. = classes. No
step changes what it is given, and none needs the network again. See `predict.chain` for
several in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import Settings

Labels = NDArray[Any]

CORNERS = np.ones((3, 3), bool)  # thin slanted lines hang together by the corners of their pixels


def threshold_labels(probabilities: NDArray[Any], *, value: float = 0.5) -> Labels:
    """Return as a class what reaches a probability; the likeliest of several classes.

    Parameters
    ----------
    probabilities : (k, y, x)
        Floats from 0 to 1, or uint8 where 255 stands for 1; channel 0 is the background.
    value : float
        Probability from which a pixel is its likeliest class and not background.

    Returns
    -------
    (y, x) uint8

    Examples
    --------
    >>> threshold_labels(np.array([[[0.7, 0.3]], [[0.3, 0.7]]]), value=0.25)
    array([[2, 2]], dtype=uint8)
    """
    labels, best = _likeliest_class(probabilities)
    labels[best < _scaled(value, probabilities)] = 1
    return labels


def hysteresis_labels(probabilities: NDArray[Any], *, low: float = 0.3, high: float = 0.6) -> Labels:
    """Return as a class what reaches `low` and hangs together with a place that reaches `high`.

    Faint stretches of a filament stay if part of it is beyond doubt; faint specks go
    (Canny 1986, https://doi.org/10.1109/TPAMI.1986.4767851).

    Parameters
    ----------
    probabilities : (k, y, x)
        As in `threshold_labels`.
    low, high : float
        Probabilities, `low` the smaller one.

    Returns
    -------
    (y, x) uint8

    Examples
    --------
    >>> filament = np.array([[0.4, 0.9, 0.0, 0.4]])
    >>> hysteresis_labels(np.stack([1 - filament, filament]))
    array([[2, 2, 1, 1]], dtype=uint8)
    """
    from scipy import ndimage

    labels, best = _likeliest_class(probabilities)
    labels[best < _scaled(low, probabilities)] = 1
    sure = best >= _scaled(high, probabilities)
    for value in _classes(labels):
        numbered, count = ndimage.label(labels == value, CORNERS)
        lacking = np.bincount(numbered[sure], minlength=count + 1) == 0
        lacking[0] = False
        labels[lacking[numbered]] = 1
    return labels


def remove_small(labels: Labels, *, area_px: float = 64) -> Labels:
    """Return the labels without objects smaller than `area_px`: they become background.

    An object is what hangs together within one class, by edges or corners of pixels.

    Parameters
    ----------
    labels : (y, x), integer
    area_px : float

    Examples
    --------
    >>> remove_small(np.array([[2, 2, 1, 2]]), area_px=2)
    array([[2, 2, 1, 1]])
    """
    from scipy import ndimage

    out = labels.copy()
    for value in _classes(labels):
        numbered, count = ndimage.label(labels == value, CORNERS)
        small = np.bincount(numbered.ravel(), minlength=count + 1) < area_px
        small[0] = False
        out[small[numbered]] = 1
    return out


def fill_holes(labels: Labels, *, area_px: float = 64) -> Labels:
    """Return the labels with holes smaller than `area_px` filled by the class around them.

    A hole is what a class encloses all around; what lies at the edge of the plane is none.
    Only its background is filled: a nucleus within a cell stays one.

    Parameters
    ----------
    labels : (y, x), integer
    area_px : float
        The meshes between crossing filaments are holes too: stay below their area.

    Examples
    --------
    >>> fill_holes(np.array([[2, 2, 2], [2, 1, 2], [2, 2, 2]]))[1]
    array([2, 2, 2])
    """
    from scipy import ndimage

    out = labels.copy()
    for value in _classes(labels):
        numbered, count = ndimage.label(out != value)
        hole = np.bincount(numbered.ravel(), minlength=count + 1) < area_px
        hole[0] = False
        for edge in (numbered[0], numbered[-1], numbered[:, 0], numbered[:, -1]):
            hole[edge] = False
        out[hole[numbered] & (out == 1)] = value
    return out


def smooth(labels: Labels, *, sigma_px: float = 1.5) -> Labels:
    """Return the labels with even outlines: each pixel goes with the majority around it.

    Pixels count by a Gaussian of their distance. Lines narrower than 1.35 `sigma_px` vanish.

    Parameters
    ----------
    labels : (y, x), integer
    sigma_px : float
        Standard deviation of the Gaussian.

    Examples
    --------
    >>> smooth(np.array([[2, 2, 2, 2], [1, 2, 2, 2], [2, 2, 2, 2]]), sigma_px=1)[1]
    array([2, 2, 2, 2])
    """
    from scipy import ndimage

    out, most = labels.copy(), np.zeros(labels.shape, np.float32)
    for value in (1, *_classes(labels)):
        share = ndimage.gaussian_filter((labels == value).astype(np.float32), sigma_px)
        out[share > most] = value
        np.maximum(most, share, out=most)
    out[labels == 0] = 0
    return out


def _likeliest_class(probabilities: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return the label of the likeliest class but the background, and its probability."""
    labels, best = np.full(probabilities.shape[1:], 2, np.uint8), probabilities[1]
    for value, plane in enumerate(probabilities[2:], start=3):
        labels[plane > best] = value
        best = np.maximum(best, plane)
    return labels, best


def _scaled(value: float, probabilities: NDArray[Any]) -> float:
    return value * 255 if probabilities.dtype == np.uint8 else value


def _classes(labels: Labels) -> list[int]:
    return [int(value) for value in range(2, int(labels.max(initial=1)) + 1) if (labels == value).any()]


class Threshold(Settings):
    """Settings of `threshold_labels`."""

    value: float = Field(0.5, gt=0, lt=1, description="Probability from which a pixel is the class.")


class Hysteresis(Settings):
    """Settings of `hysteresis_labels`."""

    low: float = Field(0.3, gt=0, lt=1, description="Probability that is enough next to a sure place.")
    high: float = Field(0.6, gt=0, lt=1, description="Probability of a sure place.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low = {self.low:g} is above high = {self.high:g}")
        return self


class Area(Settings):
    """Settings of `remove_small` and `fill_holes`: one of the two."""

    area_px: int | None = Field(
        64, ge=1, le=10**9, description="Area in pixels; smaller ones are changed; empty = in nm2."
    )
    area_nm2: float | None = Field(
        None, gt=0, description="The same in square nanometres; empty = in pixels."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_default(cls, values: Any) -> Any:
        given = isinstance(values, dict) and values.get("area_nm2") is not None
        return {"area_px": None, **values} if given else values

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.area_px is None) == (self.area_nm2 is None):
            both = (
                "neither area_px nor area_nm2 is" if self.area_px is None else "area_px and area_nm2 are both"
            )
            raise ValueError(f"{both} given: give one of them")
        return self

    def pixels(self, pixel_nm: float | None) -> float:
        """Return the area in pixels.

        Raises
        ------
        CellsegError
            If it is given in nm2 and the pixel size is unknown.
        """
        if self.area_nm2 is None:
            assert self.area_px is not None
            return self.area_px
        if pixel_nm is None:
            raise CellsegError(
                f"area_nm2 = {self.area_nm2:g} for an image without a pixel size", "area_px for such images"
            )
        return self.area_nm2 / pixel_nm**2


class Smooth(Settings):
    """Settings of `smooth`."""

    sigma_px: float = Field(
        1.5, ge=0.3, le=50, description="Width of the smoothing; lines narrower than 1.35 of it vanish."
    )


@dataclass(frozen=True)
class Step:
    """A kind of post-processing.

    Attributes
    ----------
    settings : type of Settings
        Its parameters with their bounds.
    apply : callable
        ``apply(plane, settings, pixel_nm) -> labels`` (y, x).
    description : str
        One line for lists and forms.
    from_probabilities : bool
        It makes labels of probabilities (k, y, x), so it can only come first.
    """

    settings: type[Settings]
    apply: Callable[[NDArray[Any], Any, float | None], Labels]
    description: str
    from_probabilities: bool = False


STEPS: dict[str, Step] = {
    "threshold": Step(
        Threshold,
        lambda planes, s, _: threshold_labels(planes, value=s.value),
        "a class from this probability on, in place of the labels (settings: value)",
        True,
    ),
    "hysteresis": Step(
        Hysteresis,
        lambda planes, s, _: hysteresis_labels(planes, low=s.low, high=s.high),
        "faint parts only where they touch sure ones, in place of the labels (low, high)",
        True,
    ),
    "remove-small": Step(
        Area,
        lambda labels, s, pixel_nm: remove_small(labels, area_px=s.pixels(pixel_nm)),
        "small objects become background (area_px or area_nm2)",
    ),
    "fill-holes": Step(
        Area,
        lambda labels, s, pixel_nm: fill_holes(labels, area_px=s.pixels(pixel_nm)),
        "small holes become the class around them (area_px or area_nm2)",
    ),
    "smooth": Step(
        Smooth,
        lambda labels, s, _: smooth(labels, sigma_px=s.sigma_px),
        "even outlines: the majority around each pixel (sigma_px)",
    ),
}
