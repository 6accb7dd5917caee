"""Runs inside an editor: do the scripts that a test puts into a folder, one after the other."""

import contextlib
import io
import json
import pathlib
import traceback


def do_next(folder, names):
    """
    Run the oldest script of the folder, if there is one.

    Args:
        folder: where NAME.todo appears: {"text": …, "file": …, "values": {…}} as JSON. NAME.done
            answers: {"output": what it printed, "error": a traceback or ""}.
        names: what scripts find as global names, besides the values.

    Returns:
        None where there was none, else whether it went well.
    """
    todo = sorted(pathlib.Path(folder).glob("*.todo"))
    if not todo:
        return None
    doing = todo[0].with_suffix(".doing")
    todo[0].rename(doing)  # a script may open a dialog, and the next one close it
    task = json.loads(doing.read_text(encoding="utf-8"))
    output, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(output):
            code = compile(task["text"], task["file"], "exec")
            exec(code, {**names, **task["values"]})  # noqa: S102  (the test wrote it)
    except BaseException:  # noqa: BLE001  (the test is told)
        error = traceback.format_exc()
    part = doing.with_suffix(".part")
    part.write_text(json.dumps({"output": output.getvalue(), "error": error}), encoding="utf-8")
    part.rename(doing.with_suffix(".done"))
    return not error
