"""The base class of all enumerations that the API returns: strings with known values."""

from typing import Any, ClassVar, Self


class _Slotted(type):
    """Creates enumerations whose members have no `__dict__`."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> "_Slotted":
        return super().__new__(cls, name, bases, {"__slots__": (), **body})


class OpenEnum(str, metaclass=_Slotted):
    """A string from a list of known values, which the API may extend at any time.

    A known value is recognized in any case and is always the same object, so
    `DeviceType("lua") is DeviceType.LUA` and both equal `"LUA"`. An unknown value is kept
    exactly as the server wrote it and equals that string. Members hash, sort, pickle and encode
    as strings do.

    A subclass declares each member as `NAME: ClassVar[Self]`; its value is its name.
    """

    __slots__ = ()

    _known: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        names = [name for name in cls.__annotations__ if name.isupper()]
        cls._known = {name: str.__new__(cls, name) for name in names}
        for name, member in cls._known.items():
            setattr(cls, name, member)

    def __new__(cls, value: str) -> Self:
        """Return the known member with this value, in any case, or the value as it is."""
        member: Self | None = cls._known.get(value)
        if member is None:
            member = cls._known.get(value.upper())
        return str.__new__(cls, value) if member is None else member

    @classmethod
    def known(cls) -> tuple[Self, ...]:
        """Return the values that this version of the package knows, in the API's order."""
        return tuple(cls._known.values())
