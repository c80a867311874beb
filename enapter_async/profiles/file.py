"""Reads the configuration file and validates it strictly: unknown settings are errors."""

import os
import re
import stat
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from enapter_async.concealment import Secret, concealing
from enapter_async.errors import ConfigurationError
from enapter_async.folders import NoHomeError, expanded, user_folder

CONFIG_VARIABLE: Final = "ENAPTER_CONFIG"
COMMAND_SECONDS: Final = 30.0
"""How long a `token_command` may run."""

_LARGEST_BYTES: Final = 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TOKEN_KEYS: Final = ("token", "token_file", "token_command")
_WORDS: Final = {
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a table",
}

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Profile:
    """One profile as stored in the file at `path`; values that are not set are None."""

    name: str
    path: Path
    base_url: str | None = None
    user: str | None = None
    token: Secret | None = None
    token_file: Path | None = None
    token_command: tuple[str, ...] | None = None
    ca_file: Path | None = None
    proxy: str | None = attrs.field(default=None, repr=False)
    allow_insecure_http: bool | None = None

    @property
    def token_source(self) -> str:
        """Return where the token comes from, not the token itself; empty if there is none."""
        if self.token_command is not None:
            return f"command {self.token_command[0]}"
        if self.token_file is not None:
            return f"file {self.token_file}"
        return "" if self.token is None else "in the profile"

    @concealing
    def read_token(self, *, seconds: float = COMMAND_SECONDS) -> str:
        """Return the token: from the profile, a token file, or a command run for up to `seconds`.

        Raises:
            ConfigurationError: there is no token, or it cannot be obtained; the message says
                why, but never contains the token.
        """
        where = f"{self.path}: profiles.{self.name}"
        if self.token is not None:
            return self.token.reveal()
        if self.token_file is not None:
            text = _read_token_file(self.token_file, f"{where}.token_file")
            return text.removesuffix("\n").removesuffix("\r")
        if self.token_command is not None:
            return _run(self.token_command, f"{where}.token_command", seconds)
        raise ConfigurationError(f"{where} has no token: set one of {', '.join(_TOKEN_KEYS)}")


@attrs.frozen(kw_only=True)
class Config:
    """A configuration file's contents; `default` is the profile to use if none is named."""

    path: Path
    default: str | None = None
    profiles: Mapping[str, Profile] = attrs.field(factory=dict)


@concealing
def config_path(
    environ: Mapping[str, str] | None = None, platform: str = sys.platform
) -> tuple[Path, bool]:
    """Return the configuration file's path, and whether it comes from the environment.

    It is `$ENAPTER_CONFIG` if set; otherwise `enapter-async/config.toml` in `%APPDATA%` on
    Windows, in `~/Library/Application Support` on macOS, and in `$XDG_CONFIG_HOME` elsewhere
    (`~/.config` if that variable is unset or not absolute).

    Raises:
        NoHomeError: the file would be in the home folder, but the user has none.

    Source: XDG Base Directory Specification.
    """
    environ = os.environ if environ is None else environ
    if given := environ.get(CONFIG_VARIABLE):
        return expanded(given), True
    return user_folder("config", environ, platform) / "config.toml", False


