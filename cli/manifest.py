"""`mammodissect manifest`: the manifest of a published data set, or of a folder of DICOM files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.errors import InvalidInput

if TYPE_CHECKING:
    from service.layouts.pseudonyms import Pseudonyms

LAYOUTS = "vindr, rsna, cbis-ddsm, cmmd, inbreast, embed, csaw-cc, cdd-cesm, mias, dicom-folder"


def manifest(
    data: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the data set, or its table.")],
    layout: Annotated[str, typer.Option("--from", help=f"What it is: {LAYOUTS}.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Manifest to write: .csv or .jsonl.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder that the images are in, where it is not the data set's.")
    ] = None,
    table: Annotated[
        list[Path] | None, typer.Option(help="A table of the data set that is not in its folder; repeatable.")
    ] = None,
    pseudonymise: Annotated[
        bool | None,
        typer.Option(
            "--pseudonymise/--no-pseudonymise",
            help="Replace ids of patients, exams and images by keyed hashes; the default for dicom-folder alone.",
        ),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="Key of the pseudonyms. Default: the manifest's name with .key; made anew.")
    ] = None,
    skip_missing: Annotated[bool, typer.Option(help="Leave out rows whose image is not there.")] = False,
) -> None:
    """Write the manifest of a published data set, or of a folder of DICOM files.

    docs/layouts.md says of each what becomes of its columns.
    """
    from service.layouts.catalogue import layout_named
    from service.layouts.dicom_headers import read_header
    from service.layouts.reading import DataSetPlace, read_layout
    from service.layouts.writing import check_suffix, write_manifest

    check_suffix(output)
    by_default = layout_named(layout, field="from").pseudonymised
    is_pseudonymised = by_default if pseudonymise is None else pseudonymise
    if key_file is not None and not is_pseudonymised:
        raise InvalidInput(
            "A key is named, but no identifiers are to be replaced.",
            field="key_file",
            value=key_file,
            remedy="Add --pseudonymise, or leave --key-file out.",
        )

    _check_there(data)
    key = _key(key_file or output.with_name(f"{output.name}.key")) if is_pseudonymised else None
    place = DataSetPlace(layout, data, root, tuple(table or ()), skip_missing)
    read = read_layout(place, read_header=read_header, pseudonyms=key)
    write_manifest(output, read.rows, read.folder)

    for note in read.notes:
        typer.echo(note, err=True)
    typer.echo(f"{len(read.rows):,} images written to {output}")


def _check_there(data: Path) -> None:
    if not data.exists():
        raise InvalidInput(
            "There is no such folder or table.",
            field="folder",
            value=data,
            remedy="Name the folder that the data set was unpacked in.",
        )


def _key(path: Path) -> "Pseudonyms":
    """The key of the pseudonyms; a new one where the file is not there."""
    from service.files import ANYWHERE
    from service.layouts.pseudonyms import make_key, read_pseudonyms

    if not path.exists():
        make_key(path)
        typer.echo(f"The new key of the pseudonyms is in {path}: who has it can match ids with them.", err=True)
    return read_pseudonyms(path, ANYWHERE, field="key_file")
