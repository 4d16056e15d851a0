"""Time and memory of segmenting a micrograph from a TIFF into OME-Zarr, against what it could cost.

`over_raw` is the wall time of the whole job over that of the network alone on the same
pixels (plain PyTorch, float32, channels last, no overlap, the fastest of three block
sizes); `over_monai` over MONAI's `SlidingWindowInferer` (512 px, overlap 0.25, Gaussian)
doing the same job with the same network. Medians of `--runs`, all in one process, in turn;
memory is that of a process that does nothing else. `--large` adds a 20,000 x 20,000 zarr:
some blocks with the same network, and the whole of it with a tiny one.

    python benchmarks/segment.py [--runs 3] [--small] [--large] [--model MODEL.safetensors]
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHAPE, SMALL, LARGE = (3838, 3710), (1024, 1024), (20_000, 20_000)
RAW_PX = (512, 1024, 1856)
LARGE_BLOCKS = 8
AGREEMENT_PX = 2048


def main() -> None:
    """Run what the command line asks for and print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--small", action="store_true", help="1024 x 1024 px: a quick look, no figure to quote"
    )
    parser.add_argument("--large", action="store_true", help="the memory of a 20,000 x 20,000 zarr as well")
    parser.add_argument(
        "--model", type=Path, help="a trained model; otherwise U-Net/ResNet18 with random weights"
    )
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](arguments)))
        return
    arguments.folder = Path(tempfile.mkdtemp(prefix="cellseg-benchmark-"))
    try:
        parts = [
            "prepare",
            "times",
            "memory",
            "agreement",
            *(["large", "large_tiny"] if arguments.large else []),
        ]
        figures: dict[str, Any] = {}
        for part in parts:
            print(f"{part} ...", file=sys.stderr, flush=True)
            figures |= in_own_process(part, arguments)
        print(json.dumps(figures))
    finally:
        shutil.rmtree(arguments.folder, ignore_errors=True)


