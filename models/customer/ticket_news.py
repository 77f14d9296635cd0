"""What events say about a ticket: who wrote, how urgent it is, and what became of it."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from config.topics import SUPPORT
from models.customer import ticket
from models.customer.ticket import URGENCIES, Mark, UrgencyWord
from models.events.event import Event, EventType, Text
from models.events.rejection import Reason, Rejected

OPENED, COMPLAINT, REPLIED = "Ticket Opened", "Complaint Filed", "Ticket Replied"
UPDATED, STATUS_CHANGED = "Ticket Updated", "Ticket Status Changed"
ESCALATED = "Ticket Escalated"
#: How many words of ticket systems are cached, each with its meaning here.
_WORDS_MAX: Final = 1_024


def _listed(names: str) -> list[str]:
    return names.split(",")


#: Who wrote a reply: the staff, unless it is known to be the customer or a machine.
AGENT, CUSTOMER, MACHINE = "agent", "customer", "machine"
#: A note among the staff, which the customer never reads.
NOTE = "note"

#: The words of ticket systems for a customer who wrote, with blanks for ``-`` and ``_``.
_CUSTOMERS = frozenset(
    _listed(
        "customer,end user,enduser,requester,contact,user,lead,client,visitor,consumer,buyer,"
        "shopper,guest,subscriber,reporter,submitter,the customer,inbound,incoming"
    )
)
#: Machines by their whole name, because a person may be called Ai, and be a system administrator.
_MACHINES = frozenset(
    _listed(
        "system,system user,rule,rules,ai,ai agent,ai assistant,virtual agent,virtual assistant,"
        "zendeskbot,answerbot,scheduler,machine"
    )
)
#: Any of these words makes it a machine: "answer bot", "auto-reply", "workflow_email".
_MACHINE_WORDS = frozenset(
    _listed(
        "bot,chatbot,robot,auto,automatic,automated,automation,automations,autoreply,autoresponder,"
        "autoresponse,trigger,workflow,webhook"
    )
)

#: The names of priorities in other systems. A number is a rank, as in ITIL: 1 is the most urgent.
PRIORITIES: Final[Mapping[str, UrgencyWord]] = {
    name: word
    for word, names in {
        UrgencyWord.URGENT: "urgent,critical,blocker,emergency,highest,immediate,very high,p0,p1,1",
        UrgencyWord.HIGH: "high,important,major,priority,p2,2",
        UrgencyWord.NORMAL: "normal,medium,moderate,standard,default,not priority,none,p3,3",
        UrgencyWord.LOW: "low,lowest,minor,trivial,very low,p4,p5,4,5",
    }.items()
    for name in _listed(names)
}

_STATUSES: Final[Mapping[str, int]] = {
    name: what
    for what, names in {
        ticket.RESUMED: "new,open,opened,reopened,active,in progress,inprogress,waiting on us,"
        "waiting on support,waiting for support,waiting on agent,awaiting agent",
        ticket.HELD: "pending,hold,on hold,onhold,paused,snoozed,waiting,waiting on customer,"
        "waiting for customer,waiting on requester,waiting on contact,waiting on third party,"
        "awaiting customer,awaiting reply,awaiting requester",
        ticket.SOLVED: "solved,resolved,closed,done,complete,completed,fixed",
        ticket.DROPPED: "merged,deleted,spam,trash,trashed,cancelled,canceled",
    }.items()
    for name in _listed(names)
}
#: The status that the log carries: one word for all words of one meaning.
_STATUS_WORDS: Final = {
    ticket.RESUMED: "open",
    ticket.HELD: "on hold",
    ticket.SOLVED: "solved",
    ticket.DROPPED: "deleted",
}


#: Where an object says who wrote, or how it was sent.
_WHO: Final = ("type", "role", "channel")
#: A yes here means a machine, in the event or in the object that says who wrote.
_MACHINE_FLAGS: Final = ("is_bot", "is_automated", "automated", "is_ai", "is_ai_answer")
_MACHINE_FLAGS_IN_OBJECTS: Final = (*_MACHINE_FLAGS, "from_ai_agent", "bot")
#: Texts and objects that say who wrote.
_WRITERS: Final = (
    *("author_type", "author_role", "author", "via", "sender", "sender_type", "sent_by", "from_"),
    *("direction",),
)
#: A yes, a no, or one of these words makes it a note.
_INTERNAL: Final = ("internal", "is_internal", "private", "is_private")
_PUBLIC: Final = ("public", "is_public")
_NOTE_WORDS: Final = frozenset({"private", "internal", "agent only", "agents only"})
#: Other names of a ticket's new status and priority.
_NEW_STATUS: Final = ("new_status", "current_status", "state", "ticket_state")
_NEW_PRIORITY: Final = ("new_priority", "current_priority")
#: Fields that are only read to find out the ticket, who wrote, and what is new.
_READ_HERE: Final = (
    *("conversation_id", "case_id", "incoming", "visibility"),
    *(name for name in _WRITERS if name != "author"),
    *(*_MACHINE_FLAGS, *_INTERNAL, *_PUBLIC, *_NEW_STATUS, *_NEW_PRIORITY),
)


class TicketNews(Struct, frozen=True, omit_defaults=True, gc=False):
    """A support ticket's life. ``author`` tells a reply of the shop's staff from one by a machine
    and from the customer's own, in the words of the usual systems; so do the other fields about who
    wrote. A complaint may say what it is about in ``complaint``.

    A priority is urgent, high, normal or low, or what other systems call these. Conversations and
    cases are tickets by another name.
    """

    ticket_id: Text | None = None
    conversation_id: Text | None = None
    case_id: Text | None = None
    priority: str | int | None = None
    status: str | None = None
    # Of any type, so that an odd value does not cost the ticket.
    author: Any = None
    author_type: str | None = None
    author_role: str | None = None
    via: Any = None
    sender: Any = None
    sender_type: str | None = None
    sent_by: Any = None
    from_: Any = msgspec.field(default=None, name="from")
    direction: str | None = None
    incoming: Any = None
    is_bot: Any = None
    is_automated: Any = None
    automated: Any = None
    is_ai: Any = None
    is_ai_answer: Any = None
    public: Any = None
    is_public: Any = None
    internal: Any = None
    is_internal: Any = None
    private: Any = None
    is_private: Any = None
    visibility: Any = None
    new_status: str | None = None
    current_status: str | None = None
    state: str | None = None
    ticket_state: str | None = None
    new_priority: str | int | None = None
    current_priority: str | int | None = None
    category: str | None = None
    resolution: str | None = None
    complaint: str | None = msgspec.field(default=None, name="type")
    aliases: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("ticket", "conversation", "case", "ticket_number", "case_number"), "ticket_id"
    )

    def __post_init__(self) -> None:
        author = self.author
        if _read_here(self) != _NOTHING_READ or (author is not None and type(author) is not str):
            _gather(self)
            return
        # Nearly always the first names are used, with words that come again.
        if author is not None:
            force_setattr(self, "author", _author_called(author))
        if self.status is not None:
            force_setattr(self, "status", _status(self.status))
        if self.priority is not None:
            force_setattr(self, "priority", _priority(self.priority))

    @property
    def subject(self) -> str | None:
        """What the ticket is about, in the shop's own words."""
        return self.category or self.complaint


