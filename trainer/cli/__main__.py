"""`python -m trainer.cli`."""

from trainer.cli import main

if __name__ == "__main__":
    main()
