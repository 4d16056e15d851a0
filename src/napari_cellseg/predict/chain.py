"""Steps of post-processing in a row, and the one text that the command line and the dock share.

``"hysteresis:low=0.3,high=0.6; remove-small:area_px=64"``
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_cellseg.errors import CellsegError
from napari_cellseg.predict.postprocess import STEPS, Labels
from napari_cellseg.settings import Settings

Chain = tuple[tuple[str, Settings], ...]
"""Names of steps with their settings, in the order they are applied in."""


def parse_chain(text: str) -> Chain:
    """Return the steps that a text describes: ``name:key=value,key=value; name ...``.

    What is not given has its default. An empty text is an empty chain.

    Raises
    ------
    CellsegError
        If a step or a key is unknown, a value out of bounds, or a step that starts from the
        probabilities comes after another one.

    Examples
    --------
    >>> parse_chain("threshold: value=0.4; smooth")
    (('threshold', Threshold(value=0.4)), ('smooth', Smooth(sigma_px=1.5)))
    """
    chain = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, values = part.partition(":")
        name = name.strip()
        if name not in STEPS:
            near = get_close_matches(name, STEPS, 1)
            raise CellsegError(
                f"unknown step {name!r}",
                f"one of {', '.join(STEPS)}",
                f"did you mean {near[0]!r}?" if near else "see `napari-cellseg list steps`",
            )
        chain.append((name, _settings(name, values)))
    return checked_chain(chain)


def _settings(name: str, text: str) -> Settings:
    kind, values = STEPS[name].settings, {}
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or key not in kind.model_fields:
            known = ", ".join(f"{field}=..." for field in kind.model_fields)
            raise CellsegError(f"step {name}: {pair!r}", known, "separate settings by commas, steps by ;")
        values[key] = value
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        setting = f" {first['loc'][0]} = {first['input']}" if first["loc"] else ""
        raise CellsegError(f"step {name}:{setting} {first['msg'].removeprefix('Value error, ')}") from None


def format_chain(chain: Sequence[tuple[str, Settings]]) -> str:
    """Return the text that `parse_chain` reads, with every setting.

    Examples
    --------
    >>> format_chain(parse_chain("hysteresis; remove-small:area_nm2=50"))
    'hysteresis:low=0.3,high=0.6; remove-small:area_nm2=50.0'
    """
    parts = []
    for name, settings in chain:
        values = settings.model_dump(exclude_none=True).items()
        parts.append(f"{name}:" + ",".join(f"{key}={value!r}" for key, value in values))
    return "; ".join(parts)


def checked_chain(chain: Sequence[tuple[str, Settings]]) -> Chain:
    """Return the chain if its steps can follow one another.

    Raises
    ------
    CellsegError
        If a step would throw away what those before it did.
    """
    for name, _ in chain[1:]:
        if STEPS[name].from_probabilities:
            raise CellsegError(
                f"step {name} starts anew from the probabilities", "it as the first step", "move it forward"
            )
    return tuple(chain)


def starts_from_probabilities(chain: Chain) -> bool:
    """Return whether a chain takes probabilities and not labels."""
    return bool(chain) and STEPS[chain[0][0]].from_probabilities


def apply_chain(
    labels: Labels,
    chain: Chain,
    *,
    probabilities: NDArray[Any] | None = None,
    pixel_nm: float | None = None,
) -> Labels:
    """Return the labels after all steps of a chain.

    Parameters
    ----------
    labels : (y, x), integer
        As they were segmented; left as they are.
    chain : tuple of (name, settings)
        As `parse_chain` returns it.
    probabilities : (k, y, x), optional
        For chains that start from them; floats, or uint8 where 255 stands for 1.
    pixel_nm : float, optional
        For areas in nm2.

    Raises
    ------
    CellsegError
        If the chain needs probabilities or a pixel size and there are none.

    Examples
    --------
    >>> apply_chain(np.array([[2, 1, 2, 2]]), parse_chain("remove-small:area_px=2"))
    array([[1, 1, 2, 2]])
    """
    for name, settings in chain:
        step = STEPS[name]
        if step.from_probabilities and probabilities is None:
            raise CellsegError(
                f"step {name}, and no probabilities", "those of the network", "leave the step out"
            )
        plane = probabilities if step.from_probabilities else labels
        labels = step.apply(np.asarray(plane), settings, pixel_nm)
    return labels
