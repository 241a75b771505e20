"""The identity loss by other recognizers than the conditioning's: a step by hand, and the way through a whole run."""

import copy
import csv
import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml

from simswap import evaluate
from simswap.checkpoint import KEY, load
from simswap.data.datamodule import SwapDataModule
from simswap.data.identities import open_table, table_path
from simswap.errors import InputError
from simswap.losses.terms import GENERATOR, TERMS, register_term
from simswap.models import builtin
from simswap.models.embedder import Embedder
from simswap.train import main
from simswap.training.loss_recognition import LossRecognizer
from tests.training.runs import SMALL, content_of, differences, finish
from tests.training.test_embedding_table import NoValidation
from tests.training.test_module import GradientsSeen, logged, reference_run
from tests.training.tiny import batches, fit, tiny_module, tiny_recognizer

TWO = {"other": 3.0, "same": 1.0}
OF_THE_GENERATOR = ["adversarial", "identity", "reconstruction", "feature_matching"]


def other():
    recognizer = tiny_recognizer(2, 5)
    recognizer.sha256 = recognizer.weights_sha256 = "2" * 64
    return recognizer


def two():
    """Another network with weight 3, and the conditioning's own with weight 1."""
    return {"other": LossRecognizer(other(), 3.0), "same": LossRecognizer(None, 1.0)}


@pytest.mark.parametrize("settings", [{}, {"micro_batches": 3}, {"discriminator_steps": 3}])
def test_the_step_of_the_text_with_two_recognizers(settings):
    draws = settings.get("discriminator_steps", 1)
    norm = "batch" if not settings else "none"
    steps = batches(4, batch_size=3 * draws)
    module = tiny_module(norm, norm, loss_recognizers=two(), **settings)
    judged_by = [(other().double(), 3.0), (copy.deepcopy(module.embedder.recognizer).double(), 1.0)]
    G, D, losses = reference_run(module, steps, draws, judged_by)
    seen = logged(module)
    fit(module, steps)
    for terms, expected in zip(seen, losses, strict=True):
        assert [terms[f"train/{name}"] for name in OF_THE_GENERATOR] == pytest.approx(expected[2:], abs=1e-8)
        mean = (3 * terms["train/identity/other"] + terms["train/identity/same"]) / 4
        assert terms["train/identity"] == pytest.approx(mean, abs=1e-12)
        assert abs(terms["train/identity/other"] - terms["train/identity/same"]) > 1e-3
    for network, reference in ((module.generator, G), (module.discriminators, D)):
        for name, value in reference.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=1e-7)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_conditioning_alone_is_todays_training_bit_for_bit(precision):
    runs = []
    for recognizers in (
        None,
        {"conditioning": LossRecognizer(None, 0.3)},
        {"again": LossRecognizer(tiny_recognizer(), 2.0)},
    ):
        module = tiny_module(loss_recognizers=recognizers)
        lines = logged(module)
        fit(module, batches(3), precision=precision)
        runs.append((module.state_dict(), [line["train/identity"] for line in lines]))
        assert [name for name in lines[0] if name.startswith("train/identity/")] == [
            f"train/identity/{name}" for name in recognizers or ()
        ]
    for state, losses in runs[1:]:
        assert losses == runs[0][1]
        assert all(torch.equal(value, state[name]) for name, value in runs[0][0].items())


def test_they_are_frozen_in_no_state_dict_and_described(tmp_path):
    module, seen = tiny_module(loss_recognizers=two()), GradientsSeen()
    plain = tiny_module()
    trainer = fit(module, batches(2), callbacks=[seen])
    assert module.state_dict().keys() == plain.state_dict().keys()
    assert seen.networks == [{"discriminators"}, {"generator"}] * 2
    for embedder in module.loss_recognition.embedders.values():
        assert not any(p.requires_grad or p.grad is not None for p in embedder.parameters())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    expected = {
        "other": {"name": "tiny", "sha256": "2" * 64, "weight": 3.0},
        "same": {"name": "tiny", "sha256": f"{1:064x}", "weight": 1.0},
    }
    for one in expected.values():
        one["weights_sha256"] = one["sha256"]
    assert load(tmp_path / "a.ckpt").description["loss_recognizers"] == expected
    assert "loss_recognizers" not in plain.description


