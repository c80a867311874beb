import uuid

from benchmarks.worker import DeviceIds, peak_rss_bytes


def test_every_id_is_a_different_uuid_even_after_a_warm_up() -> None:
    ids = [*DeviceIds(first=0, limit=300), *DeviceIds(first=300, limit=300)]
    assert len(set(ids)) == 600
    assert all(str(uuid.UUID(one)) == one for one in ids)


def test_the_end_of_time_ends_it_but_not_before_the_minimum() -> None:
    over = DeviceIds(first=0, limit=100, least=7, until=0.0)
    assert len(list(over)) == over.given == 7
    assert list(DeviceIds(first=0, limit=3, least=7, until=0.0)) == list(
        DeviceIds(first=0, limit=3)
    )


def test_the_peak_is_that_of_a_whole_interpreter_in_bytes() -> None:
    peak = peak_rss_bytes()
    assert peak is None or 2**22 < peak < 2**36
