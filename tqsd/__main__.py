"""`python -m tqsd`: the command line."""

from tqsd.cli import main

main(prog_name="tqsd")
