"""`mammodissect verify`: check a signed report on an audit, without any service."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cli.documents import read_document
from service.errors import InvalidSignature
from service.exits import ExitStatus
from service.key_files import read_key_text
from service.signatures import PublicKey

_MOST_BYTES = 256 << 20


def verify(
    report: Annotated[Path, typer.Argument(help="JSON of an audit's report, exactly as it was fetched.")],
    public_key: Annotated[
        Path, typer.Option(help="PEM file of the key that you trust, as GET /signing-key returns it.")
    ],
    signature: Annotated[
        Path | None, typer.Option(help="Signature document; default: report.signature.json beside report.json.")
    ] = None,
) -> None:
    """Check the signature of a report, and compute its verdict again from the policy and the facts in it.

    Exit status 0: the report is as it was signed, and says what its facts give. 1: it is not. 2: it cannot be checked.
    """
    from service.reports.audit_check import check_report
    from service.reports.audit_wording import verdict_word

    signature_file = signature or report.with_suffix(".signature.json")
    remedy = "Give the public key as GET /signing-key returns it."
    key = PublicKey.from_pem(read_key_text(public_key, what="public key", field="public_key", remedy=remedy).encode())

    try:
        checked = check_report(
            read_document(report, field="report", most=_MOST_BYTES),
            read_document(signature_file, field="signature", most=_MOST_BYTES),
            key,
        )
    except InvalidSignature as error:
        _invalid(str(error))

    signed = checked.report
    print(f"Signed by key {key.key_id}, and not changed since.")
    print(f"Audit {signed.audit} of {signed.deployment}, ended {signed.finished_at}: {verdict_word(signed.verdict)}.")
    if checked.faults:
        _invalid("The verdict does not follow. " + " ".join(checked.faults))
    if checked.recomputed is None:
        print("It ended without a verdict, so there is nothing to compute again.")
    else:
        print(f"Computed again: the same verdict and the same {len(signed.outcomes)} outcomes.")


def _invalid(why: str) -> NoReturn:
    typer.echo(f"mammodissect: not valid: {why}", err=True)
    raise typer.Exit(ExitStatus.NO)
