"""One command of OAK as `runoak` runs it; the last line of standard error is how long it took.

That is without the seconds that oaklib takes to be imported.
"""

import sys
import time

from oaklib.cli import main

begun_s = time.perf_counter()
try:
    main()
finally:
    print(f"{time.perf_counter() - begun_s:.3f}", file=sys.stderr)
