"""
Fixtures with the real GIMP and Krita; ``SMART_MATTE_EDITORS=forky`` takes the newer ones.

``gimp`` and ``krita`` have a home of their own per test, ``display`` is a virtual screen. Without
editors, and without a way to build a root that has them, the tests skip and say why.
"""

import os
from collections.abc import Callable, Iterator

import pytest
from backends import FAKE, REAL, EditorBackend, running
from gimp_program import Gimp
from homes import gimp_home, krita_home
from krita_plug_in import Hands, krita_for_a_session
from krita_program import Krita
from programs import Editors
from root import SUITES, AbsentError, find_place
from screen import TOOLS, Screen

SUITE_VARIABLE = "SMART_MATTE_EDITORS"
"""Environment variable that names the Debian release whose GIMP and Krita the tests run."""

TEST_S = 240
"""A test's own time; what is made only once has deadlines of its own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "editors" and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_S, func_only=True))


def skip_if(reason: str) -> None:
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def editors(request: pytest.FixtureRequest) -> Iterator[Editors]:
    """Runs programs where the editors are."""
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    try:
        place = find_place(os.environ.get(SUITE_VARIABLE, SUITES[0]), terminal.write_line)
    except AbsentError as reason:
        pytest.skip(str(reason))
    editors = Editors(place)
    yield editors
    editors.close()


@pytest.fixture
def make_gimp(editors: Editors) -> Iterator[Callable[[], Gimp]]:
    """Makes a GIMP with a fresh home: for two at once."""
    skip_if(editors.place.lacks("gimp"))
    homes = []

    def make() -> Gimp:
        homes.append(editors.make_home(gimp_home(editors)))
        return Gimp(editors, homes[-1])

    yield make
    for home in homes:
        editors.drop_home(home)


@pytest.fixture
def gimp(make_gimp: Callable[[], Gimp]) -> Gimp:
    """A GIMP with a fresh home."""
    return make_gimp()


@pytest.fixture
def krita(editors: Editors) -> Iterator[Krita]:
    """A Krita with a fresh home."""
    skip_if(editors.place.lacks("krita", *TOOLS))
    home = editors.make_home(krita_home(editors))
    yield Krita(editors, home)
    editors.drop_home(home)


@pytest.fixture
def display(editors: Editors) -> Iterator[Screen]:
    """A virtual screen; what it shows when a test fails is kept as build/editors/*/failed-*.png."""
    skip_if(editors.place.lacks(*TOOLS))
    with Screen(editors) as screen:
        yield screen


@pytest.fixture(scope="session")
def backend() -> Iterator[EditorBackend]:
    """The real backend, without weights: closed-form and grabcut; none may harm it."""
    with running(REAL) as backend:
        yield backend


@pytest.fixture
def own_backend() -> Iterator[EditorBackend]:
    """A real backend that a test may harm."""
    with running(REAL) as backend:
        yield backend


@pytest.fixture
def fake_backend() -> Iterator[EditorBackend]:
    """A backend with a real broker that answers at once, and follows orders."""
    with running(FAKE) as backend:
        yield backend


@pytest.fixture(scope="session")
def answering() -> Iterator[EditorBackend]:
    """What "hands" talks to: answers at once and follows orders; none may harm it."""
    with running(FAKE) as backend:
        yield backend


@pytest.fixture(scope="session")
def lasting_krita(editors: Editors, answering: EditorBackend) -> Iterator[Hands]:
    """A Krita with the plug-in that all tests of "hands" share."""
    skip_if(editors.place.lacks("krita", *TOOLS))
    with krita_for_a_session(editors, answering.env) as hands:
        yield hands


@pytest.fixture
def hands(lasting_krita: Hands, answering: EditorBackend) -> Iterator[Hands]:
    """A Krita with the plug-in and without documents; computed foregrounds are a pattern."""
    answering.order(foreground="pattern")
    yield lasting_krita
    lasting_krita.tidy_up()
