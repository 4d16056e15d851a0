"""Which models look at an image together, and in which blocks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.micrographs import Image
from napari_cellseg.predict.blocks import DEFAULTS
from napari_cellseg.predict.tiles import Grid, block_shape, round_up
from napari_cellseg.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_cellseg.nets.model import Model, ModelSpec

    Models = Model | Sequence[Model]

log = logging.getLogger(__name__)

MOSTLY_HALO = 2.5
"""Pixels that the network computes for each that is kept, from which larger blocks are worth their memory."""

WIDEST = 32.0  # a larger ratio of pixel sizes is a wrong unit in a header


def ensemble(model: Models) -> tuple[Model, ...]:
    """Return the models as a tuple, one or several that find the same.

    Raises
    ------
    CellsegError
        If there is none or their classes differ.
    """
    from napari_cellseg.nets.model import Model

    models = (model,) if isinstance(model, Model) else tuple(model)
    if not models:
        raise CellsegError("no model", "at least one")
    names = models[0].spec.classes.names
    for other in models[1:]:
        if other.spec.classes.names != names:
            raise CellsegError(
                f"{other.path or 'a model'} finds {', '.join(other.spec.classes.targets)}",
                f"{', '.join(names[2:])} as {models[0].path or 'the first model'} does",
                "leave it out: only models with the same classes can be averaged",
            )
    return models


def plan_grid(image: Image, model: Models, *, settings: SegmentSettings = DEFAULTS) -> Grid:
    """Return how `segment` cuts the image into blocks: as the most demanding model needs it.

    Raises
    ------
    CellsegError
        As `segment`.
    """
    models = ensemble(model)
    if settings.uncertainty == "spread" and settings.views == len(models) == 1:
        raise CellsegError(
            "the spread of one view of one model",
            "several views or models to differ",
            "use --views 4, more models, or --uncertainty entropy",
        )
    grids = [_plan_one(image, one, settings) for one in models]
    for one, grid in zip(models, grids, strict=True):
        if one.spec.input_px is not None:  # it has to see all of the image at once
            return grid
    return min(grids, key=lambda grid: grid.block[0] * grid.block[1])


def _plan_one(image: Image, model: Model, settings: SegmentSettings) -> Grid:
    stride, empty = model.spec.stride, grid_of(image, model, settings)
    if model.spec.input_px is not None:  # the whole image is one window
        return replace(empty, block=image.shape)
    working = empty.working or image.shape
    if settings.block_px is not None:
        rows, cols = (
            round_up(settings.block_px * source / other, stride)
            for source, other in zip(image.shape, working, strict=True)
        )
        return replace(empty, block=(rows, cols))
    from napari_cellseg.nets.backends import BACKENDS, pick_backend, run_device
    from napari_cellseg.predict.memory import bytes_beside, bytes_per_px, cpu_bytes, window_px

    device = run_device(settings.backend, settings.device)
    backend = pick_backend(
        model, backend=settings.backend, device=device, precision=settings.precision, work_px=0
    )
    needed = BACKENDS[backend].held(model, device, settings.precision, bytes_per_px(model))
    if not device.startswith("cuda"):  # there the rest lies elsewhere
        needed += bytes_beside(model.spec.channels, model.spec.outputs)
    most = cpu_bytes()
    for within in (most, 2 * most, 4 * most):
        most_px = window_px(needed, device=device, cpu_bytes=within)
        block = block_shape(image.shape, most_px, halo=empty.halo, stride=stride, working=working)
        grid = replace(empty, block=block)
        if grid.cost < MOSTLY_HALO:
            break
    return grid


def grid_of(image: Image, model: Model, settings: SegmentSettings, block: tuple[int, int] = (0, 0)) -> Grid:
    """Return the grid of one model with blocks (y, x) of this size in source pixels."""
    spec = model.spec
    _check_channels(image, spec)
    halo = round_up(spec.halo_px if settings.halo_px is None else settings.halo_px, spec.stride)
    if spec.input_px is not None:
        halo = 0
    return Grid(image.shape, block, halo, spec.stride, _working_shape(image, spec))


def label_threshold(model: Models, settings: SegmentSettings) -> float | None:
    """Return the probability from which a pixel is the class: as set, or as validation chose it.

    None where the settings ask for neither: the likeliest class wins. Of several models
    the mean counts.

    Raises
    ------
    CellsegError
        If one is set and the model knows more than two classes, or a model has none from validation.
    """
    models = ensemble(model)
    if settings.threshold is not None and models[0].spec.outputs != 2:
        raise CellsegError(
            f"threshold {settings.threshold} for {models[0].spec.outputs} classes",
            "one for two classes only",
            "leave it out",
        )
    if settings.threshold is not None or not settings.validated_threshold:
        return settings.threshold
    found = [one.spec.threshold for one in models if one.spec.threshold is not None]
    if len(found) < len(models):
        raise CellsegError(
            "a model without a threshold from validation",
            "one of two classes that was trained on whole masks",
            "leave --validated-threshold out, or give a --threshold",
        )
    return sum(found) / len(found)


def _check_channels(image: Image, spec: ModelSpec) -> None:
    if image.channels == spec.channels:
        return
    remedy = "use a model that was trained on such images"
    if spec.channels == 1:
        remedy = f"convert the image to grey or take one of its channels, or {remedy}"
    raise CellsegError(
        f"{image.path or image.name}: {image.channels} channel{'s' * (image.channels != 1)}",
        f"{spec.channels} as in the images the model was trained on",
        remedy,
    )


def _working_shape(image: Image, spec: ModelSpec) -> tuple[int, int]:
    if spec.pixel_nm is not None and image.pixel_nm is None:
        log.warning("%s has no pixel size: taken to be the model's, %g nm", image.name, spec.pixel_nm)
    elif spec.pixel_nm is not None and image.pixel_nm is not None:
        ratio = image.pixel_nm / spec.pixel_nm
        if not 1 / WIDEST <= ratio <= WIDEST:
            name = image.path or image.name
            raise CellsegError(
                f"{name}: pixels of {image.pixel_nm:g} nm for a model of {spec.pixel_nm:g} nm",
                f"at most a factor of {WIDEST:g} between them",
                "give the right size with --pixel-nm",
            )
    return spec.working_shape(image.shape, image.pixel_nm)
