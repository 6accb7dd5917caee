"""A set of tiny pictures whose alpha is known, laid out as the shared data."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HEIGHT_PX, WIDTH_PX = 60, 80


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """Two bright discs on noise as alphamatting's pictures, one as FBA's, noise as photos."""
    random = np.random.default_rng(0)
    y, x = np.indices((HEIGHT_PX, WIDTH_PX))
    for name, radius_px in (("GT01", 18), ("GT03", 22)):
        distance_px = np.hypot(y - HEIGHT_PX / 2, x - WIDTH_PX / 2)
        alpha = np.clip(radius_px - distance_px + 0.5, 0, 1)
        trimap = np.where(np.abs(distance_px - radius_px) < 4, 128, np.rint(alpha) * 255)
        background = random.uniform(0.0, 0.2, (HEIGHT_PX, WIDTH_PX, 3))
        image = background + alpha[..., None] * (np.array([0.9, 0.7, 0.3]) - background)
        folder = tmp_path / "data" / "alphamatting"
        save(folder / "image" / f"{name}.png", image * 255)
        save(folder / "alpha" / f"{name}.png", alpha * 255)
        save(folder / "trimap_narrow" / f"{name}.png", trimap)
        save(folder / "trimap_wide" / f"{name}.png", trimap)
    reference = tmp_path / "data" / "fba_reference" / "disc"
    save(reference / "image.png", image * 255)
    save(reference / "fba_alpha.png", alpha * 255)
    save(reference / "trimap.png", trimap)
    save(reference / "fba_foreground.png", np.full_like(image, 1) * [230, 178, 76])
    for index in range(3):
        noise = random.uniform(0, 255, (8, 8, 3))
        photo = np.kron(noise, np.ones((64, 64, 1)))
        save(tmp_path / "data" / "photos" / f"squares{index}.png", photo)
    return tmp_path / "data"


def save(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(samples).astype(np.uint8)).save(path)
