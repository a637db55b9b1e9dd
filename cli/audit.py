"""`mammodissect audit`: the gate of a delivery pipeline. Exit status 0 for PASS, 1 for FAIL, 2 for anything else."""

import json
import time
from pathlib import Path
from typing import Annotated, Any
from xml.etree.ElementTree import Element, SubElement, tostring

import typer
from rich.console import Console
from rich.table import Table

from cli.client import ServiceClient, path_of
from cli.connection import KEY_FILE, URL, KeyFile, Url, connect
from cli.documents import write_document
from service.errors import InvalidInput, Unavailable
from service.exits import ExitStatus

_POLL_S = 1.0


def audit(
    deployment: Annotated[str, typer.Option(help="Name of the deployment.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Audit this checkpoint (path or file:// URI) as a candidate for the deployment.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="The checkpoint's architecture; default: that of the version in use.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="The digest that the checkpoint must have.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the verdict.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="The most seconds to wait.")] = 6 * 3600.0,
    strict: Annotated[bool, typer.Option(help="Treat WARN as FAIL.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the audit here.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write a JUnit XML report here.")] = None,
    url: Url = URL,
    api_key_file: KeyFile = KEY_FILE,
) -> None:
    """Audit a deployed model, or a candidate for it: exit status 0 for PASS, 1 for FAIL, 2 for an error."""
    for file, field in ((json_file, "json"), (junit_file, "junit")):
        _check_folder(file, field)
    client = connect(url, api_key_file)
    target = None if checkpoint is None else _target(client, deployment, checkpoint, architecture, sha256)
    found = client.post("/audits", {"deployment": deployment, "target": target})
    console = Console(markup=False)
    console.print(f"Audit {found['id']} of {deployment} ({found['target']}) by policy {found['policy']}")
    if wait:
        found = _ended(client, found["id"], timeout)
    elif found["finished_at"] is None:
        return
    if json_file is not None:
        write_document(json_file, (json.dumps(found, indent=2) + "\n").encode(), field="json")
    if junit_file is not None:
        write_document(junit_file, junit(found).encode(), field="junit")
    _print(console, found)
    status = exit_status(found, strict=strict)
    if status is not ExitStatus.OK:
        raise typer.Exit(status)


def exit_status(audit: dict[str, Any], *, strict: bool) -> ExitStatus:
    """What an ended audit makes of the command. WARN passes, unless strict; without a verdict nothing does."""
    if audit["verdict"] is None:
        return ExitStatus.ERROR
    broken = ("fail", "warn") if strict else ("fail",)
    return ExitStatus.NO if audit["verdict"] in broken else ExitStatus.OK


def junit(audit: dict[str, Any]) -> str:
    """An audit as JUnit XML: a test case for each outcome; what cannot be tested is skipped, a warning is passed."""
    outcomes = audit["outcomes"] or []
    kinds = [one["outcome"] for one in outcomes]
    counts = {
        "tests": max(1, len(outcomes)),
        "failures": kinds.count("fail"),
        "errors": int(audit["verdict"] is None),
        "skipped": kinds.count("not-testable"),
    }
    suite = Element("testsuite", name=f"audit of {audit['deployment']}", timestamp=audit["created_at"])
    suite.attrib |= {name: str(count) for name, count in counts.items()}
    for one in outcomes:
        name = one["rule"] if one["stratum"] is None else f"{one['rule']} [{one['stratum']}]"
        case = SubElement(suite, "testcase", classname=f"mammodissect.{audit['deployment']}", name=name)
        if one["outcome"] == "fail":
            SubElement(case, "failure", message=one["reason"], type=one["kind"])
        elif one["outcome"] == "not-testable":
            SubElement(case, "skipped", message=one["reason"])
        else:
            SubElement(case, "system-out").text = f"{one['outcome']}: {one['reason']}"
    if audit["verdict"] is None:
        case = SubElement(suite, "testcase", classname=f"mammodissect.{audit['deployment']}", name="verdict")
        SubElement(case, "error", message=_why(audit), type=audit["status"])
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suite, encoding="unicode") + "\n"


def _target(
    client: ServiceClient, deployment: str, checkpoint: str, architecture: str | None, sha256: str | None
) -> dict[str, Any]:
    if architecture is None:
        in_use = client.get(path_of("deployments", deployment))["target"]
        architecture = client.get(path_of("models", in_use))["spec"]["architecture"]
    return {"checkpoint": checkpoint, "architecture": architecture, "sha256": sha256}


def _ended(client: ServiceClient, audit_id: str, timeout: float) -> dict[str, Any]:
    """The audit once it has ended; a service that cannot be reached for a while is waited for, too."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            found = client.get(path_of("audits", audit_id))
        except Unavailable:
            found = None
        if found is not None and found["finished_at"] is not None:
            return found
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Audit {audit_id} has no verdict after {timeout:g} seconds.",
                remedy="It is still running; see GET /audits/{id}, or wait longer with --timeout.",
            )
        time.sleep(_POLL_S)


def _print(console: Console, audit: dict[str, Any]) -> None:
    if audit["verdict"] is None:
        console.print(f"NO VERDICT: {_why(audit)}")
        return
    table = Table("rule", "in", "outcome", "reason")
    for one in audit["outcomes"]:
        table.add_row(one["rule"], one["stratum"] or "all exams", one["outcome"].upper(), one["reason"])
    console.print(table)
    proposal = (
        " No baseline is pinned: POST /deployments/{name}/baseline takes this audit." if audit["proposal"] else ""
    )
    console.print(f"{audit['verdict'].upper()}.{proposal}")


def _why(audit: dict[str, Any]) -> str:
    problem = audit["problem"]
    return f"the audit was {audit['status']}." if problem is None else str(problem["detail"])


def _check_folder(file: Path | None, field: str) -> None:
    if file is not None and not file.absolute().parent.is_dir():
        raise InvalidInput("The folder does not exist.", field=field, value=file.parent, remedy="Create it first.")
