"""What a LimitRange may say."""

from __future__ import annotations

import copy

import pytest

from podling.api import defaults
from podling.api.resources import LIMIT_RANGES

from .objects import found, found_in_update


def limits(*items: dict, **metadata: str) -> dict:
    tree = {"metadata": {"name": "bounds", "namespace": "default", **metadata}, "spec": {"limits": list(items)}}
    tree = copy.deepcopy(tree)
    defaults.apply(LIMIT_RANGES, tree)
    return tree


def container(**parts: dict) -> dict:
    return {"type": "Container", **parts}


@pytest.mark.parametrize(
    ("given", "default", "asked"),
    [
        ({"max": {"cpu": "2"}}, {"cpu": "2"}, {"cpu": "2"}),
        ({"min": {"cpu": "0.1"}}, None, {"cpu": "100m"}),
        ({"max": {"cpu": "2"}, "min": {"cpu": "1"}, "default": {"cpu": "1500m"}}, {"cpu": "1500m"}, {"cpu": "1500m"}),
        ({"default": {"memory": "1024Mi"}, "defaultRequest": {"memory": "1Mi"}}, {"memory": "1Gi"}, {"memory": "1Mi"}),
    ],
)
def test_defaults_follow_from_bounds(given: dict, default: dict | None, asked: dict | None) -> None:
    """A container's limit is the maximum where none is given; its request the limit, else the minimum."""
    (item,) = limits(container(**given))["spec"]["limits"]
    assert (item.get("default"), item.get("defaultRequest")) == (default, asked)


def test_what_is_sound() -> None:
    """Every type with bounds that do not contradict each other; no item at all."""
    sound = limits(
        container(max={"cpu": "2"}, min={"cpu": "1"}, maxLimitRequestRatio={"cpu": "2"}),
        {"type": "Pod", "max": {"memory": "1Gi"}, "min": {"memory": "1Mi"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
        {"type": "example.com/thing", "max": {"example.com/amount": "1"}},
    )
    assert found(LIMIT_RANGES, sound) == found(LIMIT_RANGES, limits()) == []
    assert found_in_update(LIMIT_RANGES, limits(), sound) == []


AT = "spec.limits[0]"


@pytest.mark.parametrize(
    ("item", "lines"),
    [
        ({"type": "Thing"}, [f'{AT}.type: Invalid value: "Thing": must be a standard limit type or fully qualified']),
        (container(max={"storage": "1"}), [f'{AT}.{part}[storage]: Invalid value: "storage": must be a standard resource for containers' for part in ("max", "default", "defaultRequest")]),
        ({"type": "Pod", "default": {"cpu": "1"}}, [f"{AT}.default: Forbidden: may not be specified when `type` is 'Pod'"]),
        ({"type": "Pod", "defaultRequest": {"cpu": "1"}}, [f"{AT}.defaultRequest: Forbidden: may not be specified when `type` is 'Pod'"]),
        ({"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "2"}}, [f'{AT}.min[cpu]: Invalid value: "2": min value 2 is greater than max value 1']),
        (container(max={"cpu": "3"}, min={"cpu": "2"}, defaultRequest={"cpu": "1"}), [f'{AT}.defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1']),
        (container(max={"cpu": "1"}, defaultRequest={"cpu": "2"}), [
            f'{AT}.defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than max value 1',
            f'{AT}.defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default limit value 1',
        ]),
        (container(min={"cpu": "2"}, default={"cpu": "1"}, defaultRequest={"cpu": "2"}), [
            f'{AT}.defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default limit value 1',
            f'{AT}.default[cpu]: Invalid value: "2": min value 2 is greater than default value 1',
        ]),
        (container(max={"cpu": "1"}, default={"cpu": "2"}, defaultRequest={"cpu": "1"}), [f'{AT}.default[cpu]: Invalid value: "1": default value 2 is greater than max value 1']),
        (container(maxLimitRequestRatio={"cpu": "500m"}), [f'{AT}.maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1']),
        ({"type": "Pod", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "3"}}, [f'{AT}.maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000']),
        ({"type": "PersistentVolumeClaim"}, [f"{AT}.limits: Required value: either minimum or maximum storage value is required, but neither was provided"]),
        (container(default={"example.com/gpu": "2"}, defaultRequest={"example.com/gpu": "1"}), [f'{AT}.defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in example.com/gpu']),
        (container(max={"hugepages-2Mi": "x"}), [f'{AT}.{part}[hugepages-2Mi]: Invalid value: "x": quantities must match the regular expression \'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$\'' for part in ("max", "default", "defaultRequest")]),
    ],
)  # fmt: skip
def test_what_contradicts_itself(item: dict, lines: list[str]) -> None:
    """Each contradiction is refused with upstream's path and words."""
    assert found(LIMIT_RANGES, limits(item)) == lines


def test_each_type_once() -> None:
    """Two items of one type are refused."""
    lines = found(LIMIT_RANGES, limits(container(), container()))
    assert lines == ['spec.limits[1].type: Duplicate value: "Container"']
