"""The study of a sweep: which points were tried, their results, and which points come next.

Everything is in ``<sweep>/study.journal``, appended and synced line by line, so that a study can be resumed after its
process was killed at any moment.
"""

import csv
import io
import json
import math
import random
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import Timeout
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.launching.claims import locked
from simswap.launching.jobs import failure_of, values_of
from simswap.settings.ranges import short_seed
from simswap.settings.recorded_names import current_figure
from simswap.sweeping.space import Point, Space

JOURNAL = "study.journal"
STUDY = "sweep"
SAMPLERS = ("grid", "random", "tpe", "nsga2")
PRUNERS = ("none", "median")
MOST_TRIES = 30
"""How often a sampler is asked for an untried point before one is drawn at random."""


@dataclass(frozen=True)
class Settings:
    """The node ``sweep`` of the configuration; see conf/train.yaml. Raises InputError for contradicting settings."""

    metrics: Sequence[str]
    directions: Sequence[str]
    sampler: str
    trials: int
    population: int
    pruning: str
    seed: int

    def __post_init__(self) -> None:
        """Check the settings. Raises InputError."""
        for key, value, valid in (("sampler", self.sampler, SAMPLERS), ("pruning", self.pruning, PRUNERS)):
            if value not in valid:
                raise InputError(f"sweep.{key} is {value!r}: choose one of {', '.join(valid)}")
        if set(self.directions) - {"maximize", "minimize"} or len(self.directions) != len(self.metrics):
            raise InputError(
                f"sweep.directions={list(self.directions)}: give maximize or minimize for each of sweep.metrics="
                f"{list(self.metrics)}"
            )
        if self.pruning != "none" and len(self.metrics) > 1:
            raise InputError(
                f"sweep.pruning={self.pruning}: Optuna prunes studies of one objective only, and sweep.metrics has "
                f"{len(self.metrics)}; set sweep.pruning=none, or one metric"
            )
        if self.trials < 1:
            raise InputError(f"sweep.trials={self.trials}: give at least 1")

    def make_sampler(self, trials_before: int) -> optuna.samplers.BaseSampler:
        """A sampler; after a resume, its draws differ from those before."""
        seed = short_seed(self.seed + trials_before)
        if self.sampler == "tpe":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                # constant_liar: the trials of a batch take each other into account
                return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        if self.sampler == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=self.population)
        return optuna.samplers.RandomSampler(seed=seed)


