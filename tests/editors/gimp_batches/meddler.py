"""A plug-in of the tests: runs scripts in a process of its own while another plug-in is at work."""

import sys
from pathlib import Path

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("Gegl", "0.4")
from gi.repository import Gegl, Gimp, GLib  # noqa: E402  (gi wants its versions first)

FOLDER = Path(__file__).absolute().parent / "scripts"
PROCEDURE = "meddler-lives"
EVERY_MS = 50


class Meddler(Gimp.PlugIn):
    def do_set_i18n(self, _name):
        return False

    def do_query_procedures(self):
        return [PROCEDURE]

    def do_create_procedure(self, name):
        kind = Gimp.PDBProcType.PERSISTENT
        procedure = Gimp.Procedure.new(self, name, kind, live, None)
        procedure.set_documentation("Runs scripts", "Runs scripts", name)
        return procedure


def live(procedure, _config, _data):
    """Stay as long as GIMP does, and run what is put into the folder."""
    procedure.persistent_ready()
    procedure.get_plug_in().persistent_enable()
    GLib.timeout_add(EVERY_MS, look)
    GLib.MainLoop().run()
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, GLib.Error())


def look():
    for path in sorted(FOLDER.glob("*.todo")):
        exec(path.read_text(), {"Gimp": Gimp, "Gegl": Gegl})  # noqa: S102  (the tests' own)
        path.rename(path.with_suffix(".done"))
    return True


Gimp.main(Meddler.__gtype__, sys.argv)
