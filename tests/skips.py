"""Why a test may be skipped where nothing may be missing (``pytest --all-there``, as .ci/run has it)."""

from collections.abc import Iterator
from typing import Any

import pytest

NO_GPU, NO_SHARED, NO_BROWSER = ALLOWED = ("no GPU", "no shared files", "no browser")
"""How the reason of an allowed skip begins."""


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why it was skipped; empty where it was not (an expected failure is none)."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return ""
    words = report.longrepr[2] if isinstance(report.longrepr, tuple | list) else str(report.longrepr)
    return words.removeprefix("Skipped: ") or "no reason"


def is_allowed(reason: str) -> bool:
    return reason.startswith(ALLOWED)


class AllThere:
    """A plugin that makes a suite fail where a test is skipped for another reason than those in `ALLOWED`."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._judge(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._judge(report)

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = reason_of(report)
        line = f"{report.nodeid}: {reason}"
        if reason and not is_allowed(reason) and line not in self.found:
            self.found.append(line)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        yield
        if self.found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.found:
            terminalreporter.section("skipped for a reason that is not allowed here", red=True, bold=True)
            for line in self.found:
                terminalreporter.write_line(line)
