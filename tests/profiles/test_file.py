"""The configuration file: its location, its contents, and the sources of a token."""

import os
import sys
import time
from pathlib import Path

import pytest

from enapter_async.errors import ConfigurationError
from enapter_async.profiles import Profile, read_config
from enapter_async.profiles.file import config_path

TOKEN = "tok-9d1c77aa"


def written(tmp_path: Path, text: str, mode: int = 0o600) -> dict[str, str]:
    """Write a configuration file, and return the environment that names it."""
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return {"ENAPTER_CONFIG": str(path)}


def the_profile(tmp_path: Path, text: str) -> Profile:
    config = read_config(written(tmp_path, f"[profiles.one]\n{text}"))
    return config.profiles["one"]


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("USERPROFILE", "/home/ann")
    home = Path("/home/ann")
    end = Path("enapter-async") / "config.toml"
    assert config_path({}, "linux") == (home / ".config" / end, False)
    assert config_path({"XDG_CONFIG_HOME": "/xdg"}, "linux") == (Path("/xdg") / end, False)
    mac = home / "Library" / "Application Support" / end
    assert config_path({"XDG_CONFIG_HOME": "/xdg"}, "darwin") == (mac, False)
    assert config_path({"APPDATA": "/roaming"}, "win32") == (Path("/roaming") / end, False)
    assert config_path({}, "win32") == (home / "AppData" / "Roaming" / end, False)
    for platform in ("linux", "darwin", "win32"):
        named = config_path({"ENAPTER_CONFIG": "~/x.toml", "XDG_CONFIG_HOME": "/xdg"}, platform)
        assert named == (home / "x.toml", True)


def test_a_folder_that_is_not_absolute_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    for given in ("here", "~/xdg", ""):
        path, _ = config_path({"XDG_CONFIG_HOME": given}, "linux")
        assert path == Path("/home/ann/.config/enapter-async/config.toml")


def test_a_file_that_is_not_there_holds_nothing_unless_it_was_named(tmp_path: Path) -> None:
    assert read_config({"XDG_CONFIG_HOME": str(tmp_path)}).profiles == {}
    assert read_config({"ENAPTER_CONFIG": os.devnull}).profiles == {}
    with pytest.raises(ConfigurationError, match="named by ENAPTER_CONFIG, does not exist"):
        read_config({"ENAPTER_CONFIG": str(tmp_path / "none.toml")})


def test_every_setting_is_read(tmp_path: Path) -> None:
    config = read_config(
        written(
            tmp_path,
            """
            default = "cloud"
            [profiles.cloud]
            token_command = ["pass", "show", "enapter"]
            [profiles.berlin]
            base_url = "http://gateway.test/api"
            user = "ann"
            token_file = "berlin.token"
            ca_file = "/etc/berlin.pem"
            proxy = "environment"
            allow_insecure_http = true
            """,
        )
    )
    assert config.default == "cloud"
    assert config.profiles == {
        "cloud": Profile(name="cloud", path=config.path, token_command=("pass", "show", "enapter")),
        "berlin": Profile(
            name="berlin",
            path=config.path,
            base_url="http://gateway.test/api",
            user="ann",
            token_file=tmp_path / "berlin.token",
            ca_file=Path("/etc/berlin.pem"),
            proxy="environment",
            allow_insecure_http=True,
        ),
    }


WRONG = {
    'defualt = "x"': "'defualt' is unknown; the file may have default, profiles",
    "default = 3": "default must be a string, not a number",
    'default = "x"': "default names 'x', which is not a profile in the file",
    "profiles = 1": "profiles must be a table, not a number",
    "[profiles]\none = 1": "profiles.one must be a table, not a number",
    '[profiles.one]\nbase-url = "x"': "'profiles.one.base-url' is unknown; profiles.one may",
    "[profiles.one]\nbase_url = true": "profiles.one.base_url must be a string, not true or false",
    '[profiles.one]\nbase_url = ""': "profiles.one.base_url is empty",
    "[profiles.one]\nuser = 1979-05-27": "profiles.one.user must be a string, not a date or time",
    '[profiles.one]\nallow_insecure_http = "yes"': "must be true or false, not a string",
    '[profiles.one]\ntoken_command = "pass show x"': "token_command must be a list, not a string",
    "[profiles.one]\ntoken_command = []": "token_command is empty; it must start with the program",
    '[profiles.one]\ntoken_command = ["a", 1]': "token_command[1] must be a string, not a number",
    '[profiles.one]\ntoken = "x"\ntoken_file = "y"': "has token and token_file; keep one",
    '[profiles."a b"]\nuser = "x"': "must have a name of letters",
    "[profiles.one": "is not TOML",
    '[profiles.one]\nuser = "\\u001b[31m"\nx = 1': "'profiles.one.x' is unknown",
}


@pytest.mark.parametrize(("text", "said"), WRONG.items(), ids=WRONG.values())
def test_errors_are_reported_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    environ = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_config(environ)
    assert str(caught.value).startswith(environ["ENAPTER_CONFIG"])
    assert said in str(caught.value)


