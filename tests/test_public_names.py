"""The names that ``import simswap`` offers: each is what it says, and none is imported before it is used."""

import importlib
import subprocess
import sys

import pytest

import simswap

NAMES = {
    "Discriminators": ("simswap.models.discriminator", "Discriminators"),
    "Generator": ("simswap.models.generator", "Generator"),
    "SimSwapModule": ("simswap.training.module", "SimSwapModule"),
    "SwapDataModule": ("simswap.data.datamodule", "SwapDataModule"),
    "Swapper": ("simswap.measuring.swappers", "Swapper"),
    "load_checkpoint": ("simswap.checkpoint", "load"),
}
HELP = """
import contextlib, importlib, io, sys
import simswap
asked = []
known = simswap.__getattr__
def watched(name):
    asked.append(name)
    return known(name)
simswap.__getattr__ = watched
command = importlib.import_module(sys.argv.pop(1))
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as shown:
    command.main()
assert command.__name__.replace(".", "-") in shown.getvalue(), shown.getvalue()
print("torch" in sys.modules, sorted({*asked} & {*simswap.__all__}))
"""


def alone(code: str, *arguments: str) -> str:
    """What the code prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_what_it_says(name):
    module, attribute = NAMES[name]
    assert getattr(simswap, name) is getattr(importlib.import_module(module), attribute)


def test_every_public_name_is_listed_and_no_other_is_made_up():
    assert set(simswap.__all__) == {*NAMES, "__version__"}
    assert set(simswap.__all__) <= set(dir(simswap))
    with pytest.raises(AttributeError, match="no attribute 'Generatr'"):
        simswap.Generatr  # noqa: B018


def test_importing_and_listing_the_package_imports_no_torch():
    code = "import sys, simswap; assert 'Generator' in dir(simswap); print('torch' in sys.modules)"
    assert alone(code) == "False"
    assert alone("import sys, simswap; simswap.Generator; print('torch' in sys.modules)") == "True"


@pytest.mark.parametrize("command", ["prepare", "train"])
def test_help_asks_for_no_public_name(command):
    torch, asked = alone(HELP, f"simswap.{command}", "--help").split(maxsplit=1)
    assert asked == "[]"
    if command == "prepare":  # simswap-train imports torch itself
        assert torch == "False"


@pytest.mark.parametrize("command", ["compare", "swap", "prepare", "export", "import_weights"])
def test_only_training_and_evaluation_wait_for_lightning(command):
    code = f"import sys, simswap.{command}; sys.exit('lightning.pytorch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0
