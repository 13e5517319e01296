"""One HTML page that can be mailed: figures, curves, histograms and the worst cases as thumbnails, all inside it.

matplotlib is an optional extra and is loaded only when a page is made. A page shows faces: its mode is 0600.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import EvaluationRefused, ReportUnavailable
from pipeline.eval.features import Faces
from pipeline.eval.identify import Identification, OpenSet, search
from pipeline.eval.pad import Cues, PadResult
from pipeline.eval.verify import Verification, people_of

WORST = 12  # thumbnails of each kind
THUMB = 112
BINS = np.linspace(-0.5, 1.0, 151)

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;border-bottom:1px solid #ddd}
figure{display:inline-block;margin:.3rem;font-size:12px;text-align:center}img{vertical-align:middle}
.plot{max-width:100%}.note{color:#555}"""


def ready() -> None:
    """Raises ReportUnavailable, before anything is measured, where a page could not be made."""
    _plotter()


def verification(path: Path, folder: Path, faces: Faces, result: Verification) -> None:
    """Raises ReportUnavailable without matplotlib, EvaluationRefused when the file can't be written."""
    names = [name for name, good in zip(faces.images, faces.found.tolist(), strict=True) if good]
    vectors = faces.vectors[faces.found]
    _, person = people_of(names)
    genuine, impostor, lowest, highest = _all_scores(vectors, person)
    plots = [
        _histogram({"same person": genuine, "different people": impostor}, "cosine", result.threshold_at_far),
        _trade_off(genuine, impostor),
    ]
    worst = {
        "The same person, least alike": [(f"{s:.3f}", names[a], names[b]) for s, a, b in lowest],
        "Different people, most alike": [(f"{s:.3f}", names[a], names[b]) for s, a, b in highest],
    }
    _write(path, folder, "Verification", result.as_json(), plots, worst)


def identification(path: Path, folder: Path, faces: Faces, task: OpenSet, result: Identification) -> None:
    """Raises as `verification` does."""
    index = {name: number for number, name in enumerate(faces.images)}
    rows = [index[p.image] for p in task.probes]
    found = search(faces.vectors, [index[g.image] for g in task.gallery], [g.identity for g in task.gallery], rows)
    picture = {g.identity: g.image for g in task.gallery}
    mated = np.array([probe.identity in picture for probe in task.probes])
    score = np.nan_to_num(found.score, nan=-1.0)
    kinds = {"enrolled": score[mated], "strangers": score[~mated]}
    plots = [_histogram(kinds, "best cosine", {"box": result.threshold})]
    wrong = [
        (float(score[n]), task.probes[n].image, picture[found.who[n]])
        for n in np.argsort(-score)
        if found.who[n] != task.probes[n].identity
    ][:WORST]
    missed = [
        (float(score[n]), task.probes[n].image, picture[task.probes[n].identity]) for n in np.argsort(score) if mated[n]
    ][:WORST]
    worst = {
        "Taken for somebody else, most alike": [(f"{s:.3f}", a, b) for s, a, b in wrong],
        "Enrolled, least alike": [(f"{s:.3f}", a, b) for s, a, b in missed],
    }
    _write(path, folder, "Open-set identification", result.as_json(), plots, worst)


def attacks(path: Path, folder: Path, cues: Cues, result: PadResult) -> None:
    """Raises as `verification` does."""
    seen = [(f, c.score) for f, c in zip(cues.frames, cues.liveness, strict=True) if c is not None]
    live = np.array([score for f, score in seen if not f.attack])
    attack = np.array([score for f, score in seen if f.attack])
    plots = [_histogram({"live": live, "attack": attack}, "liveness", {"box": result.threshold})]
    ordered = sorted(seen, key=lambda pair: pair[1])
    worst = {
        "Attacks that look most alive": [(f"{s:.3f}", f.image) for f, s in reversed(ordered) if f.attack][:WORST],
        "Live people that look least alive": [(f"{s:.3f}", f.image) for f, s in ordered if not f.attack][:WORST],
    }
    _write(path, folder, "Presentation attack detection", result.as_json(), plots, worst)


