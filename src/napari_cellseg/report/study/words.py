"""What the figures of a study mean, in sentences."""

from collections.abc import Sequence

from napari_cellseg.report.study.outcome import Training
from napari_cellseg.report.study.results import RANKED_BY, StudyReport, SystemResult

LOUD = "WARNING: "  # how a training begins what must be known before its figures are believed


def alike(report: StudyReport, system: SystemResult) -> list[str]:
    """Return the names of the systems that cannot be told apart from this one, by rank."""
    found = []
    for other in report.ranked:
        if other.name == system.name:
            continue
        one = system.versus.get(other.name) or other.versus.get(system.name)
        if one is not None and one["better"] is None:
            found.append(other.name)
    return found


def verdict(report: StudyReport) -> list[str]:
    """Return sentences: which system is best, which are as good, which are worse, and how sure that is.

    Examples
    --------
    >>> from pathlib import Path
    >>> from napari_cellseg.images.annotation import Classes
    >>> verdict(StudyReport(Path(), "", "", Classes.of("cell"), (), {"seed-1": ("a",)}, ()))
    ['No system got through the study.']
    """
    if not report.ranked:
        return ["No system got through the study."]
    best, *others = report.ranked
    images = count(len(report.test_images), "image")
    sentences = [
        f"{best.name} comes first, with a mean F1 of {with_interval(best)} on {images} it never saw."
    ]
    same = [other for other in others if best.versus[other.name]["better"] is None]
    worse = [other for other in others if best.versus[other.name]["better"] is not None]
    known = [other for other in same if best.versus[other.name]["interval"] is not None]
    for other in known:
        sentences.append(
            f"{best.name} and {other.name} cannot be told apart on {_these(report)}: "
            f"{_difference(best, other)}."
        )
    unknown = [other.name for other in same if other not in known]
    if unknown:
        sentences.append(
            f"Whether {listed(unknown)} {'is' if len(unknown) == 1 else 'are'} really worse, "
            f"{images} cannot say."
        )
    if worse:
        sentences.append(
            f"{best.name} is better than "
            + listed([f"{other.name} ({_difference(best, other)})" for other in worse])
            + "."
        )
    return sentences


def lead(report: StudyReport) -> str:
    """Return the result in a sentence or two: who is first, and who is as good for all one can tell."""
    first = verdict(report)[0]
    same = alike(report, report.ranked[0]) if report.ranked else []
    return f"{first} It cannot be told apart from {listed(same)}." if same else first


def warnings(report: StudyReport) -> list[str]:
    """Return what a reader must know before believing the ranking."""
    said = [f"{one.name} got no rank. {one.failures[0]}." for one in report.systems if one.failures]
    short = [
        system.name
        for system in report.ranked
        if any(one.training and one.training.ended == "time" for one in system.outcomes)
    ]
    if short:
        said.append(
            f"The time budget ended the training of {listed(short)} before the last epoch: with more time "
            "the order may be another."
        )
    said += cautions(
        [(one.name, [done.training for done in one.outcomes if done.training]) for one in report.ranked]
    )
    note = next((one.pooled["interval"]["note"] for one in report.ranked if one.pooled), None)
    if note:
        said.append(note[0].upper() + note[1:].rstrip(".") + ".")
    if len(report.ranked) > 2:
        said.append(
            "Each pair is looked at by itself: of twenty pairs that do not differ, one is expected to look "
            "as if it did."
        )
    return said


def cautions(trained: Sequence[tuple[str, Sequence[Training]]]) -> list[str]:
    """Return the loud notices of trainings, each once, with the names of the systems it is about.

    Examples
    --------
    >>> said = Training(1, "cpu", "float32", (), 1, "done", 1.0, 1.0, notices=("WARNING: no weights.",))
    >>> cautions([("a", [said]), ("b", [said])])
    ['No weights. So it was with a and b.']
    """
    about: dict[str, list[str]] = {}
    for name, trainings in trained:
        for notice in dict.fromkeys(notice for one in trainings for notice in one.notices):
            if notice.startswith(LOUD):
                about.setdefault(notice.removeprefix(LOUD), []).append(name)
    return [
        f"{notice[0].upper()}{notice[1:]} So it was with {listed(names)}." for notice, names in about.items()
    ]


def with_interval(system: SystemResult) -> str:
    """Return the figure ranked by with its interval: ``0.931 (0.912 to 0.947)``."""
    assert system.pooled is not None
    interval = system.pooled["intervals"][RANKED_BY]
    return number(system.pooled[RANKED_BY]) + (f" ({_range(interval)})" if interval else "")


def number(value: float | None) -> str:
    """Return a figure with three decimals; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def count(many: int, what: str) -> str:
    """Return a number of things.

    Examples
    --------
    >>> count(1, "image"), count(6, "image")
    ('1 image', '6 images')
    """
    return f"{many} {what}{'s' * (many != 1)}"


def _these(report: StudyReport) -> str:
    many = len(report.test_images)
    return "this image" if many == 1 else f"these {many} images"


def _difference(best: SystemResult, other: SystemResult) -> str:
    found = best.versus[other.name]
    if found["difference"] is None:
        return "difference unknown"
    interval = f", 95 % interval {_range(found['interval'], signed=True)}" if found["interval"] else ""
    return f"difference {found['difference']:+.3f}{interval}"


def _range(interval: Sequence[float], *, signed: bool = False) -> str:
    low, high = interval
    return f"{low:+.3f} to {high:+.3f}" if signed else f"{low:.3f} to {high:.3f}"
