"""Precedence: arguments, then the environment, then the profile, then the defaults."""

from pathlib import Path

import pytest

from enapter_async.errors import AuthenticationError, ConfigurationError
from enapter_async.logs import CallLog
from enapter_async.operations.devices import ListDevices
from enapter_async.profiles import from_profile
from enapter_async.profiles.connection import Setting, choose, resolve
from tests.support.replies import errors
from tests.support.rig import GET
from tests.support.server import FaultServer, ignored
from tests.support.tls import Certificates

ENV = "ENAPTER_HTTP_API_"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "config.toml"
    path.write_text(
        """
        default = "cloud"
        [profiles.cloud]
        token = "cloud-token"
        [profiles.berlin]
        base_url = "http://gateway.test/api"
        user = "ann"
        token = "berlin-token"
        allow_insecure_http = true
        [profiles.bare]
        """
    )
    path.chmod(0o600)
    return {"ENAPTER_CONFIG": str(path)}


def test_a_profile_is_chosen_explicitly_by_the_environment_or_by_default(
    environ: dict[str, str],
) -> None:
    def chosen(name: str | None = None) -> str | None:
        profile = choose(name, environ)
        return None if profile is None else profile.name

    assert chosen() == "cloud"
    environ["ENAPTER_PROFILE"] = "berlin"
    assert chosen() == "berlin"
    assert chosen("bare") == "bare"
    with pytest.raises(ConfigurationError, match="no profile 'paris'; it has cloud, berlin, bare"):
        choose("paris", environ)


def test_without_a_file_no_profile_is_chosen_unless_one_is_named(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert choose(None, environ) is None
    with pytest.raises(ConfigurationError, match=r"no profile 'cloud': .* does not exist"):
        choose("cloud", environ)


def test_each_setting_comes_from_the_first_source_that_has_it(environ: dict[str, str]) -> None:
    profile = choose("berlin", environ)
    assert profile is not None
    own = f"profile berlin in {environ['ENAPTER_CONFIG']}"
    low = resolve(profile, {})
    assert low.base_url == Setting("http://gateway.test/api", own)
    assert low.user == Setting("ann", own)
    assert low.allow_insecure_http == Setting(True, own)
    assert low.token is not None
    assert (low.token.value(), low.token.source) == ("berlin-token", own)
    middle = resolve(
        profile, {f"{ENV}BASE_URL": "https://env.test", f"{ENV}USER": "bob", f"{ENV}TOKEN": "t"}
    )
    assert middle.base_url == Setting("https://env.test", f"environment {ENV}BASE_URL")
    assert middle.user == Setting("bob", f"environment {ENV}USER")
    assert middle.token is not None
    assert (middle.token.value(), middle.token.source) == ("t", f"environment {ENV}TOKEN")
    high = resolve(
        profile,
        {f"{ENV}BASE_URL": "https://env.test", f"{ENV}TOKEN": "t"},
        base_url=Setting("https://given.test", "option"),
        token=Setting(lambda: "given", "option"),
    )
    assert high.base_url.value == "https://given.test"
    assert high.token is not None
    assert high.token.value() == "given"
    nothing = resolve(None, {})
    assert nothing.base_url == Setting("https://api.enapter.com", "default")
    assert nothing.token is None
    assert nothing.user == Setting(None, "default")


def test_a_profiles_token_for_another_server_is_detected(environ: dict[str, str]) -> None:
    profile = choose("berlin", environ)
    assert resolve(profile, {}).mixed == ""
    assert resolve(profile, {f"{ENV}BASE_URL": "http://gateway.test/api/"}).mixed == ""
    both = {f"{ENV}BASE_URL": "https://env.test", f"{ENV}TOKEN": "t"}
    assert resolve(profile, both).mixed == ""
    said = resolve(profile, {f"{ENV}BASE_URL": "https://env.test"}).mixed
    assert said == (
        "the token of profile berlin is sent to https://env.test because of environment "
        f"{ENV}BASE_URL"
    )


@pytest.mark.filterwarnings("ignore:the token and all data are sent unencrypted")
def test_a_client_from_a_profile(environ: dict[str, str]) -> None:
    assert str(from_profile(environ=environ).base_url) == "https://api.enapter.com"
    client = from_profile("berlin", environ=environ)
    assert str(client.base_url) == "http://gateway.test/api"
    other = from_profile("berlin", environ=environ, token="mine", user="me")
    assert client.fingerprint(b"s") != other.fingerprint(b"s")
    with pytest.raises(ConfigurationError, match="there is no token"):
        from_profile("bare", environ=environ)
    given = from_profile("bare", environ={**environ, f"{ENV}TOKEN": "from-env"})
    assert "from-env" not in repr(given)


async def test_it_logs_if_the_environment_asks(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []

    def asks(environ: dict[str, str]) -> tuple[CallLog, ...]:
        asked.append(environ)
        return ()

    monkeypatch.setattr("enapter_async.profiles.opening.asked_for", asks)
    from_profile(environ=environ)
    assert asked == [environ]


async def test_a_gateway_with_an_authority_of_its_own(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with FaultServer(ssl_context=certificates.server()) as server:
        path = tmp_path / "config.toml"
        path.write_text(
            f"""
            [profiles.gateway]
            base_url = "{server.base_url}"
            ca_file = "{certificates.folder / "ca.pem"}"
            token = "gateway-token"
            """
        )
        path.chmod(0o600)
        async with from_profile("gateway", environ={"ENAPTER_CONFIG": str(path)}) as client:
            await client.execute(GET)
            server.script(ignored(errors(401)))
            with pytest.raises(AuthenticationError):
                await client.execute(ListDevices())
        assert server.arrivals[0].header("X-Enapter-Auth-Token") == "gateway-token"


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("x", "no PEM certificate")])
def test_an_authority_that_cannot_be_used(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    path = tmp_path / "config.toml"
    path.write_text('[profiles.one]\nca_file = "ca.pem"')
    connection = resolve(choose("one", {"ENAPTER_CONFIG": str(path)}), {})
    with pytest.raises(ConfigurationError, match=said):
        connection.ssl_context()
