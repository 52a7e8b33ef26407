"""Structured logs on stderr: a short sentence with key=value pairs on a terminal, JSON elsewhere."""

import logging
import sys

import structlog

from infra.settings import LogSettings

Logger = structlog.stdlib.BoundLogger


def setup(settings: LogSettings) -> None:
    """Text on a terminal, JSON lines elsewhere, unless `log.format` names one; the same for warnings of libraries."""
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.types.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for package in ("schemas", "infra", "ingest", "inference", "sinks", "streams"):
        logging.getLogger(package).setLevel(level)


def get(name: str) -> Logger:
    """The logger of a module: `log = logs.get(__name__)`."""
    logger: Logger = structlog.get_logger(name)
    return logger
