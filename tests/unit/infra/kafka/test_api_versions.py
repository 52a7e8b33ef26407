"""Which requests brokers know, by the lines of librdkafka."""

from infra.kafka.api_versions import versions_in

LINES = """\
APIVERSION [c] [thrd:a]: a:9092/bootstrap: ApiVersionRequest v3 failed due to UNSUPPORTED_VERSION: retrying with v0
APIVERSION [c] [thrd:a]: a:9092/bootstrap:   ApiKey Produce (0) Versions 0..11
APIVERSION [c] [thrd:a]: a:9092/bootstrap:   ApiKey ConsumerGroupHeartbeat (68) Versions 0..1
APIVERSION [c] [thrd:a]: a:9092/bootstrap:   ApiKey Unknown-71? (71) Versions 0..0
APIVERSION [c] [thrd:a]: a:9092/bootstrap:  Feature MsgVer1: Produce (2..32767) supported by broker
APIVERSION [c] [thrd:b]: b:9092/2:   ApiKey Produce (0) Versions 3..12"""


def test_the_versions_are_those_that_all_brokers_know() -> None:
    assert versions_in(LINES.splitlines()) == {0: (3, 11), 68: (0, 1), 71: (0, 0)}


def test_no_line_is_no_knowledge() -> None:
    assert versions_in(["FEATURE [c]: Updated enabled protocol features"]) == {}
