"""The process that fetches gets the credentials of stores and registries, and no key of ours."""

from service.pipelines.fetching_environment import fetching_variables


def test_credentials_of_sources_are_passed_and_settings_of_ours_are_not() -> None:
    passed = {"AWS_SECRET_ACCESS_KEY": "a", "MLFLOW_TRACKING_TOKEN": "b", "HTTPS_PROXY": "c"}
    kept = {"MLFLOW_WEBHOOK_SECRET": "d", "API_KEY": "e", "SIGNING_KEY": "f", "DATABASE_URL": "g"}
    assert fetching_variables(passed | kept) == passed
