"""A training that only talks: prints the records of one, as a child process would."""

import json
import sys
import time
from pathlib import Path


def say(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


def main(run: Path, seconds: float, steps: int, end: str):
    print("a library says hello")
    say(
        "started",
        device="cpu",
        precision="float32",
        train_windows=3,
        validation_windows=1,
        train_images=1,
        validation_images=1,
        parameters=10,
        notices=["no ImageNet weights: trained from scratch"],
    )
    print("epoch 0 of 2: loss 1.9", file=sys.stderr, flush=True)
    if end == "broken":
        sys.exit("the disk is full")
    if end == "refused":
        print("napari-cellseg: only one class is annotated; expected two", file=sys.stderr)
        sys.exit(2)
    reason = "done"
    for step in range(1, steps + 1):
        time.sleep(seconds / steps)
        say("step", step=step, steps=steps, loss=1 / step, seconds_left=seconds * (1 - step / steps))
        say(
            "epoch",
            epoch=step,
            epochs=steps,
            train_loss=1 / step,
            validation_loss=1.2 / step,
            score=step / steps,
            dice={"bar": step / steps},
            learning_rate=0.001,
            seconds=1.0,
            best=True,
        )
        if (run / "stop").exists() and end != "deaf":
            reason = "cancelled"
            break
    say(
        "finished",
        model=str(run / "best.safetensors"),
        best_epoch=1,
        score=0.5,
        reason=reason,
        seconds=1.0,
        halo_px=32,
    )
    if reason == "cancelled":
        print("napari-cellseg: stopped; the best so far is kept", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
