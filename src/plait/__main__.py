"""``python -m plait`` is ``plait``."""

from plait.cli.main import run

if __name__ == "__main__":
    run()
