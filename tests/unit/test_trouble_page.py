"""docs/troubleshooting.md is of the messages that exist."""

import yaml

from tools import trouble_page


def test_the_page_is_of_the_messages_in_the_code():
    """If this fails, a message has changed: run `python -m tools.trouble_page` and commit the page."""
    assert trouble_page.PAGE.read_text(encoding="utf-8") == trouble_page.page()


def test_every_piece_of_advice_is_about_a_message_that_exists():
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for folder in ("adapters", "harness")
        for file in (trouble_page.ROOT / folder).rglob("*.py")
    )
    said = "\n".join(text for texts in trouble_page.messages().values() for text in texts)
    for topic in yaml.safe_load(trouble_page.TOPICS.read_text(encoding="utf-8")):
        for one in topic["messages"]:
            assert one["says"] in said or one["says"] in code, one["says"]
            assert one["means"], one
            assert one["look"], one