def test_the_conditionings_network_does_not_see_the_swaps_unless_a_term_asks(request):
    request.addfinalizer(lambda: TERMS.pop("away", None))
    alone = {"other": LossRecognizer(other(), 1.0)}
    calls = []
    for weight in (None, 0.0, 2.0):
        if weight == 0.0:

            @register_term("away", GENERATOR)
            def away(inputs):
                return F.cosine_similarity(inputs.result_identity, inputs.source_identity).mean()

        module = tiny_module("none", "none", {} if weight is None else {"away": weight}, loss_recognizers=alone)
        count = []
        module.embedder.recognizer.register_forward_hook(lambda *_, count=count: count.append(1))
        lines = logged(module)
        fit(module, batches(1))
        calls.append((len(count), lines[0]["train/generator_grad_norm"]))
    assert [number for number, _ in calls] == [1, 2, 2]  # the sources; and the swaps, for the term
    assert calls[0][1] == calls[1][1]
    assert abs(calls[2][1] - calls[1][1]) > 1e-3  # its gradient reaches the generator


def test_under_bf16_each_has_weights_that_autocast_need_not_cast():
    module = tiny_module(loss_recognizers={"other": LossRecognizer(other(), 1.0)})
    fit(module, batches(1), precision="bf16-mixed")
    measuring, training = (of["other"] for of in (module.loss_recognition.embedders, module.loss_recognition._training))
    assert {p.dtype for p in measuring.parameters()} == {torch.float32}
    assert {p.dtype for p in training.parameters()} == {torch.bfloat16}


def test_one_network_twice_is_refused():
    twice = {"a": LossRecognizer(other(), 1.0), "b": LossRecognizer(other(), 1.0)}
    with pytest.raises(InputError, match=r"loss_recognition\.b is the same network as loss_recognition\.a \(tiny\)"):
        tiny_module(loss_recognizers=twice)


def trained(root, cached):
    import lightning as L

    module = tiny_module("none", "none", loss_recognizers=two())
    module.validation = NoValidation()
    data = SwapDataModule(root, 4, workers=0, fractions={"train": 1.0}, cache_embeddings=cached,
                          augmentation={"flip": 0.5, "sources": False})  # fmt: skip
    lines = logged(module)
    L.Trainer(accelerator="cpu", max_steps=3, limit_val_batches=0, logger=False, enable_checkpointing=False,
              enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
              check_val_every_n_epoch=None, log_every_n_steps=1).fit(module, datamodule=data)  # fmt: skip
    return module, data, lines


def test_cached_embeddings_have_a_table_for_each(crops, tmp_path, monkeypatch):
    root = shutil.copytree(crops, tmp_path / "crops")
    _, _, expected = trained(root, cached=False)
    monkeypatch.setattr(Embedder, "identity", None)  # with tables, nothing embeds the sources
    _, data, lines = trained(root, cached=True)
    for name in ("train/identity", "train/identity/other", "train/identity/same"):
        assert [line[name] for line in lines] == pytest.approx([line[name] for line in expected], abs=1e-5)
    files = {path.name for path in (root / "identities").iterdir()}
    assert files == {table_path(data.manifest, sha256, "warp", 32).name for sha256 in (f"{1:064x}", "2" * 64)}
    batch = data.train_batches(0, 1)[0]
    table = open_table(data.loss_identities["other"], len(data.manifest))
    assert batch["source_identity"].shape == (4, 8)
    assert np.array_equal(batch["loss_identity/other"].numpy(), table[batch["source_index"].numpy()])
    assert table.shape == (120, 5)


# Below, simswap-train itself.

LOSS = ["loss_recognition=[conditioning,builtin_judge]", "loss_recognition.builtin_judge.weight=2"]
SHORT = [*SMALL, "trainer.max_steps=4", "trainer.val_check_interval=2"]