_read_here: Final = attrgetter(*_READ_HERE)
_NOTHING_READ: Final = (None,) * len(_READ_HERE)


def _gather(news: TicketNews) -> None:
    """Copy to the first names what is given under other names."""
    force_setattr(news, "ticket_id", news.ticket_id or news.conversation_id or news.case_id)
    # The log carries only what state needs, and no names of people.
    force_setattr(news, "author", _author(news))
    force_setattr(news, "status", _status(_first_said(news, ("status", *_NEW_STATUS)) or ""))
    priority = _first_said(news, ("priority", *_NEW_PRIORITY))
    force_setattr(news, "priority", None if priority is None else _priority(priority))
    for name in _READ_HERE:
        force_setattr(news, name, None)


def _plain(text: str) -> str:
    """In lower case, with one blank for any of blanks, ``-`` and ``_``."""
    return " ".join(re.split("[ _-]+", text.lower())).strip() if text.isascii() else ""


@lru_cache(_WORDS_MAX)
def _status(said: str) -> str | None:
    """The status in this engine's words; None if it changes nothing."""
    what = _STATUSES.get(_plain(said))
    return None if what is None else _STATUS_WORDS.get(what)


@lru_cache(_WORDS_MAX)
def _priority(said: str | int) -> str | None:
    """The priority in this engine's words; None if none is given, and an empty text if it is not
    understood. A rank beside a word, as in "P1 - Critical", is the same one.
    """
    if not str(said).strip(" _-"):
        return None
    text = _plain(str(said))
    if (known := PRIORITIES.get(text)) is not None:
        return str(known)
    meant = {PRIORITIES.get(word) for word in text.split()}
    [only] = meant if len(meant) == 1 else [None]
    return str(only) if only is not None else ""


