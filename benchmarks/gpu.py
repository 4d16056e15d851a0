"""Whole micrographs from disk through a graphics card to labels and OME-Zarr, against the network alone.

    python benchmarks/gpu.py [--device cuda] [--files 16] [--model MODEL.safetensors]

Runs alone: micrographs are simulated, and U-Net/ResNet18 is trained briefly unless a model is given.
`over_raw` is the wall time of the files over that of the network on the same pixels, which lie on the card
already, run in the fastest of three ways (`window_seconds`: as it is, compiled, as a CUDA graph);
`agreement` that of the labels with PyTorch in float32. States the hardware, the precision and the block.
Prints one JSON line last. `--device cpu --side-px 512 --files 2` tries the script itself.
"""

import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
from segment import train_briefly

LIMITS = {"over_raw": 1.2, "micrographs_per_second": 20.0}
PASSES = 7
COPIES = 4  # different micrographs; the others are the same again, under other names


def gpu(
    *,
    device: str = "cuda",
    files: int = 16,
    side_px: int = 3710,
    model: Path | None = None,
    precision: str = "auto",
    runs: int = 3,
    scheduler: str = "",
) -> None:
    """Time both and print one JSON line.

    Parameters
    ----------
    device
        cuda, mps or cpu.
    files, side_px
        How many micrographs, and their rows; columns are a little more.
    model
        A trained one.
    precision
        As in `segment`.
    runs
        The median of so many.
    scheduler
        local:N lets N processes share the card: one reads and writes while another computes.
    """
    import torch

    from napari_cellseg.images.micrographs import read_image
    from napari_cellseg.nets.backends import pick_device, pick_precision
    from napari_cellseg.nets.machine import cpu_name
    from napari_cellseg.nets.model import load_model
    from napari_cellseg.predict.segment import plan_grid
    from napari_cellseg.settings import SegmentSettings

    device = pick_device(device)
    precision = pick_precision(precision, device)
    settings = SegmentSettings(device=device.split(":")[0], backend="torch", precision=precision)
    folder = Path(tempfile.mkdtemp(prefix="cellseg-gpu-"))
    try:
        paths = micrographs(folder, files, (side_px, side_px + 128))
        if model is None:
            train_briefly(folder)
            model = folder / "model.safetensors"
        loaded, image = load_model(model), read_image(paths[0])
        grid = plan_grid(image, loaded, settings=settings)
        whole = [
            streamed(folder / f"out{run}", paths, model, settings, scheduler) for run in range(runs + 1)
        ][1:]
        alone = raw(loaded, grid.window, device, precision)
        windows = image.shape[0] * image.shape[1] / (grid.window[0] * grid.window[1])
        agreement = agreeing(loaded, image, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    fastest = min(taken for taken in alone.values() if isinstance(taken, float))
    seconds, network = statistics.median(whole), fastest * windows
    peak = torch.cuda.max_memory_allocated() / 1e6 if device.startswith("cuda") else None
    line = {
        "benchmark": "gpu",
        "hardware": torch.cuda.get_device_name() if device.startswith("cuda") else cpu_name(),
        "device": device,
        "precision": precision,
        "torch": torch.__version__,
        "block": grid.block,
        "shape": image.shape,
        "files": files,
        "scheduler": scheduler,
        "seconds_per_micrograph": round(seconds, 4),
        "micrographs_per_second": round(1 / seconds, 2),
        "raw_seconds": round(network, 4),
        "window_seconds": alone,
        "over_raw": round(seconds / network, 3),
        "agreement": round(agreement, 6),
        "peak_mb": None if peak is None else round(peak),
        "limits": LIMITS,
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(line))


def micrographs(folder: Path, files: int, shape: tuple[int, int]) -> list[Path]:
    """Write simulated micrographs of 16 bits."""
    import tifffile

    from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph

    paths = []
    for number in range(files):
        path = folder / f"mic_{number:03}.tif"
        if number < COPIES:
            plane = simulate_micrograph(number, settings=SimulateSettings(shape=shape)).image
            low, high = np.percentile(plane, [0.01, 99.99])
            pixels = ((plane - low) / (high - low) * 60_000).clip(0, 65_535)
            tifffile.imwrite(path, pixels.astype(np.uint16))
        else:
            shutil.copy(paths[number % COPIES], path)
        paths.append(path)
    return paths


def streamed(out: Path, paths: list[Path], model: Path, settings: Any, scheduler: str) -> float:
    """Return the seconds of a file, from the first one read to the last result.

    With a scheduler those of the second half, when every process has loaded the model.
    """
    from napari_cellseg.predict.batch import segment_files
    from napari_cellseg.predict.segment_file import FileDone

    ends = [time.perf_counter()]
    for record in segment_files(paths, model, out, settings=settings, scheduler=scheduler):
        if not isinstance(record, FileDone):
            continue
        if record.status != "done":
            raise RuntimeError(record.message)
        ends.append(time.perf_counter())
    shutil.rmtree(out)
    half = len(paths) // 2 if scheduler else 0
    return (ends[-1] - ends[half]) / (len(paths) - half)


def raw(model: Any, window: tuple[int, int], device: str, precision: str) -> dict[str, float | str]:
    """Return the seconds of the network alone for a window that lies on the device, by the way it is run.

    As it is, compiled and as a CUDA graph; or why that cannot be done.
    """
    import torch

    from napari_cellseg.nets.backends import autocast, fixed_shapes

    net = model.net.eval().to(device, memory_format=torch.channels_last)
    batch = torch.zeros((1, model.spec.channels, *window), device=device)
    batch = batch.contiguous(memory_format=torch.channels_last)
    taken: dict[str, float | str] = {}
    with torch.inference_mode(), fixed_shapes(), autocast(device, precision):
        ways: dict[str, Callable[[], Callable[[], Any]]] = {"as it is": lambda: partial(net, batch)}
        if device.startswith("cuda"):
            ways["compiled"] = lambda: partial(torch.compile(net, dynamic=False), batch)
            ways["graph"] = lambda: captured(net, batch)
        for name, prepared in ways.items():
            try:
                taken[name] = paced(prepared(), device)
            except RuntimeError as error:
                taken[name] = str(error).strip().splitlines()[0][:200]
    return taken


def captured(net: Any, batch: Any) -> Callable[[], Any]:
    """Return what replays a pass as a CUDA graph."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # cuDNN makes its choices and workspaces before
        net(batch)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        net(batch)
    return graph.replay


def paced(forward: Callable[[], Any], device: str) -> float:
    """Return the median seconds of a pass, the first ones left out."""
    seconds = []
    for _ in range(2 + PASSES):
        began = time.perf_counter()
        forward()
        wait(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[2:])


def wait(device: str) -> None:
    """Wait for the device."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def agreeing(model: Any, image: Any, settings: Any) -> float:
    """Return the share of labels that are as in float32."""
    from napari_cellseg.predict.labels import Encode
    from napari_cellseg.predict.segment import plan_grid, segment_grid

    found, exact = (
        segment_grid(
            image,
            model,
            plan_grid(image, model, settings=one),
            settings=one,
            encode=Encode(model.spec.outputs),
        )[-1].compute(scheduler="synchronous")
        for one in (settings, settings.model_copy(update={"precision": "float32"}))
    )
    return float((found == exact).mean())


if __name__ == "__main__":
    cyclopts.run(gpu)
