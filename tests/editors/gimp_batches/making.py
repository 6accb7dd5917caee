"""For batches inside GIMP: make images, run the plug-in on them, save them, tell about them."""

import base64
import json
import random
import struct
import traceback
from pathlib import Path
from typing import Any

import gi

for name, version in (("Gimp", "3.0"), ("Gegl", "0.4"), ("Babl", "0.1")):
    gi.require_version(name, version)
from gi.repository import Babl, Gegl, Gimp, Gio  # noqa: E402  (gi wants its versions first)

LETTERS = {"u8": "B", "u16": "H", "u32": "I", "half": "e", "float": "f", "double": "d"}
INTEGER_BITS = {"u8": 8, "u16": 16, "u32": 32}
LAYER_KINDS = {
    "RGB": Gimp.ImageType.RGB_IMAGE,
    "RGBA": Gimp.ImageType.RGBA_IMAGE,
    "GRAY": Gimp.ImageType.GRAY_IMAGE,
    "GRAYA": Gimp.ImageType.GRAYA_IMAGE,
    "INDEXED": Gimp.ImageType.INDEXED_IMAGE,
    "INDEXEDA": Gimp.ImageType.INDEXEDA_IMAGE,
}
COLOURS = 16
"""Of an indexed image's palette."""


def new_image(
    width: int, height: int, kind: str = "RGB", precision: str = "U8_NON_LINEAR"
) -> Gimp.Image:
    base = getattr(Gimp.ImageBaseType, kind)
    image = Gimp.Image.new_with_precision(width, height, base, getattr(Gimp.Precision, precision))
    if kind == "INDEXED":
        palette = Gimp.Palette.new("sixteen")
        for number in range(COLOURS):
            colour = Gegl.Color.new("black")
            colour.set_rgba(number / 15, (15 - number) / 15, number % 4 / 3, 1.0)
            palette.add_entry(str(number), colour)
        image.set_palette(palette)
    return image


def add_layer(
    image: Gimp.Image,
    kind: str = "RGB",
    *,
    name: str = "subject",
    size: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
    parent: Gimp.Layer | None = None,
) -> Gimp.Layer:
    """A layer of noise, the same for the same name and size."""
    width, height = size or (image.get_width(), image.get_height())
    mode = Gimp.LayerMode.NORMAL
    layer = Gimp.Layer.new(image, name, width, height, LAYER_KINDS[kind], 100.0, mode)
    image.insert_layer(layer, parent, 0)
    layer.set_offsets(*at)
    fill(layer, name)
    return layer


def add_mask(layer: Gimp.Layer, name: str = "mask") -> Gimp.LayerMask:
    """A mask of noise."""
    mask = layer.create_mask(Gimp.AddMaskType.BLACK)
    layer.add_mask(mask)
    fill(mask, name)
    return mask


