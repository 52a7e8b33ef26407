"""The doctor beside real services: what answers is ok, what was configured and does not answer fails."""

import json

from tests.support.runner import Runner


def test_everything_is_well(sightline: Runner) -> None:
    done = sightline.run("doctor", "--json")
    verdicts = {finding["subject"]: finding["verdict"] for finding in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert verdicts["kafka"] == verdicts["redis"] == verdicts["topics"] == verdicts["settings"] == "ok"
    assert verdicts["torch"] == "ok"


def test_what_is_wrong_comes_with_the_line_that_mends_it(sightline: Runner) -> None:
    env = {"SIGHTLINE_REDIS__URL": "redis://:secret@127.0.0.1:1/0", "SIGHTLINE_TOPICS__FRAMES_RETENTION_H": "7"}
    done = sightline.run("doctor", env=env)
    assert done.returncode == 1
    assert "fail  redis     does not answer at redis://:***@127.0.0.1:1/0" in done.stdout
    assert "mend: start it there, or correct SIGHTLINE_REDIS__URL" in done.stdout
    assert "retention.ms is 86400000, should be 25200000" in done.stdout
    assert "secret" not in done.stdout + done.stderr


def test_faults_in_the_settings_are_all_named(sightline: Runner) -> None:
    done = sightline.run("doctor", env={"SIGHTLINE_NONSENSE": "1", "SIGHTLINE_INFER__TOP_K": "0"})
    assert done.returncode == 1
    assert "SIGHTLINE_NONSENSE is not a setting" in done.stdout
    assert "infer.top_k" in done.stdout
