"""Structured logs on stderr: a short sentence with key=value pairs on a terminal, JSON elsewhere."""

import logging
import sys
import time
from collections import OrderedDict

import structlog

from infra.settings import LogSettings

Logger = structlog.stdlib.BoundLogger
OURS = ("schemas", "infra", "ingest", "inference", "sinks", "streams")
# A line of a library is let through once in this time, and lines with the same template so often. So many lines and
# templates are remembered.
SAME_S, SAME_LINE, SAME_TEMPLATE, LINES_KNOWN = 60.0, 1, 3, 512


class FewOfEach(logging.Filter):
    """Lets a library say the same thing a few times a minute: some say it for every attempt, thousands of times.

    Our own lines all pass.
    """

    def __init__(self) -> None:
        super().__init__()
        # The end of the present minute, and how many lines it may still have.
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] in OURS:
            return True
        now_s, template = time.monotonic(), f"{record.name} {record.msg}"
        return self._takes(f"{template} {record.args}", SAME_LINE, now_s) and self._takes(
            template, SAME_TEMPLATE, now_s
        )

    def _takes(self, key: str, lines: int, now_s: float) -> bool:
        end_s, left = self._left.pop(key, (0.0, 0))
        if now_s >= end_s:
            end_s, left = now_s + SAME_S, lines
        self._left[key] = end_s, max(0, left - 1)
        if len(self._left) > LINES_KNOWN:
            self._left.popitem(last=False)
        return left > 0


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
    handler.addFilter(FewOfEach())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for package in OURS:
        logging.getLogger(package).setLevel(level)


def get(name: str) -> Logger:
    """The logger of a module: `log = logs.get(__name__)`."""
    logger: Logger = structlog.get_logger(name)
    return logger
