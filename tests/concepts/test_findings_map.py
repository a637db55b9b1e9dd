"""Maps of findings as people write them, and those that come along."""

import json
from pathlib import Path

import pytest

from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import Vocabulary, match_findings
from service.concepts.findings_map import BUILTIN_MAPS, MAX_ENTRIES, MAX_PATTERNS, builtin_map, read_findings_map
from service.domain.findings_map import MOST_STARS, FindingsMap, fits, map_from_stored
from service.errors import InvalidFindingsMap
from service.files import DataRoots

ENTRIES = (
    ("malignant mass", ("mass", "breast cancer")),
    ("Suspicious Calcification", ("suspicious calcifications",)),
    ("No Finding", ()),
)
CSV = (
    "finding,concept\nmalignant mass,mass|breast cancer\n"
    "Suspicious Calcification,suspicious calcifications\nNo Finding,\n"
)
JSON = {
    "malignant mass": ["mass", "breast cancer"],
    "Suspicious Calcification": "suspicious calcifications",
    "No Finding": None,
}
YAML = """\
malignant mass: [mass, breast cancer]
Suspicious Calcification: suspicious calcifications
No Finding:
"""
ROWS = [{"finding": finding, "concept": "|".join(concepts) or None} for finding, concepts in ENTRIES]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map.csv", CSV),
        ("map.csv", CSV.replace(",", ";")),
        ("map.tsv", CSV.replace(",", "\t")),
        ("map.csv", CSV.replace("concept\n", "concepts\n")),
        ("rows.csv", "finding,concept\nmalignant mass,mass\nmalignant mass,breast cancer\n" + CSV.split("\n", 2)[2]),
        ("map.json", json.dumps(JSON)),
        ("rows.json", json.dumps(ROWS)),
        ("rows.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("null_first.json", json.dumps({"malignant mass": "mass|breast cancer", **dict(list(JSON.items())[1:])})),
        ("map.yaml", YAML),
        ("map.yml", "\ufeff" + YAML),
    ],
)
def test_every_format_says_the_same(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    findings_map = read_findings_map(path)
    assert findings_map == FindingsMap(str(path), ENTRIES, findings_map.notes)
    assert bool(findings_map.notes) == (";" in content), "another separator than the usual one is told"
    assert not findings_map.comes_along
    assert findings_map.digest == FindingsMap("elsewhere.csv", ENTRIES).digest
    assert map_from_stored(findings_map.stored()) == findings_map


@pytest.mark.parametrize(
    ("name", "content", "says", "value"),
    [
        (
            "map.csv",
            "name,concept\nmass,mass\n",
            "columns of the map are name, concept; there is no column finding",
            None,
        ),
        ("map.csv", "finding\nmass\n", "there is no column concept", None),
        ("map.csv", "finding,concept,note\nmass,mass,x\n", "columns of the map are finding, concept, note", None),
        ("map.csv", "finding,concept\n,mass\n", "row 1 of the map has no text in the column 'finding'", "row 1"),
        ("map.csv", "finding,concept\nmass,mass\nMASS,\n", "row 1 and the row 2 of the map are about 'MASS'", "row 2"),
        ("map.csv", "finding,concept\na|b,mass\n", "holds a | in the column 'finding'", "row 1"),
        ("map.csv", "finding,concept\n*,mass\n", "the pattern '*'", "row 1"),
        ("map.csv", f"finding,concept\n{'x*' * (MOST_STARS + 1)},mass\n", "the pattern", "row 1"),
        ("map.csv", "finding,concept\n", "empty", None),
        ("map.csv", f"finding,concept\n{'x' * 301},mass\n", "301 characters in the column 'finding'", "row 1"),
        ("map.csv", "finding,concept\nmass," + "|".join(map(str, range(51))) + "\n", "names 51 concepts", "row 1"),
        ("map.json", '{"mass": {"concept": "mass"}}', "entry 1 of the map has a concept that is not text", "entry 1"),
        ("map.json", '["mass"]', "Row 1 is not an object", "row 1"),
        ("map.json", '"mass"', "neither an object nor a list", None),
        ("map.yaml", "mass: yes\n", "concept that is not text", "entry 1"),
        ("map.yaml", "no: mass\n", "entry 1 of the map has no text in the column 'finding'", "entry 1"),
        ("map.yaml", "mass: a\nmass: b\n", "key 'mass' twice", None),
        ("map.yaml", "mass: &a [x]\nother: *a\n", "refers to a part of itself", None),
        ("map.yaml", "mass: [\n", "not valid YAML", None),
        ("map.pdf", "mass", "cannot be a '.pdf' file", None),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, says: str, value: str | None) -> None:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    with pytest.raises(InvalidFindingsMap) as error:
        read_findings_map(path)
    assert says in error.value.detail
    assert error.value.field == "findings_map"
    assert error.value.remedy
    if value is not None:
        assert error.value.value == value


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (MAX_ENTRIES + 1, f"more than {MAX_ENTRIES:,} findings"),
        (-MAX_PATTERNS - 1, f"{MAX_PATTERNS + 1} findings with a *"),
    ],
)
def test_maps_are_bounded(tmp_path: Path, lines: int, says: str) -> None:
    path = tmp_path / "map.csv"
    star = "*" if lines < 0 else ""
    path.write_text("finding,concept\n" + "".join(f"finding {number}{star},mass\n" for number in range(abs(lines))))
    with pytest.raises(InvalidFindingsMap, match=r"^The map has") as error:
        read_findings_map(path)
    assert says in error.value.detail


