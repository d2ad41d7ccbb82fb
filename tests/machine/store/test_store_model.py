"""The pure half of the store against the simplest model: a list of all states that ever were."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from podling.store import Mismatch, Row, Wish
from podling.store.heads import Heads
from podling.store.recent import History, Recent, Retention
from podling.store.writes import decide

KEYS = st.sampled_from(["/a", "/a/1", "/a/10", "/a/2", "/b", "/b/1"])


WISHES = st.builds(
    Wish, KEYS, st.one_of(st.none(), st.binary(max_size=3)), st.one_of(st.none(), st.just(0), st.integers(2, 25))
)


@settings(deadline=None, max_examples=200)
@given(
    groups=st.lists(st.lists(st.lists(WISHES, min_size=1, max_size=3), max_size=4), max_size=12),
    forget=st.integers(0, 30),
)
def test_store_agrees_with_its_model(groups: list[list[list[Wish]]], forget: int) -> None:
    """Whatever is wished in whatever groups: outcomes, listings of every kept revision and changes are the model's."""
    heads, recent = Heads(), Recent(1)
    model: dict[str, Row] = {}
    states: list[dict[str, Row]] = [{}, {}]  # by revision; 0 never was, 1 is empty
    for group in groups:
        changes, outcomes = decide(heads, group)
        for wishes, outcome in zip(group, outcomes, strict=True):
            draft, drafts = dict(model), list[dict[str, Row]]()
            for key, value, expected in wishes:
                current = draft.get(key)
                standing = current.revision if current else 0
                if expected not in (None, standing) or (value is None and current is None):
                    assert isinstance(outcome, Mismatch)
                    assert (outcome.key, outcome.current) == (key, current)
                    break
                number = len(states) + len(drafts)
                if value is None:
                    del draft[key]
                else:
                    draft[key] = Row(key, value, number, current.created if current else number)
                drafts.append(dict(draft))
            else:
                assert outcome == list(range(len(states), len(states) + len(wishes)))
                model = draft
                states += drafts
        for change in changes:
            heads.apply(change)
            recent.add(change)
    assert heads.revision == len(states) - 1
    recent.forget(min(forget, heads.revision))
    for revision in range(recent.start, len(states)):
        for prefix in ("/", "/a/", "/b"):
            expected = [states[revision][key] for key in sorted(states[revision]) if key.startswith(prefix)]
            undo = recent.undo(revision, prefix)
            assert heads.page_before(prefix, "", 0, revision, undo).rows == expected
            pages, after = [], ""
            while True:
                page = heads.page_before(prefix, after, 2, revision, undo)
                pages += page.rows
                assert page.remaining == len(expected) - len(pages)
                if not page.more:
                    break
                after = page.rows[-1].key
            assert pages == expected
        since = recent.since(revision, "/a")
        replayed = dict(states[revision])
        for change in recent.since(revision, ""):
            assert replayed.get(change.key) == change.previous
            if change.value is None:
                del replayed[change.key]
            else:
                replayed[change.key] = Row(change.key, change.value, change.revision, change.created)
        assert replayed == model
        assert [change.key.startswith("/a") for change in since] == [True] * len(since)


@given(
    steps=st.lists(st.tuples(st.integers(1, 5), st.floats(0, 400)), max_size=40),
    seconds=st.sampled_from([60.0, 600.0]),
    revisions=st.sampled_from([5, 50]),
)
def test_history_keeps_what_is_young(steps: list[tuple[int, float]], seconds: float, revisions: int) -> None:
    """Nothing younger than the bound in time is forgotten unless the bound in number asks; targets never go back."""
    retention, now, newest, made, last = Retention(History(seconds, revisions)), 1e9, 1, [(1, 1e9)], 0
    for writes, pause in steps:
        now += pause
        newest += writes
        made.append((newest, now))
        retention.note(newest, now)
        target = retention.target(newest, now)
        assert target >= last
        last = target
        assert newest - target <= revisions
        young = [revision for revision, at in made if at > now - seconds]
        assert target < young[0] or target == newest - revisions


def test_recent_is_bounded_in_weight() -> None:
    """The window in memory gives up the oldest changes when their values weigh too much."""
    heads, recent = Heads(), Recent(1, bound=100, weight=1000)
    for number in range(20):
        changes, _ = decide(heads, [[Wish(f"/{number}", b"x" * 300, 0)]])
        heads.apply(changes[0])
        recent.add(changes[0])
    assert len(recent) == 3
    assert recent.start == heads.revision - 3
    assert [change.revision for change in recent.since(recent.start + 1, "")] == [20, 21]
