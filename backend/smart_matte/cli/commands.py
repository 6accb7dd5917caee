"""``smart-matte``: the commands in one group."""

import click

import smart_matte
from smart_matte.cli.cutout import cutout_command
from smart_matte.cli.demo import demo_command
from smart_matte.cli.evaluate import evaluate
from smart_matte.cli.install import install_group
from smart_matte.cli.service import serve_command, status_command, stop_command
from smart_matte.cli.train import train_command
from smart_matte.cli.weights import weights_group


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(smart_matte.__version__, prog_name="smart-matte")
def cli() -> None:
    """
    Turn a rough selection into a fine hair mask and a clean foreground.

    \b
    Examples:
      smart-matte cutout photo.jpg --selection rough.png -o out/
      smart-matte cutout photos/ -o out/ --preview
      smart-matte install gimp
      smart-matte weights list
      smart-matte COMMAND --help

    \b
    Exit codes:
      0 done                      4 the selection can't work
      1 any other failure         5 a result can't be written
      2 wrong use or option       6 weights missing or broken
      3 a picture can't be used   130 stopped by the user
    """  # noqa: D301  (click's mark for lines to leave alone)


cli.add_command(cutout_command)
cli.add_command(demo_command)
cli.add_command(evaluate)
cli.add_command(install_group)
cli.add_command(serve_command)
cli.add_command(status_command)
cli.add_command(stop_command)
cli.add_command(train_command)
cli.add_command(weights_group)
