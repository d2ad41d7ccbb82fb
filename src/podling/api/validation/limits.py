"""LimitRanges: what each item bounds, and that its bounds and defaults do not contradict each other.

Must not know how the bounds are applied: admission does. Order of causes: upstream's, item by item; resources of an
item go by name, where upstream's order is chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.quantity import Quantity
from podling.api.validation import amounts, formats, meta
from podling.api.validation.field import SPEC, Path, duplicate, forbidden, invalid, invalid_each, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import LimitRange, LimitRangeItem

_STANDARD = ("Pod", "Container", "PersistentVolumeClaim")
_ONE = Quantity(10**9)

_Amounts = dict[str, Quantity]


def check_create(limits: LimitRange, causes: list[Cause]) -> None:
    meta.check_create(limits.metadata, causes, namespaced=True)
    _check_items(limits, causes)


def check_update(new: LimitRange, old: LimitRange, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_items(new, causes)


def _check_items(limits: LimitRange, causes: list[Cause]) -> None:
    seen = set()
    for i, item in enumerate(limits.spec.limits if limits.spec is not None else ()):
        where = (SPEC / "limits")[i]
        _check_type(item.type, where / "type", causes)
        if item.type in seen:
            causes.append(duplicate(where / "type", item.type))
        seen.add(item.type)
        _check_item(item, where, causes)


def _check_type(name: str, path: Path, causes: list[Cause]) -> None:
    complaints = formats.qualified_name(name)
    if complaints:
        invalid_each(path, name, complaints, causes)
    elif "/" not in name and name not in _STANDARD:
        causes.append(invalid(path, name, "must be a standard limit type or fully qualified"))


def _check_item(item: LimitRangeItem, path: Path, causes: list[Cause]) -> None:
    most = _read(item, item.max, path / "max", causes)
    least = _read(item, item.min, path / "min", causes)
    given: _Amounts = {}
    asked: _Amounts = {}
    if item.type == "Pod":
        for name, part in (("default", item.default), ("defaultRequest", item.default_request)):
            if part:
                causes.append(forbidden(path / name, "may not be specified when `type` is 'Pod'"))
    else:
        given = _read(item, item.default, path / "default", causes)
        asked = _read(item, item.default_request, path / "defaultRequest", causes)
    if item.type == "PersistentVolumeClaim" and "storage" not in least and "storage" not in most:
        said = "either minimum or maximum storage value is required, but neither was provided"
        causes.append(required(path / "limits", said))
    ratios = _read(item, item.max_limit_request_ratio, path / "maxLimitRequestRatio", causes)
    for name in sorted({**most, **least, **given, **asked, **ratios}):
        _check_order(name, least, most, given, asked, path, causes)
        if name in ratios:
            _check_ratio(
                ratios[name], least.get(name), most.get(name), (path / "maxLimitRequestRatio").key(name), causes
            )
        if name in given and name in asked and given[name] != asked[name] and not amounts.overcommits(name):
            said = f"default value {given[name]} must equal to defaultRequest value {asked[name]} in {name}"
            causes.append(invalid((path / "defaultRequest").key(name), str(asked[name]), said))


def _read(item: LimitRangeItem, part: dict[str, str], path: Path, causes: list[Cause]) -> _Amounts:
    found: _Amounts = {}
    for name, text in part.items():
        where = path.key(name)
        if item.type in {"Pod", "Container"}:
            amounts.container_resource(name, where, causes)
        else:
            amounts.known_name(name, where, causes)
        value = amounts.amount(text, where, causes)
        if value is not None:
            found[name] = value
    return found


def _check_order(
    name: str,
    least: _Amounts,
    most: _Amounts,
    given: _Amounts,
    asked: _Amounts,
    path: Path,
    causes: list[Cause],
) -> None:
    """Check that minimum, default request, default and maximum come in this order."""
    for lower, low, higher, high, field, shown in (
        (least, "min", most, "max", "min", least),
        (least, "min", asked, "default request", "defaultRequest", asked),
        (asked, "default request", most, "max", "defaultRequest", asked),
        (asked, "default request", given, "default limit", "defaultRequest", asked),
        (least, "min", given, "default", "default", least),
        (given, "default", most, "max", "default", most),
    ):
        if name in lower and name in higher and lower[name] > higher[name]:
            said = f"{low} value {lower[name]} is greater than {high} value {higher[name]}"
            causes.append(invalid((path / field).key(name), str(shown[name]), said))


def _check_ratio(
    ratio: Quantity, least: Quantity | None, most: Quantity | None, path: Path, causes: list[Cause]
) -> None:
    if ratio < _ONE:
        causes.append(invalid(path, str(ratio), f"ratio {ratio} is less than 1"))
    if least is None or most is None:
        return
    widest = most.nano / least.nano if least.nano else float("inf")
    if ratio.nano / 10**9 > widest:
        causes.append(invalid(path, str(ratio), f"ratio {ratio} is greater than max/min = {widest:f}"))
