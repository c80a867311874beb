"""What we rely on of aiohttp, yarl, tenacity and cattrs, held against those that are installed.

A release of theirs that changes it turns these tests red, and not our users' calls. They run
against two sets of versions: the lowest that `pyproject.toml` allows, in an environment of
its own (`pytest -m lowest`), and the newest, which is what a fresh `pip install` takes: every
other run of the suite, the main run of `.ci/run` first of all, which prints which they were.
"""
