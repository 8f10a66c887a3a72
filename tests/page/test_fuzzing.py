"""Requests to the routes of runs that schemathesis makes up."""

from fuzzing import fuzz


def test_made_up_requests_about_a_run(served_run, tmp_path):
    only = ("--include-path-regex", "^/v1/(page|runs)")
    assert fuzz(served_run, 15, tmp_path, *only, config='[parameters]\n"path.name" = "fake"\n') > 100
    assert not served_run.events("error")
    statuses = {(line["route"], line["status"]) for line in served_run.events("request")}
    assert ("/v1/runs/{name}/predictions", 200) in statuses and not [
        one for one in statuses if one[1] in (500, 503)
    ]
