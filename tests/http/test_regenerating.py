"""`on_ambiguous="regenerate"`: a once-only operation is sent again, because somebody asked."""

import pytest

from enapter_async.errors import AmbiguousOutcomeError, ResultLostError
from tests.support.replies import close, errors, truncated
from tests.support.rig import CONFIG, TransportKind, attempts, open_rig
from tests.support.server import FaultServer, Reply, applied, ignored


@pytest.mark.parametrize("fault", [close(), truncated()], ids=["maybe", "applied"])
async def test_regenerate_sends_a_once_only_operation_again(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.script(applied(fault))
    policy = attempts(4, on_ambiguous="regenerate")
    async with open_rig(transport, server, retry=policy) as rig:
        config = await rig.run(CONFIG)
        assert config.mqtt_port == 1883
        assert not rig.ended.settled
    assert server.seen == ["POST", "POST"]
    assert server.world.done("generate_config") == 2


@pytest.mark.parametrize(
    ("fault", "kind"), [(close(), AmbiguousOutcomeError), (truncated(), ResultLostError)]
)
async def test_regenerate_still_tells_the_truth_when_it_fails(
    transport: TransportKind, fault: Reply, kind: type[Exception], server: FaultServer
) -> None:
    server.script(applied(fault), ignored(errors(400)))
    policy = attempts(4, on_ambiguous="regenerate")
    async with open_rig(transport, server, retry=policy) as rig:
        error = await rig.fails(CONFIG)
    assert type(error) is kind
    half = getattr(error, "answer", None)
    assert (half is not None and len(half.reveal()) > 0) is (kind is ResultLostError)
    assert server.seen == ["POST", "POST"]
