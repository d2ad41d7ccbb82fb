"""Owns the reading of YAML as Go's library reads it: YAML 1.1's booleans, no sexagesimals, no dates, string keys.

Works on the composed nodes rather than with a constructor, so that aliases can be weighed before they are expanded.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Final[Any] = yaml.resolver.Resolver()
_MOST_CHARACTERS: Final = 4 * 1024 * 1024
_SMALL, _LARGE = 400_000, 4_000_000
_STR: Final = "tag:yaml.org,2002:str"

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[0-9]+)\Z", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", re.ASCII)
_NO_NUMBER: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")


class YamlError(ValueError):
    """A document that is refused, in Go's words."""


def read_yaml(data: bytes, deepest: int) -> tuple[Any, tuple[str, ...]]:
    """Return the first document's tree, and the sentences about keys given twice; raises `YamlError`."""
    loader = None
    try:
        _refuse_depth(data, deepest)
        loader = _LOADER(data)
        node = loader.get_node() if loader.check_node() else None
    except yaml.MarkedYAMLError as error:
        raise YamlError(f"yaml: {_where(error)}{error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlError(f"yaml: {str(error).splitlines()[0]}") from None
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        return None, ()
    _weigh(node, deepest, len(data))
    twice: list[str] = []
    tree = _tree(node, twice)
    return tree, ("yaml: unmarshal errors:\n" + "\n".join(twice),) if twice else ()


def _where(error: yaml.MarkedYAMLError) -> str:
    """Return the line as Go's library counts it: a parser's from nought, a scanner's from one, the first not at all."""
    line = error.problem_mark.line if error.problem_mark else 0
    if line and isinstance(error, yaml.scanner.ScannerError):
        line += 1
    line = line or (error.context_mark.line if error.context_mark else 0)
    return f"line {line}: " if line else ""


def _refuse_depth(data: bytes, deepest: int) -> None:
    """Refuse deep nesting while it is still a stream of events: composing it would overrun the C stack."""
    if data.count(b"[") + data.count(b"{") + data.count(b"-") + data.count(b":") + data.count(b"?") <= deepest:
        return
    depth = 0
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > deepest:
                raise YamlError("yaml: exceeded max depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentEndEvent):
            return


def _weigh(root: yaml.Node, deepest: int, size: int) -> None:
    """Refuse what is too deep, contains itself, or grows too large when its aliases are expanded."""
    weights: dict[int, tuple[int, int, int]] = {}
    open_nodes: set[int] = set()
    written = 1

    def weigh(node: yaml.Node, depth: int) -> tuple[int, int, int]:
        """Return the number of nodes, of levels and of characters below and with this one."""
        nonlocal written
        if isinstance(node, yaml.ScalarNode):
            return 1, 0, len(node.value)
        known = weights.get(id(node))
        if known is None:
            if id(node) in open_nodes:
                raise YamlError("yaml: anchor value contains itself")
            open_nodes.add(id(node))
            children = [n for pair in node.value for n in pair] if isinstance(node, yaml.MappingNode) else node.value
            written += 1 + sum(isinstance(child, yaml.ScalarNode) for child in children)
            inner = [weigh(child, depth + 1) for child in children]
            open_nodes.discard(id(node))
            known = (
                1 + sum(nodes for nodes, _, _ in inner),
                1 + max((levels for _, levels, _ in inner), default=0),
                sum(characters for _, _, characters in inner),
            )
            weights[id(node)] = known
        if depth + known[1] > deepest + 1:
            raise YamlError("yaml: exceeded max depth")
        return known

    total, _, characters = weigh(root, 1)
    aliased = total - written
    shared = aliased > 100 and total > 1000 and aliased > total * _aliased_share(total)
    if shared or characters > max(_MOST_CHARACTERS, size):
        raise YamlError("yaml: document contains excessive aliasing")


def _aliased_share(total: int) -> float:
    """Return which part of so many nodes may come from aliases; the more nodes, the smaller, as in Go's library."""
    return 0.99 - 0.89 * min(max((total - _SMALL) / (_LARGE - _SMALL), 0.0), 1.0)


def _tree(node: yaml.Node, twice: list[str]) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_tree(child, twice) for child in node.value]
    out: dict[str, Any] = {}
    merged: list[dict[str, Any]] = []
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlError(f"yaml: line {key_node.start_mark.line + 1}: invalid map key")
        if key_node.value == "<<" and not key_node.style:
            merged += _merged(value_node, twice)
            continue
        key = _key(_scalar(key_node))
        if key in out:
            twice.append(f'  line {key_node.start_mark.line + 1}: key "{key}" already set in map')
        out[key] = _tree(value_node, twice)
    for tree in merged:
        for key, value in tree.items():
            out.setdefault(key, value)
    return out


def _merged(node: yaml.Node, twice: list[str]) -> list[dict[str, Any]]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    trees = [_tree(n, twice) for n in nodes]
    if not all(isinstance(tree, dict) for tree in trees):
        raise YamlError("yaml: map merge requires map or sequence of maps as the value")
    return trees


def _key(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style or (node.tag == _STR and _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) != _STR):
        return text  # quoted, or said to be a string by `!!str`
    return _word(text)


def _word(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    plain = text.replace("_", "")
    if _INTEGER.match(plain):
        sign, digits = (-1, plain[1:]) if plain[0] == "-" else (1, plain.lstrip("+"))
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            digits = "0o" + digits[1:] if all(d in "01234567" for d in digits) else ""
        if digits and abs(whole := sign * int(digits, 0)) < 2**64:
            return whole
    if _FLOAT.match(plain):
        number = float(plain)
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    if _NO_NUMBER.match(text):
        raise YamlError(f"json: unsupported value: {'NaN' if 'n' in text.lower()[1:2] else '+Inf'}")
    return text
