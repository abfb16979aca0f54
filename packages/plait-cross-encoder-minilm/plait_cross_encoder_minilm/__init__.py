"""The files of the cross-encoder ``minilm``, which plait finds by the package's entry point."""
