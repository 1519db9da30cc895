"""`python -m copy_core.cli`: the command where no `copyjob` script is on the path."""

from copy_core.cli import main

main(prog_name="copyjob")
