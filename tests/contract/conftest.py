"""How an example of the contract that fails is told."""

from hypothesis.vendor.pretty import for_type_by_name

from models.customer.part import Part

# With the part's name alone, and not with all that it is made of.
for_type_by_name(
    Part.__module__, Part.__name__, lambda part, printer, _is_cycle: printer.text(repr(part))
)
