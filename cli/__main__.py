"""`python -m cli` is `leads`."""

from cli.app import main

main()
