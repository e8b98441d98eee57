"""What this hospital puts into the sum of moments, in the clear: for its own eyes.

`python clear.py DATA.csv` prints the vector as JSON. The demonstration runs it in a hospital's place, to show what the
aggregator would have seen without masks.
"""

import json
import sys
from pathlib import Path

from node.task import RoundContext, load_task

if __name__ == "__main__":
    moments = load_task(f"{Path(__file__).with_name('task.py')}:MomentsTask")
    print(json.dumps(moments.vector(Path(sys.argv[1]), RoundContext("heart-moments", 1)).tolist()))
