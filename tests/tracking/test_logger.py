"""W&B continues offline by itself: refused, failing, silent servers, no login; nothing hangs or asks.

Each case is a process of its own, for W&B keeps its login for the whole process; they are forks of one process that
has imported everything, which takes longest.
"""

import http.server
import json
import os
import pty
import socket
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image
from tests.waiting import finished as ended
from tests.waiting import until

from simswap.errors import InputError
from simswap.tracking.logger import alert, build_loggers, finish, log_picture

CASES = """
import json, os, sys, time
from pathlib import Path
import wandb
from simswap.tracking.logger import build_loggers, finish

def run_case(folder, jobs, environment, terminal):
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT), stream)
    # On a terminal W&B would ask for a key: nobody answers there.
    os.dup2(terminal if terminal is not None else os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(environment)
    before, start, modes, limits = dict(os.environ), time.monotonic(), [], []
    init = wandb.init
    def begun(**arguments):
        limits.append(arguments["settings"].init_timeout)
        return init(**arguments)
    wandb.init = begun
    for job in range(jobs):
        loggers = build_loggers(Path(folder) / str(job), name="a name", group="sweep", config={"seed": job},
                                init_timeout=4)
        for logger in loggers:
            logger.log_metrics({"val/id_retrieval": 0.5}, step=1)
        modes += [[logger.experiment.offline, logger.experiment.id] for logger in loggers[1:]]
        finish(loggers)
    changed = [k for k in {*before, *os.environ} if k.startswith("WANDB") and before.get(k) != os.environ.get(k)
               and k != "WANDB_SERVICE"]
    report = {"modes": modes, "limits": limits, "seconds": time.monotonic() - start, "changed": changed}
    (Path(folder) / "report.json").write_text(json.dumps(report))

children = []
for case in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        run_case(**case)
        sys.exit()
    children.append(child)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def refusing(status: int) -> int:
    """A server on the loopback that answers everything with one status; gives its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def hanging() -> int:
    """A server that takes connections and never answers; gives its port."""
    server = socket.create_server(("127.0.0.1", 0))
    kept = []

    def accept() -> None:
        while True:
            kept.append(server.accept())

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, dict]:
    """Every case's report and its lines on stderr."""
    user, terminal = pty.openpty()
    ports = {
        "refused": refusing(401),
        "failing": refusing(500),
        "hanging": hanging(),
        "nobody": 9,
        "no login": None,
        "no login, terminal": None,
    }
    cases = {}
    for name, port in ports.items():
        folder = str(tmp_path_factory.mktemp("case"))
        environment = {"HOME": folder, "NETRC": f"{folder}/none"}
        if port is not None:
            environment |= {"WANDB_BASE_URL": f"http://127.0.0.1:{port}", "WANDB_API_KEY": "0123456789" * 4}
        cases[name] = {
            "folder": folder,
            "jobs": 2 if name == "refused" else 1,
            "environment": environment,
            "terminal": terminal if "terminal" in name else None,
        }
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")} | {"OMP_NUM_THREADS": "1"}
    done = ended(sys.executable, "-c", CASES, json.dumps(list(cases.values())), env=environment, pass_fds=[terminal])
    assert done.returncode == 0
    os.close(terminal)
    os.close(user)
    folders = {name: Path(case["folder"]) for name, case in cases.items()}
    return {
        name: {
            **json.loads((folder / "report.json").read_text()),
            "folder": folder,
            "said": (folder / "err").read_text().splitlines(),
        }
        for name, folder in folders.items()
    }


@pytest.mark.parametrize("case", ["refused", "failing", "hanging", "nobody", "no login", "no login, terminal"])
def test_goes_on_offline_by_itself(outcomes, case):
    outcome = outcomes[case]
    assert all(offline for offline, _ in outcome["modes"])
    # W&B by itself waits for 90 s. What ours of 4 s take in all depends on how busy the machine is.
    assert outcome["limits"]
    assert set(outcome["limits"]) == {4}
    said = [line for line in outcome["said"] if line.startswith("W&B")]
    assert len(said) == len(outcome["modes"])
    assert all("continues offline (" in line and "wandb sync " in line for line in said)
    assert outcome["changed"] == []
    for job in range(len(outcome["modes"])):
        assert list((outcome["folder"] / str(job) / "wandb").glob("offline-run-*/*.wandb"))
        assert (outcome["folder"] / str(job) / "metrics.csv").read_text() == "step,val/id_retrieval\n1,0.5\n"


def test_without_a_login_it_is_offline_at_once(outcomes):
    # Said in words, not in seconds, which a loaded machine moves: no key, so that no server was asked or waited for.
    reason = next(line for line in outcomes["no login"]["said"] if line.startswith("W&B"))
    assert "key" in reason.lower()
    assert "timed out" not in reason
    assert outcomes["hanging"]["seconds"] >= 4  # where there is a server to wait for, it is waited for


def test_every_job_of_a_process_is_its_own_run(outcomes):
    first, second = outcomes["refused"]["modes"]
    assert first[1] != second[1]


def test_disabled_is_metrics_csv_alone(tmp_path):
    loggers = build_loggers(tmp_path, mode="disabled")
    assert [type(logger).__name__ for logger in loggers] == ["MetricsCsvLogger"]
    log_picture(loggers[0], "samples", tmp_path / "none.png", 1)
    finish(loggers)
    assert not (tmp_path / "wandb").exists()


def test_modes_come_from_the_environment_or_the_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert len(build_loggers(tmp_path)) == 1
    monkeypatch.setenv("WANDB_MODE", "of")
    with pytest.raises(InputError, match="WANDB_MODE is 'of'"):
        build_loggers(tmp_path)
    with pytest.raises(InputError, match=r"logger.mode is 'of': choose one of auto, online"):
        build_loggers(tmp_path, mode="of")


def test_without_wandb_metrics_csv_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert len(build_loggers(tmp_path, mode="offline")) == 1
    assert capsys.readouterr().err.startswith("W&B is not installed")


def test_offline_run_keeps_names_and_pictures(tmp_path):
    loggers = build_loggers(
        tmp_path / "run", mode="offline", name="n" * 200, group="g", config={"optimizer": {"lr": 0.1}}
    )
    experiment = loggers[1].experiment
    try:
        assert experiment.offline
        assert (experiment.name, experiment.group, experiment.job_type) == ("n" * 128, "g", "train")
        assert experiment.config["optimizer"] == {"lr": 0.1}
        Image.new("RGB", (4, 4)).save(tmp_path / "grid.png")
        for logger in loggers:
            logger.log_metrics({"val/id_retrieval": 0.9, "val/pose_error_deg": 3.0}, step=10)
            log_picture(logger, "samples", tmp_path / "grid.png", 10)
            logger.log_metrics({"val/id_retrieval": 0.7, "val/pose_error_deg": 5.0}, step=20)
            logger.log_metrics({"train/identity": 0.5}, step=30)  # a row is complete when the next one begins
        assert dict(experiment.summary["val/id_retrieval"]) == {"max": 0.9, "last": 0.7}
        assert dict(experiment.summary["val/pose_error_deg"]) == {"min": 3.0, "last": 5.0}
        assert experiment.summary["trainer/global_step"] == 20
        alert(loggers, "The discriminators win outright", "what to try")
        assert experiment.summary["alert"] == "The discriminators win outright: what to try"
    finally:
        finish(loggers)
    (record,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    # W&B's own process may still be writing what is to be uploaded.
    until(lambda: b"The discriminators win outright" in record.read_bytes(), "the alert in the run's file")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/files/media/images/samples_*.png"))
