"""The commands that manage the services and the installation: up, down, status, topics create, config check, doctor.

May import: all of infra, and schemas. Other packages import only `options`, the command-line options that several
commands share; `infra/cli.py` loads the commands by name.
"""
