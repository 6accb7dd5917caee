"""``python -m smart_matte.service``: the broker's own process, which imports nothing to compute."""

import sys

from smart_matte.service.lifecycle import ServeError, serve
from smart_matte.service.settings import Settings


def main() -> int:
    """Serve; an argument says where to listen. Clients that start it add the word "serve"."""
    endpoints = [argument for argument in sys.argv[1:] if argument != "serve"]
    try:
        return serve(Settings(endpoint=endpoints[0] if endpoints else ""))
    except ServeError as error:
        sys.stderr.write(f"smart-matte: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
