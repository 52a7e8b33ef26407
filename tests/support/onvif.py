"""ONVIF cameras for tests: their answers, and a responder that gives them."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ANSWER = """<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">
<s:Header><a:RelatesTo>{relates_to}</a:RelatesTo></s:Header><s:Body><d:ProbeMatches><d:ProbeMatch>
<a:EndpointReference><a:Address>urn:uuid:cam-{number}</a:Address></a:EndpointReference>
<d:Scopes>onvif://www.onvif.org/name/Dock%20{number}\x20onvif://www.onvif.org/hardware/DS-2CD
 onvif://www.onvif.org/location/country/china</d:Scopes>
<d:XAddrs>http://192.168.1.6{number}/onvif/device_service http://[fe80::1]/onvif</d:XAddrs>
</d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"""


def answer(number: int = 1, relates_to: str = "uuid:1") -> str:
    return ANSWER.format(number=number, relates_to=relates_to)


@contextmanager
def responder(answers: Callable[[str], list[bytes]]) -> Iterator[tuple[str, int]]:
    """Answers each probe with what `answers` makes of its id."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5)

        def run() -> None:
            try:
                while True:
                    probe, asking = listening.recvfrom(65_536)
                    if not probe:
                        return
                    found = re.search(rb"MessageID>(.*?)<", probe)
                    assert found is not None
                    assert b"NetworkVideoTransmitter" in probe
                    for one in answers(found[1].decode()):
                        listening.sendto(one, asking)
            except TimeoutError:
                return

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
                ending.sendto(b"", listening.getsockname())
            thread.join()