def test_a_file_that_is_not_text_or_cannot_be_opened(tmp_path: Path) -> None:
    environ = written(tmp_path, "")
    path = Path(environ["ENAPTER_CONFIG"])
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_config(environ)
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigurationError, match="too large"):
        read_config(environ)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_config({"ENAPTER_CONFIG": str(tmp_path)})


posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


@posix
def test_a_proxys_password_may_not_be_in_a_file_that_others_can_read(tmp_path: Path) -> None:
    text = '[profiles.one]\nproxy = "http://me:hunter2@proxy.example"'
    assert read_config(written(tmp_path, text)).profiles["one"].proxy
    with pytest.raises(ConfigurationError, match=r"one\.proxy holds a password") as caught:
        read_config(written(tmp_path, text, 0o644))
    assert "hunter2" not in str(caught.value)
    plain = '[profiles.one]\nproxy = "http://proxy.example"'
    assert "hunter2" not in repr(read_config(written(tmp_path, plain, 0o644)))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602])
def test_a_token_is_refused_in_a_file_for_others(tmp_path: Path, mode: int) -> None:
    text = f'[profiles.one]\ntoken = "{TOKEN}"\n'
    with pytest.raises(ConfigurationError, match=f"mode {mode:04o}.*chmod 600") as caught:
        read_config(written(tmp_path, text, mode))
    assert TOKEN not in str(caught.value)
    secret = tmp_path / "token"
    secret.write_text(TOKEN)
    secret.chmod(mode)
    profile = the_profile(tmp_path, 'token_file = "token"')
    with pytest.raises(ConfigurationError, match=f"mode {mode:04o}.*chmod 600") as caught:
        profile.read_token()
    assert TOKEN not in str(caught.value)


@posix
def test_a_file_without_a_token_may_be_read_by_all_and_changed_by_none(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "[profiles.one]", 0o644)).profiles
    for mode in (0o664, 0o646):
        with pytest.raises(ConfigurationError, match=f"changed by others .mode {mode:04o}"):
            read_config(written(tmp_path, "[profiles.one]", mode))


@posix
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_token_comes_from_a_file_of_its_own(tmp_path: Path, mode: int) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\r\n")
    secret.chmod(mode)
    profile = the_profile(tmp_path, 'token_file = "token"')
    assert profile.read_token() == TOKEN
    assert profile.token_source == f"file {secret}"


def test_a_token_in_the_profile_is_never_shown(tmp_path: Path) -> None:
    profile = the_profile(tmp_path, f'token = "{TOKEN}"')
    assert profile.read_token() == TOKEN
    assert TOKEN not in repr(profile)
    assert TOKEN not in profile.token_source


def test_a_profile_without_a_token_says_how_to_set_one(tmp_path: Path) -> None:
    profile = the_profile(tmp_path, "")
    with pytest.raises(ConfigurationError, match=r"profiles\.one has no token: set one of token,"):
        profile.read_token()


def command(tmp_path: Path, program: str) -> Profile:
    words = [sys.executable, "-c", program, "$HOME; echo no shell"]
    return the_profile(tmp_path, f"token_command = {words!r}")


def test_a_command_returns_its_first_line(tmp_path: Path) -> None:
    assert command(tmp_path, "print('abc'); print('second')").read_token() == "abc"
    # The words reach the program unchanged: no shell is involved.
    assert command(tmp_path, "import sys; print(sys.argv[1])").read_token() == (
        "$HOME; echo no shell"
    )


FAILING = {
    "print('tok'); raise SystemExit(3)": "ended with 3",
    "pass": "printed no token",
    "import sys; sys.stdout.buffer.write(bytes([255]))": "did not print UTF-8 text",
}


@pytest.mark.parametrize(("program", "said"), FAILING.items(), ids=FAILING.values())
def test_a_failing_command_is_reported_without_its_output(
    tmp_path: Path, program: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        command(tmp_path, program).read_token()
    assert "profiles.one.token_command" in str(caught.value)
    assert "'tok'" not in str(caught.value)


def test_a_missing_command(tmp_path: Path) -> None:
    profile = the_profile(tmp_path, 'token_command = ["no-such-program-here"]')
    with pytest.raises(ConfigurationError, match="'no-such-program-here' cannot be run: No such"):
        profile.read_token()


def test_a_command_has_a_time_limit(tmp_path: Path) -> None:
    profile = command(tmp_path, "import time; time.sleep(60)")  # ended after 0.1 s
    began = time.monotonic()
    with pytest.raises(ConfigurationError, match=r"took longer than 0\.1 s"):
        profile.read_token(seconds=0.1)
    assert time.monotonic() - began < 50


def test_a_token_file_that_cannot_be_read_as_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for content, said in ((None, "cannot be read"), (b"tok-\xff\xfe", "not UTF-8")):
        if content is not None:
            path.write_bytes(content)
            path.chmod(0o600)
        profile = the_profile(tmp_path, f'token_file = "{path.as_posix()}"')
        with pytest.raises(ConfigurationError, match=said):
            profile.read_token()
