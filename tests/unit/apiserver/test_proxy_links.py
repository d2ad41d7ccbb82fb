"""Links of proxied pages: which lead back through the proxy, and that nothing else of a page changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.apiserver.kubelet_proxy.links import LONGEST_TAG, Links, PageLinks

PREFIX = "/api/v1/namespaces/n/pods/p:80/proxy"
LINKS = Links(PREFIX, "10.0.0.1:80", "api.example:6443")


@pytest.mark.parametrize(
    ("link", "led"),
    [
        ("/a?b=/c#d", f"{PREFIX}/a?b=/c#d"),
        ("/", f"{PREFIX}/"),
        ("a/b", "a/b"),
        ("", ""),
        ("#here", "#here"),
        ("mailto:a@example.com", "mailto:a@example.com"),
        ("https://example.com/a", "https://example.com/a"),
        ("//example.com/a", "//example.com/a"),
        ("http://10.0.0.1:80/a", f"{PREFIX}/a"),
        ("//10.0.0.1:80/a", f"{PREFIX}/a"),
        ("http://api.example:6443/a", f"http://api.example:6443{PREFIX}/a"),
        (f"{PREFIX}/a", f"{PREFIX}/a"),
    ],
)
def test_a_link_to_the_backends_root_is_led_back(link: str, led: str) -> None:
    """Relative links, other hosts' and those that lead through the proxy already stay as they are."""
    assert LINKS.led_back(link) == led


PAGES = {
    '<a href="/x">': f'<a href="{PREFIX}/x">',
    "<A\n class=b HREF = '/x' >": f"<A\n class=b HREF = '{PREFIX}/x' >",
    "<link href=/x/>": f"<link href={PREFIX}/x/>",
    "<a title=\"a > b, href='/n'\" href=/x>": f"<a title=\"a > b, href='/n'\" href={PREFIX}/x>",
    "<img alt=it's src='/x'>": f"<img alt=it's src='{PREFIX}/x'>",
    "<p href=/x> 1 < 2 </p>": None,
    "<!-- <a href='/x'> --><a href='x'>": None,
    "<!--><a href='/x'>": f"<!--><a href='{PREFIX}/x'>",
    "<script src=/x>\"<a href='/x'>\"</SCRIPT ><a href=/x>": (
        f"<script src={PREFIX}/x>\"<a href='/x'>\"</SCRIPT ><a href={PREFIX}/x>"
    ),
    "<title><a href=/x></title>": None,
    "<a href='/x": None,
    "<a href=>": None,
    "a<": None,
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_a_pages_links_are_changed_however_it_comes(page: str, size: int) -> None:
    """In tags alone, not in comments, scripts and titles; byte by byte or at once."""
    assert changed(page.encode(), size) == (PAGES[page] or page).encode()


@given(st.lists(st.sampled_from([*PAGES, "<", ">", '"', "'", "=", "/", " ", "a", "<!--", "-->", "<a ", "é\0"])))
def test_any_page_is_the_same_in_pieces_and_at_once(parts: list[str]) -> None:
    page = "".join(parts).encode()
    assert changed(page, 3) == changed(page, len(page) + 1)


@pytest.mark.parametrize("unit", ["<", "<a", "<!", '<a x="', "<a b b b ", "<a <", "<script", "<p>", "<-"])
def test_no_page_is_looked_through_again_and_again(unit: str) -> None:
    """What is no tag that matters is passed over at once, what does not end as much as a tag may be long at a time."""
    steps = []

    class Counted(PageLinks):
        def _step(self, data: bytes, at: int) -> tuple[bytes, int] | None:
            steps.append(at)
            return super()._step(data, at)

    page = (unit * 40_000).encode()
    links = Counted(LINKS)
    assert links.change(page) + links.rest() == page
    assert len(steps) <= 2 * len(page) // LONGEST_TAG + 3


def test_a_tag_without_end_is_not_held_for_ever() -> None:
    links = PageLinks(LINKS)
    told = b"".join(links.change(b"<a " + b"b" * 1000) for _ in range(20))
    assert len(told) > 10_000


def changed(page: bytes, size: int) -> bytes:
    links = PageLinks(LINKS)
    return b"".join(links.change(page[at : at + size]) for at in range(0, len(page), size)) + links.rest()
