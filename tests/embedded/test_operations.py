"""docs/operations.md says of every setting what it does."""

import re

from service.config import Settings
from tests.embedded.processes import REPOSITORY

ROW = re.compile(r"^\| `([A-Z_]+)` \|([^|]*)\|([^|]+)\|$", re.MULTILINE)


def test_every_setting_is_documented_with_its_default() -> None:
    section = (REPOSITORY / "docs" / "operations.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    rows = {name: default.strip() for name, default, _ in ROW.findall(section)}
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        plain = isinstance(field.default, str | int | float) and field.default != ""
        assert not plain or rows[name.upper()] == f"`{field.default}`"
