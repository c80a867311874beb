"""The folders for a user's own files: the package's subfolder of each system folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from enapter_async.errors import ConfigurationError

# For each kind: the variable and default folder on Windows, then those of the XDG Base
# Directory Specification, which applies everywhere except on Windows and macOS.
_PLACES: Final = {
    "config": ("APPDATA", "AppData/Roaming", "XDG_CONFIG_HOME", ".config"),
    "state": ("LOCALAPPDATA", "AppData/Local", "XDG_STATE_HOME", ".local/state"),
}


class NoHomeError(ConfigurationError):
    """The user has no home folder: HOME is not set, and the system does not know the user."""


def user_folder(kind: str, environ: Mapping[str, str], platform: str) -> Path:
    """Return the package's folder of that kind, "config" or "state".

    Raises:
        NoHomeError: the folder would be in the home folder, and there is none.
    """
    windows, in_profile, xdg, in_home = _PLACES[kind]
    variable, default = {
        "win32": (windows, in_profile),
        "darwin": ("", "Library/Application Support"),
    }.get(platform, (xdg, in_home))
    given = Path(environ.get(variable, ""))
    # The specification requires ignoring a path that is not absolute.
    return (given if given.is_absolute() else expanded("~") / default) / "enapter-async"


def expanded(text: str) -> Path:
    """Return a path with its `~` replaced by the home folder, in case no shell has done so.

    Raises:
        NoHomeError: there is no home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise NoHomeError(
            f"the home folder of {text.partition('/')[0]!a} is not known: HOME is not set, and the "
            "system does not know this user; set HOME, or name the folder in full"
        ) from None
