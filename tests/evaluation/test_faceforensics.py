"""``protocol=faceforensics`` on a tiny look-alike by the command line, against figures worked out by themselves."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from pyarrow import parquet
from tests.evaluation.lookalike import FRAMES, film, write_lookalike, write_video
from tests.test_train import one_line
from tests.waiting import DEADLINE, started

from simswap.data.video import count_frames, read_frames
from simswap.evaluate import main
from simswap.evaluation import disk_work
from simswap.evaluation.frames import evenly_spaced
from simswap.faces.alignment import align, warp
from simswap.models.builtin import WEIGHTS, judge, pose_estimator

NAMES = ("000", "001", "002", "003")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_lookalike(tmp_path_factory.mktemp("ff"))


def command(root, out, *more: str) -> list[str]:
    return [
        f"checkpoint={WEIGHTS / 'demo.ckpt'}",
        "protocol=faceforensics",
        f"protocol.root={root}",
        f"out={out}",
        f"protocol.landmarks={root / 'landmarks.csv'}",
        "protocol.frames=3",
        "protocol.batch_size=4",
        f"protocol.swaps={root / 'manipulated_sequences/Rendered/c23'}",
        "grid_faces=6",
        *more,
    ]


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


def test_bad_videos_are_counted_and_listed(videos, tmp_path, door):
    root = tmp_path / "ff"
    shutil.copytree(videos, root)
    original = root / "original_sequences/youtube/c23/videos"
    (original / "003.mp4").write_bytes(b"")
    lines = (root / "landmarks.csv").read_text().splitlines()
    (root / "landmarks.csv").write_text("\n".join(line for line in lines if not line.startswith("001/3,")) + "\n")
    (root / "manipulated_sequences/Rendered/c23/videos/000_001.mp4").unlink()
    out = tmp_path / "out"
    code, _, errors = door(main, *command(root, out))
    assert code == 2
    assert "frames cannot be used, more than protocol.max_skipped_share=0.1" in one_line(errors)
    code, text, errors = door(
        main, *command(root, out, "protocol.max_skipped_share=0.5", "checkpoint=null", "judge=builtin", "pose=builtin")
    )
    assert code == 0, errors
    listed = (out / "evaluation_skipped.csv").read_text()
    assert '"video 001, frame 3",no face' in listed
    assert "video 003,is an empty file and no video" in listed
    assert "pair 002_003,one of its videos has no usable face" in listed
    assert '"Rendered, video 000_001",is not there' in listed
    content = json.loads((out / "evaluation.json").read_text())
    assert content["protocol"]["pairs"] == 5  # three frames of 000 and two of 001
    assert content["protocol"]["recognizer"] is None
    assert content["results"]["Rendered"]["missed_results"] == 3
    assert "Rendered: 3 of 5 pairs have no usable result" in text
    assert "no checkpoint of ours" in text


@pytest.mark.parametrize(
    ("change", "arguments", "complaint"),
    [
        (None, ["protocol.landmarks=null"], "nothing gives face positions"),
        (None, ["protocol.gallery=some"], "it takes all or pairs"),
        ("missing", [], "the pairs name 1 videos that are not in"),
        ("list", [], "is no pair of video names"),
        (None, ["protocol.swaps=nowhere"], "nowhere is not there"),
        (None, ["checkpoint=null"], "no checkpoint that names a pose estimator"),
        (None, ["checkpoint=null", "pose=builtin"], "no checkpoint whose recognizer could judge"),
        (None, ["protocol.size=32"], "prepare the images with"),
        (None, ["baselines=[clasical]"], "did you mean classical?"),
    ],
)
def test_bad_input_is_one_line(videos, tmp_path, door, change, arguments, complaint):
    root = videos
    if change:
        root = tmp_path / "ff"
        shutil.copytree(videos, root)
        if change == "missing":
            (root / "original_sequences/youtube/c23/videos/002.mp4").unlink()
        else:
            (root / "splits/test.json").write_text('[["000", 1]]')
    code, _, errors = door(main, *command(root, tmp_path / "out", *arguments))
    assert code == 2
    assert complaint in one_line(errors)
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_rotated_and_variable_videos_are_read_upright_by_frame_number(tmp_path):
    pictures = [np.full((48, 64, 3), 20 * k, np.uint8) for k in range(6)]
    for picture in pictures:
        picture[:8] = 255  # a white bar at the top
    write_video(tmp_path / "plain.mp4", pictures)
    data = bytearray((tmp_path / "plain.mp4").read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 16
    quarter = [0, 1, 0, -1 & 0xFFFFFFFF, 0, 0, 48, 0, 0x40000000]  # 90 degrees clockwise, 16.16 fixed point
    values = [v << 16 if i not in (8,) and v == 1 else v for i, v in enumerate(quarter)]
    values[3], values[6] = (-1 << 16) & 0xFFFFFFFF, 48 << 16
    data[matrix : matrix + 36] = b"".join(v.to_bytes(4, "big") for v in values)
    (tmp_path / "rotated.mp4").write_bytes(data)
    assert count_frames(tmp_path / "rotated.mp4") == 6
    ((number, frame),) = read_frames(tmp_path / "rotated.mp4", [4])
    assert (number, frame.shape) == (4, (64, 48, 3))
    assert frame[32, -4].min() > 200  # the bar has come to the right
    assert abs(int(frame[32, 10, 0]) - 80) < 12
    # Another time scale for each frame changes no number: stretch the first entry of the time table.
    table = data.index(b"stts")
    data[table + 12 : table + 16] = (99999).to_bytes(4, "big")
    (tmp_path / "variable.mp4").write_bytes(data)
    found = {n: int(f[32, 10, 0]) for n, f in read_frames(tmp_path / "variable.mp4", [1, 5]) if f is not None}
    assert found[1] == pytest.approx(20, abs=12)
    assert found[5] == pytest.approx(100, abs=12)
    assert count_frames(tmp_path / "none.mp4") == 0
    (tmp_path / "cut.mp4").write_bytes(bytes(data[:100]))
    assert count_frames(tmp_path / "cut.mp4") == 0
    assert [f for _, f in read_frames(tmp_path / "cut.mp4", [0, 1])] == [None, None]


def test_folders_of_frames_are_videos_too(tmp_path):
    (tmp_path / "000").mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / "000" / f"{k:04d}.png"), np.full((20, 20, 3), 10 * k, np.uint8))
    assert count_frames(tmp_path / "000") == 3
    found = list(read_frames(tmp_path / "000", [2, 7, 0]))
    assert [number for number, _ in found] == [0, 2, 7]
    assert found[1][1][0, 0].tolist() == [20, 20, 20]
    assert found[2][1] is None


def test_frames_without_zeros_in_front_come_in_the_order_of_their_numbers(tmp_path):
    for name, form in (("padded", "{:04d}.png"), ("plain", "{}.png"), ("words", "frame {}.jpg")):
        (tmp_path / name).mkdir()
        for k in range(1, 13):
            cv2.imwrite(str(tmp_path / name / form.format(k)), np.full((16, 16, 3), 20 * k, np.uint8))
        (tmp_path / name / "._1.png").write_bytes(b"of a Mac")
        (tmp_path / name / "@eaDir").mkdir()
        frames = read_frames(tmp_path / name, range(count_frames(tmp_path / name)))
        found = [int(frame.mean().round()) for _, frame in frames if frame is not None]
        assert found == [20 * k for k in range(1, 13)]


def test_pairs_without_their_videos_are_left_out_at_a_word(videos, tmp_path, door):
    root = tmp_path / "ff"
    shutil.copytree(videos, root)
    for name in ("002", "003"):
        (root / f"original_sequences/youtube/c23/videos/{name}.mp4").unlink()
    many = [["000", "001"], *([f"{k:03d}", f"{k + 1:03d}"] for k in range(100, 140, 2))]  # 40 that nobody fetched
    (root / "splits/test.json").write_text(json.dumps([*many, ["002", "003"]]))
    out, more = tmp_path / "out", ["checkpoint=null", "judge=builtin", "pose=builtin"]
    code, _, errors = door(main, *command(root, out, *more))
    assert code == 2
    assert "the pairs name 42 videos that are not in" in one_line(errors)
    code, _, errors = door(main, *command(root, out, *more, "protocol.missing=skip"))
    assert code == 0, errors
    content = json.loads((out / "evaluation.json").read_text())
    assert content["protocol"]["pairs"] == 6
    assert (out / "evaluation_skipped.csv").read_text().count("its pairs are left out") == 42


@pytest.mark.real
def test_padded_and_unpadded_frames_give_the_same_figures(shared, tmp_path, door):
    results = []
    for name in ("ff_padded", "ff_unpadded"):
        root, out = shared / "cases" / name, tmp_path / name
        code, _, errors = door(
            main,
            "checkpoint=null",
            "protocol=faceforensics",
            f"protocol.root={root}",
            "protocol.originals=orig",
            "protocol.pairs=swaps",
            f"protocol.swaps={root / 'swaps'}",
            "protocol.frames=12",
            f"out={out}",
            "detector=insightface",
            f"detector.pack={shared / 'models' / 'lite'}",
            "judge=builtin",
            "pose=builtin",
        )
        assert code == 0, errors
        results.append(json.loads((out / "evaluation.json").read_text())["results"])
    assert results[0] == results[1]
    assert results[0]["swaps"]["pose_error_deg"]["value"] < 1.5  # these swaps are their targets


def test_frames_are_evenly_spaced():
    assert evenly_spaced(100, 10) == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    assert evenly_spaced(3, 10) == [0, 1, 2]
    assert evenly_spaced(0, 10) == []
