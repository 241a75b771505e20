"""Runs out of W&B and the report into it, against a stand-in for its API: no server is asked."""

import shutil
from pathlib import Path

import pytest
import wandb

from simswap.comparison.comparison import compare_runs
from simswap.comparison.run_settings import keep_where
from simswap.comparison.sections import sections_of
from simswap.comparison.swaps import side_by_side
from simswap.comparison.wandb_report import build_report, check_report, ids_in_wandb, publish, results_for_wandb
from simswap.comparison.wandb_runs import load_wandb, open_api
from simswap.errors import InputError
from simswap.metrics.figures import required
from simswap.tracking.wandb_summary import evaluation_summary
from tests.comparison.made import config_of, write_grid


class File:
    def __init__(self, name, content):
        self.name, self.content = name, content

    def download(self, root, replace):
        target = Path(root, self.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.content, target)


class Run:
    """What wandb.apis.public.Run has, as far as it is used."""

    def __init__(self, name, seed, retrieval, grids, state="finished"):
        self.id, self.name, self.state, self.url = name, name, state, f"https://wandb.example/{name}"
        self.group = "sweep 2026-11-25_22-00-00" if name != "alien" else "sweeping"
        self.config = config_of({"objective.weights.identity": 10.0 if seed < 2 else 20.0}, seed % 2)
        self.config |= {"used": {"data": {"sha256": name}}, "code": {"commit": name}}  # no settings of a variant
        self.summary_metrics = {
            "val/id_retrieval": {"max": 1.0, "last": retrieval}, "val/pose_error_deg": {"min": 0.1, "last": 4.0},
            "val/do_nothing/id_retrieval": 0.0, "val/do_nothing/pose_error_deg": 0.0,
        }  # fmt: skip
        self.grids, self.history = grids, {}

    def scan_history(self, keys):
        assert keys[0] == "trainer/global_step"
        rows = [{"trainer/global_step": 10 * k, "train/identity": v} for k, v in enumerate((0.9, "NaN", 0.5))]
        return rows if keys[1] == "train/identity" else self.history.get(keys[1], [])

    def file(self, name):
        return File(name, self.grids[0][1])

    def files(self):
        return [File(f"media/images/samples_{step}_abc.png", path) for step, path in self.grids] + [File("x.txt", "")]


class Api:
    def __init__(self, runs):
        self.answer = runs

    def runs(self, path, filters):
        self.asked = (path, filters)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def loaded(tmp_path):
    write_grid(tmp_path / "old.png", 0.1, across=2)
    write_grid(tmp_path / "new.png", 0.8, across=2)
    grids = [(9, tmp_path / "old.png"), (10, tmp_path / "new.png")]  # by number: 10 comes after 9
    runs = [Run(str(k), k, 0.2 * (k + 1), grids) for k in range(4)]
    api = Api(
        [*runs, Run("going", 0, 0.1, [], "running"), Run("broken", 0, 0.1, [], "crashed"), Run("alien", 0, 0.9, [])]
    )
    curves = ["train/identity", "val/id_retrieval"]
    found = load_wandb(
        api, "me/simswap", "validation", curves, keep_where(None), tmp_path / "pictures", group="sweep", tags=["a"]
    )
    return api, *found


def test_runs_come_with_figures_curves_and_pictures(loaded):
    api, runs, left_out = loaded
    assert api.asked == ("me/simswap", {"jobType": "train", "tags": {"$in": ["a"]}})
    assert left_out == [
        "https://wandb.example/going is still running: compare it when it has finished",
        "https://wandb.example/broken crashed: resume it with simswap-train resume=<its folder>, or leave it out",
    ]
    assert runs[0].figures["id_retrieval"].value == 0.2  # the last, not the best
    assert runs[0].curves == {"train/identity": ([0.0, 20.0], [0.9, 0.5])}
    comparison = compare_runs(runs, title="W&B")
    assert [(v.label, v.by_seed("id_retrieval")) for v in comparison.variants] == [
        ("identity=10", pytest.approx({0: 0.2, 1: 0.4})),
        ("identity=20", pytest.approx({0: 0.6, 1: 0.8})),
    ]
    assert comparison.others[0].figures["pose_error_deg"].value == 0.0
    rows, _ = side_by_side(comparison, 1)
    assert rows[0].results[0][1][0, 0, 2] == int(255 * 0.8)


