"""What is declared, pinned, locked and licensed is the same set of packages."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LOCKS = ("requirements.lock", "requirements-build.lock")
each_lock = pytest.mark.parametrize("lock", LOCKS)


def pins(file: str) -> dict[str, str]:
    """Canonical name -> version."""
    lines = re.findall(r"^([\w.-]+)==([^\s;]+)", (REPOSITORY / file).read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(requirement).name) for requirement in requirements}


CONSTRAINTS = pins("constraints.txt")
LOCKED = pins("requirements.lock")


@each_lock
def test_a_lock_holds_the_versions_that_the_tests_passed_with(lock: str) -> None:
    locked = pins(lock)
    assert locked
    assert locked == {name: CONSTRAINTS.get(name) for name in locked}


@each_lock
def test_every_locked_package_has_hashes_and_no_host(lock: str) -> None:
    text = (REPOSITORY / lock).read_text()
    entries = re.split(r"\n(?=\S)", text[text.index("==") :])
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)


def test_the_image_holds_all_that_the_service_declares() -> None:
    declared = names(PROJECT["dependencies"]) | names(EXTRAS["projected"])
    assert declared <= set(LOCKED)


def test_the_image_holds_no_database_server_and_no_gpl_decoder() -> None:
    kept_out = names(EXTRAS["local"]) | names(EXTRAS["jpeg-extended"])
    assert kept_out
    assert not kept_out & set(LOCKED)


def test_locked_versions_are_versions_that_the_project_allows() -> None:
    for text in [*PROJECT["dependencies"], *EXTRAS["projected"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(LOCKED[canonicalize_name(requirement.name)]), text


def test_every_declared_package_is_pinned() -> None:
    own = canonicalize_name(PROJECT["name"])
    declared = names(PROJECT["dependencies"]).union(*map(names, EXTRAS.values())) - {own}
    assert declared <= set(CONSTRAINTS)


def test_the_image_is_installed_from_the_locks() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    installed = re.findall(r"pip install .*--require-hashes -r (\S+)", dockerfile)
    assert sorted(installed) == sorted(LOCKS)
    others = [line for line in dockerfile.splitlines() if "pip install" in line and "--require-hashes" not in line]
    assert all("--no-index" in line for line in others)


def test_the_notice_names_every_package_that_the_image_links() -> None:
    notice = set(re.findall(r"[\w-]+", (REPOSITORY / "NOTICE").read_text()))
    assert set(LOCKED) <= notice


def test_licence_files_are_there() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert all((REPOSITORY / file).is_file() for file in PROJECT["license-files"])


def test_a_wheel_holds_the_files_of_the_pages() -> None:
    setuptools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = setuptools["packages"]["find"]["include"]
    patterns = setuptools["package-data"]["*"]

    for folder in ("templates", "static"):
        assert any(fnmatch(f"api.pages.{folder}", package) for package in packages)
        files = list((REPOSITORY / "api" / "pages" / folder).iterdir())
        assert files
        assert all(any(file.match(pattern) for pattern in patterns) for file in files)
