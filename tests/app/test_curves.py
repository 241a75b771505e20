"""Curves of runs as a chart and a table, by worked-out values."""

from simswap.app.curves import COLORS, MARKS, MOST_RUNS, last_values, runs_chart
from simswap.comparison.charts.drawing import NARROW, WIDE, drawn, svg_text

RUNS = {
    "one": {"loss": ([10, 20, 40], [3.0, 2.0, 1.23456]), "pose": ([20, 1000], [9.0, 8.0])},
    "other": {"loss": ([5], [0.5])},
    "empty": {},
}


def test_last_values_of_each_run():
    assert last_values(RUNS, ["loss", "pose"]) == [
        ["one", "1,000", "1.235", "8"],  # the last iteration of any of the metrics
        ["other", "5", "0.5", "—"],
        ["empty", "—", "—", "—"],
    ]
    assert last_values(RUNS, ["loss"])[0] == ["one", "40", "1.235"]


def test_a_plot_for_each_metric_and_a_line_for_each_run():
    chart = runs_chart(RUNS, ["loss", "pose", "third"])
    assert chart.alt == (
        "Line plots of loss, pose, third over the iterations. Last values: one: loss 1.23, pose 8; other: loss 0.5; "
        "empty: none."
    )
    for width, columns in ((WIDE, 2), (NARROW, 1)):
        figure = drawn(chart, width)
        shown = [axes for axes in figure.axes if axes.axison]
        assert [axes.get_title("left") for axes in shown] == ["loss", "pose", "third"]
        assert len({round(axes.get_position().x0, 3) for axes in shown}) == columns
        loss = shown[0].get_lines()
        assert [list(line.get_xdata()) for line in loss] == [[10, 20, 40], [5], []]
        assert list(loss[0].get_ydata()) == [3.0, 2.0, 1.23456]
        assert [line.get_color() for line in loss] == list(COLORS[:3])
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "other", "empty"]
        assert "<svg" in svg_text(chart, figure)


def test_every_run_has_its_own_color_and_mark():
    assert len(set(COLORS)) == len(set(MARKS)) == MOST_RUNS