@concealing
def read_config(environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration file; a missing file counts as one without profiles.

    Raises:
        ConfigurationError: `ENAPTER_CONFIG` names a file that does not exist, another user can
            change the file, or its contents are invalid; the message says where.
    """
    environ = os.environ if environ is None else environ
    try:
        path, named = config_path(environ)
    except NoHomeError:
        if environ.get(CONFIG_VARIABLE):
            raise
        return Config(path=Path("~"))
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            raw = file.read(_LARGEST_BYTES + 1)
    except FileNotFoundError:
        if named:
            raise ConfigurationError(
                f"{path}, named by {CONFIG_VARIABLE}, does not exist"
            ) from None
        return Config(path=path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if writers := _writers(state):
        # The whole file is refused, because its writers could set a program, server or authority.
        raise ConfigurationError(
            f"{path} is not used: it {writers}, and can name programs that run as you; own it, "
            "and chmod 600 it"
        )
    try:
        if len(raw) > _LARGEST_BYTES:
            raise ConfigurationError(f"{path} is too large for a configuration file")
        data = tomllib.loads(raw.decode())
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    return _Reader(path, _shared(state)).config(data)


def unknown_profile(config: Config, name: str) -> ConfigurationError:
    """Return the error about a profile that the configuration file does not have."""
    known = ", ".join(config.profiles) or "none"
    if not config.profiles and not config.path.exists():
        return ConfigurationError(
            f"there is no profile {name[:60]!a}: {config.path} does not exist"
        )
    return ConfigurationError(f"{config.path} has no profile {name[:60]!a}; it has {known}")


def use_profile(name: str, environ: Mapping[str, str] | None = None) -> Config:
    """Make a profile the default one; return the new contents of the configuration file.

    Only the line of `default` is replaced, or a first line added. The file keeps its mode.

    Raises:
        ConfigurationError: there is no such profile, or the file cannot be written.
    """
    config = read_config(environ)
    if name not in config.profiles:
        raise unknown_profile(config, name)
    path = config.path.resolve()
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        text = path.read_bytes().decode()
        part.touch(mode=stat.S_IMODE(path.stat().st_mode), exist_ok=False)
        part.write_bytes(_with_default(text, name).encode())
        part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return read_config(environ)


def _with_default(text: str, name: str) -> str:
    """Return TOML with `default` set before the first table; `name` needs no escapes."""
    head, table, rest = text, "", ""
    if found := re.search(r"^[ \t]*\[", text, flags=re.MULTILINE):
        head, table, rest = text[: found.start()], found.group(), text[found.end() :]
    line = f'default = "{name}"'
    new, replaced = re.subn(r"^[ \t]*default[ \t]*=[^#\r\n]*", f"{line} ", head, flags=re.MULTILINE)
    if not replaced:
        new = f"{line}\n{head}"
    return re.sub(r" +$", "", new, flags=re.MULTILINE) + table + rest


class _Reader:
    """Converts TOML tables into profiles; errors name the invalid setting."""

    def __init__(self, path: Path, shared: str) -> None:
        self._path = path
        self._shared = shared
        self._readers: dict[str, Callable[[str, object], Any]] = {
            "base_url": self._text,
            "user": self._text,
            "token": lambda where, value: Secret(self._text(where, value)),
            "token_file": self._place,
            "token_command": self._command,
            "ca_file": self._place,
            "proxy": self._text,
            "allow_insecure_http": lambda where, value: self._typed(where, value, bool),
        }

    def config(self, data: Mapping[str, Any]) -> Config:
        self._know("", data, ("default", "profiles"))
        tables: dict[str, Any] = self._typed("profiles", data.get("profiles", {}), dict)
        profiles = {name: self._profile(name, value) for name, value in tables.items()}
        default = None
        if "default" in data:
            default = self._text("default", data["default"])
            if default not in profiles:
                raise self._wrong(
                    "default", f"names {default[:60]!a}, which is not a profile in the file"
                )
        return Config(path=self._path, default=default, profiles=profiles)

    def _profile(self, name: str, value: object) -> Profile:
        if not _NAME.fullmatch(name):
            raise self._wrong(
                f"the profile {name[:60]!a}",
                "must have a name of letters, digits, '.', '_' and '-'",
            )
        where = f"profiles.{name}"
        table: dict[str, Any] = self._typed(where, value, dict)
        self._know(where, table, tuple(self._readers))
        tokens = [key for key in _TOKEN_KEYS if key in table]
        if len(tokens) > 1:
            raise self._wrong(where, f"has {' and '.join(tokens)}; keep one of them")
        if self._shared and "token" in table:
            raise self._wrong(
                f"{where}.token",
                f"is in a file that {self._shared}; chmod 600 it, or use token_command",
            )
        if self._shared and "@" in str(table.get("proxy", "")):
            raise self._wrong(
                f"{where}.proxy", f"holds a password in a file that {self._shared}; chmod 600 it"
            )
        values = {key: self._readers[key](f"{where}.{key}", entry) for key, entry in table.items()}
        return Profile(name=name, path=self._path, **values)

    def _wrong(self, where: str, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{self._path}: {where} {reason}")

    def _know(self, where: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for key in table:
            if key not in keys:
                place = f"{where}.{key[:60]}" if where else key[:60]
                owner = where or "the file"
                raise self._wrong(ascii(place), f"is unknown; {owner} may have {', '.join(keys)}")

    def _typed(self, where: str, value: object, kind: type[T]) -> T:
        if isinstance(value, kind):
            return value
        got = _WORDS.get(type(value), "a date or time")
        raise self._wrong(where, f"must be {_WORDS[kind]}, not {got}")

    def _text(self, where: str, value: object) -> str:
        text = self._typed(where, value, str)
        if not text or "\0" in text:
            raise self._wrong(where, "is empty, or contains a NUL")
        return text

    def _place(self, where: str, value: object) -> Path:
        return self._path.parent / expanded(self._text(where, value))

    def _command(self, where: str, value: object) -> tuple[str, ...]:
        words: list[object] = self._typed(where, value, list)
        if not words:
            raise self._wrong(where, "is empty; it must start with the program")
        return tuple(self._text(f"{where}[{index}]", word) for index, word in enumerate(words))


def _writers(state: os.stat_result) -> str:
    """Return how users other than this one and root can change a file, or "" if they cannot."""
    if sys.platform == "win32":
        return ""
    if state.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user (uid {state.st_uid})"
    mode = stat.S_IMODE(state.st_mode)
    # A character device such as /dev/null does not return data that others wrote to it.
    changed = mode & 0o022 and not stat.S_ISCHR(state.st_mode)
    return f"can be changed by others (mode {mode:04o})" if changed else ""


def _shared(state: os.stat_result) -> str:
    """Return the reason why a file is unsafe for a secret, or "" if it is safe."""
    mode = stat.S_IMODE(state.st_mode)
    readable = sys.platform != "win32" and mode & 0o044
    return _writers(state) or (f"can be read by others (mode {mode:04o})" if readable else "")


def _read_token_file(path: Path, where: str) -> str:
    """Read a token from a file; refuse a file that others can read, unless it is mounted.

    The user of a mounted secret (Docker, Kubernetes) cannot change its mode. If others can read it,
    this only causes a warning. The checks are made on the opened file itself, so nobody can swap
    the file in between.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            shared = _shared(state)
            warned = shared and not _writers(state) and _is_mounted(file.fileno(), state)
            raw = file.read(_LARGEST_BYTES) if warned or not shared else b""
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{where}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where}: {path} is not UTF-8 text") from None
    if warned:
        warnings.warn(f"{where}: {path} {shared}", stacklevel=3)
    elif shared:
        raise ConfigurationError(f"{where}: {path} {shared}; own it, and chmod 600 it")
    return text


def _is_mounted(descriptor: int, state: os.stat_result) -> bool:
    """Return whether this user cannot change a file's mode."""
    read_only = bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)
    return read_only or os.geteuid() not in (state.st_uid, 0)


def _run(command: tuple[str, ...], where: str, seconds: float) -> str:
    """Return the first line that a command prints. The command's standard error is not captured."""
    name = ascii(command[0])
    try:
        done = subprocess.run(  # noqa: S603 - a list that the user's own file gives, and no shell
            command, stdout=subprocess.PIPE, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"{where}: {name} took longer than {seconds:g} s") from None
    except OSError as error:
        raise ConfigurationError(f"{where}: {name} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise ConfigurationError(f"{where}: {name} ended with {done.returncode}")
    try:
        first = done.stdout.decode().partition("\n")[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where}: {name} did not print UTF-8 text") from None
    if not first:
        raise ConfigurationError(f"{where}: {name} printed no token")
    return first
