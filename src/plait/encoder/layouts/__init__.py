"""How tools lay out an encoder in a folder, one file each; ``checkpoint.LAYOUTS`` is the table."""
