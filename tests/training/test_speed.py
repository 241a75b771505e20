"""Each switch for speed against the plain iteration: the same terms and weights within its rounding."""

import copy
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
import yaml

from simswap.errors import InputError
from simswap.losses.gradient_penalty import gradient_penalty
from simswap.train import main
from simswap.training import speed
from simswap.training.speed import check_precision, cuda_settings, layout, set_speed
from simswap.training.training_embedder import training_embedder
from tests.training.runs import SMALL
from tests.training.test_module import logged
from tests.training.tiny import SIZE, batches, fit, tiny_module

STEPS = 3


def terms_of(module, precision="32-true"):
    seen = logged(module)
    fit(module, batches(STEPS), precision=precision)
    return seen


@pytest.fixture(scope="module")
def plain():
    module = tiny_module()
    return module, terms_of(module)


def worst(seen, expected):
    """The largest difference of a term, in shares of it (of 0.1 where it is smaller)."""
    pairs = [(a[name], b[name]) for a, b in zip(seen, expected, strict=True) for name in b]
    assert len(pairs) > 6
    return max(abs(a - b) / max(abs(b), 0.1) for a, b in pairs)


@pytest.mark.parametrize(
    ("given", "device", "size", "found"),
    [
        ("auto", "cpu", 64, True),
        ("auto", "cpu", 112, True),
        ("auto", "cpu", 224, True),
        ("auto", "cpu", 256, False),
        ("auto", "cuda", 224, True),
        (True, "cpu", 224, True),
        (False, "cuda", 64, False),
    ],
)
def test_the_layout_is_chosen_by_device_and_size(given, device, size, found):
    assert layout(given, device, size) is found


def test_a_run_keeps_the_layout_that_it_chose(crops, tmp_path, door, monkeypatch):
    run = tmp_path / "run"
    code, _, errors = door(main, *SMALL, f"data.root={crops}", f"hydra.run.dir={run}", "trainer.max_steps=1")
    assert code == 0, errors
    assert yaml.safe_load((run / ".hydra" / "config.yaml").read_text())["channels_last"] is True
    monkeypatch.setattr("simswap.training.speed.CHANNELS_LAST_UP_TO", 16)  # as on a machine that would choose otherwise
    code, _, errors = door(main, f"resume={run}", "trainer.max_steps=2", "channels_last=auto")
    assert code == 0, errors
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["simswap"]["config"]["channels_last"] is True
    code, _, errors = door(main, f"resume={run}", "channels_last=false")
    assert code == 2
    assert "channels_last: True → False" in errors
    code, _, errors = door(main, *SMALL, f"data.root={crops}", f"hydra.run.dir={tmp_path / 'b'}", "channels_last=never")
    assert code == 2
    assert "channels_last is 'never': it takes true, false or auto" in errors


def test_channels_last_is_the_same_within_rounding():
    # Instance norm: the biases before it, whose gradient is rounding alone and of which Adam makes a step, cancel out.
    module, contiguous = tiny_module(generator_norm="instance"), tiny_module(generator_norm="instance")
    set_speed(module, channels_last=True, compile=False)
    weight = module.generator.id_blocks[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert all(p.is_contiguous() for p in module.discriminators.parameters())
    assert worst(terms_of(module), terms_of(contiguous)) < 1e-3
    images, identity = torch.rand(2, 3, SIZE, SIZE), torch.nn.functional.normalize(torch.randn(2, 8))
    torch.testing.assert_close(module.ema(images, identity), contiguous.ema(images, identity), rtol=0, atol=1e-3)


def test_channels_last_of_the_discriminators_is_for_gpus():
    module = tiny_module()
    set_speed(module, channels_last=True, compile=False, device_type="cuda")
    weights = [p for p in module.discriminators.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1]
    assert weights
    assert not any(p.is_contiguous() for p in weights)
    images = torch.rand(2, 3, SIZE, SIZE)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in module.discriminators.pyramid(images))


def test_bf16_mixed_is_close_and_keeps_weights_in_fp32(plain):
    module = tiny_module()
    seen = terms_of(module, "bf16-mixed")
    # bfloat16 has 8 bits, 0.4 % a rounding: at the first step every term agrees to a few of them, and then the
    # trainings drift apart, by 5 to 7 % after three steps on the processors tried (with and without bf16 units). That
    # they differ at all shows that the switch is on.
    assert 1e-5 < worst(seen[:1], plain[1][:1]) < 0.03
    assert worst(seen, plain[1]) < 0.15
    # Worked out in fp32: few values of 8 bits are at hand by chance.
    terms = torch.tensor([line[name] for line in seen for name in ("train/identity", "train/discriminator")])
    assert (terms != terms.bfloat16().float()).any()
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_under_bf16_the_gradient_penalty_is_fp32s():
    """Worked out again from what the objective was given, outside of any autocast."""
    module = tiny_module()
    discriminator, given = module.objective.discriminator, []

    def watched(inputs):
        assert torch.is_autocast_enabled("cpu")
        total, terms = discriminator(inputs)
        with torch.autocast("cpu", enabled=False):
            real, fake = ([x.detach().float() for x in images] for images in (inputs.real_pyramid, inputs.fake_pyramid))
            again = gradient_penalty(copy.deepcopy(module.discriminators).patch_functions(), real, fake, inputs.mix)
        given.append((terms["gradient_penalty"].item(), again.item()))
        assert terms["gradient_penalty"].dtype == torch.float32
        return total, terms

    module.objective.discriminator = watched
    terms_of(module, "bf16-mixed")
    assert len(given) == STEPS
    for value, again in given:
        assert value == pytest.approx(again, rel=1e-6)


