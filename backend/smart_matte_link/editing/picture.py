"""What is sent of a layer, and what is asked for in return."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from smart_matte_link.messages import Output

if TYPE_CHECKING:
    from smart_matte_link.editing.region import Rect
    from smart_matte_link.job import Buffer
    from smart_matte_link.messages import Plane


class Picture(NamedTuple):
    """
    What is sent of a layer.

    Attributes:
        region: the part of the layer; in its own coordinates (GIMP) or the document's (Krita).
        plane: its size and coding.
        pixels: its bytes.
        hint: the selection or trimap of the same size, with its bytes; None without one.
    """

    region: Rect
    plane: Plane
    pixels: Buffer
    hint: tuple[Plane, Buffer] | None

    @property
    def planes(self) -> list[tuple[Plane, Buffer]]:
        """As ``Client.cutout`` takes them."""
        return [(self.plane, self.pixels), *([self.hint] if self.hint else [])]


def outputs_for(output: str, alpha_sample: str, colours: Output) -> list[Output]:
    """
    What the backend is asked for.

    Args:
        output: one of choices.OUTPUT.
        alpha_sample: the wire's sample type for masks.
        colours: the foreground as the editor wants it.
    """
    trimap = Output("trimap", "GRAY", "u8")
    if output == "trimap":
        return [trimap]
    alpha = Output("alpha", "GRAY", alpha_sample)
    return [alpha, colours, trimap] if output == "layer" else [alpha]
