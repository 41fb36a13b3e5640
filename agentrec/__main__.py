"""Run the command line by ``python -m agentrec``."""

from agentrec.cli.app import main

if __name__ == "__main__":
    main()
