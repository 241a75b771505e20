"""What the tests of the served page share: one page for all of them, and a browser for each file."""

import pytest

from tests.app.served import make_runs, opened_browser, served


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """Runs for the page, and a secret beside them that links below them lead to."""
    made = tmp_path_factory.mktemp("app")
    make_runs(made / "runs")
    (made / "secret.txt").write_text("not for the page")
    make_runs(made / "outside")
    (made / "runs" / "linked").symlink_to(made / "outside" / "sweep" / "0", target_is_directory=True)
    (made / "runs" / "single" / "0000030.png").symlink_to(made / "secret.txt")
    return made


@pytest.fixture(scope="package")
def site(folder):
    """The page, with dlib's detector, which finds rendered faces too."""
    with served(folder, f"runs={folder / 'runs'}", "uploads.file_mb=2") as found:
        yield found


@pytest.fixture(scope="module")  # while it is open, playwright holds the thread's event loop, which other tests need
def browser(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("browser")) as found:
        yield found
