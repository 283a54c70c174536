"""``heed feedback signals`` and ``heed feedback trust``: what signals mean, whose word counts less."""

from collections.abc import Mapping
from typing import Any

from serving.commands import output

BAR_WIDTH = 20


def signals(as_json: output.Json = False) -> None:
    """Tell what copies, retries, dwell … say of satisfaction, and how well."""
    from feedback import reports
    from serving.commands.opening import opened

    with opened() as (settings, store), store.session() as session:
        found = reports.signals(session, settings.feedback)
    if as_json:
        output.document(found)
        return
    if not found["delivered"]:
        output.say(
            "No signals have been delivered yet. Send `signal` (copy, regenerate, dwell …) to "
            "POST /v1/feedback; the log's own (asked again, followed up) are read with them."
        )
    output.say(_signals_verdict(found))
    output.facts(
        [
            ("  pairs", f"{found['pairs']:,} answers with a vote and signals"),
            ("  people", f"{found['people']:,}"),
            ("  satisfied", _satisfied(found)),
            ("  AUC", _number(found["auc"])),
            ("  Brier score", _number(found["brier"])),
            ("  … of the base rate", _number(found["brier_base"])),
            ("  calibration error", _number(found["calibration_error"])),
        ]
    )
    if found["reliability"]:
        output.say("\nReliability: of answers given this probability, so many were liked.")
        output.table(
            ("predicted", "observed", "answers", ""),
            [
                (f"{b['predicted']:.2f}", f"{b['observed']:.2f}", b["count"], _bar(b["observed"]))
                for b in found["reliability"]
            ],
        )
    if found["signals"]:
        output.say("\nWhat each signal is worth:")
        output.table(
            ("signal", "seen", "liked with it", "without it", "AUC lost without it"),
            [
                (
                    each["name"],
                    f"{each['seen']:,}",
                    _share(each["satisfied_with"]),
                    _share(each["satisfied_without"]),
                    f"{each['auc_lost']:+.3f}",
                )
                for each in found["signals"]
            ],
        )


def trust(as_json: output.Json = False) -> None:
    """Tell how noisy votes are, and which accounts count less, and why."""
    from feedback import reports
    from serving.commands.opening import opened

    with opened() as (settings, store), store.session() as session:
        found = reports.trust(session, settings.feedback)
    if as_json:
        output.document(found)
        return
    if not found["votes"]:
        output.say("Nobody has voted yet, so there is nobody to trust or distrust.")
        return
    output.facts(
        [
            ("votes", f"{found['votes']:,} of {found['accounts']:,} accounts"),
            ("answers", f"{found['answers']:,}"),
            ("… judged by several", f"{found['answers_shared']:,}, reviewers included"),
            ("reviewers decided", f"{found['decided_by_reviewers']:,}"),
            ("a typical account is right", _share(found["typical_accuracy"])),
        ]
    )
    output.say("\nExpected to be wrong:")
    output.facts((f"  {kind}", _noise(noise)) for kind, noise in found["noise"].items())
    if not found["discounted"]:
        output.say("\nNobody is discounted.")
        return
    output.say(f"\n{found['discounted_total']:,} accounts count less than fully:")
    output.table(
        ("account", "weight", "votes", "why"),
        [
            (row["account"], f"{row['weight']:.2f}", row["votes"], "; ".join(row["reasons"]))
            for row in found["discounted"]
        ],
    )


def _signals_verdict(found: dict[str, Any]) -> str:
    if found["reason"]:
        return str(found["reason"])
    if not found["enabled"]:
        return "Signals could teach, but feedback.signal_labels is off."
    return f"Signals teach, at a weight of {found['weight_cap']:g} at most beside a vote."


def _noise(noise: dict[str, Any]) -> str:
    if noise["wrong_share"] is None:
        return f"unknown: of {noise['votes']:,}, others judged the answers of {noise['judged']:,}"
    return f"{noise['wrong_share']:.1%}, told from {noise['judged']:,} of {noise['votes']:,}"


def _satisfied(found: Mapping[str, Any]) -> str:
    counted = f"{found['satisfied']:,}"
    if found["base_rate"] is None:
        return counted
    share, error = found["base_rate"], found["base_rate_error"]
    return f"{counted}; as they are weighed {share:.1%} ± {error:.1%}, and no probability is surer"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _bar(share: float) -> str:
    return "█" * round(share * BAR_WIDTH)
