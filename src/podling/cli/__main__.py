"""`python -m podling.cli`."""

from podling.cli.main import main

main()
