"""Helpers for the tests of the converter."""

from typing import Any

import pytest
from hypothesis import strategies as st

from enapter_async.converter import StructureError, structure
from enapter_async.models.devices import (
    Device,
)

DEVICES = tuple[Device, ...]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
JSON_OBJECTS = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers()),
    max_size=3,
)
STRINGS = st.none() | st.text(max_size=20)


def read(**fields: Any) -> Device:
    device: Device = structure({"id": "a", **fields}, Device)
    return device


def error_of(data: Any, kind: Any) -> StructureError:
    with pytest.raises(StructureError) as caught:
        structure(data, kind)
    return caught.value
