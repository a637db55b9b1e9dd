"""Each noun against a real service: what `--json` prints is what the API answers, and tables name the same things."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.domain.neurons import LayerDissection
from tests.api.test_alerts import publish
from tests.api.test_comparisons import EVIDENCE, layer
from tests.cli.conftest import Run
from tests.cli.nouns.conftest import Ask
from tests.client.answering import answer, answering
from tests.usecases.factories import dissected_job, neuron


@pytest.fixture
def jobs(sessions: Sessions) -> list[str]:
    """Two dissections that can be compared."""
    with transaction(sessions) as session:
        found = [
            dissected_job(session, [layer("blocks.0", 0, 0, 1)], model=model, evidence=EVIDENCE)
            for model in ("screening", "tuned")
        ]
    return [str(job) for job in found]


def test_what_is_listed_and_shown_is_what_the_api_answers(
    ask: Ask, run: Run, client: httpx.Client, sessions: Sessions, jobs: list[str]
) -> None:
    comparison = ask("comparisons", "create", *jobs)
    assert ask("comparisons", "create", *jobs)["id"] == comparison["id"]
    alert = publish(sessions)
    cases = [
        ("models", "/models", "tuned", "tuned@1"),
        ("dissectors", "/dissectors", "reader@1", "reader@1"),
        ("probe-sets", "/probe-sets", "probes", "probes@1"),
        ("concept-sets", "/concept-sets", "bi-rads", "bi-rads@1"),
        ("jobs", "/jobs", jobs[0], jobs[0]),
        ("comparisons", "/comparisons", comparison["id"], comparison["id"]),
        ("alerts", "/alerts", alert, alert),
    ]

    for noun, path, name, written in cases:
        assert ask(noun, "list") == client.get(path).json(), noun
        shown = ask(noun, "show", name)
        assert shown == client.get(f"{path}/{name}").json(), noun

        table = run(noun, "list")
        assert (table.status, written in table.stdout) == (0, True), table
        assert written in run(noun, "show", name).stdout


def test_layers_and_neurons(ask: Ask, run: Run, client: httpx.Client, jobs: list[str]) -> None:
    job = jobs[0]
    assert ask("layers", "list", "--model", "screening") == client.get("/layers", params={"job": job}).json()
    path = "/neurons/blocks.0"
    for options, params in (
        ([], {}),
        (["--sort", "unit"], {"sort": "unit"}),
        (["--concept", "spiculated mass", "--live", "--significant"], {"concept": "spiculated mass"}),
        (["--min-score", "99"], {"min_score": "99"}),
        (["--verdict", "named", "--verdict", "no-signal"], {"verdict": ["named", "no-signal"]}),
    ):
        expected = client.get(path, params={"job": job, **params}).json()
        assert ask("neurons", "list", "blocks[0]", "--job", job, *options) == expected

    assert ask("neurons", "show", "blocks[0]", "2", "--job", job) == client.get(f"{path}/2", params={"job": job}).json()
    table = run("neurons", "list", "blocks.0", "--job", job).stdout
    assert table.count("spiculated mass") == 2
    assert "None." in run("neurons", "list", "blocks.0", "--job", job, "--min-score", "99").stdout


def test_pages_are_fetched_until_there_are_enough(ask: Ask, run: Run, client: httpx.Client, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        many = LayerDissection("blocks.0", tuple(neuron(unit, 1000.0 - unit) for unit in range(520)))
        job = str(dissected_job(session, [many]))
    listing = ("neurons", "list", "blocks.0", "--job", job)
    assert [item["unit"] for item in ask(*listing)["items"]] == list(range(50))
    assert [item["unit"] for item in ask(*listing, "--limit", "510")["items"]] == list(range(510))
    everything = ask(*listing, "--all")
    assert ([item["unit"] for item in everything["items"]], everything["next"]) == (list(range(520)), None)
    few = ask(*listing, "--limit", "3")
    assert few == client.get("/neurons/blocks.0", params={"job": job, "limit": 3}).json()
    assert few["next"] is not None
    assert "There are more" in run(*listing, "--limit", "3").stderr
    assert "There are more" not in run(*listing, "--all").stderr


def test_things_are_registered(
    ask: Ask, run: Run, client: httpx.Client, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_root / "target.pt").write_bytes(b"weights")
    (data_root / "dissector").mkdir()
    (data_root / "dissector" / "dissector.json").write_text('{"kind": "projected"}')
    (data_root / "0.png").write_bytes(b"pixels")
    (data_root / "manifest.csv").write_text("image\n0.png\n")
    (data_root / "concepts.txt").write_text("mass\ncalcification\n")
    monkeypatch.chdir(data_root)

    model = ask(
        *("models", "register", "screening", "--checkpoint", "target.pt", "--architecture", "timm/resnet18"),
        *("--input", "height=96", "--licence", "MIT", "--allowed-purpose", "research"),
    )
    assert model == client.get("/models/screening").json() | {"replaced_terms": None}
    assert (model["reference"], model["licence"], model["state"]) == ("screening@1", "MIT", "checking")
    assert model["spec"]["checkpoint"] == str(data_root / "target.pt"), "a relative path is made whole"
    again = run("models", "register", "screening", "--checkpoint", "target.pt", "--architecture", "timm/resnet18")
    assert "screening@2 is registered" in again.stderr, "another input makes another version"

    probes = ask("probe-sets", "register", "probes", "--manifest", "manifest.csv", "--on-unreadable", "skip")
    assert (probes["spec"]["images"], probes["spec"]["on_unreadable"]) == (1, "skip")

    words = ask("concept-sets", "register", "words", "--path", "concepts.txt")
    assert words["spec"]["concepts"] == 2
    listed = tmp_path / "words.yaml"
    listed.write_text("concepts: [mass, clip]\nlicence: CC0-1.0\n")
    more = ask("concept-sets", "register", "words", "--body", str(listed))
    assert (more["reference"], more["licence"]) == ("words@2", "CC0-1.0")
    changed = ask("concept-sets", "diff", "words@1", "words")
    assert (changed["added"], changed["removed"]) == (["clip"], ["calcification"])


def test_audits_deployments_and_schedules(
    ask: Ask, run: Run, client: httpx.Client, deployed: str, baseline: str, tmp_path: Path
) -> None:
    made = ask("deployments", "register", "west", "--policy", "screening", "--baseline", baseline)
    assert made == client.get("/deployments/west").json() == ask("deployments", "show", "west")
    assert ask("deployments", "list") == client.get("/deployments").json()

    audit = ask("audits", "start", deployed)
    assert ask("audits", "show", audit["id"]) == client.get(f"/audits/{audit['id']}").json()
    assert ask("audits", "list", "--deployment", "east") == client.get("/audits", params={"deployment": "east"}).json()
    assert ask("audits", "list", "--verdict", "fail")["items"] == []

    terms = ["--deployment", "east", "--cron", "30 2 * * *", "--zone", "Europe/Berlin", "--catch-up", "all"]
    schedule = ask("schedules", "register", "nightly", *terms, "--grace-s", "7200", "--overlap", "queue")
    assert (schedule["zone"], schedule["catch_up"], schedule["grace_s"]) == ("Europe/Berlin", "all", 7200)
    assert ask("schedules", "pause", "nightly")["paused"] is True
    assert ask("schedules", "show", "nightly")["paused"] is True
    assert ask("schedules", "resume", "nightly")["paused"] is False
    assert [item["name"] for item in ask("schedules", "list", "--deployment", "east")["items"]] == ["nightly"]
    for noun in ("deployments", "audits", "schedules"):
        assert "east" in run(noun, "list").stdout

    body = tmp_path / "weekly.json"
    body.write_text(json.dumps({"cron": "0 6 * * MON", "deployment": "west"}))
    weekly = ask("schedules", "register", "weekly", "--body", str(body), "--deployment", "east")
    assert (weekly["cron"], weekly["deployment"]) == ("0 6 * * MON", "east"), "options go upon the file"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("models", "show", "nothing"), "nothing"),
        (("models", "register", "x", "--architecture", "a"), "Give --checkpoint"),
        (("models", "register", "x", "--body", "none.json"), "cannot be read"),
        (("concept-sets", "register", "x"), "Give --path"),
        (("jobs", "show", "7"), "job_id must be an id"),
        (("jobs", "submit", "--target", "x"), "dissector is missing"),
        (("jobs", "submit", "--where", "density"), "names no column"),
        (("jobs", "list", "--status", "over"), "over"),
        (("neurons", "search"), "nothing is given"),
        (("neurons", "search", "--text", "a", "--concept", "b"), "concept, text"),
        (("audits", "start", "east", "--target", "a", "--checkpoint", "b"), "Two candidates"),
        (("schedules", "pause", "nightly"), "nightly"),
        (("models",), ""),
        (("models", "forget"), "forget"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(url: str, run: Run, arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments)
    assert done.status == 2, done
    assert says in done.stderr
    assert done.stderr.count("\n") <= 1, done.stderr


def test_names_cannot_play_with_the_terminal(run: Run, url: str, sessions: Sessions, client: httpx.Client) -> None:
    with transaction(sessions) as session:
        job = str(dissected_job(session, [layer("blocks\x1b[31m\n.0", 0)], evidence=EVIDENCE))
    printed = run("layers", "list", "--job", job).stdout
    assert "\x1b" not in printed
    assert "blocks\N{REPLACEMENT CHARACTER}[31m" in printed


def ended(answer: dict[str, Any], verdict: str | None) -> dict[str, Any]:
    status = "error" if verdict is None else "judged"
    return {**answer, "verdict": verdict, "status": status, "finished_at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(("verdict", "options", "status"), [
    ("pass", [], 0), ("warn", [], 0), ("warn", ["--strict"], 1), ("fail", [], 1), (None, [], 2),
])  # fmt: skip
def test_waiting_for_an_audit_ends_with_its_verdict(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verdict: str | None, options: list[str], status: int
) -> None:
    audit = {"id": "7", "deployment": "east", "target": "t@1", "policy": "p@1", "outcomes": []}
    monkeypatch.setattr("cli.client.ServiceClient.post", lambda *_: audit)
    monkeypatch.setattr("cli.client.ServiceClient.get", lambda *_: ended(audit, verdict))
    (tmp_path / "key").write_text("key")
    done = run("audits", "start", "east", "--wait", *options, "--json", "--api-key-file", str(tmp_path / "key"))
    assert (done.status, json.loads(done.stdout)["verdict"]) == (status, verdict)


@pytest.mark.parametrize(
    ("state", "problem", "status"),
    [("ready", None, 0), (None, None, 0), ("refused", {"detail": "It has no weights.", "remedy": "Add them."}, 2)],
)
def test_waiting_for_a_registered_thing_ends_with_its_state(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    state: str | None,
    problem: dict[str, str] | None,
    status: int,
) -> None:
    monkeypatch.setattr("cli.nouns.registered._POLL_S", 0)
    registered = {"reference": "reader@1", "state": "checking", "problem": None}
    states = iter([registered, registered | {"state": state, "problem": problem}])
    monkeypatch.setattr("cli.client.ServiceClient.post", lambda *_, **__: registered)
    monkeypatch.setattr("cli.client.ServiceClient.get", lambda *_: next(states))
    (tmp_path / "key").write_text("key")
    options = ("--path", "/dissectors/reader", "--wait", "--api-key-file", str(tmp_path / "key"))
    done = run("dissectors", "register", "reader", *options)
    assert done.status == status
    if problem is not None:
        assert done.stderr == "mammodissect: It has no weights. Add them.\n"


def test_a_status_filters_jobs(ask: Ask, jobs: list[str], client: httpx.Client) -> None:
    assert ask("jobs", "list", "--status", JobStatus.FAILED)["items"] == []
    assert {item["id"] for item in ask("jobs", "list", "--status", "succeeded")["items"]} == set(jobs)


def test_what_a_search_and_a_list_of_all_layers_ask(run: Run, tmp_path: Path) -> None:
    found = {"job": "7", "model": "screening@1", "layer": "blocks.0", "unit": 3, "cosine": 0.5, "concept": "mass"}
    page = json.dumps({"searched_by": "mass", "items": [found], "next": None})
    (tmp_path / "key").write_text("key")
    with answering([answer("200 OK", page)] * 4) as server:
        options = ("--url", server.url, "--api-key-file", str(tmp_path / "key"))
        done = run(
            *("neurons", "search", "--text", "a clip", "--verdict", "named", "--verdict", "no-signal"),
            *("--min-z", "2.5", "--limit", "9", "--json", *options),
        )
        assert json.loads(done.stdout) == json.loads(page)
        assert "screening@1" in run("neurons", "search", "--neuron", "7/blocks[1]/2", *options).stdout
        run("neurons", "list", "--model", "screening", "--dead", *options)
        run(
            "jobs",
            "list",
            "--status",
            "failed",
            "--status",
            "dead",
            "--model",
            "a@2",
            "--created-after",
            "2026",
            *options,
        )
    assert [heard.split()[1] for heard in server.heard] == [
        "/search/neurons?text=a+clip&verdict=named&verdict=no-signal&min_z=2.5&limit=9",
        "/search/neurons?neuron=7%2Fblocks%5B1%5D%2F2&limit=50",
        "/neurons?model=screening&dead=true&sort=-score&limit=50",
        "/jobs?status=failed&status=dead&model=a%402&created_after=2026&limit=50",
    ]