def _first_said(news: TicketNews, names: tuple[str, ...]) -> Any:
    """The value of the first of these fields that has one."""
    said = (getattr(news, name) for name in names)
    return next((one for one in said if one not in (None, "")), None)


def _author(news: TicketNews) -> str | None:
    """Who wrote, by all fields about it: a machine if any of them says so."""
    if _is_note(news):
        return NOTE
    told = [getattr(news, name) for name in _WRITERS]
    objects = [one for one in told if isinstance(one, dict)]
    said = [*told, *(one.get(name) for one in objects for name in _WHO)]
    words = [_plain(text) for text in said if isinstance(text, str) and text.strip()]
    flags = [getattr(news, name) for name in _MACHINE_FLAGS]
    flags += [one.get(name) for one in objects for name in _MACHINE_FLAGS_IN_OBJECTS]
    if any(_is_said(flag, "true") for flag in flags) or any(map(_is_machine, words)):
        return MACHINE
    if any(text in _CUSTOMERS for text in words) or _is_said(news.incoming, "true"):
        return CUSTOMER
    return AGENT if words or _is_said(news.incoming, "false") else None


@lru_cache(_WORDS_MAX)
def _author_called(said: str) -> str | None:
    """As `_author`, by this one word."""
    if said == NOTE:
        return NOTE
    text = _plain(said)
    if _is_machine(text):
        return MACHINE
    if text in _CUSTOMERS:
        return CUSTOMER
    return AGENT if said.strip() else None


def _is_machine(text: str) -> bool:
    return text in _MACHINES or not _MACHINE_WORDS.isdisjoint(text.split())


def _is_note(news: TicketNews) -> bool:
    """Whether only the staff reads it."""
    if news.author == NOTE or _plain(str(news.visibility or "")) in _NOTE_WORDS:
        return True
    is_internal = any(_is_said(getattr(news, name), "true") for name in _INTERNAL)
    return is_internal or any(_is_said(getattr(news, name), "false") for name in _PUBLIC)


def _is_said(said: Any, word: str) -> bool:
    """Whether a yes or a no is said, as such or as a text."""
    return str(said).strip().lower() == word


def _check(news: TicketNews) -> None:
    if news.ticket_id is None:
        raise Rejected(
            Reason.REQUIRED_MISSING,
            "$.properties.ticket_id",
            "no ticket_id, conversation_id or case_id",
        )
    if news.priority == "":
        raise Rejected(
            Reason.OUT_OF_RANGE, "$.properties.priority", "not urgent, high, normal or low"
        )


def _spellings() -> str:
    """A pattern of every way to write a priority, for the schema."""
    ways = (
        "[ _-]+".join(
            "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in word)
            for word in name.split()
        )
        for name in PRIORITIES
    )
    return f"^[ _-]*({'|'.join(ways)})?[ _-]*$"


