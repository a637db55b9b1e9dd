"""Targets without a network: a table of numbers by image, computed elsewhere, whose columns are units."""

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from service.domain.preprocessing import Preprocessing
from service.errors import InvalidInput

TABLE = "table"
"""The architecture of such targets."""

LAYER = "table"
"""The layer of columns that name none."""

MOST_NAMES_NOTED = 1000

_ARRAY = ".npy"
_IDS = (".ids.txt", ".ids.csv")


class TableNotes(TypedDict):
    """What was found and decided when a table was opened (database and wire format)."""

    format: str
    """`npy`, `npz`, `parquet`, or that of a table of text."""

    rows: int

    named_by: list[str]
    """The columns, arrays or files that name the image of a row."""

    columns: dict[str, list[str]]
    """The units' names in order, by layer, where they are more than the units' numbers; the first 1,000 in all."""

    left_out: list[str]
    """Columns that a manifest gives a meaning, which are not units."""

    decided: list[str]
    """What else was concluded from the file, in whole sentences."""


class TableUse(TypedDict):
    """How a dissection found the rows of its images (database and wire format)."""

    matched_by: str
    """`path`, `file name` or `image_id`."""

    named_by: str
    """The column or file that was compared with it."""

    images_without_row: int
    """Images of the probe set that were skipped because no row names them."""

    rows_unused: int
    """Rows that name no image of the probe set."""


class TableEntry(TableNotes):
    """What a manifest says of a table."""

    use: NotRequired[TableUse]


def is_table(architecture: str | None) -> bool:
    """Is a target of that architecture a table?"""
    return architecture == TABLE


def ids_beside(path: Path) -> tuple[Path, ...]:
    """Where the names of an array's rows may lie: `a.ids.txt` or `a.ids.csv` beside `a.npy`; nowhere for others."""
    if path.suffix.lower() != _ARRAY:
        return ()
    return tuple(path.with_name(path.name[: -len(_ARRAY)] + ending) for ending in _IDS)


def check_no_network_fields(*, given_input: object, weights: str | None, autoencoder: object) -> None:
    """Raise InvalidInput where something was given that only a network has."""
    if given_input is not None:
        raise InvalidInput(
            "A table is shown no images, so there is no way that they could reach it.",
            field="input",
            remedy="Leave `input` out: the values in the table are taken as they are.",
        )
    if weights is not None:
        raise InvalidInput(
            "A table has no sets of weights.", field="weights", value=weights, remedy="Leave `weights` out."
        )
    if autoencoder is not None:
        raise InvalidInput(
            "A table has no layer whose output an autoencoder could read.",
            field="autoencoder",
            remedy="Leave `autoencoder` out; or write its latents into the table.",
        )


def check_not_shuffled(seed: int | None) -> None:
    """Raise InvalidInput where a table's weights are to be shuffled."""
    if seed is None:
        return
    raise InvalidInput(
        "The target is a table: it has no weights that could be shuffled.",
        field="shuffled",
        value=seed,
        remedy="Leave `shuffled` out; or make another table with the network's weights shuffled.",
    )


def without_patches(field: str, value: object) -> InvalidInput:
    """The error for patches: the rows of a table are about whole images."""
    return InvalidInput(
        "The target is a table, which has numbers of whole images; the probe set cuts them into patches.",
        field=field,
        value=value,
        remedy="Register the manifest without `patches`, and name that probe set; or write the patches to files, list "
        "these in a manifest, and make a table with a row for each.",
    )


def table_in_words(notes: TableNotes, use: TableUse | None = None) -> list[str]:
    """Sentences for a report. use: of the table by a dissection."""
    named_by = ", ".join(f"'{name}'" for name in notes["named_by"])
    sentences = [f"The target is a table ({notes['format']}) of {notes['rows']:,} rows, which {named_by} names."]

    if use is not None:
        sentences.append(
            f"Its rows were found by the images' {use['matched_by']}, as '{use['named_by']}' has it; "
            f"{use['rows_unused']:,} rows are of no image that was to be shown."
        )
        if use["images_without_row"]:
            sentences.append(f"{use['images_without_row']:,} images have no row, and were skipped as if unreadable.")

    if notes["left_out"]:
        sentences.append(f"Columns that a manifest gives a meaning are not units: {_listed(notes['left_out'])}.")
    sentences += notes["decided"]
    sentences += [f"The units of '{layer}' in order: {_listed(names)}." for layer, names in notes["columns"].items()]
    return sentences


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > 50 else ""
    return ", ".join(names[:50]) + more


AS_IT_IS = Preprocessing(height=1, width=1, mean=(0.0,), std=(1.0,), resize="none")
"""Nothing is shown to a table. Pictures show its images whole."""

LIMITS = (
    "The target is a table: its values were computed elsewhere, and no network was run. So no regions of images can be "
    "outlined, and the method's pooling does not apply.",
)
"""What a report has to say of such a target."""
