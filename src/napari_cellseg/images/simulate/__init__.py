"""Simulated images with known truth: cryo-EM micrographs of thin filaments, fields of cells, single cells.

A micrograph is made as the microscope makes it: projected potential of actin, tropomyosin
and troponin on curved paths in granular ice, contrast transfer, dose, shot noise,
detector. See docs/simulation.md for what is modelled and what is not.
"""

from napari_cellseg.images.simulate.cell_field import CellFieldSettings, SimulatedCells, simulate_cells
from napari_cellseg.images.simulate.ideas_export import (
    IdeasExportSettings,
    SimulatedExport,
    simulate_ideas_export,
)
from napari_cellseg.images.simulate.micrograph import simulate_micrograph
from napari_cellseg.images.simulate.settings import SimulateSettings
from napari_cellseg.images.simulate.simulated import Simulated
from napari_cellseg.images.simulate.strokes import sparse_annotation
from napari_cellseg.images.simulate.sweeps import sweep_background
from napari_cellseg.images.simulate.truth_files import write_mask, write_micrograph, write_truth

__all__ = [
    "CellFieldSettings",
    "IdeasExportSettings",
    "SimulateSettings",
    "Simulated",
    "SimulatedCells",
    "SimulatedExport",
    "simulate_cells",
    "simulate_ideas_export",
    "simulate_micrograph",
    "sparse_annotation",
    "sweep_background",
    "write_mask",
    "write_micrograph",
    "write_truth",
]
