"""The command line: thin mirrors of library functions. A command imports what it needs when it runs."""
