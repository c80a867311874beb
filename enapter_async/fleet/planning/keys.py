"""Keys, by which plans and guards name objects and separately read parts of objects.

A key is a noun, a colon and an address, so keys of different nouns never collide. An address is an
id or a slug, after the id of a site and "/" if it is addressed through one. The key of a part has a
separate noun, which sorts after the object's, and the part's name after "#".
"""

from typing import Any, Final, NamedTuple

from enapter_async.operation import Operation, Target

_OF_PARTS: Final = "~"
"""Ends the noun of parts, so that objects are looked up before their parts."""


class Key(NamedTuple):
    """The pieces of a key; `site_id` is None if the address names no site, `part` "" for none."""

    noun: str
    name: str
    site_id: str | None = None
    part: str = ""

    @property
    def plain(self) -> str:
        """The key of the same object, addressed without its site."""
        return key_of(self.noun, self.name)

    @property
    def owner(self) -> str:
        """The key of the object that a part belongs to."""
        return key_of(self.noun, self.name, self.site_id)

    @property
    def target(self) -> Target:
        """The object as the target of an operation."""
        return Target(self.noun, self.name, self.site_id)

    def at(self, thing_id: str) -> str:
        """Return the key of the same part of the object with this id."""
        return part_key(self._replace(name=thing_id, site_id=None))


def key_of(noun: str, name: str, site_id: str | None = None) -> str:
    """Return the key of an object."""
    return f"{noun}:{name}" if site_id is None else f"{noun}:{site_id}/{name}"


def part_key(key: Key) -> str:
    """Return the key of a part of an object."""
    site = "" if key.site_id is None else f"{key.site_id}/"
    return f"{key.noun}{_OF_PARTS}:{site}{key.name}#{key.part}"


def parse(key: str) -> Key:
    """Return the pieces of a key."""
    noun, _, address = key.partition(":")
    part = ""
    if noun.endswith(_OF_PARTS):
        address, _, part = address.rpartition("#")  # a slug may contain it
    site_id, slash, name = address.rpartition("/")
    return Key(noun.removesuffix(_OF_PARTS), name, site_id if slash else None, part)


def bare(key: str) -> str:
    """Return the id or the slug in a key."""
    return parse(key).name


def address_of(operation: Operation[Any]) -> str | None:
    """Return the key of an operation's target; None if the target cannot be looked up."""
    target = operation.target()
    if target.name is None:
        return None
    key = Key(target.noun, target.name, target.site_id, target.part)
    return part_key(key) if target.part else key.owner
