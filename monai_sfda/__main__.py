"""`python -m monai_sfda` is `monai-sfda`."""

from monai_sfda.cli import main

main()
