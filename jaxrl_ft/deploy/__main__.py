"""`python -m jaxrl_ft.deploy`."""

import sys

from jaxrl_ft.commands.deploy.main import main

if __name__ == "__main__":
    sys.exit(main())
