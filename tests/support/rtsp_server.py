"""A camera for tests: GStreamer's RTSP server with its test picture. Run by the system's python3, which has `gi`.

    /usr/bin/python3 tests/support/rtsp_server.py PORT [--codec h265] [--audio pcmu] [--only udp] [--password WORD] ...

Prints "ready" once it listens on rtsp://127.0.0.1:PORT/cam, or "no CODEC" where this machine has no encoder for it.
"""

import argparse
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - versions come first

FPS = 15
SIZES = ("width=320,height=240", "width=240,height=160")
# Encoders in the order of preference; a key frame every second, as cameras send them.
CODECS = {
    "h264": {
        "openh264enc": "openh264enc gop-size=15 ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1",
        "x264enc": "x264enc tune=zerolatency key-int-max=15 ! h264parse ! rtph264pay name=pay0 config-interval=-1",
    },
    "h265": {
        "x265enc": "x265enc key-int-max=15 tune=zerolatency ! h265parse ! rtph265pay name=pay0 config-interval=-1"
    },
    "jpeg": {"jpegenc": "jpegenc ! rtpjpegpay name=pay0 pt=26"},
}
AUDIO = {
    "": "",
    "pcmu": "audiotestsrc is-live=true wave=ticks ! audioconvert ! audioresample ! mulawenc ! rtppcmupay name=pay1",
    "aac": "audiotestsrc is-live=true wave=ticks ! audioconvert ! voaacenc ! aacparse ! rtpmp4gpay name=pay1 pt=97",
}


def main() -> None:
    Gst.init(None)
    given = options()
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(given.port)
    factory = GstRtspServer.RTSPMediaFactory()
    found = [text for name, text in CODECS[given.codec].items() if Gst.ElementFactory.find(name)]
    if not found and given.codec == "h264":
        found = list(CODECS["jpeg"].values())
    if not found:
        print(f"no {given.codec}", flush=True)
        return
    source = f"videotestsrc name=picture is-live=true pattern=ball ! videoscale ! capsfilter name=size caps={caps(0)}"
    factory.set_launch(f"( {source} ! {found[0]} {AUDIO[given.audio]} )")
    factory.set_shared(True)
    if given.only:
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP if given.only == "udp" else GstRtsp.RTSPLowerTrans.TCP)
    if given.resize_s:
        factory.connect("media-configure", lambda _factory, media: resize(media.get_element(), given.resize_s))
    if given.freeze_file:
        factory.connect("media-configure", lambda _factory, media: freeze(media.get_element(), given.freeze_file))
    if given.password or given.cert:
        server.set_auth(access(factory, given))
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        sys.exit(f"port {given.port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--audio", choices=AUDIO, default="")
    parser.add_argument(
        "--only", choices=("udp", "tcp"), help="the transport of RTP; the other one is answered with 461"
    )
    parser.add_argument("--resize-s", type=int, default=0, help="another size every so many seconds")
    parser.add_argument("--freeze-file", default="", help="while this file is there, the picture stands still")
    parser.add_argument("--user", default="joe")
    parser.add_argument("--password", default="")
    parser.add_argument("--digest", action="store_true", help="digest authentication and no basic one")
    parser.add_argument("--cert", default="", help="a file with certificate and key: RTSPS")
    return parser.parse_args()


def caps(turn: int) -> str:
    return f"video/x-raw,format=I420,{SIZES[turn % len(SIZES)]},framerate={FPS}/1"


def resize(element: "Gst.Element", period_s: int) -> None:
    size, turns = element.get_by_name("size"), iter(range(1, 1_000_000))

    def other() -> bool:
        size.set_property("caps", Gst.Caps.from_string(caps(next(turns))))
        return True

    GLib.timeout_add_seconds(period_s, other)


def freeze(element: "Gst.Element", file: str) -> None:
    picture = element.get_by_name("picture")

    def look() -> bool:
        picture.set_property("pattern", "blue" if Path(file).exists() else "ball")
        return True

    GLib.timeout_add(200, look)


def access(factory: "GstRtspServer.RTSPMediaFactory", given: argparse.Namespace) -> "GstRtspServer.RTSPAuth":
    """Who may see it: one user, or anybody over TLS."""
    auth = GstRtspServer.RTSPAuth()
    if given.cert:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(given.cert))
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    if not given.password:
        auth.set_default_token(token)
    elif given.digest:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(given.user, given.password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(given.user, given.password), token)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
    return auth


if __name__ == "__main__":
    main()
