"""Trusted files are the user's own and root's; others get an error message."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from enapter_async.errors import ConfigurationError
from enapter_async.profiles import read_config
from tests.support.other_user import NOBODY, as_nobody, open_way_to

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away"
)
TOKEN = "tok-9d1c77aa"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration in a folder that anybody can read."""
    open_way_to(tmp_path)
    path = tmp_path / "config.toml"
    path.write_text('[profiles.one]\ntoken_file = "token"\n')
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "text",
    ['[profiles.one]\ntoken_command = ["id"]\n', '[profiles.one]\nbase_url = "https://x"\n', ""],
    ids=["a-command", "a-server", "nothing"],
)
def test_the_configuration_of_another_user_is_refused_whole(config: Path, text: str) -> None:
    config.write_text(text)
    os.chown(config, NOBODY, 0)
    with pytest.raises(ConfigurationError, match=f"belongs to another user .uid {NOBODY}"):
        read_config({"ENAPTER_CONFIG": str(config)})


def test_files_owned_by_root_are_trusted(config: Path) -> None:
    config.chmod(0o644)
    with as_nobody():
        assert read_config({"ENAPTER_CONFIG": str(config)}).profiles


@pytest.mark.parametrize("mode", [0o444, 0o440, 0o644])
def test_a_mounted_secret_is_used_with_a_warning(config: Path, mode: int) -> None:
    secret = config.parent / "token"
    secret.write_text(TOKEN)
    config.chmod(0o644)
    os.chown(secret, 0, os.getegid())
    secret.chmod(mode)
    with as_nobody():
        profile = read_config({"ENAPTER_CONFIG": str(config)}).profiles["one"]
        with pytest.warns(UserWarning, match=rf"token can be read by others \(mode {mode:04o}\)"):
            assert profile.read_token() == TOKEN
    secret.chmod(0o466)
    with (
        as_nobody(),
        pytest.raises(ConfigurationError, match="can be changed by others") as caught,
    ):
        profile.read_token()
    assert TOKEN not in str(caught.value)


MOUNTED = """
mount -t tmpfs none "$1" && printf %s "$3" > "$1/token" && chmod 444 "$1/token" &&
mount -o remount,ro "$1" && exec "$2" -W always -c '
import sys
from pathlib import Path
from enapter_async.profiles import Profile
place = Path(sys.argv[1])
print(Profile(name="one", path=place / "c.toml", token_file=place / "token").read_token())
' "$1"
"""


def test_root_too_may_use_a_secret_on_a_read_only_mount(tmp_path: Path) -> None:
    command = ["unshare", "-m", "sh", "-c", MOUNTED, "sh", str(tmp_path), sys.executable, TOKEN]
    if shutil.which(command[0]) is None:
        pytest.skip("this machine may not mount anything")
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if ended.returncode and "Traceback" not in ended.stderr:
        pytest.skip("this machine may not mount anything")
    assert ended.stdout == f"{TOKEN}\n", ended.stderr
    assert "token can be read by others (mode 0444)" in ended.stderr


def test_without_a_home_folder_there_is_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "ENAPTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    os.setreuid(54321, 0)
    try:
        assert read_config().profiles == {}
        with pytest.raises(ConfigurationError, match="home folder of '~' is not known: HOME"):
            read_config({"ENAPTER_CONFIG": "~/c.toml"})
    finally:
        os.setreuid(0, 0)
