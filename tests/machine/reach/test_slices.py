"""The division into slices: which slices are touched, and laws that hold for any history."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from podling.api.types.discovery_v1 import Endpoint, EndpointPort, EndpointSlice
from podling.api.types.meta_v1 import ObjectMeta
from podling.reach.endpoints import PortSet
from podling.reach.slices import divide

HTTP = PortSet("IPv4", (EndpointPort(name="http", port=80, protocol="TCP"),))
OTHER = PortSet("IPv4", (EndpointPort(name="http", port=81, protocol="TCP"),))
EMPTY = PortSet("IPv4", ())


def ends(*numbers, zone=None):
    return [Endpoint(addresses=(f"10.0.{n // 256}.{n % 256}",), zone=zone) for n in numbers]


def held(name, ports, endpoints):
    return EndpointSlice(
        metadata=ObjectMeta(name=name),
        address_type=ports.address_type,
        ports=ports.ports,
        endpoints=tuple(endpoints),
    )


def plan(wanted, *existing, most=4):
    return divide(wanted, existing, ["IPv4"], most)


def shape(made):
    return (
        [len(endpoints) for _, endpoints in made.create],
        [(slice_.metadata.name, len(endpoints)) for slice_, _, endpoints in made.update],
        [slice_.metadata.name for slice_ in made.delete],
        [slice_.metadata.name for slice_ in made.kept],
    )


def test_nothing_changes_where_nothing_differs():
    assert shape(plan({HTTP: ends(1, 2)}, held("a", HTTP, ends(1, 2)))) == ([], [], [], ["a"])


def test_a_service_without_endpoints_has_one_empty_slice():
    made = plan({})
    assert (shape(made), made.create[0][0]) == (([0], [], [], []), EMPTY)
    assert shape(plan({}, held("a", EMPTY, []))) == ([], [], [], ["a"])
    assert shape(plan({}, held("a", EMPTY, []), held("b", EMPTY, []))) == ([], [], ["b"], ["a"])


def test_the_last_endpoint_leaves_its_slice_empty_and_the_first_takes_it_over():
    gone = plan({}, held("a", HTTP, ends(1)))
    assert (shape(gone), gone.update[0][1]) == (([], [("a", 0)], [], []), EMPTY)
    come = plan({HTTP: ends(1)}, held("a", EMPTY, []))
    assert (shape(come), come.update[0][1]) == (([], [("a", 1)], [], []), HTTP)


def test_many_endpoints_fill_whole_slices():
    assert shape(plan({HTTP: ends(*range(10))})) == ([4, 4, 2], [], [], [])


def test_a_change_touches_its_own_slice():
    """An endpoint whose conditions change is replaced where it stands; the others' slices are not written."""
    existing = [held("a", HTTP, ends(0, 1, 2, 3)), held("b", HTTP, ends(4, 5))]
    wanted = [*ends(0, 1), *ends(2, zone="east"), *ends(3, 4, 5)]
    assert shape(plan({HTTP: wanted}, *existing)) == ([], [("a", 4)], [], ["b"])


def test_what_changes_anyway_is_filled_up_first():
    existing = [held("a", HTTP, ends(0, 1, 2, 3)), held("b", HTTP, ends(4, 5))]
    assert shape(plan({HTTP: ends(1, 2, 3, 4, 5, 6)}, *existing)) == ([], [("a", 4)], [], ["b"])


def test_one_slice_that_takes_all_the_rest_is_preferred_to_a_new_one():
    """The fullest that can; where none can take all of it, a new slice is made and the others stay unchanged."""
    existing = [held("a", HTTP, ends(0)), held("b", HTTP, ends(1, 2)), held("c", HTTP, ends(3, 4, 5))]
    assert shape(plan({HTTP: ends(*range(8))}, *existing)) == ([], [("b", 4)], [], ["a", "c"])
    assert shape(plan({HTTP: ends(*range(10))}, *existing)) == ([4], [], [], ["a", "b", "c"])


def test_other_ports_are_other_slices():
    """And a slice that is no longer needed is used for them rather than deleted."""
    made = plan({OTHER: ends(1)}, held("a", HTTP, ends(1)), held("b", HTTP, ends(2)))
    assert (shape(made), made.update[0][1]) == (([], [("a", 1)], ["b"], []), OTHER)


def test_the_order_of_ports_moves_nothing():
    one, two = EndpointPort(name="a", port=1, protocol="TCP"), EndpointPort(name="b", port=2, protocol="TCP")
    existing = held("a", PortSet("IPv4", (one, two)), ends(1))
    assert shape(plan({PortSet("IPv4", (two, one)): ends(1)}, existing)) == ([], [], [], ["a"])


def test_slices_of_an_address_type_that_is_not_wanted_go():
    assert shape(divide({}, [held("a", PortSet("IPv6", ()), [])], ["IPv4"])) == ([0], [], ["a"], [])


_SETS = st.sampled_from((HTTP, OTHER))
_STEP = st.dictionaries(_SETS, st.sets(st.integers(0, 40), max_size=25).map(sorted), max_size=2)


@settings(max_examples=200, deadline=None)
@given(st.lists(_STEP, min_size=1, max_size=6))
def test_laws(steps):
    """After each plan every wanted endpoint stands in exactly one slice, none is too full, and a second plan is empty."""
    standing: list[EndpointSlice] = []
    number = 0
    for step in steps:
        wanted = {ports: ends(*numbers) for ports, numbers in step.items() if numbers}
        made = plan(wanted, *standing)
        gone = {each.metadata.name for each in made.delete} | {each.metadata.name for each, _, _ in made.update}
        kept = {each.metadata.name for each in made.kept}
        assert gone | kept == {each.metadata.name for each in standing}
        assert not gone & kept
        standing = [each for each in standing if each.metadata.name in kept]
        for slice_, ports, endpoints in made.update:
            standing.append(structs.replace(slice_, ports=ports.ports, endpoints=tuple(endpoints)))
        for ports, endpoints in made.create:
            number += 1
            standing.append(held(f"s{number}", ports, endpoints))
        assert standing
        for ports in (HTTP, OTHER):
            inside = [e.addresses for each in standing if each.ports == ports.ports for e in each.endpoints]
            assert sorted(inside) == sorted(e.addresses for e in wanted.get(ports, ()))
        assert all(len(each.endpoints) <= 4 for each in standing)
        again = plan(wanted, *standing)
        assert (again.create, again.update, again.delete) == ([], [], [])
