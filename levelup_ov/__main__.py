"""``python -m levelup_ov`` is the command ``levelup-ov``."""

from levelup_ov.cli.offline import main

if __name__ == "__main__":
    main(prog_name="levelup-ov")
