"""``protocol=faceforensics`` on a tiny look-alike by the command line, against figures worked out by themselves."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from pyarrow import parquet
from tests.evaluation.lookalike import FRAMES, command, film, write_lookalike
from tests.waiting import DEADLINE, started

from simswap.evaluate import main
from simswap.evaluation import disk_work
from simswap.evaluation.frames import evenly_spaced
from simswap.faces.alignment import align, warp
from simswap.models.builtin import judge, pose_estimator

NAMES = ("000", "001", "002", "003")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_lookalike(tmp_path_factory.mktemp("ff"))


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """The folder of an evaluation by one process."""
    out = tmp_path_factory.mktemp("whole")
    start(command(videos, out, "protocol.jitter=true"))
    return out


def start(arguments: list[str]) -> None:
    """The front door in this process; it must end well."""
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["simswap-evaluate", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
    GlobalHydra.instance().clear()
    assert not left.value.code


def crops_of(path, numbers, landmarks, size=64):
    """Aligned crops of a video's frames, read and cut here by OpenCV alone."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return (
        torch.from_numpy(
            np.stack(
                [
                    warp(np.ascontiguousarray(frames[n]), align(landmarks[n], "arcface", size).matrix, size).transpose(
                        2, 0, 1
                    )
                    for n in numbers
                ]
            )
        ).float()
        / 255
    )


