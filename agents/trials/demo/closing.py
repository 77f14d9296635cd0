"""What a demonstration prints at its end."""

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agents.trials.demo.failure import DemoFailed
from agents.trials.demo.shop import ShopConfig
from agents.trials.demo.summary import DemoSummary, Replayed
from agents.trials.demo.watch import Figures
from agents.words.profile import profile_in_words
from config.settings import Settings
from models.customer.profile import Profile
from models.parameters import load_parameters
from streams.store_client import StoreUnreachable, store_client
from streams.store_keys import customer_key


def example_customer(settings: Settings, figures: Figures) -> Profile | None:
    """A customer with much to show, from Redis; None if it has none of the candidates."""
    kinds = figures.kinds_by_customer
    if not kinds:
        return None
    customer = max(sorted(kinds), key=lambda customer: len(kinds[customer]))
    try:
        with store_client(settings) as client:
            content = client.get(customer_key(settings, customer))
    except StoreUnreachable as error:
        raise DemoFailed(f"the store stopped answering ({error.kind})") from None
    return None if content is None else msgspec.json.decode(content, type=Profile)


def summary_in_words(
    summary: DemoSummary, shop: ShopConfig, figures: Figures, profile: Profile | None
) -> RenderableType:
    """The figures, and one customer's profile."""
    events, latency = summary.events, summary.latency_ms
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", style="green", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("published", f"{events.published:,}", "events, repeats included")
    table.add_row("  applied", f"{events.applied:,}")
    table.add_row("  duplicate", f"{events.duplicate:,}", "dropped, though they came again")
    table.add_row("  late", f"{events.late:,}", "kept as dead letters: too late to change anything")
    table.add_row("  dead letters", f"{events.dead_lettered:,}", "refused, each with its reason")
    table.add_row("triggers", f"{sum(summary.triggers.values()):,}")
    for kind, count in summary.triggers.items():
        table.add_row(f"  {kind.replace('-', ' ')}", f"{count:,}")
    table.add_row("events a second", f"{summary.events_per_second:,.0f}", "paced")
    if latency.p50 is not None:
        table.add_row("event to trigger", f"{latency.p50:,} ms", f"median; p99 {latency.p99:,} ms")
    model = summary.model
    if model.auc is not None and model.baseline_auc is not None:
        told = f"on {model.examples:,} decisions; the formula alone {model.baseline_auc:.3f}"
        table.add_row("churn model, AUC", f"{model.auc:.3f}", told)
    if model.replayed is not None:
        table.add_row("  replayed", *replayed_in_words(model.replayed))
    table.add_row("profiles in Redis", f"{figures.profiles:,}")
    parts: list[RenderableType] = [
        Text(f"{shop.days} days of a simulated shop, accounted for in full", style="bold"),
        table,
    ]
    if profile is not None:
        currency = load_parameters().money.currency
        heading = Text("One of its customers, as Redis has them", style="bold")
        parts += ["", heading, profile_in_words(profile, currency)]
    return Group("", *parts, "")


def replayed_in_words(replayed: Replayed) -> tuple[str, str]:
    """The AUC of a replay, and whether live and replay agree."""
    auc = "none" if replayed.auc is None else f"{replayed.auc:.3f}"
    told = f"on {replayed.examples:,} decisions; the log, replayed, teaches "
    if replayed.agrees:
        return auc, told + "the same"
    return auc, told + "something else: `keepstream audit` would say where it differs"
