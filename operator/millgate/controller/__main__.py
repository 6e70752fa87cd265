"""`python -m millgate.controller` is `millgate-operator`."""

from millgate.controller.main import main

main()
