"""`python -m program` is the `qianwan` program."""

from program.cli import main

if __name__ == "__main__":
    main()