def test_a_series_under_its_earlier_name_is_found(tmp_path):
    run = Run("a", 0, 0.2, [])
    run.history = {"val/self_reconstruction": [{"trainer/global_step": 1, "val/self_reconstruction": 0.5}]}
    run.summary_metrics["val/self_reconstruction"] = {"last": 0.25}
    wanted = "val/self_reconstruction_l1"
    found, _ = load_wandb(Api([run]), "me/p", "validation", [wanted], keep_where(None), tmp_path)
    assert found[0].figures["self_reconstruction_l1"].value == 0.25
    assert found[0].curves[wanted] == ([1.0], [0.5])


def test_evaluations_come_out_of_the_summaries(tmp_path):
    write_grid(tmp_path / "evaluation.png", 0.5, across=2)
    runs = [Run(str(k), k, 0.2, [(0, tmp_path / "evaluation.png")]) for k in range(3)]
    figures = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in [figure.name for figure in required()]}
    protocol = {"judge": "j", "pose": "p", "gallery_images": 8, "gallery_persons": 2, "pairs": 4, "data": "d"}
    results = {"trained": {"kind": "trained", **figures}, "do_nothing": {"kind": "control", **figures}}
    for run in runs[:2]:
        run.summary_metrics |= evaluation_summary(protocol, results)
        run.summary_metrics["evaluation/grid"] = {"_type": "image-file", "path": "media/images/summary/grid_1.png"}
        run.summary_metrics["evaluation/worst"] = {"_type": "image-file", "path": "media/images/summary/worst_1.png"}
    del runs[1].summary_metrics["evaluation/pose_error_deg"]
    found, left_out = load_wandb(Api(runs), "me/p", "evaluation", [], keep_where(None), tmp_path / "pictures")
    assert [(r.name, r.figures["id_retrieval"], r.protocol) for r in found] == [("0", (0.5, 0.4, 0.6), protocol)]
    assert [(other.name, other.kind) for other in found[0].others] == [("do_nothing", "control")]
    assert found[0].grid.read_bytes() == (tmp_path / "evaluation.png").read_bytes()
    assert found[0].worst.name == "worst_1.png"
    assert found[0].worst.is_file()
    assert left_out == [
        "https://wandb.example/1 comes from an older version: it lacks results.trained.pose_error_deg; run "
        "simswap-evaluate again",
        "https://wandb.example/2 has no evaluation in its summary: run simswap-evaluate on its folder, or take the "
        "last validations with figures=validation",
    ]


def test_a_named_evaluation_and_its_further_judge_come_out_of_the_summaries(tmp_path):
    runs = [Run(str(k), k, 0.2, [(0, tmp_path / "grid.png")]) for k in range(2)]
    write_grid(tmp_path / "grid.png", 0.5, across=2)
    figures = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in [figure.name for figure in required()]}
    judges = [{"key": "second", "name": "other", "sha256": "e" * 64}]
    protocol = {"judge": "j", "pose": "p", "gallery_images": 8, "gallery_persons": 2, "pairs": 4, "data": "d"}
    share = {"identity_share": {"value": 0.625, "low": 0.5, "high": 0.75}}
    results = {"trained": {"kind": "trained", **figures, "judges": {"second": share}}}
    runs[0].summary_metrics |= evaluation_summary(protocol, {"trained": {"kind": "trained", **figures}})
    runs[0].summary_metrics |= evaluation_summary(protocol | {"judges": judges}, results, "six")
    runs[0].summary_metrics["evaluations/six/grid"] = {"_type": "image-file", "path": "media/images/six_1.png"}
    (run,), left_out = load_wandb(Api(runs), "me/p", "evaluation", [], keep_where(None), tmp_path / "out", asked="six")
    assert run.figures["judges.second.identity_share"] == (0.625, 0.5, 0.75)
    assert (run.evaluation, run.grid.name) == ("six", "six_1.png")
    assert left_out == [
        "https://wandb.example/1 has no evaluation six in its summary: run simswap-evaluate name=six on its folder"
    ]
    (run,), _ = load_wandb(Api(runs), "me/p", "evaluation", [], keep_where(None), tmp_path / "out")
    assert "judges.second.identity_share" not in run.figures


