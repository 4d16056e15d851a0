"""Time and memory of segmenting a micrograph from a TIFF into OME-Zarr, against what it could cost.

`over_raw` is the wall time of the whole job over that of the network alone on the same
pixels (same backend and number format, no overlap, the fastest of three block sizes), and
`cpu_over_raw` the same in processor time, which other jobs on the machine hardly change;
`over_monai` says how many times as long MONAI's `SlidingWindowInferer` (512 px, overlap 0.25,
Gaussian, PyTorch in float32) takes for the same job with the same network; `agreement` is
that of the labels with one pass of PyTorch in float32 over 2048 x 2048 px. Medians of `--runs`,
each in a process of its own, in turn, the third time there; memory is that of a process that does
nothing else. The micrograph is simulated, and so are those on which U-Net/ResNet18 is trained briefly
if no model is given: labels of random weights hang on the last digit everywhere.
`--large` adds a zarr of `--large-px` pixels a side: some blocks with the same network, and the
whole of it with a tiny one.

    python benchmarks/segment.py [--backend openvino] [--model MODEL.safetensors] [--large]
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHAPE, SMALL = (3838, 3710), (1024, 1024)
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
    parser.add_argument("--large", action="store_true", help="the memory of a large zarr as well")
    parser.add_argument("--large-px", type=int, default=20_000)
    parser.add_argument("--backend", default="auto", help="what runs the network: auto, torch, openvino")
    parser.add_argument("--precision", default="auto")
    parser.add_argument(
        "--model", type=Path, help="a trained model; otherwise U-Net/ResNet18 is trained for two minutes"
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
    command += ["--backend", arguments.backend, "--precision", arguments.precision]
    command += ["--large-px", str(arguments.large_px), *(["--large"] if arguments.large else [])]
    command += ["--model", str(arguments.model)] if arguments.model else []
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def prepare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the micrograph and the models."""
    import tifffile
    import torch
    import zarr

    from napari_cellseg.images.annotation import Classes
    from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph
    from napari_cellseg.nets.backends import fastest_backend
    from napari_cellseg.nets.machine import cpu_name
    from napari_cellseg.nets.model import ModelSpec, new_model, save_model

    shape = SMALL if arguments.small else SHAPE
    plane = simulate_micrograph(1, settings=SimulateSettings(shape=shape)).image
    low, high = np.percentile(plane, [0.01, 99.99])
    pixels = ((plane - low) / (high - low) * 60_000).clip(0, 65_535).astype(np.uint16)
    tifffile.imwrite(arguments.folder / "micrograph.tif", pixels)
    if arguments.large:
        side = arguments.large_px
        large = zarr.create_array(
            arguments.folder / "large.zarr", shape=(side, side), chunks=(1000, 1000), dtype=np.uint16
        )
        tile = np.ascontiguousarray(pixels[:1000, :1000])
        for top in range(0, side, 1000):
            large[top : top + 1000] = np.tile(tile, (1, side // 1000))
    torch.manual_seed(0)
    tiny = ModelSpec("unet", "resnet18", Classes.of("filament"), stride=8, options={"width": 2, "depth": 3})
    save_model(arguments.folder / "tiny.safetensors", tiny, new_model(tiny).net)
    if not arguments.model:
        train_briefly(arguments.folder)
    network = load(arguments)
    backend = arguments.backend
    if backend == "auto":
        backend = fastest_backend(network, device="cpu", precision=arguments.precision)
    return {
        "shape": list(shape),
        "model": arguments.model.name if arguments.model else "trained briefly",
        "backend": backend,
        "precision": arguments.precision,
        "machine": f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores",
    }


def train_briefly(folder: Path) -> None:
    """Train U-Net/ResNet18 from scratch on two simulated micrographs of 1024 x 1024 px."""
    import tifffile

    from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph

    (folder / "train").mkdir()
    for seed in (11, 12):
        made = simulate_micrograph(seed, settings=SimulateSettings(shape=SMALL))
        tifffile.imwrite(folder / "train" / f"{seed}.tif", made.image)
        tifffile.imwrite(
            folder / "train" / f"{seed}_mask.tif", (made.mask == made.mask.max()).astype(np.uint8) * 255
        )
    command = [sys.executable, "-m", "napari_cellseg", "train", str(folder / "model.safetensors")]
    command += ["--images", *(str(folder / "train" / f"{seed}.tif") for seed in (11, 12))]
    command += ["--masks", *(str(folder / "train" / f"{seed}_mask.tif") for seed in (11, 12))]
    command += ["--polarity", "bright", "--no-pretrained", "--epochs", "3", "--steps", "25", "--batch", "4"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def times(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the whole job, the network alone and MONAI, each in a process of its own, in turn."""
    spent: dict[str, list[np.ndarray]] = {"ours": [], "raw": [], "monai": []}
    for _ in range(arguments.runs):
        for name, values in spent.items():
            values.append(np.array(in_own_process(name, arguments)["spent"]))
        print({name: np.round(values[-1], 2) for name, values in spent.items()}, file=sys.stderr, flush=True)
    median = {name: np.median(values, axis=0) for name, values in spent.items()}
    over_raw, cpu_over_raw = median["ours"] / median["raw"]
    return {
        "seconds": round(median["ours"][0], 2),
        "raw_seconds": round(median["raw"][0], 2),
        "monai_seconds": round(median["monai"][0], 2),
        "over_raw": round(over_raw, 3),
        "cpu_over_raw": round(cpu_over_raw, 3),
        "over_monai": round(median["monai"][0] / median["ours"][0], 3),
        "runs": {name: np.round(values, 2)[:, 0].tolist() for name, values in spent.items()},
    }


def warm(job: Callable[[], np.ndarray]) -> dict[str, Any]:
    """Return what a job takes the third time: before, libraries are loaded and memory is fetched."""
    return {"spent": [job().tolist() for _ in range(3)][-1]}


def fastest_raw(arguments: argparse.Namespace) -> np.ndarray:
    """Return the time of the network alone at the best of several sizes of blocks."""
    model = load(arguments)
    return min((raw(arguments, model, size) for size in RAW_PX), key=lambda taken: taken[0])


def ours(
    arguments: argparse.Namespace, model: Any, source: str = "micrograph.tif", blocks: int = 0
) -> np.ndarray:
    """Return the seconds, by the clock and of the processor, from the file to labels TIFF and OME-Zarr.

    Of the first `blocks` only if given.
    """
    from napari_cellseg.images.micrographs import Image, read_image
    from napari_cellseg.predict.segment_file import write_labels_tiff
    from napari_cellseg.predict.stream import segment_to

    out = arguments.folder / "ours.ome.zarr"
    remove(out)
    start = clock()
    if source.endswith(".zarr"):  # a plain array, as other programs write them
        import dask.array as da

        image = Image(da.from_zarr(arguments.folder / source), "large")
    else:
        image = read_image(arguments.folder / source)
    steps = segment_to(image, model, out, settings=settings(arguments))
    for step in steps:
        if step.done == blocks:
            steps.close()
            return clock() - start
    write_labels_tiff(out, arguments.folder / "ours_labels.tif")
    return clock() - start


def raw(arguments: argparse.Namespace, model: Any, size: int) -> np.ndarray:
    """Return the same of the network alone, in blocks of `size` px without overlap."""
    from napari_cellseg.nets.backends import prepare

    pixels, asked = normalised(arguments)[None], settings(arguments)
    forward = prepare(model, backend=asked.backend, device="cpu", precision=asked.precision)
    corners = [(y, x) for y in range(0, pixels.shape[2], size) for x in range(0, pixels.shape[3], size)]
    blocks = [np.ascontiguousarray(pixels[:, :, y : y + size, x : x + size]) for y, x in corners]
    for block in {block.shape: block for block in blocks}.values():
        forward(block)  # what compiles for a shape does it here
    start = clock()
    for block in blocks:
        forward(block)
    return clock() - start


def monai(arguments: argparse.Namespace, model: Any) -> np.ndarray:
    """Return the same of MONAI's inferer from the same file to the same output."""
    import torch
    from monai.inferers import SlidingWindowInferer

    from napari_cellseg.images.micrographs import read_image
    from napari_cellseg.images.normalise import intensity_figures
    from napari_cellseg.predict.labels import Encode
    from napari_cellseg.predict.segment import plan_grid
    from napari_cellseg.predict.segment_file import write_labels_tiff
    from napari_cellseg.predict.store import begin_result

    net = model.net.eval().to("cpu", memory_format=torch.channels_last)
    inferer = SlidingWindowInferer(roi_size=(512, 512), sw_batch_size=1, overlap=0.25, mode="gaussian")
    out = arguments.folder / "monai.ome.zarr"
    remove(out)
    start = clock()
    image = read_image(arguments.folder / "micrograph.tif")
    pixels = intensity_figures(image).apply(image.read(slice(None), slice(None)))
    with torch.inference_mode():
        batch = torch.from_numpy(pixels)[None].contiguous(memory_format=torch.channels_last)
        probabilities = inferer(batch, net)[0].softmax(0).numpy()
    grid = plan_grid(image, model, settings=settings(arguments).model_copy(update={"block_px": 1024}))
    result = begin_result(out, grid, classes=model.spec.classes, pixel_nm=None, identity={}, threshold=None)
    encode = Encode(model.spec.outputs)
    for row in range(grid.counts[0]):
        for col in range(grid.counts[1]):
            rows, cols = grid.tile(row, col).write
            result.write(rows, cols, encode(probabilities[:, rows, cols]))
    result.finish(out)
    write_labels_tiff(out, arguments.folder / "monai_labels.tif")
    return clock() - start


def clock() -> np.ndarray:
    """Return the time by the clock and of the processor, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def remove(out: Path) -> None:
    """Remove a former result: taking its place is not part of the job."""
    from napari_cellseg.predict.store import part_path

    for path in (out, part_path(out)):
        shutil.rmtree(path, ignore_errors=True)


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the peak of a process that does the job once."""
    ours(arguments, load(arguments))
    return {"peak_mb": peak_mb()}


def large(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the peak of some blocks of a 20,000 x 20,000 zarr with the same network."""
    seconds = ours(arguments, load(arguments), "large.zarr", LARGE_BLOCKS)
    return {"large_peak_mb": peak_mb(), "large_blocks": LARGE_BLOCKS, "large_seconds": round(seconds[0], 1)}


def large_tiny(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the peak of the whole 20,000 x 20,000 zarr with a tiny network."""
    arguments.model = arguments.folder / "tiny.safetensors"
    seconds = ours(arguments, load(arguments), "large.zarr")
    return {"large_tiny_peak_mb": peak_mb(), "large_tiny_seconds": round(seconds[0], 1)}


def agreement(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare labels in blocks of 512 px with those of a single pass of PyTorch in float32."""
    from dataclasses import replace

    from napari_cellseg.images.micrographs import read_image
    from napari_cellseg.predict.labels import labels_from
    from napari_cellseg.predict.segment import segment

    model, image = load(arguments), read_image(arguments.folder / "micrograph.tif")
    crop = replace(image, data=image.data[:AGREEMENT_PX, :AGREEMENT_PX])
    exact = {"backend": "torch", "precision": "float32", "block_px": AGREEMENT_PX}
    tiled, whole = (
        labels_from(segment(crop, model, settings=settings(arguments).model_copy(update=other))).compute(
            scheduler="synchronous"
        )
        for other in ({"block_px": 512}, exact)
    )
    return {"agreement": round(float((tiled == whole).mean()), 6)}


def settings(arguments: argparse.Namespace) -> Any:
    """Return the settings all parts share: what the raw pass runs on."""
    from napari_cellseg.settings import SegmentSettings

    return SegmentSettings(device="cpu", backend=arguments.backend, precision=arguments.precision)


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
    "ours": lambda arguments: warm(lambda: ours(arguments, load(arguments))),
    "raw": lambda arguments: warm(lambda: fastest_raw(arguments)),
    "monai": lambda arguments: warm(lambda: monai(arguments, load(arguments))),
    "memory": memory,
    "agreement": agreement,
    "large": large,
    "large_tiny": large_tiny,
}

if __name__ == "__main__":
    main()