def fill(drawable: Gimp.Drawable, seed: str) -> None:
    """Noise in the drawable's own format: all bits of integers, floats a little beyond 0 ... 1."""
    kind = drawable.get_format()
    words = Babl.get_name(Babl.format_get_type(kind, 0))
    parts = Babl.format_get_n_components(kind)
    count = parts * drawable.get_width() * drawable.get_height()
    chance = random.Random(seed)  # noqa: S311  (noise)
    if drawable.is_indexed():
        values = [chance.choice((0, 100, 255)) for _ in range(count)]
        values[::parts] = [chance.randrange(COLOURS) for _ in range(count // parts)]
    elif words in INTEGER_BITS:
        values = [chance.getrandbits(INTEGER_BITS[words]) for _ in range(count)]
    else:
        beyond = 0.2 if parts > 1 else 0.0
        values = [chance.uniform(-beyond, 1 + beyond) for _ in range(count)]
        if parts in {2, 4}:
            values[parts - 1 :: parts] = [chance.random() for _ in range(count // parts)]
    write(drawable, struct.pack(f"<{count}{LETTERS[words]}", *values))


def write(drawable: Gimp.Drawable, pixels: bytes, kind: str | None = None) -> None:
    """Pixels for the whole drawable, in its own format or another one."""
    buffer = drawable.get_buffer()
    whole = Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height())
    buffer.set(whole, kind or Babl.get_name(drawable.get_format()), pixels)
    buffer.flush()
    drawable.update(0, 0, drawable.get_width(), drawable.get_height())


def read(drawable: Gimp.Drawable, kind: str | None = None) -> bytes:
    """The whole drawable, in its own format or another one."""
    whole = Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height())
    own = Babl.get_name(drawable.get_format())
    return drawable.get_buffer().get(whole, 1.0, kind or own, Gegl.AbyssPolicy.NONE)


def run(
    image: Gimp.Image, drawables: list[Gimp.Drawable], **arguments: Any
) -> tuple[str, str | None]:
    """Run the plug-in without its dialog: the status, and what the PDB says went wrong."""
    procedure = Gimp.get_pdb().lookup_procedure("plug-in-smart-matte")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
    config.set_property("image", image)
    if drawables:  # an empty array is what it is without
        config.set_core_object_array("drawables", drawables)
    for argument, value in arguments.items():
        config.set_property(argument.replace("_", "-"), value)
    status = procedure.run(config).index(0)
    problem = None if status == Gimp.PDBStatusType.SUCCESS else Gimp.get_pdb().get_last_error()
    return status.value_nick, problem


def told(drawable: Gimp.Drawable) -> dict[str, Any]:
    """Format and pixels of a drawable, as JSON takes them."""
    kind = drawable.get_format()
    return {
        "format": "indexed" if drawable.is_indexed() else Babl.format_get_encoding(kind),
        "space": Babl.get_name(Babl.format_get_space(kind)),
        "type": Babl.get_name(Babl.format_get_type(kind, 0)),
        "channels": Babl.format_get_n_components(kind),
        "size": [drawable.get_width(), drawable.get_height()],
        "pixels": base64.b64encode(read(drawable)).decode(),
    }


def told_layer(layer: Gimp.Layer) -> dict[str, Any]:
    """Everything of a layer that a test may ask for."""
    _ok, x, y = layer.get_offsets()
    mask, parent, is_group = layer.get_mask(), layer.get_parent(), layer.is_group()
    return {
        **told(layer),
        "name": layer.get_name(),
        "at": [x, y],
        "opacity": round(layer.get_opacity(), 4),
        "mode": layer.get_mode().value_nick,
        "is_visible": layer.get_visible(),
        "is_group": is_group,
        "is_text": layer.is_text_layer(),
        "parent": parent.get_name() if parent else None,
        "children": [child.get_name() for child in layer.get_children()]
        if parent is None and layer.is_group()
        else [],
        "mask": told(mask) if mask else None,
        "parasites": layer.get_parasite_list(),
    }


def all_layers(layers: list[Gimp.Layer]) -> list[Gimp.Layer]:
    """From the top, groups before what they hold."""
    found = []
    for layer in layers:
        found.append(layer)
        if layer.is_group():
            found += all_layers(layer.get_children())
    return found


def told_image(image: Gimp.Image) -> dict[str, Any]:
    """Everything of an image that a test may ask for."""
    selection = image.get_selection()
    profile = image.get_color_profile()
    return {
        "layers": [told_layer(layer) for layer in all_layers(image.get_layers())],
        "channels": [channel.get_name() for channel in image.get_channels()],
        "selection": None if Gimp.Selection.is_empty(image) else told(selection),
        "selected": [layer.get_name() for layer in image.get_selected_layers()],
        "profile": profile.get_label() if profile else None,
        "precision": image.get_precision().value_nick,
    }


class Report:
    """What a batch found, case by case, for the test outside."""

    def __init__(self, folder: Path, orders: Path) -> None:
        self._folder = folder
        self.seen = orders.with_name("seen.jsonl")
        self._cases: dict[str, Any] = {}

    def run_case(
        self, name: str, image: Gimp.Image, drawables: list[Gimp.Drawable], **arguments: Any
    ) -> None:
        """Run the plug-in once; tell how the image was before, how it went, and save the image."""
        before, job = told_image(image), self.jobs_seen()
        status, problem = run(image, drawables, **arguments)
        jobs = self.jobs_seen()
        self.add(name, name=name, before=before, status=status, problem=problem, job=job, jobs=jobs)
        self.save(name, image)
        image.delete()

    def jobs_seen(self) -> int:
        """How many jobs the backend that follows orders has had."""
        return self.seen.read_text().count("\n") if self.seen.exists() else 0

    def save(self, name: str, image: Gimp.Image) -> None:
        """For another GIMP to look at."""
        file = Gio.File.new_for_path(str(self._folder / f"{name}.xcf"))
        Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, file, None)

    def add(self, case: str, **facts: Any) -> None:
        self._cases.setdefault(case, {}).update(facts)

    def do(self, make: Any, *arguments: Any) -> None:
        """Do a case; its failure must not keep others from being done."""
        try:
            make(self, *arguments)
        except Exception:  # noqa: BLE001  (it is told outside)
            self.add(f"{make.__name__} {arguments}", broken=traceback.format_exc())

    def write(self) -> None:
        (self._folder / "cases.json").write_text(json.dumps(self._cases))


def look(folder: Path) -> None:
    """In another GIMP: tell what the saved images hold."""
    found = {}
    for path in sorted(folder.glob("*.xcf")):
        file = Gio.File.new_for_path(str(path))
        image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
        found[path.stem] = told_image(image)
        image.delete()
    (folder / "after.json").write_text(json.dumps(found))
