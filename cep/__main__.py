"""`python -m cep` is the command line."""

from cep.cli import main

if __name__ == "__main__":
    main()
