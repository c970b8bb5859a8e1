"""What a combination need not show again: results about its chip, or its chip and operating system, from a certificate that holds.

Only by the programme's written rules, only what the own rig could not decide, only for a stated time; never across layers, and never second hand.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from harness.errors import BadInput
from harness.model import noun
from programme.verifier import UTC_FORM, moment

PARTS = {"chip": ("chip",), "os": ("chip", "os")}  # what has to be the very same


@noun
class Inheritance:
    """Which requirements are about the chip alone, which about chip and operating system; and for how many days their results may be inherited."""

    chip: tuple[str, ...] = ()
    os: tuple[str, ...] = ()
    days: int = 180

    def layer(self, requirement: str) -> str | None:
        """Which layer a requirement is about, if it is inherited at all."""
        return next((name for name in PARTS if requirement in getattr(self, name)), None)


def applied(
    stated: dict[str, Any], sources: Mapping[str, dict[str, Any]], rules: Inheritance | None, now: datetime
) -> dict[str, Any]:
    """The statement, with what it inherits from these certificates (digest: statement). Raises BadInput for one that gives nothing."""
    if rules is None:
        raise BadInput("the programme has no rules for inheritance: inheritance, in programme.yaml")
    predicate = stated["predicate"]
    given: dict[str, dict[str, Any]] = {}
    mistakes = []
    for digest, source in sources.items():
        found, why = from_one(predicate, digest, source, rules, now)
        given |= {one["id"]: one for one in found if one["id"] not in given}
        if not found:
            mistakes.append(f"{digest[:12]} has nothing that {stated['subject'][0]['name']} may inherit: {why}")
    if mistakes:
        raise BadInput(mistakes)
    return stated | {"predicate": predicate | {"inherited": [given[key] for key in sorted(given)]}}


def from_one(
    predicate: Mapping[str, Any], digest: str, source: Mapping[str, Any], rules: Inheritance, now: datetime
) -> tuple[list[dict[str, Any]], str]:
    """Return what one certificate gives to a predicate of what it could not decide, and why it is not more.

    `digest` and `source`: the certificate's, and its statement.
    """
    told = source["predicate"]
    by_rule = moment(told["life"]["issued"]) + timedelta(days=rules.days)
    until = min(by_rule, moment(told["life"]["valid_until"]))
    if told["vendor"] != predicate["vendor"]:
        return [], f"it is of another vendor, {told['vendor']}"
    if now >= until:
        return [], f"its results may be inherited for {rules.days} days, until {until:{UTC_FORM}}"
    passed = {r["id"] for r in told["requirements"] if r["outcome"] == "pass"}
    found, why = [], "it has passed nothing that this rig could not decide and a rule names"
    for name in (one["id"] for one in predicate["not_decidable"]):
        layer = rules.layer(name)
        if layer is None or name not in passed:
            continue
        other = [part for part in PARTS[layer] if told["combination"][part] != predicate["combination"][part]]
        if other:
            why = f"{name} is about {' and '.join(PARTS[layer])}, and its {' and '.join(other)} is another"
            continue
        found.append(
            {
                "id": name,
                "layer": layer,
                "from": digest,
                "subject": source["subject"][0]["name"],
                "until": until.strftime(UTC_FORM),
            }
        )
    return found, why
