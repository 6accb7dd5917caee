"""
Matting models beside pymatting's closed form, in one run: time and memory of one large picture.

    python tests/benchmarks/matters.py --matter closed-form [--matter fba] [--megapixels 1]

Each takes turns with the others, in a process of its own that has loaded, compiled and warmed up
before; the median of the repetitions counts. The picture is the troll of fba-reference, resized:
a third of it is unknown. Memory is what the matting adds to the process's peak.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
from closed_form import read

from smart_matte.engine.types import UNKNOWN, ignore_progress
from smart_matte.evaluation.engines import load_named
from smart_matte.evaluation.references import CLOSED_FORM

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
NUMBA_THREADS = "NUMBA_NUM_THREADS"
WARM_UP_PX = 64

Took = dict[str, float]


def run_here(matter_name: str, device: str, folder: Path, megapixels: float) -> None:
    """Run a matting model in this process and print what it took as JSON."""
    image, trimap = read(folder / "image.png", folder / "trimap.png", megapixels)
    matter = load_named(matter_name, device)
    warm = trimap[:WARM_UP_PX, :WARM_UP_PX].copy()
    warm[:16], warm[16:48], warm[48:] = 0, UNKNOWN, 1
    matter.matte(image[:WARM_UP_PX, :WARM_UP_PX].copy(), warm, ignore_progress)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    matter.matte(image, trimap, ignore_progress)
    took = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    memory_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    unknown = float((trimap == UNKNOWN).mean())
    json.dump({**took, "memory_mib": memory_mib, "unknown": unknown}, sys.stdout)


def run(matter_name: str, chosen: argparse.Namespace) -> Took:
    """``run_here`` in a new process with so many threads."""
    command = [sys.executable, __file__, "--run-here", matter_name, "--device", chosen.device]
    command += ["--data", str(chosen.data), "--megapixels", str(chosen.megapixels)]
    threads = dict.fromkeys((*THREAD_VARIABLES, NUMBA_THREADS), str(chosen.threads))
    done = subprocess.run(  # noqa: S603  (this very program)
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, **threads}
    )
    took: Took = json.loads(done.stdout.decode().splitlines()[-1])
    return took


def compare(chosen: argparse.Namespace) -> None:
    """Print a row for each matting model, the reference last."""
    names = [name for name in dict.fromkeys(chosen.matter) if name != CLOSED_FORM]
    took: dict[str, list[Took]] = {name: [] for name in (*names, CLOSED_FORM)}
    for _ in range(chosen.repeat):
        for name, runs in took.items():
            runs.append(run(name, chosen))
    medians = {
        name: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        for name, runs in took.items()
    }
    reference = medians[CLOSED_FORM]
    click.echo(
        f"{chosen.megapixels:g} MP, {reference['unknown']:.0%} unknown, {chosen.threads} threads,"
        f" median of {chosen.repeat}\n"
    )
    click.echo("| engine | s | ratio | CPU s | ratio | MiB | ratio |")
    click.echo("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, median in medians.items():
        cells = " | ".join(
            f"{median[key]:.{digits}f} | {median[key] / reference[key]:.2f}"
            for key, digits in (("wall_s", 2), ("cpu_s", 2), ("memory_mib", 0))
        )
        click.echo(f"| {name} | {cells} |")


def main() -> None:
    """Parse the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=os.environ.get("SMART_MATTE_DATA", data))
    parser.add_argument("--matter", action="append", default=[])
    parser.add_argument("--megapixels", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--run-here", metavar="MATTER", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.run_here:
        folder = Path(chosen.data) / "fba_reference" / "troll"
        run_here(chosen.run_here, chosen.device, folder, chosen.megapixels)
        return
    compare(chosen)


if __name__ == "__main__":
    main()
