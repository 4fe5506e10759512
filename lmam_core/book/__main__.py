"""`python -m lmam_core.book`."""

import sys

from lmam_core.book import main

sys.exit(main())
