"""The registry of figures: every number that an evaluation or a validation can report, declared once.

Everything that shows, stores or compares a figure reads this table: the evaluator, the printed table, the comparison
page, W&B, the check of ``sweep.metrics`` and docs/figures.md (``python -m simswap.metrics.figures`` prints its table).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from simswap.errors import InputError
from simswap.settings.words import nearest


class Interval(NamedTuple):
    """A mean with its 95 % interval; NaN where it is not known."""

    value: float
    low: float
    high: float


class Heading(NamedTuple):
    """A column of the printed table: two lines of ASCII above it, and how many decimals it shows."""

    first: str
    second: str
    decimals: int


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: Its key in evaluation.json and in Parquet files; a validation logs it as ``val/<name>``.
        label: Its name in tables and on axes.
        definition: One line of Markdown for docs/figures.md.
        unit: Its unit where it is shown; empty for none.
        factor: What the stored number is multiplied by where it is shown.
        decimals: Shown on the comparison page.
        better: Which values are better; None if neither are.
        printed: Its column in the printed table; None keeps it out.
        required: Whether every evaluation must have it. Required figures form the first printed table.
        headline: Whether the comparison page shows it unless ``columns=`` says otherwise.
        validated: Whether a validation logs it.
        best: Whether W&B's summary keeps a run's best value beside the last one.
        share: Whether it is a share of 0/1 outcomes (Wilson's interval); otherwise it is a mean (Student's t).
        per_target: Whether it belongs to a target swapped with itself and so counts once per distinct target.
        interval: Whether it has an interval at all.
        instrument: The instrument that decides it, by its key in evaluation.json's protocol; empty if none does.
        compute: The function that computes it from `simswap.measuring.predictions.PairPredictions`, or its dotted
            name, so that the registry imports no torch; None for the figures of `simswap.measuring.measured`.
    """

    name: str
    label: str
    definition: str = ""
    unit: str = ""
    factor: float = 1.0
    decimals: int = 3
    better: Literal["higher", "lower"] | None = None
    printed: Heading | None = None
    required: bool = False
    headline: bool = False
    validated: bool = False
    best: bool = False
    share: bool = False
    per_target: bool = False
    interval: bool = True
    instrument: str = ""
    compute: Callable[[Any], Any] | str | None = None

    @property
    def heading(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def goal(self) -> str:
        """``max`` or ``min``, as W&B calls it."""
        return "max" if self.better == "higher" else "min"

    def shown(self, value: float, signed: bool = False) -> str:
        """Format a stored number for the comparison page; NaN becomes "–"."""
        if value != value:
            return "–"
        text = f"{self.factor * value:{'+' if signed else ''}.{self.decimals}f}"
        return text.replace("-", "−")


_RETRIEVAL: dict[str, Any] = {"unit": "%", "factor": 100.0, "decimals": 1, "better": "higher", "share": True,
                              "instrument": "judge"}  # fmt: skip
_ANGLE: dict[str, Any] = {"unit": "°", "decimals": 2, "better": "lower", "instrument": "pose"}
_EVERYWHERE: dict[str, Any] = {"required": True, "headline": True, "validated": True}
_AGAIN: dict[str, Any] = {"per_target": True}

FIGURES = {
    figure.name: figure
    for figure in (
        Figure("id_retrieval", "ID retrieval",
               "share of results whose nearest gallery image by cosine shows S's person: max e(R)·e(g) over that "
               "person's images > max over all others'",
               **_RETRIEVAL, **_EVERYWHERE, best=True, printed=Heading("identity", "retrieval %", 1)),
        Figure("id_similarity", "cosine to source", "mean of e(R)·e(S)", better="higher", instrument="judge",
               **_EVERYWHERE, best=True, printed=Heading("cosine", "to source", 2)),
        Figure("target_similarity", "cosine to target", "mean of e(R)·e(T)", better="lower", instrument="judge",
               **_EVERYWHERE, printed=Heading("cosine", "to target", 2)),
        Figure("identity_loss", "identity loss", "mean of 1 − t(R)·t(S), as in the paper's Figure 7", better="lower",
               headline=True, instrument="recognizer", printed=Heading("identity", "loss", 2)),
        Figure("id_retrieval_without_source", "ID retrieval, source image left out",
               "the same as `id_retrieval` with the image S itself removed from the gallery; undefined if its person "
               "has no other image",
               **_RETRIEVAL, printed=Heading("retrieval %", "no source", 1)),
        Figure("id_retrieval_top5", "ID retrieval among five",
               "share of results with an image of S's person among the five nearest",
               **_RETRIEVAL, printed=Heading("retrieval %", "top 5", 1)),
        Figure("identity_share", "identity share",
               "mean of (e(R)·e(S) − e(T)·e(S)) / (1 − e(T)·e(S)), the share of the way from the target's identity to "
               "the source's; only with several judges",
               "%", 100.0, 1, "higher", instrument="judge", printed=Heading("identity", "share %", 1)),
        Figure("judges_agree", "judges agree",
               "share of results of which this judge and the first say the same: both find the source's person "
               "(`id_retrieval`) or neither does",
               **_RETRIEVAL, printed=Heading("agrees with", "1st judge %", 1)),
        Figure("judges_kappa", "judges' kappa",
               "Cohen's kappa of the same: 1 if they always agree, 0 if as often as by chance; undefined if both find "
               "everyone or both find no one",
               decimals=2, better="higher", interval=False, instrument="judge",
               printed=Heading("kappa with", "1st judge", 2)),
        Figure("pose_error_deg", "pose error", "mean of ‖p(R) − p(T)‖₂, as in the paper's Table 1", **_ANGLE,
               **_EVERYWHERE, best=True, printed=Heading("pose error", "degrees", 1)),
        Figure("yaw_error_deg", "yaw error", "mean absolute difference of yaw", **_ANGLE),
        Figure("pitch_error_deg", "pitch error", "mean absolute difference of pitch", **_ANGLE),
        Figure("roll_error_deg", "roll error", "mean absolute difference of roll", **_ANGLE),
        Figure("geodesic_error_deg", "geodesic pose error",
               "mean angle of the rotation between the two head poses (Huynh 2009)", **_ANGLE,
               printed=Heading("pose error", "geodesic deg", 1)),
        Figure("landmark_error", "landmark error",
               "mean distance between the face landmarks of R and T, divided by the distance between T's eyes",
               "eye distances", better="lower", instrument="pose", printed=Heading("landmarks", "eye dist.", 3)),
        Figure("expression_error", "expression error",
               "mean distance between the shapes of R's and T's eyes and mouth (32 of 68 landmarks), pose and place "
               "removed, divided by the distance between the eyes",
               "eye distances", better="lower", instrument="pose", printed=Heading("expression", "eye dist.", 3)),
        Figure("gaze_error_deg", "gaze error",
               "mean angle between R's estimated gaze and T's true gaze, relative to the head; open eyes only", "°",
               decimals=1, better="lower", instrument="gaze", printed=Heading("gaze error", "degrees", 1)),
        Figure("self_reconstruction_l1", "self-reconstruction L1",
               "mean absolute pixel difference between T swapped with itself and T", decimals=4, better="lower",
               **_EVERYWHERE, **_AGAIN, best=True, printed=Heading("self-recon-", "struction L1", 3)),
        Figure("self_reconstruction_psnr", "self-reconstruction PSNR", "PSNR of the same swaps, at most 58.9 dB", "dB",
               decimals=1, better="higher", **_AGAIN, printed=Heading("self-recon.", "PSNR dB", 1)),
        Figure("self_reconstruction_ssim", "self-reconstruction SSIM",
               "SSIM of the same swaps (Wang et al. 2004), Gaussian window of 11 px", better="higher", **_AGAIN,
               printed=Heading("self-recon.", "SSIM", 3)),
        Figure("self_reconstruction_lpips", "self-reconstruction LPIPS", "LPIPS of the same swaps (Zhang et al. 2018)",
               better="lower", **_AGAIN, instrument="lpips", printed=Heading("self-recon.", "LPIPS", 3)),
        Figure("lpips", "LPIPS to target", "mean LPIPS between R and T (Zhang et al. 2018)", better="lower",
               instrument="lpips", printed=Heading("LPIPS", "to target", 3)),
        Figure("fid", "FID", "Fréchet distance between the features of results and targets (Heusel et al. 2017)",
               decimals=1, better="lower", interval=False, instrument="fid", printed=Heading("FID", "", 2)),
        Figure("jitter_pose_deg", "pose jitter",
               "mean length of the pose's second difference, p(t−1) − 2p(t) + p(t+1)", **_ANGLE,
               printed=Heading("jitter", "pose deg", 2)),
        Figure("jitter_identity", "identity jitter",
               "mean length of the second difference of the judge's embedding", better="lower", instrument="judge",
               printed=Heading("jitter", "identity", 3)),
    )
}  # fmt: skip
"""Every figure by its name, in the order of all tables."""


def register(figure: Figure, compute: Callable[[Any], Any]) -> None:
    """Add a figure that is computed from each pair of faces; a package opened by ``trusted=`` calls this at import.

    The figure then has an interval in evaluation.json and a column in evaluation_pairs.parquet. Its attributes put it
    into the printed table, the comparison page, validation and W&B.

    Args:
        figure: The new figure.
        compute: From `simswap.measuring.predictions.PairPredictions` of B pairs to a float tensor [B], NaN for a pair
            without a value.

    Raises:
        InputError: If the name is taken or no identifier, or the figure claims what a figure of pairs cannot have.
    """
    where = f"the figure {figure.name!r}"
    if figure.name in FIGURES:
        raise InputError(f"{where} is already registered: give yours another name")
    if not figure.name.isidentifier():
        raise InputError(f"{where}: use letters, digits and underscores in its name, starting with a letter")
    if figure.required or figure.per_target or not figure.interval:
        raise InputError(
            f"{where}: a registered figure is one number per pair; leave out required, per_target, interval"
        )
    FIGURES[figure.name] = replace(figure, compute=compute)


def registered() -> list[Figure]:
    """The figures with a function of their own (`Figure.compute`), such as those that `register` added."""
    return [figure for figure in FIGURES.values() if figure.compute is not None]


JUDGES = "judges."
"""Begins the name of a further judge's figure, ``judges.<judge>.<figure>``, where all figures have one name."""


SHOWN_OF_JUDGES = ("id_retrieval", "identity_share", "judges_agree", "judges_kappa")
"""A further judge's figures on the comparison page unless ``columns`` says otherwise; no raw cosines, which mean
something else for each recognizer."""


def of_judge(judge: str, name: str) -> str:
    """The name of a further judge's figure, as it is reached in a swapper's results in evaluation.json."""
    return f"{JUDGES}{judge}.{name}"


def judge_of(name: str) -> tuple[str, str]:
    """The reverse of `of_judge`: (judge, figure); the judge is empty for a figure of the first."""
    judge, _, figure = name.removeprefix(JUDGES).partition(".") if name.startswith(JUDGES) else ("", "", name)
    return judge, figure


def figure(name: str) -> Figure:
    """The figure of this name; an unknown one, such as another user's, is shown under its own name."""
    judge, own = judge_of(name)
    found = FIGURES.get(own) or Figure(own, own.replace("_", " "))
    return replace(found, name=name, label=f"{found.label}, {judge}") if judge else found


def required() -> list[Figure]:
    """The figures that every evaluation must have."""
    return [figure for figure in FIGURES.values() if figure.required]


def validated() -> dict[str, Figure]:
    """The figures of a validation by their names in metrics.csv and W&B, ``val/<name>``."""
    return {f"val/{name}": figure for name, figure in FIGURES.items() if figure.validated}


def choose(asked: Iterable[str] | None, available: Iterable[str]) -> list[Figure]:
    """Choose the figures of the comparison page.

    Args:
        asked: Their names; None for the headline figures that the runs have. With further judges, these are followed
            by the first one's identity share and by `SHOWN_OF_JUDGES` of each further judge.
        available: The names of the figures that the runs have.

    Raises:
        InputError: If no run has a figure that was asked for.
    """
    there = list(available)
    if asked is None:
        headline = [name for name, figure in FIGURES.items() if figure.headline]
        if judges := dict.fromkeys(judge for name in there if (judge := judge_of(name)[0])):
            headline += ["identity_share", *(of_judge(judge, name) for judge in judges for name in SHOWN_OF_JUDGES)]
        return [figure(name) for name in dict.fromkeys(headline) if name in there]
    for name in asked:
        if name not in there:
            raise InputError(f"columns: no run has the figure {name}{nearest(name, there)}")
    return [figure(name) for name in asked]


def table() -> str:
    """The table of docs/figures.md in Markdown."""
    lines = ["| figure | definition | unit | better | in | interval | decided by |", "|---|---|---|---|---|---|---|"]
    for one in FIGURES.values():
        places = {"table": one.printed, "page": one.headline, "validation": one.validated, "W&B best": one.best}
        interval = ("Wilson" if one.share else "t") + (", per target" if one.per_target else "")
        unit = "% (stored as 0..1)" if one.unit == "%" else one.unit
        cells = [f"`{one.name}`", one.definition, unit, one.better or "",
                 ", ".join(place for place, there in places.items() if there),
                 interval if one.interval else "", one.instrument]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
