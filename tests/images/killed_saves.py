"""Save a plane again and again, get killed, say what is on the disk then; one JSON line each.

Run as a program, so that nothing but it is forked: every round is a child of its own.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import zarr  # noqa: F401 - loaded once here and not in every child

from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.label_planes import CHUNK_PX
from napari_cellseg.images.project import Project
from napari_cellseg.images.whole_files import recover_whole, replace_whole

NAME = "mic"
CHANGES = ("replace", "fsync", "mkdir", "unlink", "rmdir")  # all that changes what is on the disk


def plane(value):
    return np.full((CHUNK_PX + 10, CHUNK_PX + 7), value, np.uint16)


def forked(work):
    """Run `work(report)` in a child; return the numbers it reported, in order, and its pid."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        work(lambda number: os.write(into, number.to_bytes(4, "big")))
        os._exit(0)
    os.close(into)
    return pid, os.fdopen(out, "rb", buffering=0)


def reopened(folder):
    """Return what a fresh program finds: the plane's values, the classes, and leftovers."""

    def look(report):
        project = Project.open(folder)
        for value in (
            len(project.classes),
            len(list(folder.rglob(".old-*"))),
            *np.unique(project.labels(NAME)),
        ):
            report(int(value))

    pid, stream = forked(look)
    numbers = np.frombuffer(stream.read(), ">u4").tolist()
    assert os.waitpid(pid, 0)[1] == 0
    return {"classes": numbers[0], "leftovers": numbers[1], "values": numbers[2:]}


def die_at(names, call):
    """Die at the given one of the calls, counted from now, to these functions of `os`."""
    seen = 0

    def deadly(real):
        def counted(*args, **kwargs):
            nonlocal seen
            seen += 1
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return counted

    for name in names:
        setattr(os, name, deadly(getattr(os, name)))


def killed_project(folder, call):
    """Save 2 over 1 and add a class, and die at a rename."""

    def work(report):
        project = Project.open(folder)
        project.set_classes(Classes.of("cell"))
        project.save_labels(NAME, plane(1))
        die_at(["replace"], call)
        project.save_labels(NAME, plane(2))
        report(2)
        project.set_classes(project.classes.added("more"))
        report(3)

    pid, stream = forked(work)
    confirmed = np.frombuffer(stream.read(), ">u4").tolist()
    return {"confirmed": confirmed, "killed": os.waitpid(pid, 0)[1] == signal.SIGKILL, **reopened(folder)}


def killed_folder(folder, call):
    """Put a folder of 2s in the place of one of 1s, and die at any change of the disk."""

    def write(value):
        with replace_whole(folder / "plain") as part:
            (part / "c").mkdir(parents=True)
            for chunk in ("c/0", "c/1", "zarr.json"):
                (part / chunk).write_text(str(value))

    def work(report):
        write(1)
        die_at(CHANGES, call)
        write(2)
        report(2)

    pid, stream = forked(work)
    confirmed = np.frombuffer(stream.read(), ">u4").tolist()
    killed = os.waitpid(pid, 0)[1] == signal.SIGKILL
    recover_whole(folder, stale_seconds=-1)
    files = [file for file in (folder / "plain").rglob("*") if file.is_file()]
    values = sorted({int(file.read_text()) for file in files})
    leftovers = len(list(folder.glob(".*")))
    return {
        "confirmed": confirmed,
        "killed": killed,
        "values": values,
        "files": len(files),
        "leftovers": leftovers,
    }


def killed_at_random(folder, start, rng):
    """Save start, start + 1, ... and die at any moment."""

    def work(report):
        project, value = Project.open(folder), start
        while True:
            project.save_labels(NAME, plane(value))
            report(value)
            value += 1

    pid, stream = forked(work)
    first = stream.read(4)
    time.sleep(rng.uniform(0.0, 0.15))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    confirmed = np.frombuffer(first + stream.read(), ">u4").tolist()
    return {"confirmed": confirmed[-1], **reopened(folder)}


def main(folder, rounds):
    rng, last = random.Random(0), 10
    for _ in range(rounds):
        found = killed_at_random(folder, last + 1, rng)
        print(json.dumps({"kind": "random", **found}), flush=True)
        last = found["values"][0]
    for kind, kill in (("folder", killed_folder), ("project", killed_project)):
        call, killed = 0, True
        while killed:
            call += 1
            found = kill(folder, call)
            killed = found["killed"]
            print(json.dumps({"kind": kind, "call": call, **found}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
