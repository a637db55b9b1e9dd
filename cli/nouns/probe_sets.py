"""`mammodissect probe-sets`: the images that are shown to networks."""

from typing import Annotated, Literal

import typer

from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.bodies import AllowedPurpose, BodyFile, Licence, Wait, body_of, required, server_path
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, Name, limit_of, noun, verb
from cli.nouns.registered import register

probe_sets = noun("probe-sets", "Images that are shown to networks: register, list, show.")

_COLUMNS = (
    Column("probe set", "reference"),
    Column("state", "state"),
    Column("images", "spec.images"),
    Column("manifest", "spec.manifest"),
    Column("registered", "created_at"),
)


@verb(probe_sets, "register")
def register_probe_set(
    client: ServiceClient,
    answers: Answers,
    name: Annotated[str, typer.Argument(help="Its name.")],
    manifest: Annotated[
        str | None, typer.Option(help="Manifest as the service sees it; with --layout, the data set's folder or table.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Which published data set lies there. Left out: a manifest.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Folder of the images, where it is not the manifest's.")] = None,
    pseudonym_key_file: Annotated[
        str | None, typer.Option(help="Replace identifiers by hashes under the key in this file of the service.")
    ] = None,
    patch_size: Annotated[int | None, typer.Option(min=16, help="Cut images into patches of this side.")] = None,
    patch_stride: Annotated[int | None, typer.Option(min=1, help="Left out: the patches' side.")] = None,
    frames: Annotated[
        Literal["middle", "all", "projection"] | None, typer.Option(help="What is taken of images with several frames.")
    ] = None,
    on_unreadable: Annotated[
        Literal["fail", "skip"] | None, typer.Option(help="What jobs do with an image that cannot be decoded.")
    ] = None,
    independent: Annotated[
        str | None, typer.Option(help="What counts as independent: patient, exam, image, or a column.")
    ] = None,
    findings_map: Annotated[
        str | None, typer.Option(help="Which concepts the findings mean: a file of the service, or builtin:NAME.")
    ] = None,
    concept_set: Annotated[
        str | None, typer.Option(help="Registered concept set in which the findings are looked up.")
    ] = None,
    licence: Licence = None,
    allowed_purpose: AllowedPurpose = None,
    body: BodyFile = None,
    wait: Wait = False,
) -> None:
    """Register a manifest of images, or a published data set; workers then check its images."""
    request = body_of(
        body,
        name=name,
        manifest=server_path(manifest),
        layout=layout,
        root=server_path(root),
        pseudonymise=None if pseudonym_key_file is None else {"key_file": server_path(pseudonym_key_file)},
        patches=None if patch_size is None else {"size": patch_size, "stride": patch_stride or patch_size},
        frames=frames,
        on_unreadable=on_unreadable,
        independent=independent,
        findings_map=server_path(findings_map),
        concept_set=concept_set,
        licence=licence,
        allowed_purposes=allowed_purpose,
    )
    required(request, manifest="--manifest")
    register(client, answers, "/probe-sets", request, wait=wait)


@verb(probe_sets, "list")
def list_probe_sets(
    client: ServiceClient, answers: Answers, limit: Limit = DEFAULT_LIMIT, everything: All = False
) -> None:
    """List probe sets, newest first, with their state: whether their images are checked."""
    answers.show_list(client.pages("/probe-sets", {}, limit=limit_of(limit, everything=everything)), _COLUMNS)


@verb(probe_sets, "show")
def show_probe_set(client: ServiceClient, answers: Answers, name: Name) -> None:
    """Show one probe set: what the check of its images found, what its findings mean."""
    answers.show(client.get(path_of("probe-sets", name)))