def test_a_map_is_opened_below_the_roots_only(tmp_path: Path) -> None:
    roots = DataRoots.of([tmp_path / "data"])
    for name in ("map.csv", "map.json"):
        (tmp_path / name).write_text(CSV)
        with pytest.raises(InvalidFindingsMap):
            read_findings_map(tmp_path / name, roots)


@pytest.mark.parametrize("name", BUILTIN_MAPS)
def test_every_finding_of_a_built_in_map_means_concepts_of_bi_rads_or_none(name: str) -> None:
    findings_map = builtin_map(f"builtin:{name}")
    vocabulary = Vocabulary(builtin_concept_set("bi-rads"))
    for finding, concepts in findings_map.entries:
        assert not concepts or any(vocabulary.meant(concept) for concept in concepts), finding


@pytest.mark.parametrize(
    ("name", "finding", "concepts"),
    [
        ("vindr", "Suspicious Calcification", ["calcifications", "suspicious calcifications"]),
        ("vindr", "Suspicious Lymph Node", ["axillary adenopathy"]),
        ("rsna", "cancer", ["breast cancer"]),
        ("cbis-ddsm", "ARCHITECTURAL_DISTORTION mass", ["architectural distortion"]),
        ("cbis-ddsm", "ILL_DEFINED mass", ["indistinct mass"]),
        ("cbis-ddsm", "FINE_LINEAR_BRANCHING calcification", ["fine linear branching calcifications"]),
        ("cbis-ddsm", "BENIGN_WITHOUT_CALLBACK mass", ["mass"]),
        ("cbis-ddsm", "MALIGNANT calcification", ["calcifications", "breast cancer"]),
        ("cmmd", "Malignant mass", ["mass", "breast cancer"]),
        ("inbreast", "Espiculated Region", ["spiculated mass"]),
        ("inbreast", "Cluster", ["calcifications", "grouped calcifications"]),
        ("embed", "massshape O", ["mass", "oval mass"]),
        ("embed", "massshape X", ["mass", "irregular mass"]),
        ("embed", "calcfind K", ["calcifications"]),
        ("embed", "otherfind J", ["skin thickening", "diffuse skin thickening"]),
        ("embed", "implanfind R", ["implant", "ruptured implant"]),
        ("embed", "massdens +", ["mass", "high density mass"]),
        ("embed", "massdens -", ["mass", "low density mass"]),
        ("embed", "arch_distortion", ["architectural distortion"]),
        ("csaw-cc", "cancer", ["breast cancer"]),
        ("mias", "CIRC B", ["mass", "circumscribed mass"]),
        ("mias", "SPIC M", ["mass", "spiculated mass", "breast cancer"]),
        ("cdd-cesm", "High density mass with speculated margin", ["mass", "spiculated mass", "high density mass"]),
        ("cdd-cesm", "IMLN", ["intramammary lymph node"]),
        ("cdd-cesm", "clusters", ["calcifications", "grouped calcifications"]),
    ],
)
def test_what_a_built_in_map_says(name: str, finding: str, concepts: list[str]) -> None:
    concept_set = builtin_concept_set("bi-rads")
    (match,) = match_findings(concept_set, {finding: 1}, builtin_map(f"builtin:{name}")).matched
    assert [concept_set.texts[concept] for concept in match.concepts] == concepts
    assert match.matched_by == "map"


PUBLISHED_CODES = {
    "massshape": "GROXQATNBFSVY",
    "massmargin": "DUMIS",
    "massdens": "+=-0",
    "calcfind": "A9HCDEFBGILMJKPRSOUVQ",
    "calcdistri": "GSRDLC",
    "otherfind": "!%12345ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "implanfind": "ANCDFHRSTK",
}
"""Of EMBED's legend (AWS_Open_Data_Clinical_Legend.csv)."""

LEFT_OPEN = {"massshape": "Q", "otherfind": "!%15GPUX", "implanfind": "S"}
"""A questioned distortion, and changes after treatment that no concept names."""


@pytest.mark.parametrize("column", PUBLISHED_CODES)
def test_codes_of_embed_are_those_of_its_legend(column: str) -> None:
    mapped = {finding for finding, _ in builtin_map("builtin:embed").entries if finding.startswith(f"{column} ")}
    published = {f"{column} {code}" for code in PUBLISHED_CODES[column]}
    assert mapped == published - {f"{column} {code}" for code in LEFT_OPEN.get(column, "")}


def test_a_built_in_map_that_is_not_there() -> None:
    with pytest.raises(InvalidFindingsMap, match=r"no built-in map of findings 'ddsm'.*builtin:cbis-ddsm"):
        builtin_map("builtin:ddsm")


@pytest.mark.parametrize(
    ("text", "pattern", "fitting"),
    [
        ("mass", "mass", True),
        ("masses", "mass", False),
        ("masses", "mass*", True),
        ("a mass", "*mass", True),
        ("a massive", "*mass", False),
        ("two dense masses", "two*dense*", True),
        ("dense two", "two*dense*", False),
        ("aba", "ab*ba", False),
        ("abba", "ab*ba", True),
        ("abxabxab", "ab*ab*ab", True),
    ],
)
def test_a_star_stands_for_any_characters(text: str, pattern: str, fitting: bool) -> None:
    assert fits(text, pattern.split("*")) is fitting
