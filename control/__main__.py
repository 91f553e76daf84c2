"""`python -m control` is the `qianwan` program."""

from control.cli import main

if __name__ == "__main__":
    main()
