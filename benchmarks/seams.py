"""Labels of a trained model in blocks of 512 px with their halo, against a single pass of 2048 x 2048 px.

`agreement` is over all pixels, `agreement_at_borders` over those within 8 px of a border
between blocks, where a seam would be; `agreement_elsewhere` over the rest. The image is
IMAGE, repeated and mirrored where it is smaller.

    python benchmarks/seams.py MODEL.safetensors IMAGE
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from napari_cellseg.images.micrographs import Image, read_image
from napari_cellseg.nets.model import load_model
from napari_cellseg.predict.labels import labels_from
from napari_cellseg.predict.segment import plan_grid, segment
from napari_cellseg.settings import SegmentSettings

SIDE_PX, BLOCK_PX, BORDER_PX = 2048, 512, 8


def main() -> None:
    """Compare and print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path)
    arguments = parser.parse_args()
    model, image = load_model(arguments.model), mosaic(read_image(arguments.image))
    labels, borders = [], np.zeros(image.shape, bool)
    for block_px in (BLOCK_PX, SIDE_PX):
        settings = SegmentSettings(block_px=block_px, precision="float32")
        grid = plan_grid(image, model, settings=settings)
        for axis, chunks in enumerate(grid.chunks):
            for border in np.cumsum(chunks)[:-1]:
                near = [slice(None), slice(None)]
                near[axis] = slice(border - BORDER_PX, border + BORDER_PX)
                borders[tuple(near)] = True
        print(f"{grid.counts} blocks, halo {grid.halo} px", file=sys.stderr)
        labels.append(labels_from(segment(image, model, settings=settings)).compute(scheduler="synchronous"))
    same = labels[0] == labels[1]
    line = {
        "benchmark": "seams",
        "agreement": round(float(same.mean()), 6),
        "agreement_at_borders": round(float(same[borders].mean()), 6),
        "agreement_elsewhere": round(float(same[~borders].mean()), 6),
        "at_least": 0.999,
        "halo_px": model.spec.halo_px,
        "share_of_class": round(float((labels[1] == 2).mean()), 4),
    }
    print(json.dumps(line))


def mosaic(image: Image) -> Image:
    """Return a 2048 x 2048 image made of `image`, mirrored at its edges."""
    pixels = image.read(slice(None), slice(None))
    after = [(0, 0), *((0, max(0, SIDE_PX - side)) for side in image.shape)]
    pixels = np.pad(pixels, after, mode="symmetric")[:, :SIDE_PX, :SIDE_PX]
    return Image.from_array(pixels if len(pixels) > 1 else pixels[0], pixel_nm=image.pixel_nm)


if __name__ == "__main__":
    main()
