"""The sections of the producers."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from infra.settings.base import MIB, Positive, Section


class CameraSettings(Section):
    """One agent has one buffer: `max_buffer_bytes` is for all its live cameras, `max_buffer_frames` for each of them.

    `max_failures`: a file or folder is given up after this many failures in a row; cameras are retried without end.
    `lost_after_ms`: a camera that is asked for each picture counts as lost after so long without one.
    `tls_verify`, `ca_file`, `user`, `password`, `use_proxy`, `rtsp_transport`: how network cameras are reached. With
    `use_proxy` the proxy variables of the environment apply. `rtsp_transport` is `tcp`, `udp` or `auto`: TCP, and UDP
    where the camera answers 461 to it. cameras.toml has these keys, the three time-outs and how pictures are made, for
    one camera.
    `max_side`: the longer side of pictures before they are encoded, 0 leaves it; pictures that come as JPEG stay as
    they are. `skip_unchanged_ms`: a scene in which nothing moves sends a frame this often, 0 sends all. A camera that
    sends the same picture for `frozen_after_ms` is told as frozen.
    `group_size`: so many network cameras share a capture process; 1: each has its own.
    `max_frame_age_ms`: live frames that waited longer than this for Kafka are dropped; 0 keeps them all.
    """

    fps: Annotated[float, Field(gt=0)] = 5.0
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 90
    open_timeout_ms: Positive = 5_000
    read_timeout_ms: Positive = 5_000
    backoff_initial_ms: Positive = 1_000
    backoff_max_ms: Positive = 60_000
    healthy_after_ms: Positive = 60_000
    lost_after_ms: Positive = 30_000
    max_failures: Positive = 5
    group_size: Positive = 8
    max_side: Annotated[int, Field(ge=0)] = 0
    keyframes_only: bool = False
    skip_unchanged_ms: Annotated[int, Field(ge=0)] = 0
    frozen_after_ms: Positive = 60_000
    max_buffer_bytes: Positive = 32 * MIB
    max_buffer_frames: Positive = 64
    max_frame_age_ms: Annotated[int, Field(ge=0)] = 0
    tls_verify: bool = True
    ca_file: str = ""
    user: str = ""
    password: SecretStr = SecretStr("")
    use_proxy: bool = False
    rtsp_transport: Literal["auto", "tcp", "udp"] = "auto"


class SpoolSettings(Section):
    """Frames of live sources go to disk while Kafka takes none: once one waits `after_ms` for its acknowledgement.

    `folder`: where; default: a folder for the sources of the agent, in `spool/` of the state folder. Each agent needs
    one of its own. At `max_bytes`, and `max_age_s` after they were taken, the oldest frames are dropped. `enabled`
    false: frames wait in memory alone, as far as `camera.max_buffer_bytes` lets them.
    """

    enabled: bool = True
    folder: str = ""
    max_bytes: Positive = 1024 * MIB
    max_age_s: Positive = 86_400
    after_ms: Positive = 2_000


class ArchiveSettings(Section):
    """`url`: where frames are archived and replayed from, where a command names no other; a path or a URL of fsspec.

    A file is closed at the end of an hour, or before it has more than `max_file_bytes`; a run needs about four times
    that in memory. A continuous run looks every `look_interval_s`, and archives an hour that is not over once its first
    frame is `max_delay_s` old. Where frames are selected by what became of them (`--only`), frames are decided on
    `settle_s` after the last event that could concern them.
    """

    url: str = ""
    max_file_bytes: Positive = 128 * MIB
    look_interval_s: Positive = 60
    max_delay_s: Positive = 7_200
    settle_s: Positive = 600


class CrawlSettings(Section):
    """`domains`: pages are read on these and their sub-domains only; empty: the hosts of the seeds. `*`: everywhere.

    `image_domains`: the same for images. `per_host_per_s`: requests a second to one host, on which its robots.txt may
    ask for a longer delay; 0: as fast as it answers. `max_depth`: links from a seed to a page. `max_pages` and
    `max_images`: requests for them. `max_sitemap_depth`: from one sitemap to another. A request that fails is tried
    `max_attempts` times. `timeout_ms`: for a whole request. `name` is what robots.txt files know the crawler by,
    `contact` an address at which a site's owner finds whoever runs it.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z_-]*$", max_length=64)] = "SightlineBot"
    contact: Annotated[str, Field(pattern=r"^[ -~]*$", max_length=200)] = ""
    domains: tuple[str, ...] = ()
    image_domains: tuple[str, ...] = ("*",)
    per_host_per_s: Annotated[float, Field(ge=0)] = 1.0
    max_connections_per_host: Positive = 2
    max_connections: Positive = 32
    timeout_ms: Positive = 30_000
    max_attempts: Positive = 3
    max_depth: Annotated[int, Field(ge=0)] = 5
    max_sitemap_depth: Annotated[int, Field(ge=0)] = 3
    max_pages: Positive = 10_000
    max_images: Positive = 100_000
    max_urls: Positive = 1_000_000
    max_links_per_page: Positive = 2_000
    max_page_bytes: Positive = 4 * MIB
    max_sitemap_bytes: Positive = 16 * MIB
    max_image_bytes: Positive = 4 * MIB
