"""The call graph as people read it."""

from __future__ import annotations

from podling.insight.calls import to_call
from podling.insight.directory import OUTSIDE, Edge, Party
from podling.insight.ledger import Tally
from podling.insight.render import graphviz, table

SHOP = Party("Pod", "shop", "cart", "1")
BANK = Party("Pod", "bank", 'pay"roll', "2")
CALLS = [
    to_call(Edge(OUTSIDE, SHOP, "", 80, "TCP"), Tally(calls=2, sent=5, received=7, first=90.0, last=95.0)),
    to_call(Edge(SHOP, BANK, "bank/pay", 443, "TCP"), Tally(calls=12, refused=3, blocked=4, first=1.0, last=40.0)),
]


def test_a_table_has_the_most_called_first() -> None:
    """Columns are aligned; what the books lack is said below."""
    assert table(CALLS, {"overruns": 2, "forgotten": 1, "unheld": 0}, 100.0) == (
        "CALLER      CALLEE          SERVICE    PORT      CALLS   REFUSED   UNANSWERED   BLOCKED   SENT   RECEIVED   LAST\n"
        'shop/cart   bank/pay"roll   bank/pay   443/TCP   12      3         0            4         0      0          60s\n'
        "<outside>   shop/cart       -          80/TCP    2       0         0            0         5      7          5s\n"
        "The kernel dropped events 2 times: calls that were over by then are missing.\n"
        "1 edges that were not seen for longest were forgotten: there were too many.\n"
    )
    assert table([], {}, 100.0) == "No calls have been seen.\n"


def test_a_drawing_quotes_what_it_is_given() -> None:
    """Names with quotes cannot break out; failures are red."""
    assert graphviz(CALLS) == (
        "digraph calls {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n"
        '  "<outside>" -> "shop/cart" [label="80/TCP\\n2 calls", penwidth=1.5];\n'
        '  "shop/cart" -> "bank/pay\\"roll" [label="bank/pay\\n443/TCP\\n12 calls\\n4 blocked", penwidth=2, color=red];\n'
        "}\n"
    )
