"""The page of what works with what is made of what tests prove."""

from pathlib import Path

import pytest

from checks.compatibility import TABLES, Proof, collect, page_of

TESTS = """
import pytest

@pytest.mark.proves("architecture", "timm {}")
@pytest.mark.parametrize("name", ["ResNet", "Swin"])
def test_networks(name):
    assert name

@pytest.mark.proves("source", "s3://")
def test_object():
    assert True

def test_of_nothing():
    assert True
"""


@pytest.fixture
def tests_file(tmp_path: Path) -> Path:
    path = tmp_path / "test_some.py"
    path.write_text(TESTS)
    return path


def test_each_case_of_a_test_is_a_row(tests_file: Path) -> None:
    proofs = collect([tests_file])
    assert {(proof.table, proof.row, proof.test.partition("::")[2]) for proof in proofs} == {
        ("architecture", "timm ResNet", "test_networks"),
        ("architecture", "timm Swin", "test_networks"),
        ("source", "s3://", "test_object"),
    }


def test_tests_that_cannot_be_collected_make_no_page(tmp_path: Path) -> None:
    broken = tmp_path / "test_broken.py"
    broken.write_text("import no_such_module_at_all")
    with pytest.raises(ValueError, match="no_such_module_at_all"):
        collect([broken])


def test_the_page_has_every_table_and_each_row_in_its_own() -> None:
    page = page_of([Proof("source", "s3://", "t.py::b"), Proof("architecture", "timm Swin", "t.py::a")])
    assert [page.index(f"## {title}") for title in TABLES.values()] == sorted(
        page.index(f"## {title}") for title in TABLES.values()
    )
    assert page.index("| timm Swin | `t.py::a` |") < page.index("## What may be") < page.index("| s3:// | `t.py::b` |")
    with pytest.raises(KeyError):
        page_of([Proof("colour", "red", "t.py::c")])
