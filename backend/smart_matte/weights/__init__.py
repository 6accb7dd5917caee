"""
The weights that networks are loaded with: which exist, getting them, keeping them, loading them.

    entries()                    what the manifest lists
    is_installed(name)           whether it can be loaded
    load_state_dict(name)        its tensors
    fetch(name, progress)        from its publishers, verified
    import_files(paths, name)    from files the user has
    verify(names)                to the last byte
"""

from smart_matte.weights.install import fetch, import_files
from smart_matte.weights.manifest import Entry, entries, find_entry
from smart_matte.weights.store import Installed, State, is_installed, load_state_dict, verify

__all__ = [
    "Entry",
    "Installed",
    "State",
    "entries",
    "fetch",
    "find_entry",
    "import_files",
    "is_installed",
    "load_state_dict",
    "verify",
]