@pytest.fixture(scope="module")
def whole(crops, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    arguments = [*SHORT, *LOSS, f"data.root={crops}", f"hydra.run.dir={folder / 'whole'}"]
    assert finish(arguments, folder / "out.txt") == 0, (folder / "out.txt").read_text()
    return folder / "whole"


def test_a_run_logs_each_and_says_so(whole):
    with open(whole / "metrics.csv", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["train/identity"])
    by_each = [float(row[f"train/identity/{name}"]) for name in ("conditioning", "builtin_judge")]
    assert float(row["train/identity"]) == pytest.approx((by_each[0] + 2 * by_each[1]) / 3, rel=1e-5)
    line = (whole / "train.log").read_text()
    assert "identity loss by built-in recognizer (1), built-in judge (2)" in line
    assert "the judge, built-in judge, is one of them and flatters the results" in line
    config = yaml.safe_load((whole / ".hydra" / "config.yaml").read_text())
    assert config["loss_recognition"] == {
        "conditioning": {"_target_": None, "weight": 1.0},
        "builtin_judge": {"_target_": "simswap.models.builtin.judge", "weight": 2},
    }
    found = load(whole / "checkpoints" / "last.ckpt").description
    assert found["recognizer"]["sha256"] == builtin.recognizer().sha256
    assert [(name, one["sha256"], one["weight"]) for name, one in found["loss_recognizers"].items()] == [
        ("conditioning", builtin.recognizer().sha256, 1.0),
        ("builtin_judge", builtin.judge().sha256, 2.0),
    ]


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_to_the_bit(whole, crops, tmp_path):
    run, output = tmp_path / "run", tmp_path / "out.txt"
    assert finish([*SHORT, *LOSS, f"data.root={crops}", f"hydra.run.dir={run}"], output, "naming 2") == -9
    assert finish([f"resume={run}"], output) == 0, output.read_text()
    assert differences(content_of(whole), content_of(run)) == []


def test_resume_refuses_others_and_allows_them_when_told(whole, tmp_path, door):
    run = shutil.copytree(whole, tmp_path / "run")
    longer = [f"resume={run}", "trainer.max_steps=5"]
    code, _, errors = door(main, *longer, LOSS[0], "loss_recognition.builtin_judge.weight=3")
    assert code == 2
    assert "(loss_recognition.builtin_judge.weight: 2 → 3); leave them out" in errors
    assert "resume_overrides=allow" in errors
    code, _, errors = door(main, *longer, "loss_recognition=none", "resume_overrides=allow")
    assert code == 0, errors
    assert "loss_recognition was" in (run / "train.log").read_text()
    assert "loss_recognizers" not in torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)[KEY]


@pytest.mark.parametrize("judge", ["builtin", "none"])
def test_the_evaluation_says_that_its_judge_is_in_the_loss(whole, tmp_path, door, judge):
    small = [
        "protocol.persons=6",
        "protocol.images_per_person=3",
        "protocol.pairs=12",
        "grid_faces=2",
        "wandb=disabled",
    ]
    code, text, errors = door(
        evaluate.main, f"checkpoint={whole}/checkpoints/last.ckpt", f"out={tmp_path}/out", f"judge={judge}", *small
    )
    assert code == 0, errors
    protocol = json.loads((tmp_path / "out" / "evaluation.json").read_text())["protocol"]
    assert (protocol["judge"]["same_network"], protocol["judge"]["in_loss"]) == (True, True)
    assert [one["name"] for one in protocol["loss_recognizers"]] == ["built-in recognizer", "built-in judge"]
    assert "same network as one of the identity loss" in " ".join(text.split())


def test_a_warm_start_may_have_another_loss(whole, crops, tmp_path, door):
    code, _, errors = door(main, *SMALL, f"data.root={crops}", f"hydra.run.dir={tmp_path}/run", "trainer.max_steps=1",
                           f"start_from={whole}/checkpoints/last.ckpt")  # fmt: skip
    assert code == 0, errors


@pytest.mark.parametrize("given", ["null", "none", "None"])  # None: W&B's agents
def test_null_is_none_on_the_command_line(door, given):
    code, out, errors = door(main, "experiment=demo", f"loss_recognition={given}", "--cfg=job")
    assert (code, errors) == (0, "")
    assert "\nloss_recognition: null\n" in out


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["loss_recognition=[]"], "loss_recognition is missing"),
        (["loss_recognition={}"], "loss_recognition holds no recognizer"),
        (["loss_recognition=nothing"], "loss_recognition=nothing: there is no such choice"),
        (["loss_recognition=[dlib,none]"], "loss_recognition=[dlib,none]: none stands alone"),
        (["loss_recognition=onnx"], "loss_recognition.onnx.path has no value"),
        (["loss_recognition=onnx", "loss_recognition.onnx.path=gone.onnx"], "gone.onnx: no such file"),
        (["loss_recognition=builtin", "loss_recognition.builtin.weight=nan"], "builtin.weight is nan"),
        (["loss_recognition=builtin", "loss_recognition.builtin.weight=0"], "a number above 0"),
        (["loss_recognition=conditioning", "loss_recognition.conditioning.weight=-1"], "a number above 0"),
        (["loss_recognition=builtin", "+loss_recognition.builtin.size=3"], "unknown key loss_recognition.builtin.size"),
        (["loss_recognition=conditioning", "+loss_recognition.conditioning.path=x"], "unknown key"),
        (["+loss_recognition.mine={weight: 1.0}"], "loss_recognition.mine names no class"),
        (["+loss_recognition.mine._target_=os.system"], "not on the list of what may be called"),
        (["loss_recognition=[conditioning,builtin]"], "is the same network as loss_recognition.conditioning"),
    ],
)
def test_bad_input_is_one_line(crops, tmp_path, door, given, line):
    code, _, errors = door(main, *SMALL, f"data.root={crops}", f"hydra.run.dir={tmp_path}/run", *given)
    assert code == 2
    assert line in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "run" / "checkpoints").exists()
