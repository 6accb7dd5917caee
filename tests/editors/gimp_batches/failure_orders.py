"""What goes wrong in the batches of failures; plain data, for the tests outside as well."""

OUTPUTS = ("layer", "mask", "selection", "trimap")

REFUSED_BY_ENGINE = {"do": "fail", "code": "selection"}

ORDERS = {
    "a sentence of the engine": REFUSED_BY_ENGINE,
    "a code of a newer backend": {"do": "fail", "code": "strange"},
}
"""What the backend that follows orders does, and lives."""

CRASHES = {
    "worker dies": {"do": "die"},
    "worker dies while sending": {"do": "die sending"},
}
"""What costs it its worker; after some of these it gives up."""

CHANGES = {
    "painted": (
        "buffer = layer.get_buffer();"
        " buffer.set(Gegl.Rectangle.new(2, 2, 1, 1), \"R'G'B' u8\", bytes(3));"
        " buffer.flush(); layer.update(0, 0, 48, 32)"
    ),
    "moved": "layer.set_offsets(3, 4)",
    "cropped": "layer.resize(20, 20, 0, 0)",
    "removed": "image.remove_layer(layer)",
    "deepened": "image.convert_precision(Gimp.Precision.FLOAT_LINEAR)",
    "made gray": "image.convert_grayscale()",
    "given opacity": "layer.add_alpha()",
}
"""What a user does to the layer while the backend computes."""

UNRELATED = {
    "renamed": "layer.set_name('other')",
    "layer below": (
        "new = Gimp.Layer.new(image, 'new', 9, 9, 0, 100.0, Gimp.LayerMode.NORMAL);"
        " image.insert_layer(new, None, 1)"
    ),
    "selection dropped": "Gimp.Selection.none(image)",
}
"""What a user may well do meanwhile."""

INSTALLED = {
    "not installed": {},
    "program gone": {"command": ["/nowhere/smart-matte"]},
    "program fails": {"command": ["false"]},
    "sandbox": {"serve": "smart-matte serve --folder /shared", "folder": "/nowhere/run"},
}
"""backend.json, where no backend runs."""
