"""The form of a new job."""

import json
import re
import shlex
from typing import Any
from uuid import UUID

import pytest

from api.pages.forms import Form
from api.pages.job_form import JobForm, as_command, as_curl
from api.pages.layer_tree import tree_of
from api.schemas.jobs import JobIn
from service.db.resources import save_inspection
from service.db.session import Sessions, transaction
from service.domain.methods import Method
from service.domain.resources import ResourceKind
from service.domain.work import LayerListing
from service.usecases.jobs import find_job
from tests.api.changing_calls import trail
from tests.pages.visitor import Visitor, check_page, words_of
from tests.usecases.factories import RecordingQueue, refuse, resource

LAYERS: list[LayerListing] = [
    {"name": "stem", "units": 8, "kind": "Conv2d", "multiply_adds": 1_000_000, "share": 0.01},
    {"name": "layer1.0", "units": 16, "kind": "Block", "multiply_adds": 20_000_000, "share": 0.2, "is_main": True},
    {"name": "layer1.1", "units": 16, "kind": "Block", "multiply_adds": 50_000_000, "share": 0.5, "is_main": True,
     "ends_stage": True},
    {"name": "head.fc", "units": 4, "kind": "Linear", "multiply_adds": 100_000_000, "share": 1.0, "ends_stage": True},
]  # fmt: skip
PARTS = {"model": "net", "dissector": "reader", "probe_set": "probes", "concept_set": "bi-rads"}


@pytest.fixture
def parts(sessions: Sessions) -> dict[str, str]:
    """Everything that a job needs, registered, its layers listed."""
    with transaction(sessions) as session:
        model = resource(session, ResourceKind.MODEL, "net", checkpoint="/x", architecture="a", sha256="0")
        save_inspection(session, model.id, layers=LAYERS)
        resource(session, ResourceKind.DISSECTOR, "reader", path="/x")
        resource(session, ResourceKind.PROBE_SET, "probes", images=120)
    return dict(PARTS)


def address(fields: dict[str, Any]) -> str:
    return f"/ui/jobs/new?{'&'.join(f'{name}={value}' for name, value in fields.items())}"


def hidden(page: str) -> dict[str, list[str]]:
    """The fields of the form that starts the job."""
    review = page[page.index('id="review"') :]
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(
        r'<input type="hidden" name="([a-z_]+)" value="([^"]*)">', review[: review.index("</form>")]
    ):
        fields.setdefault(name, []).append(value)
    return fields


def test_the_network_is_chosen_first(visitor: Visitor, parts: dict[str, str]) -> None:
    page = visitor.get("/ui/jobs/new")
    assert '<option value="net@1">net@1</option>' in page
    assert 'name="probe_set"' not in page
    assert "None is registered yet" not in page


def test_without_anything_registered_it_says_so(visitor: Visitor) -> None:
    assert "None is registered yet." in visitor.words("/ui/jobs/new")


def test_the_form_knows_the_networks_layers_with_kind_and_units(visitor: Visitor, parts: dict[str, str]) -> None:
    page = visitor.get(address({"model": "net"}))
    assert re.findall(r'name="layers" value="([^"]+)"', page) == ["stem", "layer1.0", "layer1.1", "head.fc"]
    words = words_of(page)
    assert "Conv2d, 8 units, 1 % of the pass" in words
    assert "layer1 2 layers" in words
    assert "probes@1, 120 images" in words
    assert "bi-rads@" in words


def test_what_it_will_cost_is_said_before_it_is_asked_for(visitor: Visitor, parts: dict[str, str]) -> None:
    page = visitor.get(address({**parts, "which": "names", "layers": "layer1.1", "review": 1}))
    words = words_of(page)
    assert "120 images of probes@1 are shown to net@1" in words
    assert "16 neurons of 1 layer are named" in words
    assert "0.05 billion multiply-adds of the network for one image, 6 billion for all" in words
    assert "each by its 15 strongest images" in words
    assert "mammodissect jobs submit --wait --layers layer1.1" in words
    assert "curl -X POST http://testserver/jobs" in words


def test_the_form_starts_a_job_once(
    visitor: Visitor, parts: dict[str, str], sessions: Sessions, queue: RecordingQueue
) -> None:
    options = {"which": "names", "layers": "stem", "patterns": "layer1.*", "top_k": 12, "draws": 0, "review": 1}
    fields = hidden(visitor.get(address({**parts, **options})))
    answer = visitor.send("/ui/jobs/new", fields)
    assert answer.status_code == 303, answer.text
    job_id = UUID(answer.headers["location"].removeprefix("/ui/jobs/"))
    with transaction(sessions) as session:
        request = find_job(session, job_id).request
    assert request.options.layers == ("stem", "layer1.0", "layer1.1")
    assert request.options.method == Method.of(top_k=12)
    assert request.options.evidence.draws == 0
    assert queue.published

    entry = trail(sessions)[-1]
    assert (entry.actor, entry.action, entry.subject) == ("api", "POST /ui/jobs/new", f"/jobs/{job_id}")
    assert visitor.send("/ui/jobs/new", fields).headers["location"] == answer.headers["location"]


