"""Search spaces from YAML and from the command line, and points back to overrides."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from simswap.errors import InputError
from simswap.sweeping.space import as_override, from_yaml, make_space


def space(*overrides, params=None):
    return make_space(params, OverridesParser.create().parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("override", "distribution"),
    [
        ("a=interval(1,10)", FloatDistribution(1.0, 10.0)),
        ("a=tag(log, interval(0.1,10))", FloatDistribution(0.1, 10.0, log=True)),
        ("a=int(interval(1,9))", IntDistribution(1, 9)),
        ("a=range(2,11,3)", IntDistribution(2, 8, step=3)),
        ("a=range(1,4)", IntDistribution(1, 3)),
        ("a=1,2.5,x", CategoricalDistribution([1, 2.5, "x"])),
        ("a=true,null", CategoricalDistribution([True, None])),
    ],
)
def test_the_command_lines_sweeps(override, distribution):
    found, fixed = space(override, "b=3")
    assert found.distributions == {"a": distribution}
    assert fixed == ["b=3"]


@pytest.mark.parametrize(
    ("spec", "distribution"),
    [
        ({"type": "float", "low": 1.0, "high": 8.0, "log": True}, FloatDistribution(1.0, 8.0, log=True)),
        ({"type": "float", "low": 0.0, "high": 1.0, "step": 0.25}, FloatDistribution(0.0, 1.0, step=0.25)),
        ({"type": "int", "low": 3, "high": 9, "step": 3}, IntDistribution(3, 9, step=3)),
        ({"type": "categorical", "choices": ["a", 1]}, CategoricalDistribution(["a", 1])),
    ],
)
def test_spaces_in_yaml(spec, distribution):
    assert from_yaml("k", spec) == distribution


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ([1, 2], "sweep.params.k: give it as"),
        ({"type": "normal"}, "sweep.params.k: give it as"),
        ({"type": "float", "low": 1.0}, "float needs 'high'|missing"),
        ({"type": "int", "low": 5, "high": 1}, r"sweep\.params\.k: .*low"),
        ({"type": "float", "low": 0.0, "high": 1.0, "log": True}, r"sweep\.params\.k"),
        ({"type": "categorical", "choices": [1], "low": 0}, r"sweep\.params\.k\.low is unknown; categorical takes"),
    ],
)
def test_what_is_no_space(spec, words):
    with pytest.raises(InputError, match=words):
        from_yaml("k", spec)


def test_the_command_line_wins_over_yaml():
    params = {"a": {"type": "int", "low": 1, "high": 3}, "b": {"type": "int", "low": 1, "high": 3}}
    found, fixed = space("a=7", "b=interval(0,1)", params=params)
    assert found.distributions == {"b": FloatDistribution(0.0, 1.0)}
    assert fixed == ["a=7"]
    with pytest.raises(InputError, match="nothing to try"):
        space("a=7")


def test_points_in_order_and_as_overrides():
    found, _ = space("+a=x y,[1,2]", "b=range(1,3)")
    points = found.points()
    assert points is not None
    assert [point["b"] for point in points] == [1, 2, 1, 2]
    assert found.overrides(points[3]) == ["+a=[1,2]", "b=2"]
    parsed = OverridesParser.create().parse_overrides(found.overrides(points[0]))
    assert [o.value() for o in parsed] == ["x y", 1]
    assert space("a=interval(0,1)")[0].points() is None
    steps, _ = space(params={"a": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1}})
    assert steps.points() == [{"a": 0.0}, {"a": 0.1}, {"a": 0.2}, {"a": 0.3}]


@pytest.mark.parametrize("value", [None, True, False, 3, 0.00012, "plain", "with 'quotes', and = signs", "back\\slash"])
def test_values_survive_the_override_syntax(value):
    (override,) = OverridesParser.create().parse_overrides([f"a={as_override(value)}"])
    found = override.value()
    assert getattr(found, "text", found) == value
