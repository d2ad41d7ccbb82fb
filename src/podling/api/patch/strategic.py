"""Owns strategic merge patches: merge patches that know from the Schema which lists merge, and by which key.

    $patch: delete | replace | merge        a map: empty or replace it; an item of a list: drop it, or all others
    $deleteFromPrimitiveList/FIELD: […]     drop scalars of a merging list
    $setElementOrder/FIELD: […]             the order of the items that the patch's author knows
    $retainKeys: […]                        drop all other keys of a map

A list merges where the Schema says so (`strategies` holds `merge`), else it is replaced. Of the items of a merged list,
the patch's keep the patch's order, the others keep their own, and the latter stand before the first of the former that
followed them (what is new stands in front). Upstream's table of cases is the tests'.
"""

from __future__ import annotations

from typing import Any, Final

from podling.api.errors import StatusError, bad_request
from podling.api.patch.merge import copied
from podling.api.schema import LIST, Schema

_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE_SCALARS: Final = "$deleteFromPrimitiveList"
_ORDER: Final = "$setElementOrder"

_Map = dict[str, Any]
_List = list[Any]


def strategic_merge_patch(tree: _Map, patch: Any, schema: Schema) -> _Map:
    """Return the tree with the patch merged in, by the Schema of the object.

    What is malformed is a bad request; a list's item without its merge key is upstream's 500, in upstream's words.
    """
    if type(patch) is not dict:
        raise bad_request(f"json: cannot unmarshal {_json_name(patch)} into Go value of type map[string]interface {{}}")
    return _merge_map(copied(tree), copied(patch), schema)


def _merge_map(original: _Map, patch: _Map, schema: Schema | None) -> _Map:
    """Merge a patch that is ours to take apart into an original that is ours to change."""
    if _DIRECTIVE in patch:
        return _replaced_map(patch)
    _retain_keys(original, patch)
    for key in [k for k in patch if k.startswith(_ORDER)]:
        _merge_ordered(original, patch, key, schema)
    for key, value in patch.items():
        if key.startswith(_DELETE_SCALARS):
            _delete_scalars(original, key, value, schema)
        elif value is None:
            original.pop(key, None)
        elif type(value) is not type(original.get(key)):
            original[key] = _without_directives(value)
        else:
            child = schema.child(key) if schema is not None else None
            if type(value) is dict:
                original[key] = _merge_field(original[key], value, child)
            elif type(value) is list and _merges(child):
                original[key] = _merge_list(original[key], value, child)
            else:
                original[key] = value
    return original


def _merge_field(original: _Map, patch: _Map, child: Schema | None) -> _Map:
    if child is not None and "replace" in child.strategies:
        return patch
    return _merge_map(original, patch, child)


def _replaced_map(patch: _Map) -> _Map:
    match patch.pop(_DIRECTIVE):
        case "replace":
            return _without_directives(patch)  # type: ignore[no-any-return]
        case "delete":
            return {}
        case other:
            raise _internal(f"unknown patch type: {go_text(other)} in map: {go_text({_DIRECTIVE: other, **patch})}")


def _retain_keys(original: _Map, patch: _Map) -> None:
    kept = patch.pop(_RETAIN, None)
    if kept is None:
        return
    if type(kept) is not list:
        raise bad_request("invalid patch format of retainKeys")
    names = {name for name in kept if type(name) is str}
    for key, value in patch.items():
        if value is not None and not key.startswith((_DELETE_SCALARS, _ORDER)) and key not in names:
            raise bad_request("invalid patch format of retainKeys")
    for key in [k for k in original if k not in names]:
        del original[key]


def _field_of(key: str, prefix: str, refusal: str) -> str:
    head, slash, field = key.partition("/")
    if head != prefix or not slash:
        raise bad_request(refusal)
    return field


def _delete_scalars(original: _Map, key: str, gone: Any, schema: Schema | None) -> None:
    field = _field_of(key, _DELETE_SCALARS, "invalid patch format of primitive list")
    items = original.get(field)
    if type(gone) is not list:
        raise bad_request("invalid patch format of primitive list")
    if type(items) is list and (schema is None or _merges(schema.child(field))):
        gone_keys = {_identity(item, "") for item in gone}
        original[field] = [item for item in items if _identity(item, "") not in gone_keys]


# --- lists ------------------------------------------------------------------------------------------------------------


def _merges(child: Schema | None) -> bool:
    return child is not None and child.kind == LIST and "merge" in child.strategies


def _merge_ordered(original: _Map, patch: _Map, key: str, schema: Schema | None) -> None:
    """Merge the list that `$setElementOrder` speaks of, in that order; its directive and its patch are then done."""
    refusal = "invalid patch format of setElementOrder list"
    order = patch.pop(key)
    field = _field_of(key, _ORDER, refusal)
    if type(order) is not list:
        raise bad_request(refusal)
    child = schema.child(field) if schema is not None else None
    merge_key = child.merge_key if child is not None else ""
    items, changes = original.get(field), patch.pop(field, None)
    if (items is not None and type(items) is not list) or (changes is not None and type(changes) is not list):
        raise bad_request(refusal)
    if changes is not None:
        _check_order(changes, order, merge_key)
    if items is None and changes is None:
        return
    if items is None:
        merged = [_without_directives(c) for c in changes or [] if not _is_directive(c)]
    elif changes is None:
        merged = items
    else:
        merged = _merge_list(items, changes, child) if _merges(child) else changes
    original[field] = _in_order(merged, order, items or [], merge_key)