class SweepStudy:
    """The study in a sweep's folder, new or resumed. One process holds it at a time.

    Args:
        folder: The sweep's folder; it is created if it is missing.
        space: The search space.
        settings: The study's settings.

    Raises:
        InputError: Another process runs the study, or it began with another space or other objectives.
    """

    def __init__(self, folder: Path, space: Space, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _hold(folder)
        mend(folder / JOURNAL)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(
            study_name=STUDY, storage=storage(folder), directions=list(settings.directions), load_if_exists=True
        )
        trials = self.study.get_trials(deepcopy=False)
        self.study.sampler = settings.make_sampler(len(trials))
        self.resumed = bool(trials)
        self.space = space.as_recorded(self.study.user_attrs.get("begun", {}).get("space", ()))
        self._check(
            {"metrics": list(settings.metrics), "directions": list(settings.directions), "space": self.space.describe()}
        )
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                self._recover(trial)

    def _check(self, now: dict[str, Any]) -> None:
        begun = self.study.user_attrs.get("begun")
        if begun is None:
            self.study.set_user_attr("begun", now)
            return
        begun = begun | {"metrics": [current_figure(name) for name in begun["metrics"]]}
        for key, value in now.items():
            if begun[key] != value:
                raise InputError(
                    f"{self.folder} holds a study with other {key} ({begun[key]}); give those, or another "
                    "folder for a new sweep"
                )

    def _recover(self, trial: FrozenTrial) -> None:
        """Recover a trial of a killed process: its result if its job finished, else its point is tried again."""
        job = trial.user_attrs.get("job")
        if job is not None and values_of(self.folder / str(job)) is not None:
            self.finish(trial.number, job, values_of(self.folder / str(job)))
            return
        self._set(trial.number, "lost", True)
        self.study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            self.study.enqueue_trial(trial.params)

    def _set(self, number: int, key: str, value: Any) -> None:
        Trial(self.study, self.study.trials[number]._trial_id).set_user_attr(key, value)

    @property
    def counted(self) -> list[FrozenTrial]:
        """Trials that count: complete, pruned, failed or running, without killed ones and repeated points."""
        return [
            t
            for t in self.study.get_trials(deepcopy=False)
            if t.state != TrialState.WAITING and not {"lost", "repeated"} & set(t.user_attrs)
        ]

    def missing(self) -> int:
        """How many trials are still to be run."""
        if self.settings.sampler == "grid":
            return len(self._untried())
        return self.settings.trials - len(self.counted)

    def next_job(self) -> int:
        """The number of the next job's folder: after all that exist."""
        taken = [int(path.name) for path in self.folder.iterdir() if path.name.isdecimal()]
        taken += [t.user_attrs["job"] for t in self.study.get_trials(deepcopy=False) if "job" in t.user_attrs]
        return max(taken, default=-1) + 1

    def ask(self, count: int) -> list[tuple[int, Point]]:
        """Number and point of up to ``count`` new trials; fewer if the untried points run out."""
        asked: list[tuple[int, Point]] = []
        job = self.next_job()
        while len(asked) < count:
            trial = self._ask_once()
            if trial is None:
                break
            trial.set_user_attr("job", job + len(asked))
            asked.append((trial.number, trial.params))
        return asked

    def _ask_once(self) -> Trial | None:
        """A trial with an untried point, or None if there is none."""
        if self.settings.sampler == "grid":
            untried = self._untried()
            if not untried:
                return None
            self._enqueue(untried[0])
        for attempt in range(MOST_TRIES + 1):
            tried = [t.params for t in self.counted]
            if attempt == MOST_TRIES:
                untried = self._untried()
                if not untried:
                    return None
                self._enqueue(random.Random(len(tried)).choice(untried))
            trial = self.study.ask(self.space.distributions)
            if trial.params not in tried:
                return trial
            trial.set_user_attr("repeated", True)
            self.study.tell(trial, state=TrialState.FAIL)
        return None

    def _enqueue(self, point: Point) -> None:
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting:  # a killed process's points come first
            self.study.enqueue_trial(point)

    def _untried(self) -> list[Point]:
        points = self.space.points()
        if points is None:
            if self.settings.sampler == "grid":
                raise InputError("sweep=grid needs choices, ranges or steps: an interval has no end of points")
            return []
        tried = [t.params for t in self.counted]
        return [point for point in points if point not in tried]

    def finish(self, number: int, job: int, values: Sequence[float] | None) -> str:
        """Record a trial's end: its values, or failed (with the line of its job's error.txt); gives the state."""
        trial = self.study.trials[number]
        if "pruned_at" in trial.user_attrs:
            self.study.tell(number, state=TrialState.PRUNED)
        elif values is not None and len(values) == len(self.settings.metrics) and all(map(math.isfinite, values)):
            self.study.tell(number, list(values))
        else:
            reason = failure_of(self.folder / str(job)) or f"no value of {', '.join(self.settings.metrics)}: {values}"
            self._set(number, "reason", reason)
            self.study.tell(number, state=TrialState.FAIL)
        return self.study.trials[number].state.name

    def write_table(self) -> Path:
        """``<sweep>/trials.csv``: job folder, state, settings, objectives and reason, a row for each counted trial."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        keys = list(self.space.distributions)
        writer.writerow(["job", "state", *keys, *self.settings.metrics, "reason"])
        for trial in self.counted:
            values = trial.values or [""] * len(self.settings.metrics)
            settings = [json.dumps(trial.params.get(key)) for key in keys]
            writer.writerow(
                [
                    trial.user_attrs.get("job", ""),
                    trial.state.name.lower(),
                    *settings,
                    *values,
                    trial.user_attrs.get("reason", ""),
                ]
            )
        with atomic_write(self.folder / "trials.csv") as part:
            part.write_text(buffer.getvalue(), encoding="utf-8")
        return self.folder / "trials.csv"

    def best(self) -> list[FrozenTrial]:
        """The best trial; with several objectives, the Pareto front."""
        if not any(t.state == TrialState.COMPLETE for t in self.counted):
            return []
        return self.study.best_trials

    def close(self) -> None:
        """Release the study for other processes."""
        self._lock.close()


def storage(folder: Path) -> JournalStorage:
    """Optuna's storage of the study in a sweep's folder."""
    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


def mend(journal: Path) -> None:
    """Remove an incomplete last line and the lock of a killed process."""
    for stale in journal.parent.glob(f"{journal.name}.lock*"):
        with suppress(FileNotFoundError):
            stale.unlink()
    if journal.is_file():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            with journal.open("r+b") as file:
                file.truncate(whole)


def _hold(folder: Path) -> ExitStack:
    held = ExitStack()
    try:
        held.enter_context(locked(folder / ".sweeper.lock", 0))
    except Timeout as error:
        raise InputError(f"{folder}: another process runs this sweep; wait for it, or end it first") from error
    return held
