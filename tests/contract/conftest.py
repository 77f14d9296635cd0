"""How a failing example of the contract is printed."""

from hypothesis.vendor.pretty import for_type_by_name

from models.customer.part import Part

# With the part's name only, not with all its fields.
for_type_by_name(
    Part.__module__, Part.__name__, lambda part, printer, _is_cycle: printer.text(repr(part))
)
