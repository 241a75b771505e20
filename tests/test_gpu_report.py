"""The GPU report's logic on the CPU: tiny networks, partial results, faults, and what it reads from the profiler."""

import sys
import time
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from tests.leftovers import REPOSITORY


@pytest.fixture
def bench(monkeypatch):
    """Import a script of benchmarks/."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return lambda name: __import__(name)


def started(bench, monkeypatch, out, *arguments):
    report = bench("gpu_report")
    monkeypatch.setattr(sys, "argv", ["gpu_report.py", f"--out={out}", *arguments])
    flag = torch.backends.cudnn.benchmark
    try:
        return report.main()
    finally:
        torch.backends.cudnn.benchmark = flag


def rows(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| 32")]


def test_a_report_on_tiny_networks(bench, monkeypatch, tmp_path, capsys):
    out = tmp_path / "deep" / "report.md"
    tiny = ("--device=cpu", "--skip-tests", "--seconds=0", "--burst=1")
    assert started(bench, monkeypatch, out, *tiny) == 0
    text = out.read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    assert [row[:3] for row in rows(text)] == [["32", "2", "bf16"], ["32", "2", "TF32"]]
    for row in rows(text):
        published, ours = (float(cell.split()[0]) for cell in row[3:5])
        assert published > 0
        assert float(row[6]) == pytest.approx(int(row[1]) * 1e3 / ours, rel=0.02)  # images a second
    assert "published in TF32 / ours in bf16" in text
    assert "no GPU" in text
    parts = [line.split("|")[1].strip() for line in text.partition("| part (")[2].splitlines()[2:] if "|" in line]
    named = bench("timing")
    assert {*named.PARTS, named.REST} == set(parts)
    assert [path.name for path in out.parent.iterdir()] == ["report.md"]


def test_without_a_gpu_it_says_so(bench, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert started(bench, monkeypatch, tmp_path / "report.md") == 2
    assert capsys.readouterr().err.startswith("error: make gpu needs an NVIDIA GPU")
    assert not list(tmp_path.iterdir())


def test_a_fault_and_the_end_of_the_time_leave_the_other_rows(bench, monkeypatch, tmp_path):
    report, cases, page = bench("gpu_report"), bench("gpu_cases"), bench("gpu_page")
    seen = []

    def measure(case, sides, seconds, burst):
        seen.append(str(case))
        if case.mode == "TF32":
            raise torch.OutOfMemoryError("CUDA out of\n memory")
        if case.pairs == 1:
            monkeypatch.setattr(time, "monotonic", lambda: 1e9)  # this row takes all the time
        side = cases.Measured([20.0, 10.0, 40.0], 3e9, 2 * 10**9)
        return cases.Result(case, {"published": side, "ours": side}, [1.5, 1.25, 1.0])

    monkeypatch.setattr(report, "measure", measure)
    monkeypatch.setattr(
        report,
        "TINY",
        [*report.TINY, cases.Case(32, 1, "bf16"), cases.Case(32, 3, "bf16"), cases.Case(32, 4, "bf16-compiled")],
    )
    written = page.Page(tmp_path / "report.md", ["- here"])
    options = SimpleNamespace(seconds=0, burst=1, rows=None)
    failures = report.report(torch.device("cpu"), options, written, time.monotonic() + 1000)
    text = (tmp_path / "report.md").read_text()
    assert len(seen) == 3
    assert failures == ["32 px, 2 pairs, TF32: OutOfMemoryError: CUDA out of memory"]
    assert f"- {failures[0]}" in text
    assert "## Left out, for lack of time\n\n- 32 px, 3 pairs, bf16\n- 32 px, 4 pairs, bf16-compiled" in text
    first = rows(text)[0]
    assert first[3] == "20.0 (15.0 to 30.0)"
    assert first[5] == "1.25 (1.12 to 1.38)"
    assert first[6] == "100.0"  # two pairs in 20 ms
    assert first[-1] == "2.0 / 2.0"


def event(name, device=DeviceType.CPU, microseconds=0.0):
    return SimpleNamespace(name=name, device_type=device, time_range=SimpleNamespace(elapsed_us=lambda: microseconds))


def test_what_is_read_from_the_profiler(bench):
    measures = bench("gpu_measures")
    idle, trace = (measures.Trace(torch.device("cpu")) for _ in range(2))
    idle.take([event("cudaDeviceSynchronize")])
    trace.take(
        [
            *[event("cudaLaunchKernel")] * 3,
            event("cuLaunchKernelEx"),
            event("cudaMemcpyAsync"),
            event("cudaMemsetAsync"),
            event("cudaStreamSynchronize"),
            event("cudaDeviceSynchronize"),
            event("aten::conv2d"),
            event("Optimizer.step"),
            event("Optimizer.step", DeviceType.CUDA, 900.0),
            event("sgemm", DeviceType.CUDA, 1500.0),
            event("sgemm", DeviceType.CUDA, 500.0),
            event("relu", DeviceType.CUDA, 250.0),
        ]
    )
    trace.less(idle)
    assert (trace.launches, trace.copies, trace.waits) == (4, 2, 1)
    assert trace.busy_ms == pytest.approx(2.25)
    assert trace.slowest.most_common(1) == [("sgemm", 2.0)]


def test_kinds_of_kernels(bench):
    kinds = {
        "sm80_xmma_fprop_implicit_gemm_indexed_f32f32_f32f32_f32_nchwkcrs_nchw": "products in fp32",
        "void cudnn::detail::dgrad_engine<float, 512, 6, 5, 3, 3, 3, false>(int)": "products in fp32",
        "sm90_xmma_dgrad_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc": "products in bf16",
        "sm80_xmma_wgrad_implicit_gemm_indexed_tf32f32_tf32f32_f32": "products in TF32",
        "void cudnn::engines_precompiled::nchwToNhwcKernel<__nv_bfloat16>": "copies and casts",
        "void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda>": "copies and casts",
        "void at::native::reflection_pad2d_backward_out_kernel<c10::BFloat16>": "padding, upsampling, warping",
        "void at::native::batch_norm_collect_statistics_kernel": "normalization and sums",
        "void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor>": "optimizers and averages",
        "void at::native::vectorized_elementwise_kernel<4, at::native::leaky_relu>": "elementwise",
    }
    assert {name: bench("gpu_measures").kind_of(name) for name in kinds} == kinds


def test_scaling_is_the_time_of_one_over_that_of_all(bench):
    lines = bench("gpu_ranks").scaling_lines({1: 50.0, 8: 62.5}, 224, 16)
    assert lines[-2:] == ["| 1 | 50.0 | 320 | 100% |", "| 8 | 62.5 | 2048 | 80% |"]


def test_the_tests_that_it_runs_are_all_that_are_marked(bench):
    files = bench("gpu_tests").marked_files()
    assert "tests/test_on_a_gpu.py" in files
    assert "tests/models/test_on_a_device.py" in files
    assert "tests/test_docs.py" not in files


@pytest.mark.slow
def test_two_ranks_of_one_machine(bench):
    tiny = ["--device=cpu", "--experiment=debug", "--size=32", "--pairs=2", "--mode=fp32", "--count=3"]
    each = bench("gpu_ranks").in_processes(2, tiny, 300)
    assert len(each) == 3
    assert min(each) > 0
