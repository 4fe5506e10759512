"""`python -m lmam_book.cli`."""

import sys

from lmam_book.cli import main

sys.exit(main())
