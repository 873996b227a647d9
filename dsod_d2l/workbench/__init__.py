"""The workbench: what makes the module useful on real work.

Formats of files, downloads, checks, run folders, several devices, reports,
pruning, video and the command line. The module never imports from here.
"""
