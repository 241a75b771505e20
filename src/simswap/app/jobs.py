"""Long work of the page's users: its progress, and how a user cancels it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from simswap.errors import InputError

CANCELLED = "cancelled"


class Job:
    """One user's work."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def cancelled(self) -> bool:
        """Whether the user has asked to stop."""
        return self._asked.is_set()

    def cancel(self) -> None:
        """Ask to stop; the work ends at its next step."""
        self._asked.set()

    def step(self, show: Callable[..., object]) -> Callable[[float, str], None]:
        """A function to call between steps: it shows the share that is done, and ends cancelled work.

        Args:
            show: gradio's progress: takes the share and ``desc``.
        """

        def step(share: float, words: str) -> None:
            if self.cancelled():
                raise InputError(CANCELLED)
            show(share, desc=words)

        return step


class Jobs:
    """The work of all users, by the session of their browser's tab."""

    def __init__(self) -> None:
        self._jobs: dict[str, set[Job]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def begun(self, session: str) -> Iterator[Job]:
        """A job, known until the block ends."""
        job = Job()
        with self._lock:
            self._jobs.setdefault(session, set()).add(job)
        try:
            yield job
        finally:
            with self._lock:
                self._jobs[session].discard(job)
                if not self._jobs[session]:
                    del self._jobs[session]

    def cancel(self, session: str) -> bool:
        """Cancel a user's work; returns whether there was any."""
        with self._lock:
            jobs = list(self._jobs.get(session, ()))
        for job in jobs:
            job.cancel()
        return bool(jobs)
