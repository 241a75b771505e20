"""The machine's rate of matrix products."""

import sys

import pytest

from simswap.launching.product_rate import main, product_rate


def test_the_median_product_counts_after_a_warm_up():
    # start and end of a product by turns: 9 s to warm up, then 2, 1, 8, 4 and 3 s
    times = iter([0, 9, 10, 12, 20, 21, 30, 38, 40, 44, 50, 53])
    assert product_rate(lambda: float(next(times))) == 2 * 1024**3 / 3


def test_the_command_names_rate_and_threads(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["product_rate", "--threads", "1"])
    main()
    words = capsys.readouterr().out.split()
    assert words[:2] == ["This", "machine:"]
    assert words[3:7] == ["GFLOP/s", "on", "1", "CPU"]
    assert int(words[2]) > 0


def test_no_thread_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["product_rate", "--threads", "0"])
    with pytest.raises(SystemExit) as error:
        main()
    assert error.value.code == 2
    assert "--threads 0" in capsys.readouterr().err
