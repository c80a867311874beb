"""The configuration of a device: the values of one group of parameters.

Source: API page, "Device Configuration".
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs


@attrs.frozen
class ConfigurationValues(Mapping[str, Any]):
    """The values of a group of parameters, by their names; a parameter without a value is absent.

    It is a read-only mapping. Some values may be secrets, and only the manifest declares which, so
    no value appears in `repr`.

    Source: API page, "Device Configuration".
    """

    values_by_name: Mapping[str, Any] = attrs.field(factory=dict, hash=False, repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def __repr__(self) -> str:
        return f"ConfigurationValues({', '.join(f'{name}=…' for name in self)})"
