"""Recognizes names that may mean a known event but are in no list: a refusal of consent, an order,
a ticket.

Taken for a click, a refusal would be ignored and the shop would keep contacting the customer, and
an order would be missed everywhere. So such an event counts as nothing, and its sender is asked.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

_BETWEEN_WORDS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")

_ANEW: Final = "chang|updat|modif|edit|sav|set|toggl|switch"
_BY_MESSAGE: Final = (
    "e ?mail|sms|push|phone|whats ?app|marketing|communication|contact|mailing|newsletter"
    "|notification"
)
_MAY_BE_REFUSED: Final = (
    rf"consent|(?:{_BY_MESSAGE}|privacy|cookie)s? (?:preference|subscription|permission|setting"
    "|opt in)|subscription preference"
)
_REFUSED: Final = "(revo|withdr|deni|refus|declin|reject|remov)"
_STOPPED: Final = (
    "(cancell?ed|stopped|disabled|declined|refused|rejected|denied|deactivated|turned off"
    "|switched off|blocked|revoked|paused|removed|left)"
)
_LIST: Final = "(mailing|e ?mail|marketing|newsletter|contact|subscribers?) lists?"
_PERSON: Final = "(user|customer|contact|profile|subscriber|recipient)"

_DONE: Final = r"( (is|was|has been|been))?( (success|successful|successfully|new))?"
_WHERE: Final = r"( (success|successful|successfully|page|event|viewed|notification|after))*"
#: Words before the word for an order: where it was placed, or which system reports it.
_WHENCE: Final = (
    r"((e commerce|ecommerce|in app|pos|in store|instore|store|offline|online|web|mobile|app|shop"
    r"|subscription|recurring|renewal|guest|pre|repeat|first|b2b|wholesale|marketplace|server"
    r"|customer|user|users behaviors|purchase|sales|shopify|woocommerce|wc|magento|bigcommerce"
    r"|stripe|amazon) )"
)
_TO_BE_OWNED: Final = "(product|item|gift ?card|voucher|membership|plan|subscription)s?"
_PLACED: Final = (
    "(paid|payment|creat|confirm|success|process|submit|receiv|complet|plac|made|finali|done"
    "|finish)"
)
_PAID: Final = "(succeeded|captured|received|completed|successful|success|confirmed)"
_GIVEN_BACK: Final = (
    "(order|payment|purchase|transaction|charge|money|order line|(order )?(line )?(item|product))"
)
#: Systems that report tickets.
_DESK: Final = (
    r"((zendesk|zen event type|intercom|freshdesk|gorgias|hubspot|salesforce|help ?scout|kustomer"
    r"|front|support|help ?desk) )?"
)
_RATED: Final = "(respon(se|ded)|answer|submi|complet|receiv|rated|score|given)"

#: The patterns for each known name, for names in lower case with single blanks between words. The
#: first match counts.
_PATTERNS: Final[Mapping[str, tuple[str, ...]]] = {
    "Unsubscribed": (
        r"\bunsubscri",
        # In other languages, too: who is asked for no more must not get more.
        r"\b(abgemeldet|abmeldung|uitgeschreven|afgemeld|dado de baja|darse de baja)\b",
        r"\bd[ée]s(abonn|inscri)|\bdisiscri|退订|取消订阅|配信停止|отписал",
    ),
    "Email Subscribed": (r"\bresubscri",),
    "Opted Out": (
        r"\bopt(s|ed|ing)? ?outs?\b",
        r"\bsuppress(ed|ion)\b",
        r"\bdo not (contact|e?mail|call|text|market|track|sell|profile|disturb)",
        r"\b(dnc|dnt|gpc|global privacy control)\b|\batt (denied|declined|refused)\b",
        r"\bblack ?list(ed|ing)?\b",
        rf"^{_PERSON} (was )?(blocked|deceased|paused)$",
        r"\bdeceased\b",
        r"\bobjection( (filed|received|raised|registered))?$",
        (
            rf"\b({_BY_MESSAGE}|cookie|reminder list)s?( (token|permission|access|list"
            rf"|subscription|message|e?mail|notification)s?)? (was |were )?{_STOPPED}$"
        ),
        rf"\b(removed|deleted|left) (from )?(the )?{_LIST}|\b{_LIST} {_STOPPED}",
    ),
    "SMS Opted Out": (
        r"\bstop (received|keyword|reply|request)",
        r"\b(sms|text|message) stop",
        r"^((inbound|reply|replied|whats ?app) )?stop( all|all)?$",
    ),
    "Consent Revoked": (
        rf"\bconsent\w* (was )?{_REFUSED}",
        rf"\b{_REFUSED}\w* (of )?consent",
        r"\bobject(ed|s|ion) to\b",
        r"\bprofiling (object|refus|den|declin|revok|opposed)",
        rf"\b(cookie|tracking|analytics|personali[sz]ation)s? {_REFUSED}",
    ),
    "User Erase Requested": (
        r"^(account|user|customer|contact|profile) (was )?(delet(ed|ion)|erased)$",
        (
            r"\b(gdpr|data|account|user|customer|profile|contact)s? (data )?"
            r"(delet|eras|forget|redact)\w*( request\w*)?$"
        ),
        r"\b(erasure|deletion) request|\bbe forgotten\b|\bforget me\b",
        r"\bdelete my (data|account|profile)\b",
        r"^account (was )?(closed|cancell?ed|deactivated|terminated)$",
    ),
    "Email Marked as Spam": (
        r"\bspam",
        rf"^({_PERSON} )?complain(t|ed)$",
    ),
    "Email Bounced": (
        r"\b(e ?mails?|hard|soft) (was )?bounc",
        rf"^({_PERSON} )?bounced?$",
        r"^(e ?mail |address )?(was )?(cleaned|dropped)$|^out of band$",
    ),
    "Consent Changed": (
        (
            rf"\b({_MAY_BE_REFUSED})s? (status |state |settings? |preferences? )?(was |were )?"
            rf"({_ANEW})"
        ),
        rf"\b({_ANEW})\w* ({_MAY_BE_REFUSED})s?\b",
        r"\bconsent preferences?$",
        r"\b(subscription ?group|subscription global|global subscription) ?(state|status) ?chang",
        r"^subscription ?change$",
    ),
    "Order Completed": (
        (
            rf"^{_WHENCE}*((pre|back)?orders?|purchases?|transactions?|sales?)( status)?{_DONE} "
            rf"{_PLACED}\w*{_WHERE}$"
        ),
        rf"^{_WHENCE}+(order|purchase|transaction|sale)s?( event)?$",
        rf"^checkout (session )?(success|completed)\w*{_WHERE}$",
        (
            rf"^{_WHENCE}*(new|submitted|created?|confirmed|ordered|bought|made|(made|placed) an?)"
            r" (order|purchase)$"
        ),
        r"^(bought|ordered|(track )?transaction|order success\w*|sale|purchase event)$",
        rf"^{_TO_BE_OWNED} (purchased|bought)$|^(purchased|bought) {_TO_BE_OWNED}$",
        rf"^{_WHENCE}*(order )?(payment|charge)( intent)? {_PAID}$",
        r"^(amplitude )?(revenue|purchase)( amount)?$|^checkout submit all after$",
    ),
    "Order Refunded": (
        (
            rf"^({_GIVEN_BACK}s? )?"
            r"(partial(ly)? )?refund(s|ed|ing)?( (was|has been))?"
            r"( (order|issu|creat|process|succe|made|approv|partial)\w*)*$"
        ),
        r"^(order|item|product|purchase)s? (partial(ly)? )?returned$",
        r"^returned (order|item|product)s?$",
        r"^returns? (was )?(complet|receiv|process|refund|approv)",
        r"\bcredit ?(memo|note)s?\b",
        r"\bcharge ?back|\b(payment|charge) disputed?\b|^dispute (opened|created|lost)$",
    ),
    "Order Cancelled": (
        r"^order (was |has been )?(void|fail|delet|reject|declin|expir|trash)\w*$",
        r"^order (line|item|line item|product|partial|partially)s? cancell?(ed|ation)$",
        r"^partial(ly)? cancell?(ed|ation)( (order|of order))?$",
        r"^order (was )?(marked as )?fraud\w*$|^fraud\w* order$",
    ),
    "Ticket Updated": (
        (
            rf"^{_DESK}(ticket|case|conversation)s? "
            r"((auto|automatically|was|sla|comment|reply|agent) )*"
            r"(clos|solv|resolv|merg|delet|spam|escalat|reopen|repl|assign|answer|updat|status|priorit"
            r"|sla|breach|creat|open|comment)\w*"
        ),
        r"^(customer|contact|requester|agent|admin|operator) (replied|responded)$",
    ),
    "Survey Responded": (
        rf"\b(nps|csat|ces|survey|satisfaction)( (?!question)\w+)* {_RATED}\w*",
        r"^(ticket|conversation|chat|case) (rated|rating)\b|\bsatisfaction rating$",
    ),
    "Cart Updated": (r"^(cart|basket|bag|product|item)s? (\w+ )?(quantity|qty) (chang|updat)\w*$",),
    "Customer Merged": (
        rf"^({_PERSON}|account|identit(y|ie))s? (was |were )?merged?$",
        rf"^merged? ({_PERSON}|account|identit(y|ie))s?$|^merge dangerously$",
    ),
}
_SOUNDS_LIKE: Final[Mapping[str, Callable[[str], object]]] = {
    name: re.compile("|".join(patterns)).search for name, patterns in _PATTERNS.items()
}


def meant_by_sound(name: str) -> str | None:
    """The known name that ``name`` may mean; ``name`` itself is neither known nor a misspelling."""
    words = _BETWEEN_WORDS.sub(" ", name).strip().lower()
    return next((known for known, sounds in _SOUNDS_LIKE.items() if sounds(words)), None)
