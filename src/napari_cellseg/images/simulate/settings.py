"""What can be set about a simulated micrograph."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from napari_cellseg.settings import Settings


def _as_range(value: object) -> object:
    return (value, value) if isinstance(value, int | float) else value


def _in_order(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("the first value of a range must not exceed the second")
    return value


Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=8, le=20_000)]
_checks = (BeforeValidator(_as_range), AfterValidator(_in_order))
Range = Annotated[tuple[float, float], *_checks]
PositiveRange = Annotated[tuple[Positive, Positive], *_checks]
ShareRange = Annotated[tuple[Share, Share], *_checks]
CountRange = Annotated[tuple[Count, Count], *_checks]


class SimulateSettings(Settings):
    """How a micrograph of thin filaments is simulated; of a range, each micrograph draws a value."""

    shape: tuple[Side, Side] = Field((3710, 3838), description="Rows and columns in pixels.")
    pixel_nm: float = Field(0.137, ge=0.02, le=4, description="Pixel size in nm.")
    filaments: CountRange = Field((4, 10), description="Range of the number of filaments.")
    width_nm: float = Field(10.0, gt=0, le=50, description="Width of a filament in the mask in nm.")
    length_um: float = Field(1.5, gt=0, le=100, description="Mean length of a filament in micrometres.")
    persistence_um: PositiveRange = Field(
        (3.0, 12.0), description="Range of the persistence length in micrometres."
    )
    spread_degrees: float = Field(
        35.0, ge=0, le=180, description="Spread of the directions about a common one."
    )
    disorder_degrees: float = Field(1.5, ge=0, le=20, description="Twist disorder from subunit to subunit.")
    tropomyosin: bool = Field(True, description="Put tropomyosin on the filaments.")
    troponin_occupancy: float = Field(
        0.9, ge=0, le=1, description="Share of the troponin sites that are taken."
    )
    defocus_um: Range = Field((1.0, 3.5), description="Range of the underfocus in micrometres.")
    astigmatism_um: float = Field(0.02, ge=0, le=1, description="Half the difference of the two defoci.")
    voltage_kv: float = Field(300.0, ge=60, le=1000, description="Acceleration voltage.")
    cs_mm: float = Field(2.7, ge=0, le=10, description="Spherical aberration.")
    amplitude_contrast: ShareRange = Field((0.07, 0.1), description="Range of the amplitude contrast.")
    b_factor_angstrom2: Range = Field((100.0, 200.0), description="Range of the envelope's B factor.")
    dose: PositiveRange = Field(
        (15.0, 60.0), description="Range of the dose in electrons per square angstrom."
    )
    shot_noise: bool = Field(
        True, description="Draw the electrons; without it the expected counts are given."
    )
    detector_blur: float = Field(0.08, ge=0, le=0.24, description="Signal that a pixel gives each neighbour.")
    ice_mottling: float = Field(
        0.006, ge=0, le=0.3, description="Spread of the brightness from spot to spot."
    )
    ice_granularity: float = Field(0.1, ge=0, le=1, description="Phase noise of the ice in rad angstrom.")
    ice_unevenness: float = Field(0.05, ge=0, le=0.3, description="Spread of the brightness over the field.")
    monomers_per_um2: float = Field(150.0, ge=0, le=1e5, description="Loose actin monomers in the ice.")
    lumps: CountRange = Field((2, 20), description="Range of the number of lumps of ice contamination.")
    lump_radius_nm: PositiveRange = Field((5.0, 90.0), description="Range of the radius of a lump.")
    carbon: float = Field(0.25, ge=0, le=1, description="Probability of a carbon edge in the field.")
    hole_radius_um: float = Field(0.6, gt=0, le=10, description="Radius of the holes of the carbon film.")

    @property
    def field_nm(self) -> tuple[float, float]:
        """Place (row, col) of the last pixel's centre in nm."""
        return ((self.shape[0] - 1) * self.pixel_nm, (self.shape[1] - 1) * self.pixel_nm)
