"""`python -m enapter_async` is the command line."""

import sys

from enapter_async.cli import main

sys.exit(main())
