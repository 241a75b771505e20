"""Each number of each front door has a range: none is forgotten, nothing outside gets through, both ends train."""

import math
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from simswap.errors import InputError
from simswap.settings.check import _signature_types, check
from simswap.settings.number_range import LARGEST_SEED, whole
from simswap.settings.paths import LISTS, PATHS, is_path_of_entry
from simswap.settings.ranges import RANGES, range_of, short_seed, table
from simswap.settings.words import CONF_DIR
from simswap.train import main
from tests.training.runs import SMALL


def spelled_out(key):
    """The keys of conf/ that a range covers: one, or those of an open node."""
    if ".*." in key:  # of each entry of a group of named entries
        group, _, last = key.partition(".*.")
        files = [file for file in sorted((Path(CONF_DIR) / group).glob("*.yaml")) if file.stem != "none"]
        return [f"{group}.{name}.{last}" for file in files for name in OmegaConf.load(file)]
    if not key.endswith(".*"):
        return [key]
    node = OmegaConf.load(Path(CONF_DIR) / "objective" / "simswap.yaml")
    assert key == "objective.weights.*"
    return [key.replace("*", name) for name in node.weights]


DOORS = ("train", "evaluate", "prepare", "swap", "compare", "export", "import", "app")
FREE = ("sweep.params",)  # a sweep's own words, checked where it is read


def compositions():
    """Each front door's config: the default one, and with each member of each of its groups."""
    for door in DOORS:
        text = (Path(CONF_DIR) / f"{door}.yaml").read_text()
        files = [file for file in sorted(Path(CONF_DIR).glob("*/*.yaml")) if f"- {file.parent.name}:" in text]
        members = [f"{file.parent.name}={file.stem}" for file in files if file.parent.name != "launcher"]
        for choice in [None, *members]:
            yield door, choice, OmegaConf.to_container(compose(door, [choice] if choice else []), resolve=False)


def leaves(node, path="", hints=None):
    """(dotted key, value, hint of the target's parameter)"""
    if not isinstance(node, dict):
        yield path, node, hints
        return
    types = _signature_types(node["_target_"], path) if node.get("_target_") else {}
    for key, value in node.items():
        if key != "_target_":
            yield from leaves(value, f"{path}.{key}".lstrip("."), types.get(key))


@pytest.fixture(scope="module")
def keys():
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return [(door, choice, *leaf) for door, choice, tree in compositions() for leaf in leaves(tree)]


def numeric(value, hint):
    of_value = isinstance(value, int | float) and not isinstance(value, bool)
    in_list = isinstance(value, list) and bool(value) and all(type(one) in (int, float) for one in value)
    return of_value or in_list or "int" in str(hint) or "float" in str(hint)


def test_no_numeric_key_lacks_a_range_and_no_range_its_key(keys):
    found = {path for _, _, path, value, hint in keys if numeric(value, hint) and not path.startswith(FREE)}
    found -= {"trainer.max_time", "trainer.precision"}  # times and names of precisions: see training/values.py
    assert {path for path in found if range_of(path) is None} == set()
    paths = {path for _, _, path, _, _ in keys}
    assert {key for key in RANGES if not paths & {*spelled_out(key)}} == set()


def test_every_path_of_conf_is_known_as_one(keys):
    words = ("path", "root", "raw", "out", "pack", "resume", "landmarks", "checkpoint", "start_from", "cache", "swaps",
             "weights", "recognizer_path", "data_root", "source", "target", "only", "mapping", "shipped", "attributes",
             "runs", "embeddings")  # fmt: skip
    found = {
        path
        for _, _, path, value, _ in keys
        if path.rsplit(".")[-1] in words and (value is None or isinstance(value, str))
    }
    assert {path for path in found - PATHS if not is_path_of_entry(path)} == set()
    assert PATHS - {path for _, _, path, _, _ in keys} == {"hydra.run.dir", "hydra.sweep.dir", "hydra.searchpath"}
    assert LISTS <= PATHS


@pytest.mark.parametrize("key", RANGES)
def test_a_range_takes_its_ends_and_nothing_outside(key):
    limit = RANGES[key]
    low, high = limit.ends()
    assert None not in (low, high), "an open end needs a value to be tried"
    for value in (low, high, *limit.also):
        limit.check(key, value)
    for value in limit.outside():
        with pytest.raises(InputError, match=key):
            limit.check(key, value)


def test_a_range_worked_out_by_hand():
    assert whole(1, 5, off=True).words() == "a whole number from 1 to 5, or 0 or null for off"
    assert RANGES["optimizer.algorithm.betas"].words() == "a list of 2 numbers, each from 0 below 1"
    assert RANGES["seed"].words() == "a whole number from 0 to 2^64 - 1"
    for value in (1.0, "1", True, None, -1, 2**64, math.nan, [1], {}):
        with pytest.raises(InputError):
            RANGES["seed"].check("seed", value)
    for value in ([0.1], [0.1, 0.2, 0.3], [], ["a", "b"], [True, 0.1], [0.1, None], [0.1, math.nan], 0.1, None, [0, 1]):
        with pytest.raises(InputError):
            RANGES["optimizer.algorithm.betas"].check("optimizer.algorithm.betas", value)
    RANGES["optimizer.algorithm.betas"].check("x", [0, -0.0])
    assert (short_seed(7), short_seed(2**32 - 1)) == (7, 2**32 - 1)
    assert short_seed(LARGEST_SEED) < 2**32
    assert short_seed(2**40) != short_seed(2**41)


