from functools import partial

import pytest
import torch
from tests.training.tiny import SIZE, tiny_recognizer

from simswap.errors import InputError
from simswap.evaluation.swap_precision import described_precision, swap_dtype
from simswap.measuring.swappers import Faces, swap_faces
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.precision import full_precision

CPU = torch.device("cpu")


def test_precisions_of_a_cpu():
    assert [swap_dtype(name, CPU) for name in (32, "32", "bf16")] == [None, None, torch.bfloat16]
    with pytest.raises(InputError, match="precision=fp16 needs a GPU; on a CPU take precision=32 or bf16"):
        swap_dtype("fp16", CPU)
    with pytest.raises(InputError, match="precision=16-mixed: it takes 32, bf16 or fp16"):
        swap_dtype("16-mixed", CPU)


def test_what_evaluation_json_says():
    assert described_precision(None) == "fp32"  # as in evaluations made before there was a choice
    assert described_precision(torch.bfloat16) == "fp32, swaps in bf16"
    assert described_precision(torch.float16) == "fp32, swaps in fp16"


def test_the_generator_alone_computes_in_the_lower_precision():
    torch.manual_seed(0)
    generator = Generator(4, 2, 2, 8, 16, "unit", "batch").eval()
    embedder, seen = Embedder(tiny_recognizer(), "arcface", SIZE), []
    generator.register_forward_hook(lambda module, inputs, output: seen.append((inputs[1].dtype, output.dtype)))
    images = torch.rand(2, 3, SIZE, SIZE)
    faces = Faces(images, torch.zeros(2, dtype=torch.int64))
    swap = partial(swap_faces, generator, embedder, faces, faces)
    with torch.no_grad(), full_precision():
        exact, rounded = swap().images, swap(dtype=torch.bfloat16).images
    assert seen == [(torch.float32, torch.float32), (torch.float32, torch.bfloat16)]
    assert (exact.dtype, rounded.dtype) == (torch.float32, torch.float32)
    assert 0 < float((exact - rounded).abs().max()) < 0.05
