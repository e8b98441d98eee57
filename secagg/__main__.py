"""`python -m secagg`: the command, in any directory.

Leaves to others: everything (secagg.cli).
"""

from secagg.cli import main

if __name__ == "__main__":
    main(prog_name="secagg")
