"""Every experiment and every ablation runs one iteration as it stands; what the ablations change is the paper's."""

import hashlib
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from simswap import checkpoint
from simswap.settings.words import CONF_DIR
from simswap.train import main
from simswap.training import warm_start
from tests.training.tiny import tiny_module

GROUPS = {
    group: sorted(file.stem for file in (Path(CONF_DIR) / group).glob("*.yaml")) for group in ("experiment", "ablation")
}
CHOICES = [f"{group}={name}" for group, names in GROUPS.items() for name in names]
OF_PAPER = "experiment=vggface2_224"
# Photographs, and with them their recognizers and pose estimator, are replaced by rendered faces; nothing else is.
RENDERED = ["recognition=builtin", "judge=builtin", "pose=builtin"]
SMALL = [
    "trainer.max_steps=1",
    "trainer.accelerator=cpu",
    "data.workers=0",
    "logger.mode=disabled",
    "threads=1",
    "data.fractions={train: 0.5, val: 0.25, test: 0.25}",
    "validation.persons=3",
    "validation.pairs=2",
    "samples.faces=2",
]


@pytest.fixture(scope="module")
def crops96(tmp_path_factory) -> Path:
    """12 rendered persons with 2 crops of 96 px each, the least on which discriminators have the paper's layers."""
    from simswap.data.aligning import CropSettings
    from simswap.data.landmarks import LandmarkTable
    from simswap.data.preparing import prepare_folder
    from simswap.rendered.dataset import write_dataset

    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("crops96")
    write_dataset(str(raw), persons=12, images=2, size=96, seed=4)
    settings = CropSettings("arcface", 96, "png", 95, 0)
    prepare_folder(
        raw, out, settings, {"template": "arcface", "size": 96}, LandmarkTable([raw / "loose_landmark.csv"]), None, 0
    )
    return out


@pytest.mark.parametrize(
    "choice", [pytest.param(one, marks=pytest.mark.slow if one == OF_PAPER else ()) for one in CHOICES]
)
def test_one_iteration_of_every_experiment_and_ablation(choice, crops96, tmp_path, door):
    of_paper = choice == OF_PAPER
    batch = ["data.batch_size=2"] if of_paper else []  # its 55 M parameters on pictures of 96 px
    base = [] if choice.startswith("experiment") else ["experiment=ablation"]
    code, _, errors = door(
        main, *base, choice, *RENDERED, *SMALL, *batch, f"data.root={crops96}", f"hydra.run.dir={tmp_path}/run"
    )
    assert code == 0, errors
    loaded = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert loaded["global_step"] == 1
    assert all(torch.isfinite(value).all() for value in loaded["state_dict"].values())


def test_the_ablations_are_the_papers():
    """Figure 7's variants: what each trains with, where SimSwap has (identity 10, feature matching 10, layers 2..4)."""
    expected = {
        "SimSwap": (10, 10, 2, 4),
        "oFM": (10, 10, 0, 4),
        "nFM": (10, 0, 2, 4),
        "wFM-bar": (10, 10, 0, 1),
        "oFM-FM-": (10, 5, 0, 4),
        "oFM-id+": (20, 10, 0, 4),
        "wFM-id+": (20, 10, 2, 4),
    }
    assert set(GROUPS["ablation"]) == set(expected)
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        plain = OmegaConf.to_container(compose("train", ["experiment=ablation"]))
        for name, (identity, weight, first, last) in expected.items():
            cfg = compose("train", ["experiment=ablation", f"ablation={name}"])
            assert cfg.variant == name
            matching = cfg.objective.feature_matching
            assert (cfg.objective.weights.identity, cfg.objective.weights.feature_matching) == (identity, weight)
            assert (matching.first_layer, matching.last_layer) == (first, last)
            # nothing but these is changed
            cfg.variant, cfg.objective = None, plain["objective"]
            assert OmegaConf.to_container(cfg) == plain


def test_a_branch_starts_with_the_trunks_weights_and_says_so(tmp_path):
    trunk, branch = tiny_module(), tiny_module()
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.add_(0.25)
    file = tmp_path / "trunk.ckpt"
    torch.save({checkpoint.KEY: trunk.description, "state_dict": trunk.state_dict(), "global_step": 7}, file)
    warm_start.start_from(branch, file)
    for name, value in branch.state_dict().items():
        torch.testing.assert_close(value, trunk.state_dict()[name], rtol=0, atol=0)
    record = branch.description["started_from"]
    assert record == {"path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "iteration": 7}


def test_a_branch_of_other_networks_is_refused(tmp_path):
    trunk, branch = tiny_module(), tiny_module()
    file = tmp_path / "trunk.ckpt"
    content = {checkpoint.KEY: trunk.description, "state_dict": trunk.state_dict()}
    torch.save(content | {checkpoint.KEY: trunk.description | {"template": "ffhq"}}, file)
    with pytest.raises(warm_start.InputError, match="its template is ffhq, this run's is arcface"):
        warm_start.start_from(branch, file)
    slim = {k: v for k, v in trunk.state_dict().items() if k.startswith("ema.")}
    torch.save(content | {"state_dict": slim}, file)
    with pytest.raises(warm_start.InputError, match="not all there or do not fit"):
        warm_start.start_from(branch, file)
