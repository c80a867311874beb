"""Show the value of a parameter's default instead of the code that sets it.

attrs writes `__init__` methods whose source reads `attr_dict['attempts'].default`, and the name of
a constant does not show its value; a reader wants to see 4.
"""

import enum
import inspect
from typing import Any

import attrs
from sphinx.application import Sphinx


@attrs.frozen
class _Shown:
    """A default whose repr is the text to show."""

    text: str

    def __repr__(self) -> str:
        return self.text


def _text_of(value: Any) -> str:
    """Return the shortest code that makes a value."""
    if hasattr(value, "__qualname__"):
        module = str(value.__module__).partition(".")[0]
        ours = module == "enapter_async" or "." in value.__qualname__
        return str(value.__qualname__ if ours else f"{module}.{value.__qualname__}")
    if isinstance(value, enum.Enum) and repr(value).startswith("<"):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, tuple):
        inside = ", ".join(map(_text_of, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if attrs.has(type(value)):
        given = (
            f"{field.alias}={_text_of(getattr(value, field.name))}"
            for field in attrs.fields(type(value))
            if field.init and getattr(value, field.name) != _default_of(field)
        )
        return f"{type(value).__name__}({', '.join(given)})"
    return repr(value)


def _default_of(field: "attrs.Attribute[Any]") -> Any:
    factory = getattr(field.default, "factory", None)
    return field.default if factory is None else factory()


def _show_defaults(_: Sphinx, function: Any, __: bool) -> None:
    """Replace a function's defaults by texts, before its signature is written."""
    function = getattr(function, "__func__", function)
    if not inspect.isfunction(function):
        return
    # attrs keeps its fields here; in the signature, a default from a factory is NOTHING.
    fields = function.__globals__.get("attr_dict", {})
    signature = inspect.signature(function)
    parameters = []
    for parameter in signature.parameters.values():
        default = parameter.default
        if default is attrs.NOTHING:
            default = next(_default_of(f) for f in fields.values() if f.alias == parameter.name)
        if default is not parameter.empty and not isinstance(default, _Shown):
            default = _Shown(_text_of(default))
        parameters.append(parameter.replace(default=default))
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # PEP 362


def setup(app: Sphinx) -> dict[str, Any]:
    """Process each signature before Sphinx does."""
    app.connect("autodoc-before-process-signature", _show_defaults)
    return {"parallel_read_safe": True}
