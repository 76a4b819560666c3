"""`python -m isthmus`."""

import sys

from isthmus.apps.cli import main

sys.exit(main())
