"""Structured logs: JSON lines for machines, colours for people. Never a token, a key or a message body."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import Processor

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def setup_logs(
    level: str = "info", form: Literal["auto", "json", "console"] = "auto", node: str = ""
) -> None:
    """Configure structlog and route the standard library's logs (uvicorn, nats) through it, to stderr."""
    for_people = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: Processor = (
        structlog.dev.ConsoleRenderer() if for_people else structlog.processors.JSONRenderer(sort_keys=False)
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, final]
        if not for_people
        else [*shared, final],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        # a line in one write: workers share the file
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    if node:
        structlog.contextvars.bind_contextvars(node=node)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([] if for_people else [structlog.processors.format_exc_info]),
            final,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(_LEVELS[level], logging.WARNING))


def get_logger(component: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `component`, the part of the program that speaks."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=component)
    return logger
