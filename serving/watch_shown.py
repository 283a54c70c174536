"""What is measured of versions, as routes, commands and metrics show it. Reads sums; counts nothing."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from sqlmodel import Session, select

from feedback.settings import PROJECT
from serving import watch_alerts
from serving.models import Alert, WatchedVersion
from serving.watch_measures import MEASURES, detectors
from trainer.settings import TrainerSettings


def shown(
    session: Session, settings: TrainerSettings, *, adapter: str | None = None
) -> dict[str, Any]:
    """Return every measure of the versions that were live last, the newest first.

    Args:
        session: a session that only reads.
        settings: what the measures are held to.
        adapter: only this version.
    """
    rows = watch_alerts.versions(session, adapter=adapter)
    return {
        "object": "watch",
        "watching": settings.watch,
        "rollback": settings.watch_rollback,
        "alpha": settings.watch_alpha,
        "data": [_version(session, row, settings) for row in rows],
    }


def gauges(session: Session, settings: TrainerSettings) -> Iterator[GaugeMetricFamily]:
    """Yield what is measured of the version that is watched now, and how many alerts are open."""
    labels = ("adapter", "measure")
    now = GaugeMetricFamily(
        "heed_watch_rate", "Mean of a measure of the watched version, from 0 to 1.", labels=labels
    )
    before = GaugeMetricFamily(
        "heed_watch_reference", "The same of the time before.", labels=labels
    )
    people = GaugeMetricFamily(
        "heed_watch_observations", "People (each once a day) that the mean is of.", labels=labels
    )
    evidence = GaugeMetricFamily(
        "heed_watch_evidence", "Largest e-value so far that it has changed.", labels=labels
    )
    open_now = GaugeMetricFamily(
        "heed_alerts_open", "Alerts that nobody has acknowledged.", labels=("adapter",)
    )
    counts = watch_alerts.unresolved(session)
    for row in watch_alerts.versions(session, limit=1):
        counts.setdefault(row.adapter_id, 0)  # a rate needs its zero
        for name, each in detectors(settings, row.measures).items():
            of = (row.adapter_id, name)
            if each.own.mean is not None:
                now.add_metric(of, each.own.mean)
            if each.reference.mean is not None:
                before.add_metric(of, each.reference.mean)
            people.add_metric(of, each.own.count)
            evidence.add_metric(of, each.evidence)
    for adapter, count in sorted(counts.items()):
        open_now.add_metric((adapter,), count)
    yield from (now, before, people, evidence, open_now)


def _version(session: Session, row: WatchedVersion, settings: TrainerSettings) -> dict[str, Any]:
    query = select(Alert.measure, Alert.id).where(
        Alert.project_id == PROJECT, Alert.watched_id == row.id, Alert.state == "open"
    )
    alarms = dict(session.exec(query).all())
    return {
        "adapter": row.adapter_id,
        "since": row.since,
        "reference": row.reference_id,
        "read_until": row.read_until if row.own else None,
        "measures": [
            {
                "measure": name,
                "about": MEASURES[name].about,
                "harmful": MEASURES[name].harmful,
                "before": asdict(each.reference),
                "now": asdict(each.own),
                "evidence": each.evidence,
                "needed": each.needed,
                "alert": alarms.get(name),
            }
            for name, each in detectors(settings, row.measures).items()
        ],
    }
