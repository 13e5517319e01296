"""Pictures of the evaluation for the docs: scores and trade-off of the sets, and the errors within the group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.eval.features import Faces
from pipeline.eval.metrics import PairScores, all_pairs, threshold_at
from pipeline.eval.verify import people_of

BINS = np.linspace(-0.4, 1.0, 141)
MARKED = {"1e-3": 1e-3, "1e-4": 1e-4, "1e-5": 1e-5}  # the line at 1e-6 rests on five pairs


def write(
    folder: Path, sets: dict[str, Faces], baseline: dict[str, Faces], watched: str, groups: dict[str, str]
) -> None:
    """biometrics-scores.svg and biometrics-trade-off.svg of the sets; biometrics-sets.svg with the baseline beside:
    their trade-off where it counts, and FMR within the watched group over FMR overall.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "kingfisher"
    from matplotlib import pyplot as plt

    scores, members = {}, {}
    for name, seen in (baseline | sets).items():
        people, person = people_of(seen.images)
        members[name] = np.array([groups.get(p) == watched for p in people])
        scores[name] = all_pairs(seen.vectors, person, 1.0)

    figure, plots = plt.subplots(len(sets), 1, figsize=(7, 2.2 * len(sets)), sharex=True, squeeze=False)
    for name, plot in zip(sets, plots[:, 0], strict=True):
        _histogram(plot, name, scores[name])
    plots[-1, 0].set_xlabel("cosine")
    _save(figure, folder / "biometrics-scores.svg")

    figure, (roc, det) = plt.subplots(1, 2, figsize=(9, 3.6))
    for name in sets:
        fmr, fnmr, _ = _curves(scores[name], members[name])
        roc.plot(fmr, 1 - fnmr, label=name)
        det.plot(fmr, np.maximum(fnmr, 0.5 / len(scores[name].genuine)), label=name)
    roc.set(xscale="log", xlabel="FMR", ylabel="1 - FNMR", title="ROC")
    det.set(xscale="log", yscale="log", xlabel="FMR", ylabel="FNMR", title="DET")
    _with_legends(roc, det)
    _save(figure, folder / "biometrics-trade-off.svg")

    figure, (trade, ratio) = plt.subplots(1, 2, figsize=(9, 3.6))
    for name, found in scores.items():
        fmr, fnmr, within = _curves(found, members[name])
        trade.plot(fmr, fnmr, label=name)
        ratio.plot(fmr[within > 0], within[within > 0] / fmr[within > 0], label=name)
    trade.set(xscale="log", yscale="log", xlabel="FMR, all pairs", ylabel="FNMR", xlim=(1e-6, 1e-1), ylim=(2e-3, 0.5))
    ratio.set(xscale="log", yscale="log", xlabel="FMR, all pairs", ylabel=f"FMR within {watched}, times that")
    ratio.axhline(1, color="0.7", lw=0.8)
    _with_legends(trade, ratio)
    _save(figure, folder / "biometrics-sets.svg")


def _histogram(plot: Any, name: str, scores: PairScores) -> None:
    for what, values in (("the same person", scores.genuine), ("different people", scores.impostor)):
        plot.hist(values, bins=BINS, density=True, alpha=0.6, label=f"{name}: {what} ({len(values):,})")
    plot.set(yticks=[], ylim=(0, 1.45 * plot.get_ylim()[1]))  # the legend stands above the scores
    for label, far in MARKED.items():
        threshold = threshold_at(scores, far)
        if threshold is not None:
            plot.axvline(threshold, color="0.35", linewidth=0.8, linestyle="--")
            plot.annotate(
                label, (threshold, 0.6), xycoords=("data", "axes fraction"), rotation=90, ha="right", fontsize=8
            )
    plot.legend(loc="upper left", ncols=2, fontsize=8)


def _with_legends(*plots: Any) -> None:
    for plot in plots:
        plot.grid(alpha=0.3)
        plot.legend(fontsize=8)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})


def _curves(scores: PairScores, members: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """At some hundred thresholds: FMR overall, FNMR, FMR among the members alone."""
    ranks = np.unique(np.geomspace(1, len(scores.impostor), 300).astype(int)) - 1
    thresholds = scores.impostor[ranks]
    genuine = np.sort(scores.genuine)
    inside = members[scores.impostor_of].all(axis=1)
    pairs = scores.impostor_weight(np.ones(scores.people), members)
    return (
        (ranks + 1) / scores.impostors,
        np.searchsorted(genuine, thresholds) / len(genuine),
        np.cumsum(inside)[ranks] / max(1.0, pairs),
    )
