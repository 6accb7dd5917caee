"""
Our closed-form solver beside pymatting's, in one run: time, memory, distance.

    python tests/benchmarks/closed_form.py [--data ../shared/data] [--sizes 0.5,1,4] [--no-distance]

Each solve runs in a process of its own, which compiles and imports first; memory is what the
process then adds to its peak. Sizes are of the troll picture, whose unknown third makes it hard.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Solve = Callable[[FloatArray, FloatArray], FloatArray]

PIXELS_IN_MP = 1_000_000


def read(image: Path, trimap: Path, megapixels: float) -> tuple[FloatArray, FloatArray]:
    """A picture and its trimap, brought to so many megapixels (0: as they are)."""
    colour, grey = cv2.imread(str(image)), cv2.imread(str(trimap), cv2.IMREAD_GRAYSCALE)
    if colour is None or grey is None:
        raise SystemExit(f"There is no picture at {image} or no trimap at {trimap}.")
    if megapixels:
        scale = (megapixels * PIXELS_IN_MP / grey.size) ** 0.5
        size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_CUBIC)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST)
    known = np.select([grey == 0, grey == np.iinfo(np.uint8).max], [0, 1], 0.5)
    return (colour[..., ::-1] / 255).astype(np.float32), known.astype(np.float32)


def solve_ours(image: FloatArray, trimap: FloatArray) -> FloatArray:
    """Solve with the engine's own solver."""
    from smart_matte.engine.models.closed_form_solver import solve_closed_form  # noqa: PLC0415

    calls = [time.perf_counter()]
    solution = solve_closed_form(image, trimap, lambda _fraction: calls.append(time.perf_counter()))
    silent = max(np.diff([*calls, time.perf_counter()]))
    remark = f"rounds {solution.rounds}, silent at most {silent:.2f} s"
    click.echo(remark, err=True)
    return solution.alpha


def solve_pymattings(image: FloatArray, trimap: FloatArray) -> FloatArray:
    """Solve with pymatting."""
    from pymatting import estimate_alpha_cf  # noqa: PLC0415

    alpha = estimate_alpha_cf(image.astype(np.float64), trimap.astype(np.float64))
    return np.asarray(alpha, np.float32)


SOLVERS: dict[str, Solve] = {"ours": solve_ours, "pymatting": solve_pymattings}


def run_here(solver: str, image: Path, trimap: Path, megapixels: float) -> None:
    """Solve in this process and print what it took as JSON."""
    colour, known = read(image, trimap, megapixels)
    warm = np.full((40, 40), 0.5, np.float32)
    warm[:8], warm[-8:] = 0, 1
    SOLVERS[solver](np.ascontiguousarray(colour[:40, :40]), warm)  # imports and compiles
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    SOLVERS[solver](colour, known)
    took = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    memory_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    unknown = float((known == 0.5).mean())
    json.dump({**took, "memory_mib": memory_mib, "unknown": unknown}, sys.stdout)


def run(solver: str, image: Path, trimap: Path, megapixels: float) -> dict[str, float]:
    """``run_here`` in a new process."""
    command = [sys.executable, __file__, "--solver", solver, str(image), str(trimap)]
    done = subprocess.run(  # noqa: S603  (this very program)
        [*command, "--sizes", str(megapixels)], check=True, stdout=subprocess.PIPE
    )
    took: dict[str, float] = json.loads(done.stdout.decode().splitlines()[-1])
    return took


def compare_sizes(data: Path, sizes: list[float]) -> None:
    """Print a row for each size."""
    folder = data / "fba_reference" / "troll"
    click.echo(
        "| MP | unknown | ours s | pymatting s | ratio | CPU | ours MiB | pymatting MiB | ratio |"
    )
    click.echo("| ---: " * 9 + "|")
    for size in sizes:
        ours, theirs = (
            run(solver, folder / "image.png", folder / "trimap.png", size) for solver in SOLVERS
        )
        time_ratio, cpu_ratio, memory_ratio = (
            ours[key] / theirs[key] for key in ("wall_s", "cpu_s", "memory_mib")
        )
        click.echo(
            f"| {size:g} | {ours['unknown']:.0%} | {ours['wall_s']:.1f} | {theirs['wall_s']:.1f}"
            f" | {time_ratio:.2f} | {cpu_ratio:.2f} | {ours['memory_mib']:.0f}"
            f" | {theirs['memory_mib']:.0f} | {memory_ratio:.2f} |",
        )


def compare_alphas(data: Path) -> None:
    """Print how far the two are apart on the alphamatting pictures, and each from the truth."""
    folder = data / "alphamatting"
    header = "| trimaps | largest mean difference | where | SAD, ours | SAD, pymatting"
    click.echo(f"{header} | ours s | pymatting s |")
    click.echo("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for kind in ("narrow", "wide"):
        apart, sad, took = {}, np.zeros(2), np.zeros(2)
        names = sorted(path.stem for path in (folder / "image").glob("*.png"))
        for name in names:
            image, trimap = read(
                folder / "image" / f"{name}.png", folder / f"trimap_{kind}" / f"{name}.png", 0
            )
            true = cv2.imread(str(folder / "alpha" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
            if true is None:
                raise SystemExit(f"There is no true alpha for {name}.")
            is_unknown, alphas = (trimap != 0) & (trimap != 1), []
            for which, solve in enumerate(SOLVERS.values()):
                start = time.perf_counter()
                alphas.append(solve(image, trimap)[is_unknown])
                took[which] += time.perf_counter() - start
                sad[which] += np.abs(alphas[-1] - true[is_unknown] / 255).sum() / 1000
            apart[name] = float(np.abs(alphas[0] - alphas[1]).mean())
        worst = max(apart, key=lambda name: apart[name])
        means = " | ".join(f"{value:.2f}" for value in (*sad / len(names), *took / len(names)))
        click.echo(f"| {kind} | {apart[worst]:.4f} | {worst} | {means} |")


def main() -> None:
    """Parse the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--sizes", default="0.5,1,4")
    parser.add_argument("--no-distance", action="store_true")
    parser.add_argument("--solver", choices=sorted(SOLVERS))
    parser.add_argument("paths", nargs="*", type=Path)
    chosen = parser.parse_args()
    sizes = [float(size) for size in chosen.sizes.split(",")]
    if chosen.solver:
        run_here(chosen.solver, *chosen.paths, sizes[0])
        return
    compare_sizes(chosen.data, sizes)
    if not chosen.no_distance:
        click.echo("")
        compare_alphas(chosen.data)


if __name__ == "__main__":
    main()
