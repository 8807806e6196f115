"""One file per revision, named <revision>_<what>.py."""
