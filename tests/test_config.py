from __future__ import annotations

from pathlib import Path

import pytest

from tqsd.config import BuildSettings, DeploySettings, PageSettings, ServerSettings, SiteSettings
from tqsd.errors import ConfigError
from tqsd.layer import Layer, parse, read_layer, settle


def mistakes(text: str, model: type[SiteSettings] | type[PageSettings] = SiteSettings) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(model, text, "file.yaml")
    return sorted(str(problem) for problem in caught.value.problems)


def layer(text: str) -> Layer:
    return read_layer(PageSettings, text, "page.yaml")


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse(SiteSettings, "", "file.yaml") == SiteSettings()
    assert parse(SiteSettings, "# nothing yet\n", "file.yaml").server == ServerSettings()


def test_durations_and_sizes_may_carry_units() -> None:
    settings = parse(SiteSettings, "server: {idle_timeout: 2m, head_timeout: 250ms, max_head: 64k}", "file.yaml")
    assert (settings.server.idle_timeout, settings.server.head_timeout) == (120, 0.25)
    assert settings.server.max_head == 65536


def test_an_unknown_key_names_its_line_and_the_likely_one() -> None:
    assert mistakes("server:\n  idle_timeout: 3\n  lissten: [a]\n") == [
        "file.yaml:3: server.lissten: unknown key (did you mean listen?)"
    ]


def test_all_mistakes_are_listed_at_once() -> None:
    found = mistakes("server: {listen: [nowhere], idle_timeout: soon}\ndefaults:\n  pm.max_children: 0\ncolour: red\n")
    assert len(found) == 4
    assert "file.yaml:1: server.idle_timeout: write it like 30, 30s, 250ms or 2m, not 'soon'" in found
    assert any("file.yaml:3: defaults.pm.max_children" in line for line in found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n- b\n", "must be `key: value` lines"),
        ("server: [1\n", "not valid YAML"),
        ("a: 1\n\tb: 2\n", "not valid YAML"),
        ("server: {}\nserver: {}\n", "set twice, first on line 1"),
        ("server:\n  listen: []\n", "at least one address"),
        ("server:\n  listen: ['8080']\n", "is not HOST:PORT"),
        ("server:\n  listen: ['localhost:99999']\n", "is not HOST:PORT"),
        ("env: {A: [1]}\n", "A must be text or a number"),
        ("env: {A: true}\n", "put it in quotes"),
    ],
)
def test_what_is_wrong_is_said_in_words(text: str, says: str) -> None:
    assert any(says in line for line in mistakes(text))


def test_a_page_inherits_what_it_does_not_set() -> None:
    page = settle(PageSettings, [layer("methods: [GET]\nmax_body: 1m\n"), layer("max_body: 2m\n")])
    assert (page.methods, page.max_body) == (("GET",), 2 << 20)


def test_a_page_adds_to_the_inherited_variables_and_build_settings() -> None:
    lower = layer("env: {A: 1, B: 2}\nbuild: {tags: [x], race: true}\n")
    page = settle(PageSettings, [lower, layer("env: {B: 3}\nbuild: {race: false}\n")])
    assert page.env == {"A": "1", "B": "3"}
    assert (page.build.tags, page.build.race) == (("x",), False)


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        SiteSettings().server = ServerSettings()  # type: ignore[misc]


def test_the_reference_names_every_setting() -> None:
    reference = (Path(__file__).parent.parent / "docs/settings.md").read_text()
    keys = [f"server.{name}" for name in ServerSettings.model_fields]
    keys += [name for name in SiteSettings.model_fields if name != "server"]
    keys += [
        field.alias or name for name, field in PageSettings.model_fields.items() if name not in ("build", "deploy")
    ]
    keys += [f"build.{name}" for name in BuildSettings.model_fields]
    keys += [f"deploy.{name}" for name in DeploySettings.model_fields]
    assert [key for key in keys if f"| `{key}` |" not in reference] == []
