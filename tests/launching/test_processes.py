"""A job in processes of its own: values and errors come back, no rank waits in vain, none outlives its parent."""

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from simswap.errors import InputError, JobFailed
from simswap.launching import processes, ranks
from simswap.launching.claims import claimed
from simswap.launching.folders import let_go, run_folder, run_record
from simswap.launching.meeting import word_of_rank_0
from tests.stub_door import be_job_7_in, start
from tests.waiting import is_alive, started, until

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``run("done", "wait", …)``: a stub job with an action a rank, in a Hydra job whose folder is tmp_path."""
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    be_job_7_in(tmp_path)
    return start


def pids(folder: Path) -> list[int]:
    return [int(file.read_text()) for file in sorted(folder.glob("started_*"))]


def test_the_value_of_rank_0_comes_back_with_config_and_job(run, tmp_path):
    assert run("done", "done") == (0.5, 7)  # the resolved number, and the number of the job in its sweep
    assert len(set(pids(tmp_path))) == 2
    assert os.getpid() not in pids(tmp_path)


def test_a_killed_rank_ends_the_others_and_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    with pytest.raises(JobFailed, match=r"^rank 1 of 2 was killed by signal 9 \(SIGKILL\); the other"):
        run("wait", "kill")
    assert not [pid for pid in pids(tmp_path) if is_alive(pid)]


def test_errors_come_back_as_they_were_raised(run, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    with pytest.raises(InputError, match=r"^the data is not there$"):
        run("input", "wait")
    with pytest.raises(JobFailed, match=r"^the job's process failed: ZeroDivisionError: nothing to") as fault:
        run("fault")
    assert 'raise ZeroDivisionError("nothing' in fault.value.trace


def test_an_interrupt_reaches_every_rank_once(run, tmp_path):
    def interrupt():
        until(lambda: len(list(tmp_path.glob("ready_*"))) == 2, "two ranks that wait")
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="go on with resume=here"):
        run("interrupt", "interrupt")
    sender.join()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel to end children with their parent")
def test_ranks_die_with_a_killed_parent(tmp_path):
    # What a killed parent can not remove any more stays in the test's own folder.
    place = os.environ | {"TMPDIR": str(tmp_path)}
    with started(sys.executable, "-m", "tests.stub_door", tmp_path, cwd=REPOSITORY, env=place) as parent:
        children = until(lambda: len(pids(tmp_path)) == 2 and pids(tmp_path), "two ranks", parent)
        parent.kill()
        parent.wait()
        until(lambda: not any(is_alive(pid) for pid in children), "the end of both ranks")


# What torchrun and srun put into the environment.
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
SRUN = {"SLURM_JOB_ID": "4711", "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"}


def test_ranks_are_read_from_the_environment():
    assert ranks.from_environment({}) is None
    assert ranks.from_environment(TORCHRUN) == ranks.Ranks("torchrun", 1, 4)
    assert ranks.from_environment(SRUN) == ranks.Ranks("srun", 1, 2)
    assert ranks.from_environment(SRUN | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}) is None
    assert ranks.from_environment(SRUN | {"SLURM_JOB_NAME": "interactive"}) is None
    # a sweep inside of a Slurm job starts its own ranks
    own = SRUN | {ranks.HANDOFF: "folder", "RANK": "0", "WORLD_SIZE": "3"}
    assert ranks.from_environment(own) == ranks.Ranks("simswap", 0, 3)
    with pytest.raises(InputError, match="must be whole numbers"):
        ranks.from_environment(TORCHRUN | {"RANK": "first"})


def test_ranks_of_srun_agree_on_the_folder_and_one_writes_the_record(tmp_path, monkeypatch):
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    assert run_folder(None, "demo") == "outputs/demo/slurm_4711"
    job = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(tmp_path / "slurm_4711")}}})
    assert run_record(None, _root_=job) is None
    assert not (tmp_path / "slurm_4711").exists()
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert run_folder(None, "demo") == "outputs/demo/slurm_4711"
    assert run_record("outputs/demo/old", _root_=job) is None
    assert run_record(None, _root_=job) == run_record(None, _root_=job) == ".hydra"
    let_go()
    with claimed(tmp_path / "slurm_4711", "training"):  # another start's: its record stays as it is
        assert run_record(None, _root_=job) is None


def test_ranks_of_torchrun_take_rank_0s_proposal(monkeypatch):
    from datetime import timedelta

    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=20))
    for name, value in (TORCHRUN | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}).items():
        monkeypatch.setenv(name, value)
    asked: list[str] = []

    def propose(name: str):
        return lambda: asked.append(name) or name

    with ThreadPoolExecutor() as pool:
        other = pool.submit(ranks.agree_on_name, propose("of rank 1"))  # waits for rank 0
        first = word_of_rank_0(ranks.Ranks("torchrun", 0, 4), propose("first"))
        assert first == other.result() == "first"
    # after a restart by torchrun
    assert word_of_rank_0(ranks.Ranks("torchrun", 0, 4), propose("second")) == "first"
    assert asked == ["first"]  # whoever proposes has made a folder
