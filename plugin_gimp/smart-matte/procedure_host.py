"""The procedure ``plug-in-smart-matte``: its arguments, its run modes, and how it ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gegl", "0.4")
from gi.repository import Gimp, GLib

from arguments_host import TRIMAP, add_arguments, chosen
from layer_host import Subject, layer_of, read_picture, region_of, sample_of
from result_host import Target, check_can_hold, layer_of_trimap
from smart_matte_link.editing.choices import to_options
from smart_matte_link.editing.installed import read_installed
from smart_matte_link.editing.picture import outputs_for
from smart_matte_link.editing.problems import RefusedError, brief_of
from smart_matte_link.editing.stages import (
    CONNECTING,
    overall_fraction,
    title_of,
)
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Wishes
from smart_matte_link.messages import Output
from words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from smart_matte_link.messages import Progress

PROCEDURE = "plug-in-smart-matte"
INSTALLED = read_installed(Path(__file__).absolute().parent)


class SmartMatte(Gimp.PlugIn):
    """What GIMP asks for the procedures of this plug-in."""

    def do_set_i18n(self, _name: str) -> bool:
        """Translate here, from the catalogue that both editors share."""
        return False

    def do_query_procedures(self) -> list[str]:
        """Name the procedures."""
        return [PROCEDURE]

    def do_create_procedure(self, name: str) -> Gimp.Procedure:
        """Describe the procedure."""
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("*")
        procedure.set_sensitivity_mask(
            Gimp.ProcedureSensitivityMask.DRAWABLE | Gimp.ProcedureSensitivityMask.DRAWABLES
        )
        procedure.set_menu_label(_("Smart _Matte…"))
        procedure.add_menu_path("<Image>/Filters")
        procedure.set_documentation(
            _("Cut the subject out, hair and all"),
            _(
                "Turns a rough selection into a fine layer mask and cleans the background's colour"
                " out of the hair. Without a selection the subject is looked for."
            ),
            name,
        )
        procedure.set_attribution("Smart Matte", "Smart Matte, Apache-2.0", "2026")
        add_arguments(procedure)
        return procedure


def run(
    procedure: Gimp.Procedure,
    run_mode: Gimp.RunMode,
    image: Gimp.Image,
    drawables: Sequence[Gimp.Drawable],
    config: Gimp.ProcedureConfig,
    _data: object,
) -> Gimp.ValueArray:
    """Do what GIMP asks; every failure is a sentence, in GIMP's message area or for the script."""
    status, sentence = Gimp.PDBStatusType.EXECUTION_ERROR, ""

    def subject() -> Subject:
        return _subject(image, drawables, config)  # a trimap layer can be chosen in the dialog

    try:
        if run_mode != Gimp.RunMode.NONINTERACTIVE:
            _take_back_trimap_output(config, subject())
        if run_mode == Gimp.RunMode.INTERACTIVE and not _ask(procedure, config, subject):
            return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, GLib.Error())
        _cut_out(subject(), config)
    except RefusedError as refusal:
        sentence = str(refusal)
        status = Gimp.PDBStatusType.CALLING_ERROR
    except LinkError as error:
        explained = INSTALLED.explained(error)
        sentence = _.say(explained.sentence, explained.hint)
    except Exception as error:  # noqa: BLE001  (users get a sentence, never a traceback)
        sentence = _("Smart Matte failed unexpectedly: {error}").format(error=brief_of(error))
    else:
        return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, GLib.Error())
    finally:
        Gimp.progress_end()
    return procedure.new_return_values(status, GLib.Error(sentence))


def _subject(
    image: Gimp.Image, drawables: Sequence[Gimp.Drawable], config: Gimp.ProcedureConfig
) -> Subject:
    """
    The layer to cut out, and the painted trimap if there is one.

    A run on a trimap layer, which is the chosen one after it was made, is a run on its original.
    """
    layer = layer_of(drawables)
    original = layer_of_trimap(image, layer)
    if original is not None:
        return Subject(image, original, layer)
    return Subject(image, layer, config.get_property(TRIMAP))


def _take_back_trimap_output(config: Gimp.ProcedureConfig, subject: Subject) -> None:
    """Who has painted a trimap wants the result now, whatever the last run made."""
    if subject.trimap is not None and config.get_property("output") == "trimap":
        config.set_property("output", "layer")


def _ask(
    procedure: Gimp.Procedure, config: Gimp.ProcedureConfig, subject: Callable[[], Subject]
) -> bool:
    """Show the dialog; whether the user pressed OK."""
    from dialog_host import Dialog  # noqa: PLC0415  (GTK is loaded for this alone)

    return Dialog(procedure, config, subject, INSTALLED).run()


def _cut_out(subject: Subject, config: Gimp.ProcedureConfig) -> None:
    """Read, compute, and put the answer in once all of it is there."""
    _check_is_there(subject)
    image, output = subject.image, config.get_property("output")
    check_can_hold(image, output)
    Gimp.progress_init(_(CONNECTING))
    region = region_of(subject)
    sample = sample_of(image)
    picture = read_picture(subject, region, sample)
    colours = Output("foreground", picture.plane.order.removesuffix("A"), sample)
    target = Target(subject, region)
    with INSTALLED.client("gimp") as client:
        answer = client.cutout(
            picture.planes,
            outputs_for(output, sample, colours),
            to_options(chosen(config)),
            Wishes(_show_progress),
        )
    target.put(answer, output, hide_original=config.get_property("hide-original"))


def _check_is_there(subject: Subject) -> None:
    """Users can delete a layer under the open dialog."""
    if not all(thing.is_valid() for thing in subject if thing is not None):
        raise RefusedError(_("The layer was removed while Smart Matte worked on it."))


def _show_progress(progress: Progress) -> None:
    Gimp.progress_set_text(_(title_of(progress.stage)))
    fraction = overall_fraction(progress.stage, progress.fraction)
    if fraction is None:
        Gimp.progress_pulse()
    else:
        Gimp.progress_update(fraction)


def main() -> None:
    """Answer GIMP."""
    Gimp.main(SmartMatte.__gtype__, sys.argv)
