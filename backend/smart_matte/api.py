"""The Python API: the same job as on every other surface, in this process."""

import numpy as np

from smart_matte.engine.cutout import Cutout, compute_cutout
from smart_matte.engine.options import Options
from smart_matte.engine.types import AnyArray, Progress, ignore_progress
from smart_matte.loading import load_engines

DEFAULTS = Options()


def cutout(
    image: AnyArray,
    selection: AnyArray | None = None,
    options: Options = DEFAULTS,
    progress: Progress = ignore_progress,
) -> Cutout:
    """
    Cut the subject out of a picture, from a rough selection or none.

    Args:
        image: sRGB-coded; uint8, uint16 or float with 1.0 as white; (H, W) gray, (H, W, 3) RGB,
            (H, W, 2) and (H, W, 4) with straight alpha. Transparent pixels are background.
        selection: the user's rough coverage, (H, W) of bool, integer in full scale, or float in
            [0, 1]. Grey is unknown. One that holds a trimap's three values is taken as a trimap.
        options: the user's choices.
        progress: called with (stage, fraction in [0, 1]); raise Cancelled from it to stop.

    Returns:
        A Cutout: alpha, the decontaminated foreground, the trimap, and a report.

    Raises:
        PictureError: the picture has a type, layout or values that can't be worked on.
        SelectionError: the selection can't work with this picture.
        WeightsError: a model that was asked for by name has no weights here, or broken ones.
        OptionError: this machine has no such device, or the model knows no such class.
        Cancelled: raised by *progress*.

    Example:
        >>> import numpy, smart_matte
        >>> from PIL import Image
        >>> photo = numpy.asarray(Image.open("photo.jpg"))
        >>> rough = numpy.asarray(Image.open("rough.png").convert("L"))
        >>> result = smart_matte.cutout(photo, rough)
        >>> result.report.summary()
    """
    image = np.asarray(image)
    selection = None if selection is None else np.asarray(selection)
    return compute_cutout(image, selection, options, load_engines(options), progress)
