"""What counts as 'it holds already': otherwise an idle operator writes for ever, or a needed write does not come."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millgate.controller.compare import holds

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ({"a": 1}, {"a": 1, "defaulted": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {}, False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"ports": [{"port": 80}]}, {"ports": [{"port": 80, "nodePort": 30000}, {"port": 443}]}, True),
        ({"ports": [{"port": 80}]}, {"ports": [{"port": 443}]}, False),
        ({"ports": [{"port": 80}]}, {"ports": None}, False),
        ({"selector": {"name": "fraud"}}, {"selector": {"name": "fraud", "hash": "r1"}}, False),
        ({"selector": {"name": "fraud", "hash": "r1"}}, {"selector": {"name": "fraud", "hash": "r1"}}, True),
        ({"labels": {"name": "fraud"}}, {"labels": {"name": "fraud", "team": "risk"}}, True),
    ],
)
def test_an_object_holds_what_is_wanted_when_others_have_only_added_to_it(
    wanted: Any, found: Any, expected: Any
) -> None:
    assert holds(wanted, found) is expected


@given(json_values)
def test_every_object_holds_itself(value: Any) -> None:
    assert holds(value, value)
