"""The defaults that the pages name are those of the settings."""

import ast
import re

import attrs

from enapter_async import Pacing, RetryPolicy, Timeouts
from tests.docs.shown import ROOT

PAGE = (ROOT / "docs" / "howto" / "retries.md").read_text("utf-8")
TABLE = PAGE.partition("## The defaults")[2].partition("##")[0]
TOLD = {name: ast.literal_eval(value) for name, value in re.findall(r"(\w+)=([\w.]+)", TABLE)}


def test_the_documented_default_of_each_setting_is_true() -> None:
    have = {
        field.name: field.default
        for settings in (RetryPolicy, Timeouts, Pacing)
        for field in attrs.fields(settings)
    }
    assert have.pop("on_ambiguous") == "raise"
    assert have == TOLD
