"""A camera for tests: GStreamer's RTSP server with its test picture. Run by the system's python3, which has `gi`.

    /usr/bin/python3 tests/support/rtsp_server.py PORT [USER PASSWORD]

Prints "ready" once it listens on rtsp://127.0.0.1:PORT/cam.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - versions come first

PICTURE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=15/1"
# The first encoder that this machine has; a key frame every second, as cameras send them.
ENCODERS = {
    "openh264enc": "openh264enc gop-size=15 ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "x264enc": "x264enc tune=zerolatency key-int-max=15 ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "jpegenc": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def main(port: str, user: str = "", password: str = "") -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    encoder = next(text for name, text in ENCODERS.items() if Gst.ElementFactory.find(name))
    factory.set_launch(f"( {PICTURE} ! {encoder} )")
    factory.set_shared(True)
    if user:
        protect(server, factory, user, password)
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


def protect(
    server: "GstRtspServer.RTSPServer", factory: "GstRtspServer.RTSPMediaFactory", user: str, password: str
) -> None:
    """Basic authentication for one user."""
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main(*sys.argv[1:])