GRAPHS = {
    # the generator's; the recognizer's for sources, without a gradient, and for results, with one
    "whole": ("32-true", False, {}, 3),
    # and the generator's without a gradient
    "split": ("32-true", True, {"micro_batches": 3}, 4),
    # and the generator's second pass, which leaves running statistics as they are; and the recognizer's on targets
    "cycle": ("bf16-mixed", True, {"weights": {"cycle": 1.0}}, 4),
}


NEEDS_COMPILER = pytest.mark.skipif(
    speed.cpp_compiler() is None, reason="torch.compile needs a C++ compiler, and none is found"
)


@pytest.mark.slow  # compiling takes minutes
@NEEDS_COMPILER
def test_compiled_is_the_same_within_rounding_under_the_same_names(plain):
    module = tiny_module()
    names = list(module.state_dict())
    set_speed(module, channels_last=False, compile=True)
    torch._dynamo.utils.counters.clear()
    seen = terms_of(module)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2  # the generator's and the recognizer's
    assert worst(seen, plain[1]) < 1e-3
    assert list(module.state_dict()) == names


GRAPHS = {
    # the generator's; the recognizer's for sources, without a gradient, and for results, with one
    "whole": ("32-true", False, {}, 3),
    # and the generator's without a gradient
    "split": ("32-true", True, {"micro_batches": 3}, 4),
    # and the generator's second pass, which leaves running statistics as they are
    "cycle": ("bf16-mixed", True, {"weights": {"cycle": 1.0}}, 4),
}


def compile_without_code(monkeypatch):
    """torch.compile finds the graphs and their guards, and makes no code of them, which takes minutes."""
    compile = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **given: compile(self, backend="eager", **given))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


@NEEDS_COMPILER
@pytest.mark.parametrize("kind", GRAPHS)
def test_the_first_iteration_makes_all_graphs(kind, monkeypatch):
    precision, channels_last, settings, graphs = GRAPHS[kind]
    compile_without_code(monkeypatch)
    module, made = tiny_module(**settings), []
    set_speed(module, channels_last=channels_last, compile=True)
    step = module.training_step

    def training_step(batch, batch_idx=0):
        with torch._dynamo.config.patch(error_on_recompile=bool(made)):
            step(batch, batch_idx)
        made.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])

    module.training_step = training_step
    terms_of(module, precision)
    assert made == [graphs] * STEPS
    assert not torch._dynamo.utils.counters["graph_break"]


@NEEDS_COMPILER
def test_what_is_compiled_and_what_is_not():
    module = tiny_module()
    names = list(module.state_dict())
    set_speed(module, channels_last=False, compile=True)
    assert list(module.state_dict()) == names
    assert module.generator._compiled_call_impl is not None
    module._frozen = (module.embedder, training_embedder(module.embedder, "32-true", module.switches))
    assert module.training_embedder.recognizer.network._compiled_call_impl is not None
    assert module.embedder.recognizer.network._compiled_call_impl is None  # it measures batches of any size
    assert module.discriminators._compiled_call_impl is None  # the gradient penalty differentiates twice
    assert module.ema._compiled_call_impl is None


def trainer_on(device, precision="32-true"):
    return SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)), precision=precision)


@pytest.mark.parametrize("benchmark", [True, False])
def test_the_settings_for_cuda_hold_while_a_run_trains(benchmark):
    def found():
        return torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()

    before = found()
    assert before == (False, True, "highest")  # torch's own
    with cuda_settings(trainer_on("cpu"), tf32=True, benchmark=benchmark):
        assert found() == before
    with cuda_settings(trainer_on("cuda:1"), tf32=True, benchmark=benchmark):
        assert found() == (benchmark, True, "high")
    inside = []

    def fail():
        inside.append(found())
        raise KeyError

    with pytest.raises(KeyError), cuda_settings(trainer_on("cuda"), tf32=False, benchmark=benchmark):
        fail()
    assert inside == [(benchmark, False, "highest")]
    assert found() == before


@pytest.mark.parametrize(
    ("trainer", "benchmark"),
    [([], True), (["+trainer.benchmark=false"], False), (["+trainer.deterministic=true"], False)],
)
def test_a_run_trains_in_them(crops, tmp_path, door, monkeypatch, trainer, benchmark):
    seen = []

    @contextmanager
    def watched(trainer, tf32, benchmark):
        seen.append((tf32, benchmark))
        yield
        seen.append("left")

    monkeypatch.setattr("simswap.train.cuda_settings", watched)
    monkeypatch.setattr("simswap.train.run_trainer", lambda *_: seen.append("trained"))
    given = [*SMALL, f"data.root={crops}", f"hydra.run.dir={tmp_path / 'run'}", "tf32=false", *trainer]
    code, _, errors = door(main, *given)
    torch.use_deterministic_algorithms(False)
    assert code == 0, errors
    assert seen == [(False, benchmark), "trained", "left"]


def test_bf16_is_refused_on_a_gpu_without_it(monkeypatch):
    asked = []

    def supported(including_emulation):
        asked.append(including_emulation)
        return len(asked) > 1

    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Old {device}")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    with pytest.raises(InputError, match=r"Old cuda:1 has no bfloat16; take trainer\.precision=16-mixed"):
        check_precision(trainer_on("cuda:1", "bf16-mixed"), "bf16-mixed")
    check_precision(trainer_on("cuda:1", "bf16-mixed"), "bf16-mixed")
    assert asked == [False, False]
    check_precision(trainer_on("cuda:1"), "32-true")
    check_precision(trainer_on("cpu", "bf16-mixed"), "bf16-mixed")
    assert len(asked) == 2


def test_without_a_compiler_the_switch_says_so(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"compile=true: torch\.compile needs a C\+\+ compiler"):
        set_speed(tiny_module(), channels_last=False, compile=True)