def test_figures_are_those_of_brute_force(whole, videos):
    content = json.loads((whole / "evaluation.json").read_text())
    table = parquet.read_table(whole / "evaluation_pairs.parquet").to_pylist()
    names = list(dict.fromkeys(line["swapper"] for line in table))
    rows = {name: {key: [line[key] for line in table if line["swapper"] == name] for key in table[0]} for name in names}
    assert list(rows) == ["trained", "Rendered", "do_nothing", "copy_source"]
    assert (content["protocol"]["gallery_images"], content["protocol"]["gallery_persons"]) == (12, 4)
    assert content["protocol"]["chance"] == pytest.approx(1 / 4)
    numbers = evenly_spaced(FRAMES, 3)
    assert numbers == [1, 3, 5]
    pairs = [("000", "001"), ("001", "000"), ("002", "003"), ("003", "002")]
    assert rows["trained"]["target"] == [f"{t}/{n}" for t, _ in pairs for n in numbers]
    assert rows["trained"]["source"] == [f"{s}/{n}" for _, s in pairs for n in numbers]

    # The same, from the files, with plain loops.
    # (landmarks as the table holds them: four decimals, single precision)
    points = [np.round(film(k, FRAMES)[1], 4).astype(np.float32).astype(np.float64) for k in range(4)]
    folder = videos / "original_sequences/youtube/c23/videos"
    gallery = torch.cat([crops_of(folder / f"{name}.mp4", numbers, points[k]) for k, name in enumerate(NAMES)])
    methods = videos / "manipulated_sequences/Rendered/c23/videos"
    results = torch.cat([crops_of(methods / f"{t}_{s}.mp4", numbers, points[int(t)]) for t, s in pairs])
    looks, turns = judge(), pose_estimator()

    def read(images):
        view = torch.zeros(len(images), dtype=torch.int64)
        with torch.no_grad():
            return looks(images).double().numpy(), turns(images, "arcface", view).double().numpy()

    (known, known_pose), (found, pose) = read(gallery), read(results)
    hits, without, errors = [], [], []
    for place, (t, s) in enumerate(pair for pair in pairs for _ in numbers):
        slot = place % 3
        cosine = [float(np.dot(found[place], known[row])) for row in range(12)]
        nearest = max(range(12), key=lambda row: cosine[row])
        hits.append(float(nearest // 3 == int(s)))
        left = [row for row in range(12) if row != int(s) * 3 + slot]
        without.append(float(max(left, key=lambda row: cosine[row]) // 3 == int(s)))
        errors.append(float(np.sqrt(sum((pose[place][k] - known_pose[int(t) * 3 + slot][k]) ** 2 for k in range(3)))))
    assert rows["Rendered"]["id_retrieval"] == hits
    assert rows["Rendered"]["id_retrieval_without_source"] == without
    assert rows["Rendered"]["pose_error_deg"] == pytest.approx(errors, abs=1e-5)
    assert sum(hits) > 6  # the source itself in the target's pose: it is found
    entry = content["results"]["Rendered"]
    assert entry["id_retrieval"]["value"] == np.mean(hits)
    assert entry["self_reconstruction_l1"]["value"] is None  # a finished swap has no self-swap
    assert entry["kind"] == "other"
    # The head turns by 2 degrees a frame, evenly: what jitter there is comes from the estimator.
    assert content["results"]["do_nothing"]["jitter_pose_deg"]["value"] < 3


def equal(one, two) -> None:
    for name in ("evaluation.json", "evaluation.png"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    first, second = (parquet.read_table(folder / "evaluation_pairs.parquet") for folder in (one, two))
    assert first.column_names == second.column_names
    for name in first.column_names:
        np.testing.assert_array_equal(first[name].to_numpy(), second[name].to_numpy(), name)  # NaN equals NaN here


@pytest.mark.slow
def test_torchrun_agrees_exactly_with_one(whole, videos, tmp_path):
    launched = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node=2",
            f"--master-port={free_port()}",
            "-m",
            "simswap.evaluate",
            *command(videos, tmp_path, "protocol.jitter=true"),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert launched.returncode == 0, launched.stderr
    equal(whole, tmp_path)


@pytest.mark.slow
def test_two_ranks_and_a_second_run_agree_exactly_with_one(whole, videos, tmp_path, door, monkeypatch):
    more = ["protocol.jitter=true"]
    # As srun sets them: nobody says where rank 0 is.
    place = {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_STEP_ID": "7",
        "SLURM_STEP_NODELIST": "localhost",
    }
    with started(
        sys.executable,
        "-m",
        "simswap.evaluate",
        *command(videos, tmp_path, *more),
        env=os.environ | place | {"SLURM_PROCID": "1", "OMP_NUM_THREADS": "1"},
    ) as other:
        for name, value in {**place, "SLURM_PROCID": "0"}.items():
            monkeypatch.setenv(name, value)
        start(command(videos, tmp_path, *more))
        assert other.wait(timeout=DEADLINE) == 0
    for name in (*place, "SLURM_PROCID"):
        monkeypatch.delenv(name)
    equal(whole, tmp_path)

    # Everything is there: the second run only reads it. What is taken away is made again, as it was.
    made = sorted((tmp_path / "evaluation_cache").rglob("*.npz"))
    for file in made[::3]:
        file.unlink()
    written = []
    monkeypatch.setattr(disk_work.np, "savez", lambda stream, **a: (written.append(1), savez(stream, **a)))
    assert door(main, *command(videos, tmp_path, *more))[0] == 0
    assert len(written) == len(made[::3])
    equal(whole, tmp_path)


savez = np.savez


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_interrupted_and_started_again_agrees_exactly(whole, videos, tmp_path, door, monkeypatch):
    done = []

    def stop_at_seven(stream, **arrays):
        done.append(1)
        if len(done) == 7:
            raise KeyboardInterrupt
        savez(stream, **arrays)

    monkeypatch.setattr(disk_work.np, "savez", stop_at_seven)
    arguments = command(videos, tmp_path, "protocol.jitter=true")
    code, _, errors = door(main, *arguments)
    assert code == 2
    assert "interrupted" in errors
    assert not (tmp_path / "evaluation.json").exists()
    assert len(list((tmp_path / "evaluation_cache").rglob("*.npz"))) == 6
    monkeypatch.undo()
    start(arguments)
    equal(whole, tmp_path)


def test_frames_are_evenly_spaced():
    assert evenly_spaced(100, 10) == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    assert evenly_spaced(3, 10) == [0, 1, 2]
    assert evenly_spaced(0, 10) == []
