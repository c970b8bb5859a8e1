"""The board's first program: python -m loader, with BOARD_FLASH (a folder) and BOARD_DIAGNOSTICS (JSON) in the environment."""

import json
import os
import sys

from common.hub import run
from loader.core import Loader
from loader.flash import Flash


def main():
    flash = Flash(os.environ["BOARD_FLASH"], int(os.environ.get("BOARD_SLOTS", "2")))
    what, image = run(Loader(json.loads(os.environ["BOARD_DIAGNOSTICS"]), flash)) or ("reset", None)
    if what == "boot":
        os.chmod(image, 0o500)
        os.execv(image, [str(image)])


if __name__ == "__main__":
    sys.exit(main())
