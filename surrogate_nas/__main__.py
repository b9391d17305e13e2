"""`python -m surrogate_nas` is the command line."""

from surrogate_nas.cli.app import main

if __name__ == "__main__":
    main()
