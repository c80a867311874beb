from typing import Any

import pytest

from enapter_async.errors import ConfigurationError
from enapter_async.limits.pacing import Pacing


def test_the_defaults_are_the_documented_ones() -> None:
    assert Pacing() == Pacing(max_in_flight=100, max_rate=None)


@pytest.mark.parametrize("places", [0, -1, True, 1.0, None])
def test_a_number_of_places_that_makes_no_sense_is_refused(places: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_in_flight"):
        Pacing(max_in_flight=places)


def test_one_place_and_any_rate_make_sense() -> None:
    assert Pacing(max_in_flight=1, max_rate=0.001).max_rate == 0.001
