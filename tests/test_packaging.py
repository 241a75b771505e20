"""What is installed works from any folder: conf/ and the weights travel in the wheel, however pip puts it there."""

import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SEE = (
    "from simswap.settings.words import CONF_DIR; from simswap.models.builtin import WEIGHTS; print(CONF_DIR); "
    "print(len(list(WEIGHTS.iterdir())))"
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what a checkout holds, so that building leaves nothing in this one."""
    place = tmp_path_factory.mktemp("checkout") / "simswap"
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "conf"):
        shutil.copytree(REPOSITORY / name, place / name, ignore=skipped)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, place / name)
    return place


def run(command, folder, **environment) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=inherited | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_a_wheel_holds_every_file_of_conf_and_runs_from_another_folder(checkout, tmp_path):
    (checkout / "build" / "lib" / "simswap" / "conf").mkdir(parents=True, exist_ok=True)
    (checkout / "build" / "lib" / "simswap" / "conf" / "gone.yaml").write_text("of an earlier build")
    build = "from setuptools import build_meta; print(build_meta.build_wheel(r'{}'))".format(tmp_path / "dist")
    run([sys.executable, "-c", build], checkout)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        record = next(name for name in archive.namelist() if name.endswith("RECORD"))
        assert "simswap/conf/experiment/demo.yaml" in archive.read(record).decode()
    installed = tmp_path / "site" / "simswap"
    assert files_of(installed / "conf") == files_of(REPOSITORY / "conf")
    assert files_of(installed / "weights") == files_of(REPOSITORY / "src" / "simswap" / "weights")
    assert (installed / "py.typed").is_file()  # type checkers of other projects read the annotations
    assert (tmp_path / "site" / "hydra_plugins" / "simswap_sweeping" / "study_sweeper.py").is_file()
    (tmp_path / "elsewhere").mkdir()
    shown = run(
        [sys.executable, "-m", "simswap.train", "experiment=demo", "--cfg", "job"],
        tmp_path / "elsewhere",
        PYTHONPATH=str(tmp_path / "site"),
    )
    assert "name: demo" in shown
    conf, count = run([sys.executable, "-c", SEE], tmp_path / "elsewhere", PYTHONPATH=str(tmp_path / "site")).split()
    assert conf == str(installed / "conf")
    assert int(count) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "editable", "target", "from an sdist"])
def test_however_pip_installs_it(how, checkout, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # pip asks other languages' tools for their versions, and those write into the home folder.
    alone = {"PATH": os.defpath, "PIP_CACHE_DIR": str(tmp_path / "cache")}
    run([sys.executable, "-m", "venv", str(tmp_path / "venv")], elsewhere, **alone)
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # Python 3.11's venv brings a setuptools older than pyproject.toml asks for, which would stand before the one here.
    run([*pip, "uninstall", "--yes", "setuptools"], elsewhere, **alone)
    own = Path(run([python, "-c", "import site; print(site.getsitepackages()[0])"], elsewhere).strip())
    # What it needs is taken from here, not fetched; its own .pth files are not read, so neither is this checkout.
    (own / "others.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    given = str(checkout)
    if how == "from an sdist":
        build = f"from setuptools import build_meta; print(build_meta.build_sdist(r'{tmp_path}'))"
        run([python, "-c", build], checkout)
        given = str(next(tmp_path.glob("*.tar.gz")))
    place = tmp_path / "target"
    more = {"editable": ["-e"], "target": ["--target", str(place)]}.get(how, [])
    run([*pip, "install", "--no-deps", "--no-build-isolation", "--no-index", *more, given], elsewhere, **alone)
    path = {"PYTHONPATH": str(place)} if how == "target" else {}
    conf, count = run([python, "-c", SEE], elsewhere, **path).split()
    home = {"editable": checkout, "target": place / "simswap"}.get(how, own / "simswap")
    assert Path(conf) == home / "conf"
    assert int(count) >= 5
    script = place / "bin" / "simswap-train" if how == "target" else tmp_path / "venv" / "bin" / "simswap-train"
    shown = run([python, str(script), "experiment=lfw", "--cfg", "job"], elsewhere, **path)
    assert "name: lfw" in shown
