"""Which folders and files of runs the page can be asked for."""

import pytest

from simswap.app.run_folders import RunFolders
from simswap.errors import InputError
from tests.comparison.made import made_run


@pytest.fixture
def runs(tmp_path):
    root = tmp_path / "runs"
    for name in ("sweep/2", "sweep/10", "single", "deep/a/x", "deep/b/y"):
        made_run(root / name)
    made_run(tmp_path / "outside" / "run")
    (root / "linked").symlink_to(tmp_path / "outside" / "run", target_is_directory=True)
    return RunFolders(root)


def test_runs_and_folders_of_them(runs):
    names = ["deep/a/x", "deep/b/y", "single", "sweep/2", "sweep/10"]
    assert runs.names() == names  # in natural order, and without the one that a link leads to
    assert runs.groups() == {"all 5 runs": names, "deep/": names[:2], "sweep/": names[3:]}
    assert runs.chosen(["sweep/", "single", "sweep/2"]) == ["single", "sweep/2", "sweep/10"]
    assert runs.chosen([]) == []


@pytest.mark.parametrize(
    "name", ["..", "../outside/run", "linked", "/etc", "no such", "single/../../outside/run", "a\0b"]
)
def test_nothing_outside(runs, name):
    with pytest.raises(InputError, match="no such file or folder below runs="):
        runs.folder(name)


@pytest.mark.parametrize("file", ["metrics.csv", "samples/0000010.png", ".hydra/config.yaml", "evaluations/two.json"])
def test_a_run_whose_file_is_a_link_out_is_not_read(runs, tmp_path, file):
    secret = tmp_path / "secret"
    secret.write_text("s")
    path = runs.root / "single" / file
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(secret)
    with pytest.raises(InputError, match="is a link out of runs="):
        runs.folder("single")
    assert runs.folder("sweep/2").name == "2"


def test_grids_in_order_and_checkpoints(runs):
    folder = runs.root / "single"
    for place in ("samples", "checkpoints"):
        (folder / place).mkdir(exist_ok=True)
    for name in ("0000100", "0000020", "notes"):
        (folder / "samples" / f"{name}.png").write_bytes(b"")
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"")
    assert list(runs.grids("single")) == [20, 100]
    assert list(runs.checkpoints()) == ["single/checkpoints/last.ckpt"]


def test_a_missing_folder_is_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"runs=.*there is no such folder"):
        RunFolders(tmp_path / "none")