_RULES: Mapping[str, Any] = {
    "anyOf": [
        {"required": [name], "properties": {name: {"type": ["string", "integer"]}}}
        for name in ("ticket_id", "conversation_id", "case_id")
    ],
    "allOf": [
        {
            "properties": {
                "priority": {
                    "anyOf": [
                        {"type": "string", "pattern": _spellings()},
                        {"type": "integer", "minimum": 1, "maximum": 5},
                        {"type": "null"},
                    ]
                }
            }
        }
    ],
}

_KNOWN = EventType(shape=TicketNews, check=_check, rules=_RULES, code=lambda news: news.subject)
#: Events that are not the customer's own activity.
_PASSIVE = msgspec.structs.replace(_KNOWN, topic=SUPPORT, is_passive=True)
_BY_CUSTOMER, _BY_AGENT = "Ticket Replied by Customer", "Ticket Replied by Agent"

#: What happened, by the event's name alone.
_HAPPENED: Final[Mapping[str, tuple[int, ...]]] = {
    OPENED: (ticket.OPENED,),
    COMPLAINT: (ticket.FILED,),
    "Ticket Reopened": (ticket.REOPENED,),
    "Ticket Solved": (ticket.SOLVED,),
    "Ticket Closed": (ticket.SOLVED,),
    "Ticket Merged": (ticket.DROPPED,),
    "Ticket Deleted": (ticket.DROPPED,),
    "Ticket Marked as Spam": (ticket.DROPPED,),
    "Ticket Put On Hold": (ticket.HELD,),
    "Ticket Pending": (ticket.HELD,),
    "Ticket Resumed": (ticket.RESUMED,),
    _BY_CUSTOMER: (ticket.ASKED,),
    _BY_AGENT: (),
    "Ticket Replied by Bot": (),
    "Ticket Assigned": (),
    "Ticket Noted": (),
    "Ticket Priority Changed": (),
    ESCALATED: (),
    UPDATED: (),
    STATUS_CHANGED: (),
}
#: Events whose status adds to what their name says.
_WITH_STATUS = frozenset({REPLIED, UPDATED, STATUS_CHANGED, ESCALATED, _BY_CUSTOMER})
#: The first event of a ticket may be its end, if it is imported, or answered at once.
_ENDS = frozenset({ticket.SOLVED, ticket.DROPPED})
_ELSEWHERE = (OPENED, COMPLAINT, REPLIED, ESCALATED, "Ticket Reopened", "Ticket Solved")

#: The events by which staff and customers write to each other.
REPLIES: Final = frozenset({REPLIED, _BY_AGENT})
#: The events about tickets. Names that are not in `models.events.names` are declared here whole.
EVENTS: Mapping[str, EventType] = {
    **dict.fromkeys(_ELSEWHERE, _KNOWN),
    **{name: _PASSIVE for name in _HAPPENED if name not in _ELSEWHERE},
    _BY_CUSTOMER: msgspec.structs.replace(_PASSIVE, is_passive=False),
}


def is_answer(event: Event) -> bool:
    """Whether the staff wrote to the customer."""
    if event.name not in REPLIES or event.properties.author in (MACHINE, NOTE):
        return False
    # A bot may reply under the name of an agent. Any other author of an agent's reply is an agent.
    return event.name == _BY_AGENT or event.properties.author != CUSTOMER


def marks_of(event: Event, *, is_complaint: bool) -> Iterator[Mark]:
    """What an event says has happened to its ticket."""
    news, at_ms = event.properties, event.occurred_at_ms
    for what in _HAPPENED.get(event.name, ()):
        yield Mark(at_ms, what)
    if event.name in REPLIES and news.author not in (MACHINE, NOTE):
        yield Mark(at_ms, ticket.ANSWERED if is_answer(event) else ticket.ASKED)
    if is_complaint:
        yield Mark(at_ms, ticket.COMPLAINT)
    if news.priority:
        yield Mark(at_ms, URGENCIES[news.priority])
    if news.status is not None and (
        event.name in _WITH_STATUS or (event.name == OPENED and _STATUSES[news.status] in _ENDS)
    ):
        yield Mark(at_ms, _STATUSES[news.status])
