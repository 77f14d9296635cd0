"""Builds the mappings of declared webhook sources."""

from config.sources import SourcesFile, WebhookSource
from models.collecting.vendor_mapping import OwnIds, VendorMapping


def mapping_of(source: WebhookSource) -> VendorMapping:
    """How the webhooks of a source become events. Raises ``RuleError``."""
    own = OwnIds(source.place, source.rule.user, source.rule.guest)
    return VendorMapping(source.vendor, source.where, own)


def mappings_in(file: SourcesFile) -> dict[str, VendorMapping]:
    """The mappings of all webhook sources in a file; secrets are not needed. Raises ``RuleError``
    and `SettingsError`.
    """
    return {name: mapping_of(file.webhook(name)) for name in file.webhooks}