def in_own_process(part: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of a part, measured in a fresh process."""
    command = [sys.executable, __file__, "--part", part, "--folder", str(arguments.folder)]
    command += ["--runs", str(arguments.runs), *(["--small"] if arguments.small else [])]
    command += ["--model", str(arguments.model)] if arguments.model else []
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def prepare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the micrograph and the models."""
    import tifffile
    import torch
    import zarr
    from scipy.ndimage import gaussian_filter

    from napari_cellseg.images.annotation import Classes
    from napari_cellseg.nets.model import ModelSpec, new_model, save_model

    shape = SMALL if arguments.small else SHAPE
    rng = np.random.default_rng(0)
    plane = (
        gaussian_filter(rng.normal(size=shape).astype(np.float32), 8) * 4_000 + rng.normal(size=shape) * 300
    )
    pixels = (plane + 10_000).clip(0, 65_535).astype(np.uint16)
    tifffile.imwrite(arguments.folder / "micrograph.tif", pixels)
    large = zarr.create_array(
        arguments.folder / "large.zarr", shape=LARGE, chunks=(1000, 1000), dtype=np.uint16
    )
    tile = np.ascontiguousarray(pixels[:1000, :1000])
    for top in range(0, LARGE[0], 1000):
        large[top : top + 1000] = np.tile(tile, (1, LARGE[1] // 1000))
    for name, options in {"model": {}, "tiny": {"width": 2, "depth": 3}}.items():
        torch.manual_seed(0)
        spec = ModelSpec(
            "unet", "resnet18", Classes.of("filament"), stride=2 ** options.get("depth", 5), options=options
        )
        model = new_model(spec)
        save_model(arguments.folder / f"{name}.safetensors", spec, model.net)
    return {"shape": list(shape), "model": str(arguments.model or "random weights")}


def times(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the whole job, the network alone and MONAI, in turn."""
    model = load(arguments)
    raw_px, seconds = {}, {"ours": [], "raw": [], "monai": []}
    for size in RAW_PX:
        raw_px[size] = raw(arguments, model, size)
    best = min(raw_px, key=lambda size: raw_px[size])
    for run in range(arguments.runs):
        seconds["ours"].append(ours(arguments, model))
        seconds["raw"].append(raw_px[best] if run == 0 else raw(arguments, model, best))
        seconds["monai"].append(monai(arguments, model))
        print({name: round(values[-1], 2) for name, values in seconds.items()}, file=sys.stderr, flush=True)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "seconds": round(median["ours"], 2),
        "raw_seconds": round(median["raw"], 2),
        "monai_seconds": round(median["monai"], 2),
        "over_raw": round(median["ours"] / median["raw"], 3),
        "over_monai": round(median["ours"] / median["monai"], 3),
        "raw_px": best,
        "runs": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
    }


def ours(arguments: argparse.Namespace, model: Any, source: str = "micrograph.tif", blocks: int = 0) -> float:
    """Return the seconds from the file to labels TIFF and OME-Zarr; of the first `blocks` only if given."""
    from napari_cellseg.images.micrographs import Image, read_image
    from napari_cellseg.predict.batch import write_labels_tiff
    from napari_cellseg.predict.stream import segment_to

    out = arguments.folder / "ours.ome.zarr"
    start = time.perf_counter()
    if source.endswith(".zarr"):  # a plain array, as other programs write them
        import dask.array as da

        image = Image(da.from_zarr(arguments.folder / source), "large")
    else:
        image = read_image(arguments.folder / source)
    steps = segment_to(image, model, out, settings=settings(), overwrite=True)
    for step in steps:
        if step.done == blocks:
            steps.close()
            return time.perf_counter() - start
    write_labels_tiff(out, arguments.folder / "ours_labels.tif")
    return time.perf_counter() - start


def raw(arguments: argparse.Namespace, model: Any, size: int) -> float:
    """Return the seconds of the network alone, in blocks of `size` px without overlap."""
    import torch

    pixels = torch.from_numpy(normalised(arguments))[None]
    net = model.net.eval().to("cpu", memory_format=torch.channels_last)
    start = time.perf_counter()
    with torch.inference_mode():
        for top in range(0, pixels.shape[2], size):
            for left in range(0, pixels.shape[3], size):
                block = pixels[:, :, top : top + size, left : left + size]
                net(block.contiguous(memory_format=torch.channels_last))
    return time.perf_counter() - start


def monai(arguments: argparse.Namespace, model: Any) -> float:
    """Return the seconds of MONAI's inferer from the same file to the same output."""
    import torch
    from monai.inferers import SlidingWindowInferer

    from napari_cellseg.images.micrographs import read_image
    from napari_cellseg.images.normalise import intensity_figures
    from napari_cellseg.predict.batch import write_labels_tiff
    from napari_cellseg.predict.segment import plan_grid
    from napari_cellseg.predict.store import begin_result

    net = model.net.eval().to("cpu", memory_format=torch.channels_last)
    inferer = SlidingWindowInferer(roi_size=(512, 512), sw_batch_size=1, overlap=0.25, mode="gaussian")
    out = arguments.folder / "monai.ome.zarr"
    start = time.perf_counter()
    image = read_image(arguments.folder / "micrograph.tif")
    pixels = intensity_figures(image).apply(image.read(slice(None), slice(None)))
    with torch.inference_mode():
        batch = torch.from_numpy(pixels)[None].contiguous(memory_format=torch.channels_last)
        probabilities = inferer(batch, net)[0].softmax(0).numpy()
    grid = plan_grid(image, model, settings=settings().model_copy(update={"block_px": 1024}))
    result = begin_result(out, grid, classes=model.spec.classes, pixel_nm=None, identity={}, threshold=None)
    for row in range(grid.counts[0]):
        for col in range(grid.counts[1]):
            rows, cols = grid.tile(row, col).write
            result.write(rows, cols, probabilities[:, rows, cols])
    result.finish(out)
    write_labels_tiff(out, arguments.folder / "monai_labels.tif")
    return time.perf_counter() - start


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the peak of a process that does the job once."""
    ours(arguments, load(arguments))
    return {"peak_mb": peak_mb()}


def large(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the peak of some blocks of a 20,000 x 20,000 zarr with the same network."""
    seconds = ours(arguments, load(arguments), "large.zarr", LARGE_BLOCKS)
    return {"large_peak_mb": peak_mb(), "large_blocks": LARGE_BLOCKS, "large_seconds": round(seconds, 1)}


def large_tiny(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the peak of the whole 20,000 x 20,000 zarr with a tiny network."""
    arguments.model = arguments.folder / "tiny.safetensors"
    seconds = ours(arguments, load(arguments), "large.zarr")
    return {"large_tiny_peak_mb": peak_mb(), "large_tiny_seconds": round(seconds, 1)}


def agreement(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare labels in blocks of 512 px with those of a single pass."""
    from dataclasses import replace

    from napari_cellseg.images.micrographs import read_image
    from napari_cellseg.predict.segment import labels_from, segment

    model, image = load(arguments), read_image(arguments.folder / "micrograph.tif")
    crop = replace(image, data=image.data[:AGREEMENT_PX, :AGREEMENT_PX])
    tiled, whole = (
        labels_from(segment(crop, model, settings=settings().model_copy(update={"block_px": size}))).compute(
            scheduler="synchronous"
        )
        for size in (512, AGREEMENT_PX)
    )
    return {"agreement": round(float((tiled == whole).mean()), 6)}


def settings() -> Any:
    """Return the settings all parts share: what the raw pass runs on."""
    from napari_cellseg.settings import SegmentSettings

    return SegmentSettings(device="cpu", backend="torch", precision="float32")


def load(arguments: argparse.Namespace) -> Any:
    """Return the model."""
    from napari_cellseg.nets.model import load_model

    return load_model(arguments.model or arguments.folder / "model.safetensors")


def normalised(arguments: argparse.Namespace) -> np.ndarray:
    """Return the micrograph (c, y, x) ready for the network, its sides made multiples of 32."""
    from napari_cellseg.images.micrographs import read_image
    from napari_cellseg.images.normalise import intensity_figures

    image = read_image(arguments.folder / "micrograph.tif")
    pixels = intensity_figures(image).apply(image.read(slice(None), slice(None)))
    return np.pad(pixels, [(0, 0), *((0, -side % 32) for side in image.shape)], mode="reflect")


def peak_mb() -> int:
    """Return the most memory this process held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**20


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "prepare": prepare,
    "times": times,
    "memory": memory,
    "agreement": agreement,
    "large": large,
    "large_tiny": large_tiny,
}

if __name__ == "__main__":
    main()
