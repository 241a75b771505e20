"""The check of the composed config: unknown keys, wrong types, missing values, and how each is explained."""

import configparser
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simswap.config import build
from simswap.errors import InputError
from simswap.launching.folders import evaluation_folder, new_folder, run_folder
from simswap.settings.check import check
from simswap.settings.words import CONF_DIR, explain_hydra
from simswap.training.values import check_training

REPOSITORY = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted(file.stem for file in (Path(CONF_DIR) / "experiment").glob("*.yaml"))
GIVEN = {  # what an experiment leaves to its user
    "lfw": ["recognition.path=a.onnx", "pose.pack=pack"],
    "vggface2_224": ["recognition.path=a.onnx", "judge.path=b.onnx", "pose.pack=pack"],
}


@pytest.fixture(autouse=True)
def _hydra():
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        yield


def checked(*overrides, name="train", choices=()):
    cfg, reference = compose(name, list(overrides)), compose(name, list(choices))
    check(cfg, reference)
    return cfg


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_valid_and_wins_over_the_defaults(experiment):
    groups = [] if experiment not in GIVEN else ["recognition=onnx", "pose=pnp"]
    groups += ["judge=onnx"] if experiment == "vggface2_224" else ["judge=none"] if experiment == "lfw" else []
    groups += ["generator=paper"] if experiment == "vggface2_224" else []
    cfg = checked(f"experiment={experiment}", *GIVEN.get(experiment, []), choices=groups)
    assert cfg.name == experiment


def test_the_papers_settings_are_in_vggface2_224():
    cfg = checked(
        "experiment=vggface2_224",
        *GIVEN["vggface2_224"],
        choices=["recognition=onnx", "pose=pnp", "judge=onnx", "generator=paper"],
    )
    assert (cfg.generator.width, cfg.generator.stages, cfg.generator.blocks) == (64, 3, 9)
    assert dict(cfg.objective.weights) == {
        "identity": 10.0,
        "reconstruction": 10.0,
        "adversarial": 1.0,
        "gradient_penalty": 1e-5,
        "feature_matching": 10.0,
        "cycle": 0.0,
    }
    assert list(cfg.optimizer.algorithm.betas) == [0.0, 0.999]
    assert (cfg.objective.feature_matching.first_layer, cfg.objective.feature_matching.last_layer) == (2, 4)
    assert cfg.data.pairing == "alternate"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+sede=1", r"unknown key sede; did you mean seed\?"),
        ("+generator.widht=3", r"unknown key generator\.widht; did you mean width\?"),
        ("+objective.weights.identiti=3", r"unknown key objective\.weights\.identiti; did you mean identity\?"),
        (
            "+objective.feature_matchin.first_layer=3",
            r"unknown key objective\.feature_matchin; did you mean feature_ma",
        ),
        (
            "~objective.weights.identity",
            r"objective\.weights\.identity is missing: give it a value",
        ),
        ("+data.augmentation.flipp=1", r"unknown key data\.augmentation\.flipp; did you mean flip\?"),
        ("generator.width=wide", r"generator\.width is 'wide': it takes a whole number from 1"),
        ("generator.width=2.5", r"generator\.width is 2\.5: it takes a whole number"),
        ("seed=one", r"seed is 'one': it takes a whole number from 0 to 2\^64 - 1"),
        ("ema_decay=true", r"ema_decay is True: it takes a number from 0 to 1"),
        ("recognition=onnx", r"recognition\.path has no value: give it as recognition\.path="),
        ("generator._target_=os.system", r"generator\._target_ is 'os\.system': it is not on the list"),
        ("generator._target_=simswap.models.generator.Generatr", r"on the list .* did you mean simswap\.models\.gen"),
    ],
)
def test_what_is_wrong_is_named_with_the_nearest_name(override, message):
    choices = [override] if override.startswith("recognition") else []
    with pytest.raises(InputError, match=message):
        check_training(checked(override, choices=choices))


def test_a_wrong_key_in_a_yaml_file_is_found():
    cfg, reference = compose("train"), compose("train")
    OmegaConf.set_struct(cfg, False)
    cfg.objective.feature_matching.first_layr = 1  # as an experiment file would add it
    with pytest.raises(InputError, match=r"unknown key objective\.feature_matching\.first_layr; did you mean"):
        check(cfg, reference)


def test_whole_numbers_pass_for_fractions():
    assert checked("ema_decay=1").ema_decay == 1
    assert checked("data.fractions.train=1").data.fractions.train == 1


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("generator=smal", "generator=smal: there is no such choice; did you mean small? Valid here: paper, small"),
        ("experiment=lwf", "experiment=lwf: there is no such choice; did you mean lfw? Valid here: "),
        ("generator.widht=3", "unknown key generator.widht; did you mean generator.width?"),
        ("optimizer.generator_rate=3", "unknown key optimizer.generator_rate; did you mean optimizer.generator_lr?"),
    ],
)
def test_hydras_complaints_become_one_line(override, words):
    with pytest.raises((HydraException, OmegaConfBaseException)) as caught:
        compose("train", [override])
    line = explain_hydra(caught.value)
    assert line.startswith(words)
    assert "\n" not in line


def test_build_lets_the_targets_own_error_through():
    node = OmegaConf.create({"_target_": "simswap.models.generator.Generator", "width": 0})
    with pytest.raises(InputError, match=r"generator\.width=0"):
        build(node, identity_size=4)


def test_run_folders_are_never_used_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run_folder(None, "a")
    assert Path(first).is_dir()
    monkeypatch.setattr("simswap.launching.folders.time.strftime", lambda _: Path(first).name)
    assert run_folder(None, "a") == f"{first}_2"
    Path("outputs/a/old").mkdir()
    assert run_folder("outputs/a/old", "a") == "outputs/a/old"
    with pytest.raises(InputError, match=r"resume=outputs/a/odl: there is no such folder"):
        run_folder("outputs/a/odl", "a")
    Path("link").symlink_to("nowhere")
    with pytest.raises(InputError, match="cannot be made"):
        new_folder(Path("link/b"))


def test_an_evaluation_goes_to_the_run_of_its_checkpoint(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    assert evaluation_folder(str(tmp_path / "run" / "checkpoints" / "last.ckpt"), None) == str(tmp_path / "run")
    assert evaluation_folder(str(tmp_path / "run" / "a.ckpt"), None) == str(tmp_path / "run")
    assert evaluation_folder("x.ckpt", "there") == "there"
    assert not (tmp_path / "mistyped").exists()
    assert evaluation_folder(str(tmp_path / "mistyped" / "a.ckpt"), None) == str(Path.cwd())


def test_environment_and_setup_agree():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    environment = OmegaConf.load(REPOSITORY / "environment.yml")
    python = next(d for d in environment.dependencies if isinstance(d, str) and d.startswith("python "))
    assert python.removeprefix("python ") == setup["options"]["python_requires"]
    (pip,) = [d.pip for d in environment.dependencies if not isinstance(d, str)]
    (line,) = pip
    extras = re.fullmatch(r"-e \.\[(.*)\]", line)
    assert extras is not None
    assert set(extras.group(1).split(",")) <= set(setup["options.extras_require"])


def test_nothing_by_default_pulls_torchvision():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    named = setup["options"]["install_requires"] + setup["options.extras_require"]["dev"]
    assert not re.search(r"torchvision|timm|onnx2torch|torch-fidelity|facenet", named)
    assert "torch>=2.6,<2.15" in named
