"""`mammodissect audit`: the gate of a delivery pipeline. Exit status 0 for PASS, 1 for FAIL, 2 for anything else."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated
from xml.etree.ElementTree import Element, SubElement, tostring

import typer
from rich.console import Console
from rich.table import Table

from cli import input_options
from cli.client import Answer, ServiceClient, path_of
from cli.connection import KeyFile, ProfileName, Url, connect
from cli.documents import write_document
from service.domain.input_contract import GivenInput
from service.domain.json_values import StoredJson
from service.errors import InvalidInput, Unavailable
from service.exits import ExitStatus

_POLL_S = 1.0
_AS_IN_USE = "as in the version in use, if that has the same architecture"


def audit(
    deployment: Annotated[str, typer.Option(help="Name of the deployment.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Audit this checkpoint (path or file:// URI) as a candidate for the deployment.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="The checkpoint's architecture; default: that of the version in use.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="The digest that the checkpoint must have.")] = None,
    input_values: Annotated[
        list[str] | None,
        typer.Option("--input", help=f"{input_options.HELP} Default: {_AS_IN_USE}."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help=f"Which of the checkpoint's sets of weights; default: {_AS_IN_USE}.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the verdict.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="The most seconds to wait.")] = 6 * 3600.0,
    strict: Annotated[bool, typer.Option(help="Treat WARN as FAIL.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the audit here.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write a JUnit XML report here.")] = None,
    url: Url = None,
    api_key_file: KeyFile = None,
    profile: ProfileName = None,
) -> None:
    """Audit a deployed model, or a candidate for it: exit status 0 for PASS, 1 for FAIL, 2 for an error."""
    _check_folder(json_file, "json")
    _check_folder(junit_file, "junit")

    client = connect(url, api_key_file, profile)
    target = (
        None
        if checkpoint is None
        else candidate(
            client, deployment, checkpoint, architecture, sha256, input_options.read_input(input_values), weights
        )
    )
    started = client.post("/audits", {"deployment": deployment, "target": target})
    console = Console(markup=False)
    console.print(f"Audit {started['id']} of {deployment} ({started['target']}) by policy {started['policy']}")

    if wait:
        ended = wait_for_verdict(client, started["id"], timeout)
    elif started["finished_at"] is None:
        return
    else:
        ended = started

    if json_file is not None:
        write_document(json_file, (json.dumps(ended, indent=2) + "\n").encode(), field="json")
    if junit_file is not None:
        write_document(junit_file, junit(ended).encode(), field="junit")
    _print(console, ended)

    status = exit_status(ended, strict=strict)
    if status is not ExitStatus.OK:
        raise typer.Exit(status)


def exit_status(audit: Answer, *, strict: bool) -> ExitStatus:
    """What an ended audit makes of the command. WARN passes, unless strict; without a verdict nothing does."""
    if audit["verdict"] is None:
        return ExitStatus.ERROR
    broken = ("fail", "warn") if strict else ("fail",)
    return ExitStatus.NO if audit["verdict"] in broken else ExitStatus.OK


def junit(audit: Answer) -> str:
    """An audit as JUnit XML: a test case for each outcome; what cannot be tested is skipped, a warning is passed."""
    outcomes = audit["outcomes"] or []
    results = [rule["outcome"] for rule in outcomes]
    counts = {
        "tests": max(1, len(outcomes)),
        "failures": results.count("fail"),
        "errors": int(audit["verdict"] is None),
        "skipped": results.count("not-testable"),
    }

    suite = Element("testsuite", name=f"audit of {audit['deployment']}", timestamp=audit["created_at"])
    suite.attrib |= {name: str(count) for name, count in counts.items()}

    class_name = f"mammodissect.{audit['deployment']}"
    for rule in outcomes:
        name = rule["rule"] if rule["stratum"] is None else f"{rule['rule']} [{rule['stratum']}]"
        case = SubElement(suite, "testcase", classname=class_name, name=name)
        if rule["outcome"] == "fail":
            SubElement(case, "failure", message=rule["reason"], type=rule["kind"])
        elif rule["outcome"] == "not-testable":
            SubElement(case, "skipped", message=rule["reason"])
        else:
            SubElement(case, "system-out").text = f"{rule['outcome']}: {rule['reason']}"

    if audit["verdict"] is None:
        case = SubElement(suite, "testcase", classname=class_name, name="verdict")
        SubElement(case, "error", message=_why(audit), type=audit["status"])

    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suite, encoding="unicode") + "\n"


def candidate(
    client: ServiceClient,
    deployment: str,
    checkpoint: str,
    architecture: str | None,
    sha256: str | None,
    given: GivenInput | None,
    weights: str | None,
) -> StoredJson:
    """The checkpoint as a candidate for the deployment; what is not given is as in the version in use.

    Raises ServiceError, Unavailable.
    """
    name = client.get(path_of("deployments", deployment))["target"]
    in_use = client.get(path_of("models", name))["spec"]

    target: StoredJson = {"checkpoint": checkpoint, "architecture": architecture, "sha256": sha256}
    if architecture in {None, in_use["architecture"]}:
        target |= {field: in_use[field] for field in ("architecture", "input", "weights") if field in in_use}
        if "autoencoder" in in_use:
            # What stands beside its file is read anew.
            target["autoencoder"] = {
                name: value for name, value in in_use["autoencoder"].items() if name != "described_by"
            }

    if given is not None:
        target["input"] = given.as_dict()
    if weights is not None:
        target["weights"] = weights
    return target


def wait_for_verdict(client: ServiceClient, audit_id: str, timeout: float) -> Answer:
    """The audit once it has ended; a service that cannot be reached for a while is waited for, too.

    Raises Unavailable after the time, ServiceError for an audit that does not exist.
    """
    deadline = time.monotonic() + timeout
    while True:
        with suppress(Unavailable):
            audit = client.get(path_of("audits", audit_id))
            if audit["finished_at"] is not None:
                return audit

        if time.monotonic() > deadline:
            raise Unavailable(
                f"Audit {audit_id} has no verdict after {timeout:g} seconds.",
                remedy="It is still running; see GET /audits/{id}, or wait longer with --timeout.",
            )

        time.sleep(_POLL_S)


def _print(console: Console, audit: Answer) -> None:
    if audit["verdict"] is None:
        console.print(f"NO VERDICT: {_why(audit)}")
        return

    table = Table("rule", "in", "outcome", "reason")
    for rule in audit["outcomes"]:
        table.add_row(rule["rule"], rule["stratum"] or "all exams", rule["outcome"].upper(), rule["reason"])

    console.print(table)

    verdict = f"{audit['verdict'].upper()}."
    if audit["proposal"]:
        verdict += " No baseline is pinned: POST /deployments/{name}/baseline takes this audit."
    console.print(verdict)


def _why(audit: Answer) -> str:
    problem = audit["problem"]
    return f"the audit was {audit['status']}." if problem is None else str(problem["detail"])


def _check_folder(file: Path | None, field: str) -> None:
    if file is not None and not file.absolute().parent.is_dir():
        raise InvalidInput("The folder does not exist.", field=field, value=file.parent, remedy="Create it first.")
