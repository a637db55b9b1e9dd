"""Parts of a probe set: the images that have given values of `view`, `laterality` or the manifest's own columns."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from service.domain.groups import group_images
from service.domain.independence import LEAST_EXAMS_OF_A_PART
from service.domain.probes import ProbeSet, Where, where_in_words
from service.errors import InvalidInput, TooFewImages

_MOST_NAMED = 20
_MOST_COMPARED = 1_000
"""Among more words than this, nobody looks for one that is like another: a column may have a value for every image."""

_LONGEST = 80


def part_of(probe_set: ProbeSet, where: Mapping[str, Sequence[str]], *, field: str = "where") -> ProbeSet:
    """The part of a probe set that has one of the given values in each of the columns.

    field: what the caller calls `where`. Raises InvalidInput for a column or a value that no image has and for a part
    of a part, and TooFewImages for a part of fewer independent units than a part must have.
    """
    if probe_set.where:
        raise InvalidInput(
            f"The probe set is itself a part of another one ({where_in_words(probe_set.where)}).",
            field=field,
            value=where_in_words(where),
            remedy="Name the whole probe set, and all columns in one `where`.",
        )

    _check_known(probe_set.columns, where, field)
    chosen: Where = {column: tuple(values) for column, values in where.items()}
    part = probe_set.part(chosen)

    groups = group_images(part.items, probe_set.independent)
    if groups.count < LEAST_EXAMS_OF_A_PART:
        plural = "" if groups.count == 1 else "s"
        raise TooFewImages(
            f"The part of the probe set with {where_in_words(part.where)} has {groups.count} {groups.unit}{plural}, "
            f"but a part must have at least {LEAST_EXAMS_OF_A_PART} that count as independent.",
            field=field,
            value=groups.count,
            remedy="Name more values, or fewer columns.",
        )
    return part


def read_where(entries: Sequence[str], probe_set: ProbeSet) -> dict[str, list[str]]:
    """What `--where density=C,D` and the like mean together; a value of the manifest may have commas itself.

    Raises InvalidInput for an entry of another form.
    """
    columns = probe_set.columns
    where: dict[str, list[str]] = {}
    for entry in entries:
        column, equals, text = entry.partition("=")
        column, text = column.strip(), text.strip()
        if not equals or not column or not text:
            raise InvalidInput(
                f"'{entry[:_LONGEST]}' names no column and values.",
                field="where",
                value=entry,
                remedy="Write the column, `=` and its values with commas between them, as in --where density=C,D.",
            )

        is_one_value = text in columns.get(column, [])
        values = [text] if is_one_value else [value.strip() for value in text.split(",")]
        where.setdefault(column, []).extend(values)
    return where


def _check_known(columns: Mapping[str, Sequence[str]], where: Mapping[str, Sequence[str]], field: str) -> None:
    for column, values in where.items():
        if column not in columns:
            raise InvalidInput(
                f"The probe set has no column '{column[:_LONGEST]}' with a value to choose images by.",
                field=field,
                value=column,
                remedy=_remedy(column, list(columns), "columns", "The manifest gives no values to choose images by."),
            )

        known = set(columns[column])
        for value in values:
            if value not in known:
                raise InvalidInput(
                    f"No image of the probe set has '{value[:_LONGEST]}' in column '{column[:_LONGEST]}'.",
                    field=f"{field}.{column}",
                    value=value,
                    remedy=_remedy(value, columns[column], "values", ""),
                )


def _remedy(word: str, known: Sequence[str], kind: str, without: str) -> str:
    if not known:
        return without
    near = get_close_matches(word, known, n=1) if len(known) <= _MOST_COMPARED else []
    meant = f"Did you mean '{near[0][:_LONGEST]}'? " if near else ""
    more = f" and {len(known) - _MOST_NAMED:,} more" if len(known) > _MOST_NAMED else ""
    named = ", ".join(f"'{name[:_LONGEST]}'" for name in known[:_MOST_NAMED])
    return f"{meant}The {kind} are {named}{more}."
