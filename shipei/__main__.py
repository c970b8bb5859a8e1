"""python -m shipei: the same as the command shipei."""

from shipei.cli import main

if __name__ == "__main__":
    main()
