"""The behaviour of aiohttp, yarl, tenacity and cattrs that we rely on, checked as installed.

If one of their releases changes it, these tests fail, and not our users' calls. They run with two
sets of versions: the lowest that `pyproject.toml` allows, in a separate environment (`pytest -m
lowest`), and the newest, which a fresh `pip install` installs. Every other run of the suite uses
the newest, first of all the main run of `.ci/run`, which prints them.
"""
