"""Where ``smart-matte`` starts, and how failures become one sentence and an exit code."""

import sys
from typing import NoReturn

STOPPED = 130
"""Exit code of errors.Cancelled, which can't be imported before main() listens for Ctrl-C."""


def main() -> None:
    """Run the command line and exit; every failure a user can meet is one sentence on stderr."""
    try:
        _run()
    except KeyboardInterrupt:
        _fail("stopped.", STOPPED)


def _run() -> None:
    # imports numpy and more: only here is a Ctrl-C in the middle of that caught
    import click  # noqa: PLC0415

    from smart_matte.cli.commands import cli  # noqa: PLC0415
    from smart_matte.errors import OutputError, SmartMatteError  # noqa: PLC0415

    try:
        cli(standalone_mode=False)
    except SmartMatteError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        _fail("stopped.", STOPPED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left: nothing to say, nobody to say it to
        sys.exit(1)
    except OSError as error:
        _fail(f"the output can't be written ({error.strerror}).", OutputError.exit_code)


def _fail(sentence: str, exit_code: int) -> NoReturn:
    print(f"smart-matte: {sentence}", file=sys.stderr)  # noqa: T201  (it may be before click is there)
    sys.exit(exit_code)