def test_wandbs_complaints_are_one_line(tmp_path, monkeypatch):
    keep = keep_where(None)
    with pytest.raises(InputError, match="wandb=me/none: no such project; check the name"):
        load_wandb(Api(ValueError("no such\nproject.")), "me/none", "validation", [], keep, tmp_path)
    with pytest.raises(InputError, match=r"none of the 1 training runs .*; the first: .*still running"):
        load_wandb(Api([Run("x", 0, 0.1, [], "running")]), "me/p", "validation", [], keep, tmp_path)

    def refuse(**_):
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setattr(wandb, "Api", refuse)
    with pytest.raises(InputError, match="W&B: No API key configured; log in with wandb login, or compare local"):
        open_api()


def test_the_report_has_the_pages_content(loaded, tmp_path):
    wr = pytest.importorskip("wandb_workspaces.reports.v2", reason="the extra 'reports' is not installed")
    comparison = compare_runs(loaded[1], title="W&B")
    sections = sections_of(comparison, published=True, curves=["train/identity"], pictures=1)
    report = build_report(comparison, sections, "me", "simswap", ["tradeoff"])
    text = "\n".join(block.text for block in report.blocks if isinstance(block, wr.MarkdownBlock))
    assert "| identity=20" in text
    assert "Highest ID retrieval: identity=20" in text
    grids = [block for block in report.blocks if isinstance(block, wr.PanelGrid)]
    assert grids[0].panels[0].media_keys == ["tradeoff"]
    assert "Metric('ID') in ['0', '1', '2', '3']" in str(grids[1].runsets[0].filters)
    table = results_for_wandb(comparison)
    assert table.columns[:3] == ["variant", "seeds", "objective.weights.identity"]
    assert table.data[1][:3] == ["identity=20", 2, "20.0"]
    with pytest.raises(InputError, match="report=simswap: give entity/project"):
        publish(comparison, sections, tmp_path, "simswap")


def test_groups_are_found_as_sweeps_name_them(tmp_path):
    def load(group):
        return load_wandb(
            Api([Run("0", 0, 0.2, []), Run("alien", 0, 0.9, [])]),
            "me/p",
            "validation",
            [],
            keep_where(None),
            tmp_path,
            group=group,
        )[0]

    assert [run.name for run in load("sweep")] == ["0"]
    assert [run.name for run in load("sweep 2026-11-25_22-00-00")] == ["0"]
    assert [run.name for run in load("made")] == ["0", "alien"]  # the name in their configs
    with pytest.raises(InputError, match="is in the group sweep 2026; there are: sweep 2026-11-25_22-00-00, sweeping"):
        load("sweep 2026")


def test_panels_show_the_compared_runs_alone(tmp_path):
    from simswap.comparison.collected import Run as Collected
    from simswap.tracking.wandb_run import KnownAs, remember

    remember(tmp_path / "a", KnownAs("id1", "0 seed=1", "demo 2026", "train", "simswap"))
    (tmp_path / "b").mkdir()
    runs = [
        Collected(name, str(where), {}, {}, {})
        for name, where in (("a", tmp_path / "a"), ("b", tmp_path / "b"), ("c", "https://wandb.ai/me/p/runs/id3"))
    ]
    assert ids_in_wandb(runs) == ["id1", "id3"]


def test_a_report_needs_a_server(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setenv("WANDB_ENTITY", "me")
    assert check_report("p") == "me/p"
    assert check_report("you/p") == "you/p"
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(InputError, match="report=p needs W&B's server, but its variables in the environment say offl"):
        check_report("p")
    monkeypatch.delenv("WANDB_ENTITY")
    with pytest.raises(InputError, match="report=p: give entity/project"):
        check_report("p")