@pytest.mark.parametrize(
    ("fields", "field", "hint"),
    [
        ({"top_k": "many"}, "top_k", "must be"),
        ({"top_k": "0"}, "top_k", "must be"),
        ({"top_k": "121"}, "top_k", "fewer than top-k"),
        ({"draws": "-1"}, "draws", "must be"),
        ({"error_level": "0.9"}, "error_level", "must be"),
        ({"similarity": "none"}, "similarity", "must be"),
        ({"purpose": "fun"}, "purpose", "must be"),
        ({"priority": "1e3"}, "priority", "must be"),
        ({"probe_set": ""}, "probe_set", "missing"),
        ({"probe_set": "lost"}, "probe_set", "There is no probe set"),
        ({"dissector": "reader@9"}, "dissector", "There is no dissector"),
        ({"which": "names"}, "layers", ""),
        ({"which": "names", "patterns": "layer9.*"}, "layers", "No layer of the target fits"),
        ({"which": "names", "layers": "stam"}, "layers", "stem"),
        ({"which": "some"}, "layers", ""),
        ({"override_reason": "x" * 2_001}, "override_reason", ""),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_kept(
    visitor: Visitor, parts: dict[str, str], sessions: Sessions, fields: dict[str, str], field: str, hint: str
) -> None:
    filled = {**parts, "which": "stages", **fields}
    before = len(trail(sessions))
    for answer in (visitor.client.get(address({**filled, "review": 1})), visitor.send("/ui/jobs/new", filled)):
        assert answer.status_code == 422, answer.text
        check_page(answer)
        wrong = re.search(rf'<p class="wrong" id="{field}-wrong">([^<]+)</p>', answer.text)
        assert wrong is not None, words_of(answer.text)
        assert hint in wrong[1]
        for name, value in fields.items():
            assert name in {"layers", "which", "similarity", "purpose"} or f'value="{value}"' in answer.text
    assert len(trail(sessions)) == before


def test_a_network_that_is_not_there_is_said(visitor: Visitor, parts: dict[str, str]) -> None:
    words = visitor.words(address({"model": "nut"}))
    assert "There is no model 'nut'. Near matches: net." in words


def test_a_refused_dissector_cannot_be_chosen(visitor: Visitor, parts: dict[str, str], sessions: Sessions) -> None:
    with transaction(sessions) as session:
        refuse(session, resource(session, ResourceKind.DISSECTOR, "broken", "1", path="/y"))
    assert 'value="broken@1" disabled' in visitor.get(address(parts))
    words = words_of(visitor.client.get(address({**parts, "dissector": "broken", "which": "all", "review": 1})).text)
    assert "was refused when a worker opened it" in words


def test_a_network_whose_layers_nobody_has_listed_takes_names(
    visitor: Visitor, parts: dict[str, str], sessions: Sessions
) -> None:
    with transaction(sessions) as session:
        resource(session, ResourceKind.MODEL, "new", "1", checkpoint="/x", architecture="a", sha256="1")
    page = visitor.get(address({**parts, "model": "new"}))
    assert "No worker has listed the layers" in page
    review = visitor.words(address({**parts, "model": "new", "which": "names", "patterns": "a.b, c", "review": 1}))
    assert "The network's share is not known" in review


def test_what_was_typed_is_only_text(visitor: Visitor, parts: dict[str, str]) -> None:
    page = visitor.client.get(address({**parts, "patterns": '"><script>x</script>', "top_k": "<b>", "review": 1})).text
    assert "<script>x" not in page
    assert '<b>"' not in page


def test_the_commands_say_the_same_as_the_form() -> None:
    job = JobIn.model_validate(
        {
            "target": "net@1",
            "dissector": "it's",
            "probe_set": "p",
            "concept_set": "c",
            "layers": ["a.*", "b"],
            "method": {"similarity": "correlation"},
            "evidence": {"draws": "5"},
            "localisation": {},
            "override_purpose": {"reason": "we 'must'"},
        }
    )
    words = shlex.split(as_curl(job, "http://host:1").replace("\\\n", ""))
    sent = json.loads(words[words.index("-d") + 1])
    assert sent["evidence"] == {"draws": 5}
    assert JobIn.model_validate(sent) == job
    options = shlex.split(as_command(job))
    assert options[:4] == ["mammodissect", "jobs", "submit", "--wait"]
    assert options[options.index("--layers") + 1] == "a.*,b"
    assert options[options.index("--override-reason") + 1] == "we 'must'"
    assert options[options.index("--draws") + 1] == "5"
    assert "--localise" in options


def test_a_tree_joins_what_has_one_branch_and_counts_layers() -> None:
    layers: list[LayerListing] = [
        {"name": name, "units": 1, "kind": "k"} for name in ("a.b.0", "a.b.1", "a.b.1.conv", "c", "d.e")
    ]
    first, second, third = tree_of(layers, frozenset())
    assert (first.title, first.count, len(first.children)) == ("a.b", 3, 2)
    assert first.children[1].layer is not None
    assert [child.title for child in first.children[1].children] == ["conv"]
    assert (second.title, third.title) == ("c", "d.e")
    many: list[LayerListing] = [{"name": f"x{number % 3}.{number}", "units": 1, "kind": "k"} for number in range(60)]
    assert [node.is_open for node in tree_of(many, frozenset({"x1.4"}))] == [False, True, False]


def test_a_form_without_layers_means_the_stages() -> None:

    assert JobForm.of(Form({"model": ["m"]})).which == "stages"
    assert JobForm.of(Form({"layers": ["a", "a", "b"]})).layers == ("a", "b")
