"""tqsd: serve small web programs on your own Linux machine, supervised by systemd."""

__version__ = "0.1.0.dev0"
