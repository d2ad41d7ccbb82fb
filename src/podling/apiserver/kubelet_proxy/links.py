"""Links of what comes through the proxy, led back through the proxy.

A page of a Pod that links to `/style.css` means its own root; a browser that has the page from the API server would ask
the API server. Owns which links are changed (upstream's table of tags and attributes), and how. Pure: knows no
connections. Invariants: bytes that are no such link pass as they are; no more than one tag is held back, and one longer
than `LONGEST_TAG` passes as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_TAG = 8 * 1024
_LONGEST_END = len("</noframes")
"""What may have to be held back inside of something that ends with a mark of its own."""

_LINKS = {
    tag: frozenset(attributes.split())
    for tag, attributes in {
        "a": "href", "applet": "codebase", "area": "href", "audio": "src", "base": "href", "blockquote": "cite",
        "body": "background", "button": "formaction", "command": "icon", "del": "cite", "embed": "src",
        "form": "action", "frame": "longdesc src", "head": "profile", "html": "manifest", "iframe": "longdesc src",
        "img": "longdesc src usemap", "input": "src usemap formaction", "ins": "cite", "link": "href",
        "object": "classid codebase data usemap", "q": "cite", "script": "src", "source": "src", "video": "poster src",
    }.items()
}  # fmt: skip
_VERBATIM = frozenset({"iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"})
"""Elements whose content is text, whatever it looks like."""

_VALUE = rb"""(?:"[^"]*+"|'[^']*+'|[^\s"'>][^\s>]*+|(?=>))"""
_ATTRIBUTE = rb"[\s/]*+(%s[^\s/>][^\s/>=]*+)(?:\s*+=\s*+(%s" + _VALUE + rb")|(?!\s*+=))"
_ATTRIBUTES = re.compile(_ATTRIBUTE % (b"", b""))
_TAG = re.compile(rb"<([a-zA-Z][^\s/>]*+)((?:" + _ATTRIBUTE % (b"?:", b"?:") + rb")*+)[\s/]*+>")
_OPENS = re.compile(
    b"<(?:(?:"
    + b"|".join(name.encode() for name in sorted({*_LINKS, *_VERBATIM}))
    + rb")[\s/>]|!--|[!a-z0-9-]{0,11}\Z)",
    re.IGNORECASE,
)
"""What begins a tag that matters or a comment, or may yet turn out to."""

_COMMENT_END = re.compile(rb"-->")
_LINK = re.compile(r"(?:(?:https?:)?//([^/?#]*))?(/.*)?", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Links:
    """Where links lead whose page was had through the proxy."""

    prefix: str
    """The path that stands for the backend's root: `/api/v1/namespaces/default/pods/web:80/proxy`."""
    backend: str
    """The backend as it was called; links that name it lose it."""
    caller: str
    """The API server as the caller knows it; links that name it keep it."""

    def led_back(self, link: str) -> str:
        """Return `link` with the prefix, unless it leads elsewhere, is relative or has it already."""
        found = _LINK.fullmatch(link)
        if found is None or not found[2] or found[1] not in {None, self.backend, self.caller}:
            return link
        origin = link[: found.start(2)] if found[1] == self.caller else ""
        return origin + ("" if found[2].startswith(self.prefix) else self.prefix) + found[2]


class PageLinks:
    """The links of one page, changed as the page comes."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._held = b""
        self._ends: re.Pattern[bytes] | None = None
        """Set within a comment or verbatim text: what ends it."""

    def change(self, piece: bytes) -> bytes:
        """Take the next bytes of a page; return what can be said by now."""
        data, at = self._held + piece, 0
        told = bytearray()
        while (step := self._step(data, at)) is not None:
            said, at = step
            told += said
        self._held = data[at:]
        return bytes(told)

    def rest(self) -> bytes:
        """Return what was held back when the page ended."""
        return self._held

    def _step(self, data: bytes, at: int) -> tuple[bytes, int] | None:
        """Return what is said for the next bytes and where they end; `None` where more must come first."""
        if self._ends is not None:
            found = self._ends.search(data, at)
            end = max(at, len(data) - _LONGEST_END) if found is None else found.end()
            if found is not None:
                self._ends = None
            return (data[at:end], end) if end > at else None
        if at == len(data):
            return None
        opens = _OPENS.search(data, at)
        if opens is None or opens.start() > at:
            end = len(data) if opens is None else opens.start()
            return data[at:end], end
        if data.startswith(b"<!--", at):
            self._ends = _COMMENT_END
            return b"<!", at + 2
        tag = _TAG.match(data, at, at + LONGEST_TAG)
        if tag is not None:
            return self._tag(data, tag), tag.end()
        if len(data) - at < LONGEST_TAG:
            return None
        return data[at : at + LONGEST_TAG], at + LONGEST_TAG

    def _tag(self, data: bytes, tag: re.Match[bytes]) -> bytes:
        name = tag[1].decode("latin-1").lower()
        if name in _VERBATIM:
            self._ends = re.compile(b"</" + name.encode(), re.IGNORECASE)
        told, at = bytearray(), tag.start()
        for attribute in _ATTRIBUTES.finditer(data, tag.start(2), tag.end(2)):
            value = attribute[2]
            if not value or attribute[1].decode("latin-1").lower() not in _LINKS.get(name, ()):
                continue
            quote = value[:1] if value[:1] in {b'"', b"'"} else b""
            link = value[len(quote) : len(value) - len(quote)].decode("latin-1")
            told += data[at : attribute.start(2)] + quote + self._links.led_back(link).encode("latin-1") + quote
            at = attribute.end(2)
        return bytes(told) + data[at : tag.end()]
