"""When the GIMP plug-in can't do its work: a sentence, and an image as it was."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from backends import FAKE, EditorBackend, running
from gimp_plug_in import (
    BATCHES,
    NAME,
    Batch,
    Case,
    gimp_for_a_module,
    install,
    put_meddler,
    run_cases,
)
from gimp_program import Gimp
from programs import Editors, wait_for

sys.path.append(str(BATCHES))
from failure_orders import CHANGES, CRASHES, INSTALLED, ORDERS, OUTPUTS, UNRELATED

NOTICED_S = 2.0
"""The backend has to notice so soon that a plug-in was killed."""

CHANGED = "The layer was changed while Smart Matte worked on it; run it once more."
REMOVED = "The layer was removed while Smart Matte worked on it."
SENTENCES = {
    "not installed": (
        "The program “smart-matte” isn't found."
        " Install Smart Matte, or let SMART_MATTE_BACKEND name the program."
    ),
    "program gone": (
        "“/nowhere/smart-matte” can't be started: No such file or directory."
        " “smart-matte serve” in a terminal shows why."
    ),
    "program fails": (
        "The backend ended at its start with code 1. “smart-matte serve” in a terminal shows why."
    ),
    "sandbox": (
        "The backend isn't running, and from in here it can't be started."
        " Open a terminal and type: smart-matte serve --folder /shared"
    ),
}
SENTENCES["broken facts"] = SENTENCES["not installed"]


@pytest.fixture(scope="module")
def batch(editors: Editors) -> Iterator[Batch]:
    with running(FAKE) as backend, gimp_for_a_module(editors) as gimp:
        scripts = put_meddler(gimp)
        yield run_cases(gimp, "failure_cases", backend, scripts=str(scripts))


@pytest.fixture(scope="module")
def unreachable(editors: Editors) -> Iterator[Batch]:
    with gimp_for_a_module(editors) as gimp:
        facts = gimp.plug_ins / NAME / "backend.json"
        yield run_cases(gimp, "unreachable_cases", None, facts_file=str(facts))


@pytest.fixture
def case(batch: Batch, request: pytest.FixtureRequest) -> Case:
    return batch.cases[request.param]


def each(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", names, indirect=True)


NO_RESULT = [*ORDERS, *CRASHES, *(f"no {output}" for output in OUTPUTS)]


@each(*NO_RESULT)
def test_a_job_that_fails_gives_one_sentence(case: Case):
    assert case.status == "execution-error"
    assert case.problem[0].isupper()
    assert case.problem.endswith(".")
    assert "\n" not in case.problem
    assert "Traceback" not in case.problem
    assert "unexpectedly" not in case.problem


@each("a sentence of the engine", "no mask")
def test_the_backends_own_sentence_is_the_pdbs_text(case: Case):
    assert case.problem == "It can't be done."


@each(*NO_RESULT, "indexed trimap")
def test_a_job_that_fails_leaves_the_image_as_it_was(case: Case):
    for name in ("layers", "channels", "selected", "selection"):
        assert strip(case.after[name]) == strip(case.before[name])


def strip(told: object) -> object:
    """Without what saving a selection changes of its format."""
    drop = ("format",)
    return (
        {name: value for name, value in told.items() if name not in drop}
        if isinstance(told, dict)
        else told
    )


def test_a_trimap_in_an_indexed_image_is_refused_before_any_work(batch: Batch):
    case = batch.cases["indexed trimap"]
    assert case.status == "calling-error"
    assert case.problem == (
        "An indexed image can't hold a trimap: choose Image > Mode > RGB and try again."
    )
    assert case.job is None


@each(*CHANGES)
def test_a_layer_changed_meanwhile_is_left_as_the_user_made_it(case: Case):
    assert case.job is not None
    assert case.status == "calling-error"
    assert case.problem == (REMOVED if case.facts["name"] == "removed" else CHANGED)
    assert case.names == ([] if case.facts["name"] == "removed" else ["subject"])
    assert case.after["channels"] == []


def test_an_image_closed_meanwhile_does_no_harm(batch: Batch):
    case = batch.cases["closed"]
    assert not case.facts["is_valid"]
    assert case.problem in {None, REMOVED}  # GIMP keeps it until the plug-in has ended


@each(*UNRELATED)
def test_a_change_of_something_else_meanwhile_is_no_matter(case: Case):
    assert (case.status, case.problem) == ("success", None)
    name = "other" if case.facts["name"] == "renamed" else "subject"
    assert case.names[:2] == [f"{name} cut out", name]


def test_after_all_those_failures_a_run_succeeds(batch: Batch):
    case = batch.cases["afterwards"]
    assert (case.status, case.problem) == ("success", None)


@pytest.mark.parametrize("name", [*INSTALLED, "broken facts"])
def test_without_a_backend_the_sentence_says_what_to_do(unreachable: Batch, name: str):
    case = unreachable.cases[name]
    assert case.status == "execution-error"
    assert case.problem == SENTENCES[name]
    assert case.after["layers"] == case.before["layers"]


def test_no_failure_leaves_a_traceback_on_stderr(batch: Batch, unreachable: Batch):
    for said in (batch.stderr, unreachable.stderr):
        assert "Traceback" not in said
        assert "CRITICAL" not in said


@pytest.fixture
def in_background() -> Iterator[Callable[..., Future]]:
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def plug_in_pid(gimp: Gimp) -> int:
    for pid in gimp.editors.processes(gimp.home):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if b"smart-matte.py" in command:
            return pid
    return 0


def test_cancelling_frees_the_backend_and_leaves_the_image_alone(
    gimp: Gimp, fake_backend: EditorBackend, in_background: Callable[..., Future]
):
    install(gimp)
    fake_backend.order(seconds=120)
    batch = in_background(run_cases, gimp, "one_case", fake_backend)
    wait_for(fake_backend.jobs_running, "the job runs")
    os.kill(wait_for(lambda: plug_in_pid(gimp), "the plug-in runs"), signal.SIGKILL)
    wait_for(lambda: not fake_backend.jobs_running(), "the job is dropped", NOTICED_S)
    case = batch.result().cases["one"]
    assert case.status != "success"
    assert case.after["layers"] == case.before["layers"]
    assert case.after["channels"] == []


def test_a_backend_killed_in_the_middle_is_started_again_and_the_run_succeeds(
    gimp: Gimp, fake_backend: EditorBackend, in_background: Callable[..., Future]
):
    install(gimp, {"command": [sys.executable, FAKE[0]]})
    fake_backend.order(seconds=120)
    batch = in_background(run_cases, gimp, "one_case", fake_backend)
    wait_for(fake_backend.jobs_running, "the job runs")
    fake_backend.order()
    fake_backend.process.kill()
    case = batch.result().cases["one"]
    assert (case.status, case.problem) == ("success", None)
    assert case.names == ["subject cut out", "subject"]
    assert len(fake_backend.seen()) == 2


def test_two_gimps_at_once_both_get_their_results(
    make_gimp: Callable[[], Gimp],
    fake_backend: EditorBackend,
    in_background: Callable[..., Future],
):
    fake_backend.order(seconds=1)
    gimps = [make_gimp(), make_gimp()]
    for gimp in gimps:
        install(gimp)
    batches = [in_background(run_cases, gimp, "one_case", fake_backend) for gimp in gimps]
    for batch in batches:
        case = batch.result().cases["one"]
        assert (case.status, case.problem) == ("success", None)
        assert case.names == ["subject cut out", "subject"]
    assert len(fake_backend.seen()) == 2