def _all_scores(
    vectors: NDArray[np.float32], person: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[tuple[float, int, int]], list[tuple[float, int, int]]]:
    """Genuine scores, a sample of the impostor ones that keeps all the highest, and the worst pairs of both kinds."""
    genuine, impostor = [], []
    lowest: list[tuple[float, int, int]] = []
    highest: list[tuple[float, int, int]] = []
    for start in range(0, len(vectors), 512):
        block = vectors[start : start + 512] @ vectors[start:].T
        later = np.arange(block.shape[1])[None, :] > np.arange(len(block))[:, None]
        same = (person[start : start + len(block), None] == person[None, start:]) & later
        genuine.append(block[same])
        impostor.append(block[(person[start : start + len(block), None] != person[None, start:]) & later])
        for mask, sign, into in ((same, 1.0, lowest), (later & ~same, -1.0, highest)):
            value = np.where(mask, sign * block, np.inf).ravel()
            for at in np.argpartition(value, min(WORST, value.size - 1))[:WORST]:
                if np.isfinite(value[at]):
                    row, column = divmod(int(at), block.shape[1])
                    into.append((float(block[row, column]), start + row, start + column))
    return (
        np.concatenate(genuine),
        np.concatenate(impostor),
        sorted(lowest)[:WORST],
        sorted(highest, reverse=True)[:WORST],
    )


def _plotter() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ReportUnavailable(
            "--report", "matplotlib is not installed", "pip install 'kingfisher[eval]', or leave --report away"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _histogram(kinds: Mapping[str, NDArray[Any]], axis: str, marks: Mapping[str, float | None]) -> str:
    plt = _plotter()
    figure, axes = plt.subplots(figsize=(7, 3.2))
    for name, values in kinds.items():
        if len(values):
            axes.hist(values, bins=BINS, density=True, alpha=0.6, label=f"{name} ({len(values)})")
    for name, value in marks.items():
        if value is not None:
            axes.axvline(value, color="#555", linewidth=0.8, linestyle="--")
            axes.text(value, axes.get_ylim()[1] * 0.95, name, rotation=90, va="top", ha="right", fontsize=8)
    axes.set_xlabel(axis)
    axes.set_yticks([])
    axes.legend()
    return _svg(plt, figure)


def _trade_off(genuine: NDArray[Any], impostor: NDArray[Any]) -> str:
    """ROC and DET in one drawing of two."""
    plt = _plotter()
    ordered = np.sort(impostor)[::-1]
    ranks = np.unique(np.geomspace(1, len(ordered), 400).astype(np.intp))
    fmr = ranks / len(ordered)
    fnmr = np.searchsorted(np.sort(genuine), ordered[ranks - 1], side="left") / len(genuine)
    figure, (roc, det) = plt.subplots(1, 2, figsize=(9, 3.6))
    roc.semilogx(fmr, 1 - fnmr)
    roc.set(xlabel="FMR", ylabel="1 - FNMR", title="ROC")
    det.loglog(fmr, np.maximum(fnmr, 0.5 / len(genuine)))
    det.set(xlabel="FMR", ylabel="FNMR", title="DET")
    for axes in (roc, det):
        axes.grid(alpha=0.3)
    return _svg(plt, figure)


def _svg(plt: Any, figure: Any) -> str:
    stream = io.StringIO()
    figure.tight_layout()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kingfisher"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)
    picture = base64.b64encode(stream.getvalue().encode()).decode()
    return f'<p><img class="plot" alt="" src="data:image/svg+xml;base64,{picture}"></p>'


def _write(
    path: Path,
    folder: Path,
    title: str,
    figures: Mapping[str, Any],
    plots: Sequence[str],
    worst: Mapping[str, Sequence[tuple[str, ...]]],
) -> None:
    parts = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>']
    parts += [f"<h1>{title}</h1>", '<p class="note">This page shows faces. Treat it as what it is: personal data.</p>']
    parts += [_table(figures), *plots]
    for heading, cases in worst.items():
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        for caption, *names in cases:
            thumbs = "".join(_thumbnail(folder / name) for name in names)
            parts.append(f"<figure>{thumbs}<br>{caption}<br>{'<br>'.join(map(html.escape, names))}</figure>")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(parts))
    except OSError as error:
        raise EvaluationRefused(str(path), error.strerror or str(error), "name another file: --report") from error


def _table(figures: Mapping[str, Any]) -> str:
    rows = []

    def add(name: str, value: Any, interval: Any) -> None:
        if isinstance(value, Mapping):
            inside = value.get("ci95") or interval or {}
            for key, inner in value.items():
                if key != "ci95":
                    add(f"{name} {key}", inner, inside.get(key) if isinstance(inside, Mapping) else None)
            return
        if isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value[:20])) or "none"
        shown = f"{value:.4g}" if isinstance(value, float) else "not measurable" if value is None else str(value)
        between = f"{interval[0]:.4g} to {interval[1]:.4g}" if isinstance(interval, (list, tuple)) else ""
        rows.append(f"<tr><td>{html.escape(name)}<td>{html.escape(shown)}<td>{between}")

    for name, value in figures.items():
        if not name.startswith("ci95"):
            add(name, value, figures["ci95"].get(name))
    return f"<table><tr><th>figure<th>value<th>95 %{''.join(rows)}</table>"


def _thumbnail(path: Path) -> str:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMB, THUMB))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}">'
