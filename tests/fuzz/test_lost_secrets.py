"""Whatever a configuration looks like, it is read, or kept as received."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from enapter_async._http.message import Failure
from tests.http.test_lost_secrets import CONFIGURATION, KEY, MINT, varied
from tests.http.test_wire import reply, wire

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(
    fields=st.dictionaries(
        st.sampled_from([*CONFIGURATION, "mqtt_post"]), json_values | st.just(...)
    ),
    wrapped=st.booleans(),
)
def test_any_configuration_is_read_or_kept_whole(fields: dict[str, Any], wrapped: bool) -> None:
    value = varied(**fields)
    body = json.dumps({"config": value} if wrapped else value).encode()
    ended = wire().read(MINT, reply(200, body))
    if isinstance(ended, Failure):
        assert ended.answer is not None
        assert ended.answer.reveal() == body
        assert KEY not in repr(ended)
    else:
        assert ended.mqtt_credentials is not None
