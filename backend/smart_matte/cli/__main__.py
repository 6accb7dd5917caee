"""``python -m smart_matte.cli``: the command line where there is no script for it."""

from smart_matte.cli.main import main

if __name__ == "__main__":
    main()