@pytest.fixture(scope="module")
def default():
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return compose("train")


TRAIN = [
    name
    for key in RANGES
    for name in spelled_out(key)
    if key.partition(".")[0]
    in (
        "ema_decay",
        "threads",
        "progress_every",
        "validation",
        "guards",
        "samples",
        "checkpoints",
        "data",
        "generator",
        "discriminator",
        "objective",
        "optimizer",
        "trainer",
        "strategy",
        "logger",
        "seed",
    )
]


@pytest.mark.parametrize("key", TRAIN)
def test_what_lies_outside_is_refused_in_a_composed_config(key, default):
    for value in range_of(key).outside():
        cfg = OmegaConf.create(OmegaConf.to_container(default, resolve=False))
        OmegaConf.update(cfg, key, value, merge=False)
        with pytest.raises(InputError, match=key.rpartition(".")[2]):
            check(cfg, default)


NOT_ALONE = {  # what else must be said where a key is at an end
    ("data.fractions.train", 0): None, ("data.fractions.val", 0): None,  # no persons left: said in a line of its own
    ("data.fractions.train", 1): None, ("data.fractions.val", 1): None, ("data.fractions.test", 1): None,
    ("data.fractions.test", 0): ["data.fractions={train: 0.6, val: 0.4, test: 0}"],
    ("data.size", 16): ["objective.feature_matching={first_layer: 0, last_layer: 1}"],
    ("data.size", 4096): None,  # as large as a crop may be; 2 iterations of it take minutes
    ("data.workers", 512): None,
    ("generator.stages", 8): None,  # for crops of 512 px and more
    ("discriminator.scales", 8): None,
    ("discriminator.layers", 5): None,  # from 95 px on
    ("discriminator.layers", 2): ["objective.feature_matching={first_layer: 0, last_layer: 1}"],
    ("objective.feature_matching.first_layer", 4): None, ("objective.feature_matching.last_layer", 4): None,
    ("objective.feature_matching.last_layer", 0): ["objective.feature_matching.first_layer=0"],
    ("optimizer.warmup", 10**9): ["optimizer.schedule=linear", "optimizer.total_iterations=10"],
    ("trainer.max_steps", 1): ["trainer.max_steps=1"],
    ("data.batch_size", 1): ["discriminator.norm=none", "generator.norm=none"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("key", TRAIN)
@pytest.mark.parametrize("end", [0, 1])
def test_both_ends_train_two_iterations(key, end, crops, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value = range_of(key).ends()[end]
    more = NOT_ALONE.get((key, value), []) if not isinstance(value, list) else []
    if more is None:
        pytest.skip("an end that depends on the crops' size or on the machine")
    code, _, errors = door(
        main,
        *SMALL,
        "optimizer=adamw",  # it has all keys of adam, and weight_decay
        f"data.root={crops}",
        f"hydra.run.dir={tmp_path}/run",
        "trainer.max_steps=2",
        "trainer.val_check_interval=2",
        "samples.every=2",
        f"{key}={value}",
        *more,
    )
    assert code == 0, errors


def test_all_ends_that_go_together_train_at_once(crops, tmp_path, door, monkeypatch):
    """In the quick suite: lower ends in one run, upper ends in another; each by itself is the slow test."""
    monkeypatch.chdir(tmp_path)
    apart = {"data.batch_size", "data.size", "data.workers", "data.fractions.train", "data.fractions.val",
             "data.fractions.test", "generator.stages", "discriminator.scales", "discriminator.layers",
             "objective.feature_matching.first_layer", "objective.feature_matching.last_layer", "trainer.max_steps",
             "trainer.val_check_interval", "optimizer.total_iterations", "optimizer.discriminator_lr",
             "optimizer.generator_lr", "generator.max_width", "optimizer.micro_batches"}  # fmt: skip
    for end in (0, 1):
        given = [f"{key}={range_of(key).ends()[end]}" for key in TRAIN if key not in apart]
        code, _, errors = door(
            main,
            *SMALL,
            "optimizer=adamw",  # it has all keys of adam, and weight_decay
            f"data.root={crops}",
            f"hydra.run.dir={tmp_path}/{end}",
            "trainer.max_steps=2",
            "trainer.val_check_interval=2",
            *given,
        )
        assert code == 0, errors
        assert (tmp_path / str(end) / "checkpoints" / "last.ckpt").is_file()


def test_the_page_of_ranges_is_the_tables():
    page = Path(CONF_DIR).parent / "docs" / "ranges.md"
    assert page.read_text(encoding="utf-8") == table(), "python -m simswap.settings.ranges > docs/ranges.md"
