"""`python -m lmam_book.build`."""

import sys

from lmam_book.build import main

sys.exit(main())