def _check_order(changes: _List, order: _List, merge_key: str) -> None:
    """Refuse a patch whose items stand in another order than it asks for, or are not all in that order."""
    if not changes or not order:
        return
    wanted = [c for c in changes if not _is_directive(c)]
    at = 0
    for entry in order:
        if at < len(wanted) and _same(wanted[at], entry, merge_key):
            at += 1
    if at < len(wanted):
        raise _internal(
            f"The order in patch list:\n{go_text(changes)}\n doesn't match {_ORDER} list:\n{go_text(order)}\n"
        )


def _merge_list(original: _List, patch: _List, child: Schema | None) -> _List:
    if not original and not patch:
        return original
    if any(type(item) is list for item in (*original, *patch)):
        message = "the server rejected our request due to an error in our request"
        raise StatusError(422, "Invalid", message, details={})
    are_maps = {type(item) is dict for item in (*original, *patch)}
    if len(are_maps) > 1:
        raise _internal(f"list element types are not identical: {go_text([original, patch])}")
    if are_maps == {False}:
        scalars = list({_identity(item, ""): item for item in (*original, *patch)}.values())
        return _in_order(scalars, patch, original, "")
    merge_key = child.merge_key if child is not None else ""
    if not merge_key:
        raise _internal("cannot merge lists without merge key for type struct")
    item_schema = child.item if child is not None else None
    kept, changes = _take_directives(original, patch, merge_key)
    merged = list(kept)
    places = _places(merged, merge_key)
    for change in changes:
        identity = _identity(change, merge_key)
        if identity in places:
            merged[places[identity]] = _merge_map(merged[places[identity]], change, item_schema)
        else:
            places[identity] = len(merged)
            merged.append(_without_directives(change))
    return _in_order(merged, changes, kept, merge_key)


def _take_directives(original: _List, patch: _List, merge_key: str) -> tuple[_List, _List]:
    """Return the original's items that stay, and the patch's items that carry no `$patch`."""
    changes: _List = []
    gone: set[_Identity] = set()
    replace = False
    for change in patch:
        if _DIRECTIVE not in change:
            changes.append(change)
            continue
        match change[_DIRECTIVE]:
            case "delete":
                gone.add(_identity(change, merge_key))
            case "replace":
                replace = True
            case "merge":
                raise _internal("merging lists cannot yet be specified in the patch")
            case other:
                raise _internal(f"unknown patch type: {go_text(other)} in map: {go_text(change)}")
    if replace:
        return [_without_directives(change) for change in changes], []
    return [item for item in original if _identity(item, merge_key) not in gone], changes


def _in_order(merged: _List, known: _List, before: _List, merge_key: str) -> _List:
    """Return the items: those that `known` names in its order, the others in the order of `before`, interleaved."""
    wanted, was = _places(known, merge_key), _places(before, merge_key)
    pairs = [(_identity(item, merge_key), item) for item in merged]
    named = sorted((p for p in pairs if p[0] in wanted), key=lambda p: wanted[p[0]])
    others = sorted((p for p in pairs if p[0] not in wanted), key=lambda p: was.get(p[0], -1))
    result: _List = []
    next_other = 0
    for identity, item in named:
        place = was.get(identity, -1)
        while next_other < len(others) and -1 < was.get(others[next_other][0], -1) < place:
            result.append(others[next_other][1])
            next_other += 1
        result.append(item)
    return result + [item for _, item in others[next_other:]]


_Identity = tuple[type, Any]


def _identity(item: Any, merge_key: str) -> _Identity:
    """Return what tells an item from its neighbours: its merge key's value, or itself; true is not 1."""
    value = _key_value(item, merge_key) if merge_key else item
    return type(value), value if type(value) is not dict and type(value) is not list else go_text(value)


def _places(items: _List, merge_key: str) -> dict[_Identity, int]:
    """Return where each identity stands first."""
    found: dict[_Identity, int] = {}
    for at, item in enumerate(items):
        found.setdefault(_identity(item, merge_key), at)
    return found


def _same(left: Any, right: Any, merge_key: str) -> bool:
    return _identity(left, merge_key) == _identity(right, merge_key)


def _key_value(item: Any, merge_key: str) -> Any:
    if type(item) is not dict:
        raise _internal(f"expected a map[string]interface {{}}, but received a {_go_type(item)}")
    if merge_key not in item:
        raise _internal(f"map: {go_text(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


# --- trees and words --------------------------------------------------------------------------------------------------


def _is_directive(item: Any) -> bool:
    return type(item) is dict and _DIRECTIVE in item


def _without_directives(value: Any) -> Any:
    """Return what a part of a patch says where there is nothing to merge it into: no directives, no nulls in maps."""
    if type(value) is list:
        return [_without_directives(v) for v in value if not (_is_directive(v) and v[_DIRECTIVE] != "merge")]
    if type(value) is not dict:
        return value
    if value.get(_DIRECTIVE) == "delete":
        return {}
    return {
        k: _without_directives(v)
        for k, v in value.items()
        if v is not None and k not in {_DIRECTIVE, _RETAIN} and not k.startswith((_DELETE_SCALARS + "/", _ORDER + "/"))
    }


def _internal(message: str) -> StatusError:
    return StatusError(500, "", message)


def go_text(value: Any) -> str:
    """Return how Go's `%v` prints a tree."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{go_text(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    return str(value)


def _go_type(value: Any) -> str:
    names = {bool: "bool", str: "string", int: "int64", float: "float64", list: "[]interface {}"}
    return names.get(type(value), "<nil>")


def _json_name(value: Any) -> str:
    names = {bool: "bool", str: "string", int: "number", float: "number", list: "array"}
    return names.get(type(value), "null")
