"""What can be set about tracing, and about finding points."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import Settings


class TraceSettings(Settings):
    """How filaments are traced. A length given in px wins over the same in nm."""

    tracer: str = Field("pairing", description="How; see `napari-cellseg list tracers`.")
    label: int = Field(2, ge=1, le=65_535, description="Of labels: the index that is the filament.")
    threshold: float = Field(0.5, gt=0, lt=1, description="Of probabilities: the value at a filament's edge.")
    width_nm: float | None = Field(
        None, gt=0, description="About how wide a filament is, in nm; empty = as measured."
    )
    width_px: float | None = Field(None, gt=0, description="The same in pixels.")
    gap_nm: float | None = Field(
        None, ge=0, description="Longest gap that is closed between ends in line, in nm; empty = one width."
    )
    gap_px: float | None = Field(None, ge=0, description="The same in pixels.")
    min_length_nm: float | None = Field(
        None, ge=0, description="Shorter filaments are left out, in nm; empty = two and a half widths."
    )
    min_length_px: float | None = Field(None, ge=0, description="The same in pixels.")
    min_radius_nm: float | None = Field(
        None,
        ge=0,
        description="Tightest bend (1 / curvature) in nm: filaments that bend more sharply are left out.",
    )
    min_radius_px: float | None = Field(None, ge=0, description="The same in pixels.")
    edge_nm: float | None = Field(
        None, ge=0, description="What lies closer to the border of the image is cut off, in nm."
    )
    edge_px: float | None = Field(None, ge=0, description="The same in pixels.")

    def pixels(self, name: str, pixel_nm: float | None) -> float | None:
        """Return a length in pixels; None if it is not given.

        Parameters
        ----------
        name : str
            The length without its unit: "width", "gap", "min_length", "min_radius" or "edge".
        pixel_nm : float or None
            Pixel size.

        Raises
        ------
        CellsegError
            If it is given in nm and the pixel size is unknown.

        Examples
        --------
        >>> TraceSettings(gap_nm=10).pixels("gap", 0.5)
        20.0
        """
        in_px: float | None = getattr(self, f"{name}_px")
        in_nm: float | None = getattr(self, f"{name}_nm")
        if in_px is not None or in_nm is None:
            return in_px
        if pixel_nm is None:
            raise CellsegError(
                f"{name}_nm = {in_nm:g} for an image without a pixel size",
                f"{name}_px for such images",
                "or give the pixel size",
            )
        return in_nm / pixel_nm


class PointSettings(Settings):
    """How points are made of what a model says that was trained from points."""

    label: int = Field(2, ge=2, le=65_535, description="Index of the class that is the points.")
    min_score: float = Field(0.3, gt=0, lt=1, description="Smoothed probability from which there is a point.")
    smooth_nm: float = Field(
        1.0, ge=0, le=100, description="Width of the smoothing before points are looked for, in nm."
    )
    apart_nm: float = Field(4.0, ge=0, le=1000, description="Points are at least so far apart, in nm.")
    reach_nm: float = Field(
        8.0, gt=0, le=1000, description="Points further from a filament do not belong to it, in nm."
    )
    use_spacing: bool = Field(
        True, description="Where filaments are given: look along them for points at the known spacing."
    )
    spacing_nm: float = Field(
        38.5, gt=0, le=10_000, description="Known spacing along a filament in nm; 38.5 is that of troponin."
    )
    spread_nm: float = Field(1.5, gt=0, le=1000, description="How much the spacing varies, in nm.")
    prior: float = Field(
        1.0, ge=0, le=10, description="How much the spacing counts beside what is seen; 0 = not."
    )
    least_evidence: float = Field(
        3.0,
        ge=-20,
        le=100,
        description="With filters: log-likelihood ratio from which a site that stands alone counts.",
    )
    strands: Annotated[Literal[1, 2], BeforeValidator(int)] = Field(
        2, description="Points at a site: 2 = one on either strand, opposite each other."
    )
    stagger_nm: float = Field(
        2.75, ge=0, le=1000, description="How far the second strand is ahead along the filament, in nm."
    )
    doubtful: float = Field(
        0.5,
        gt=0,
        le=1,
        description="With the spacing, points of a row count down to this share of the least score.",
    )
