"""The folders of the repository under their one import name; everything else is in pyproject.toml.

``harness/stats/paired.py`` is ``steelyard.harness.stats.paired``. The packages are found, not
listed, so that a new folder cannot be missing from a wheel.
"""

from setuptools import find_packages, setup

FOLDERS = ("harness", "reports", "tasks", "trainers")

setup(
    packages=[
        "steelyard",
        *(
            f"steelyard.{package}"
            for package in find_packages(include=[f"{folder}*" for folder in FOLDERS])
            if package.partition(".")[0] in FOLDERS
        ),
    ],
    package_dir={
        "steelyard": "steelyard",
        **{f"steelyard.{folder}": folder for folder in FOLDERS},
    },
)
