"""What the clients of the replay lane have of their own."""

from infra.kafka.clients import admin_config, consumer_config, producer_config
from infra.kafka.lanes import settings_of_lane
from infra.kafka.stage_keys import stage_keys
from infra.settings import Settings


def test_the_live_lane_has_the_settings_as_they_are() -> None:
    settings = Settings()
    assert settings_of_lane(settings, "live") is settings


def test_every_client_of_the_replay_lane_has_an_id_of_its_own() -> None:
    settings = settings_of_lane(Settings(), "replay")
    ids = [config["client.id"] for config in (producer_config(settings), admin_config(settings))]
    assert ids == ["sightline-replay"] * 2
    assert consumer_config(settings, "g")["client.id"] == "sightline-replay"
    assert stage_keys(settings).arguments["client_id"] == "sightline-replay"


def test_the_ids_that_the_settings_give_are_kept_apart_too() -> None:
    keys = {"client": {"client.id": "docks"}, "producer": {"client.id": "docks-out"}, "consumer": {"client.id": ""}}
    settings = settings_of_lane(Settings.model_validate({"kafka": keys}), "replay")
    assert producer_config(settings)["client.id"] == "docks-out-replay"
    assert consumer_config(settings, "g")["client.id"] == "docks-replay"


def test_readers_of_the_replay_lane_see_committed_records_only_whatever_the_settings_say() -> None:
    uncommitted = {"isolation.level": "read_uncommitted"}
    given = Settings.model_validate({"kafka": {"client": uncommitted, "consumer": uncommitted}})
    assert consumer_config(given, "g")["isolation.level"] == "read_uncommitted"
    settings = settings_of_lane(given, "replay")
    assert consumer_config(settings, "g")["isolation.level"] == "read_committed"
    assert stage_keys(settings).arguments["isolation_level"] == "read_committed"
    assert settings.kafka.bootstrap_servers == given.kafka.bootstrap_servers
