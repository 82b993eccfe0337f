"""The command line of fmcompress."""
