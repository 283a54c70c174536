"""One item of the review queue as a card: what was asked, answered and said, and what one can do.

What people wrote is shown as text, as sanitised Markdown or as a word difference. The buttons carry
names (`data-do`) that `static/review.js` knows, as it knows their keys. Reads nothing.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from serving.console import theme
from serving.console.theme import Tone

Item = dict[str, Any]

REASONS = (
    "The answer was right",
    "The correction is wrong",
    "Cannot be verified",
    "A matter of taste",
    "Out of date",
    "Beside the question",
    "Unclear",
    "Personal data",
    "Spam or abuse",
)
"""Why a piece of feedback teaches nothing, each with the number that is its key."""
SHOWN_ALIKE = 10
_LANES: dict[str, Tone] = {"accepted": "good", "edited": "good", "refused": "bad"}
_SPEAKERS = {"user": "Asked", "assistant": "Answered", "system": "Instructions", "tool": "Tool"}
_RATINGS: dict[str, tuple[str, str, Tone]] = {
    "up": ("thumb_up", "liked it", "good"),
    "down": ("thumb_down", "did not like it", "bad"),
}


class Card:
    """One item on the screen.

    Attributes:
        item: as the API shows it.
        element: the whole card.
    """

    def __init__(
        self,
        item: Item,
        *,
        who: str,
        hidden: bool = False,
        alike: Sequence[Item] = (),
        comments: Sequence[Item] = (),
        names: Mapping[str, str] | None = None,
        text: str | None = None,
        reason: str = "",
    ) -> None:
        self.item, self.alike, self.comments = item, alike, list(comments)
        self._who, self._names = who, names or {}
        self.element = ui.element("article").classes("heed-review")
        self.element._props |= {
            "data-review": item["id"],
            "data-cluster": item["cluster"] or "",
            "data-owner": who,
            "tabindex": -1,
            "aria-label": "What somebody said",
        }
        if hidden:
            self.element._props["hidden"] = True
        with self.element:
            self._draw(text, reason)

    @property
    def id(self) -> str:
        """Of the feedback."""
        return str(self.item["id"])

    @property
    def answer(self) -> str:
        """What was answered."""
        return str(self.item["answer"] or "")

    def show(self) -> None:
        """Show what was kept ready; the browser may have done so already."""
        if self.element._props.pop("hidden", None):
            self.element.update()

    def hold(self, item: Item) -> None:
        """Take over who has it reserved, and its version."""
        self.item |= {name: item[name] for name in ("lane", "version", "reserved")}
        self._held.clear()
        with self._held:
            self._draw_held()

    def changed(self, text: str) -> None:
        """Compare an edit with the answer."""
        theme.show_diff(self._diff, self.answer, text)

    def told(self, said: str) -> None:
        """Say what became of the draft."""
        self._status.set_text(said)

    def _draw(self, text: str | None, reason: str) -> None:
        item = self.item
        with theme.row("heed-review-top"):
            theme.badge(item["kind"], "soft")
            if item["lane"] not in ("waiting", "disagreement"):
                theme.badge(item["lane"], _LANES.get(item["lane"], ""))
            theme.when(item["created_at"]).classes("soft small")
            self._held = theme.row("end heed-review-held")
            with self._held:
                self._draw_held()
        with ui.element("div").classes("heed-review-body"):
            with ui.element("div").classes("heed-review-main"):
                self._conversation()
                self._said()
            with ui.element("aside").classes("heed-review-side"):
                self._side()
        self._edit(text)
        self._refuse(reason)
        self._actions()

    def _draw_held(self) -> None:
        held = self.item["reserved"]
        if not held:
            return
        theme.icon("timer")
        left = max(held["until"] - time.time(), 0)
        if held["by"] != self._who:
            theme.text(f"{self.name(held['by'])} has it for {left / 60:.0f} more minutes", "small")
            return
        theme.text("Reserved for you", "small soft")
        clock = theme.text(f"{int(left // 60)}:{int(left % 60):02}", "small mono")
        clock._props["data-left"] = f"{left:.1f}"
        again = theme.button("Reserve again", kind="plain").classes("heed-review-again")
        again._props["data-do"] = "claim"

    def _conversation(self) -> None:
        messages = self.item["messages"] or []
        if not messages and not self.answer:
            theme.text("This is about a whole conversation.", "soft")
        early, last = messages[:-1], messages[-1:]
        if early:
            with ui.element("details").classes("heed-review-early"):
                count = len(early)
                theme.text(f"{count} message{'s' if count > 1 else ''} before", tag="summary")
                for each in early:
                    self._message(each)
        for each in last:
            self._message(each)
        if self.answer:
            with ui.element("section").classes("heed-said"):
                with theme.row():
                    theme.text("Answered", "soft small")
                    base = self.item["adapter"] == "base"
                    theme.badge("base model" if base else self.item["adapter"], "soft")
                theme.answer(self.answer)

    def _message(self, message: Mapping[str, Any]) -> None:
        said = message.get("content")
        if not isinstance(said, str):
            parts = said if isinstance(said, list) else []
            said = " ".join(str(each.get("text", "")) for each in parts if isinstance(each, dict))
        role = str(message.get("role", ""))
        with ui.element("div").classes("heed-review-message"):
            theme.text(_SPEAKERS.get(role, role), "soft small")
            theme.text(said, "heed-review-words" + (" asked" if role == "user" else ""), "p")

    def _said(self) -> None:
        said = self.item["feedback"]
        with ui.element("section").classes("heed-review-said"):
            theme.text("What the person said", tag="h2")
            with theme.row():
                self._rating(said.get("rating"))
                for reason in said.get("reasons") or ():
                    theme.badge(reason, "warn")
            if said.get("comment"):
                theme.text(said["comment"], "heed-review-quote", "blockquote")
            if said.get("correction") is not None:
                theme.text("It should have been", "soft small")
                made = theme.word_diff(self.answer, said["correction"])
                made._props["aria-label"] = "The person's correction"
            if said.get("preferred_over"):
                theme.prose(f"They preferred this answer to `{said['preferred_over']}`.")
            if said.get("signal"):
                theme.prose(f"Noticed: `{said['signal']}`.")
            for name in self.item["conflicts"]:
                theme.prose(f"The correction contradicts the protected item `{name}`.", "failed")

    def _rating(self, rating: object) -> None:
        if rating is None:
            return
        name, words, tone = _RATINGS.get(str(rating), ("star_half", f"rated it {rating}", ""))
        with theme.badge("", tone):
            theme.icon(name)
            theme.text(words)

    def _side(self) -> None:
        item = self.item
        _part("Why this one", item["why"] or "It is new; its place is being worked out.")
        trust = item["trust"]
        with ui.element("div").classes("heed-review-part"):
            theme.text("How far the account is trusted", "soft small", "h3")
            if trust is None:
                theme.text("Not known yet")
            else:
                theme.text(f"{trust:.0%}")
                theme.bar(trust, f"trust {trust:.0%}", "good" if trust >= 0.5 else "bad")
        self._covers()
        self._verdicts()
        known = None if item["language"] == "unclear" else item["language"]
        about = " · ".join(str(each) for each in (item["topic"], known) if each)
        if about:
            _part("Topic and language", about)
        if item["lane"] not in ("waiting", "disagreement"):
            _part("What became of it", item["reason"] or item["status"])
        self._tags = ui.element("div").classes("heed-review-part")
        self.draw_tags(item["tags"])
        self._comments = ui.element("div").classes("heed-review-part")
        self.draw_comments(self.comments)

    def _covers(self) -> None:
        others = [each for each in self.alike if each["id"] != self.id]
        if not others:
            return
        with ui.element("div").classes("heed-review-part"):
            theme.text("What a decision covers", "soft small", "h3")
            with ui.element("label").classes("heed-check"):
                ui.element("input").props('type="checkbox" checked').classes("heed-cover")
                theme.text(f"Decide all {len(others) + 1} that say nearly the same")
            with ui.element("details"):
                theme.text("Show the others", "small", "summary")
                for each in others[:SHOWN_ALIKE]:
                    said = each["feedback"]
                    words = said.get("correction") or said.get("comment") or said.get("rating")
                    theme.text(f"{each['question'] or ''} → {words or ''}", "small soft", "p")
                if len(others) > SHOWN_ALIKE:
                    theme.text(f"and {len(others) - SHOWN_ALIKE} more", "small soft", "p")

    def _verdicts(self) -> None:
        item = self.item
        if item["verdicts_needed"] < 2 and not item["verdicts"]:
            return
        with ui.element("div").classes("heed-review-part"):
            theme.text("Verdicts", "soft small", "h3")
            if item["lane"] == "waiting":
                theme.text(f"{item['verdicts_needed']} reviewers judge it, unseen by each other.")
            for each in item["verdicts"]:
                reason = f": {each['reason']}" if each["reason"] else ""
                theme.text(f"{self.name(each['reviewer'])}: {each['decision']}{reason}", tag="p")
                if each["correction"]:
                    theme.word_diff(self.answer, each["correction"])

    def draw_tags(self, tags: Sequence[str]) -> None:
        """Show the tags there are now."""
        self._tags.clear()
        with self._tags:
            theme.text("Tags", "soft small", "h3")
            with theme.row():
                for name in tags:
                    with theme.badge(name, "busy"):
                        remove = ui.element("button").props('type="button"')
                        remove._props |= {
                            "aria-label": f"Remove the tag {name}",
                            "data-do": "untag",
                            "data-value": name,
                        }
                        with remove.classes("heed-untag"):
                            theme.icon("close")
            _line("tag", "Add a tag", 100)

    def draw_comments(self, comments: Sequence[Item]) -> None:
        """Show what reviewers said to each other."""
        self._comments.clear()
        with self._comments:
            theme.text("Among reviewers", "soft small", "h3")
            for each in comments:
                with ui.element("div").classes("heed-review-comment"):
                    theme.text(self.name(each["reviewer"]), "strong small")
                    theme.when(each["created_at"]).classes("soft small")
                    theme.text(each["text"], "heed-review-words", "p")
            _line("comment", "Tell other reviewers", 2000)

    def name(self, reviewer: str) -> str:
        """What a reviewer is called."""
        return "You" if reviewer == self._who else self._names.get(reviewer, reviewer)

    def _edit(self, text: str | None) -> None:
        draft = (self.item["draft"] or {}).get("correction")
        correction = self.item["feedback"].get("correction")
        begun = next(each for each in (text, draft, correction, self.answer) if each is not None)
        panel = ui.element("section").classes("heed-review-panel edit")
        panel._props["aria-label"] = "Edit the answer"
        if text is None and draft is None:
            panel._props["hidden"] = True
        with panel:
            theme.text("The answer as it should have been", tag="h2")
            box = theme.text(begun, tag="textarea")  # as content: as a value it would be put back
            box._props |= {
                "data-edit": "",
                "data-version": (self.item["draft"] or {}).get("version", 0),
                "aria-label": "The answer as it should have been",
                "rows": min(max(begun.count("\n") + 2, len(begun) // 70 + 2, 3), 12),
            }
            self._diff = theme.word_diff(self.answer, begun)
            self._diff._props["aria-label"] = "Your changes"
            with theme.row():
                self._status = theme.text("Your draft is kept" if draft else "", "soft small")
                self._status._props |= {"role": "status"}
                with theme.row("end"):
                    _button("Throw the draft away", "discard", kind="plain")
                    _button("Submit the edit", "edit", key="Ctrl+Enter", kind="main")

    def _refuse(self, reason: str) -> None:
        panel = ui.element("section").classes("heed-review-panel refuse")
        panel._props["aria-label"] = "Refuse, and why"
        if not reason:
            panel._props["hidden"] = True
        with panel:
            theme.text("Why does it teach nothing?", tag="h2")
            with theme.row():
                for number, said in enumerate(REASONS, 1):
                    made = _button(said, "refuse", key=str(number))
                    made._props["data-value"] = said
            with theme.row("heed-review-line"):
                box = ui.element("input").props('type="text" maxlength="2000"')
                box._props |= {
                    "data-reason": "",
                    "aria-label": "Another reason",
                    "placeholder": "Another reason, or none",
                    "defaultValue": reason,
                }
                _button("Refuse", "refuse", key="Ctrl+Enter", kind="main")

    def _actions(self) -> None:
        with theme.row("heed-review-actions"):
            rows = (
                ("Accept", "accept", "a", "check", "main"),
                ("Refuse", "open-refuse", "r", "block", ""),
                ("Edit", "open-edit", "e", "edit", ""),
            )
            for label, does, key, icon, kind in rows:
                made = _button(label, does, key=key, kind=kind, icon=icon)
                if does == "open-edit" and not self.answer:
                    made.props("disable")
                    made._props["title"] = "There is no single answer to edit."
            if self.item["lane"] in ("accepted", "refused", "edited"):
                _button("Take the decision back", "undo-this", icon="undo")
            with theme.row("end"):
                _button("Back", "back", key="←", kind="plain")
                _button("Skip", "skip", key="→", kind="plain")


def _button(
    label: str, does: str, *, key: str = "", kind: str = "", icon: str | None = None
) -> ui.button:
    made = theme.button(label, icon=icon, kind=kind, key=key)
    made._props["data-do"] = does
    return made


def _part(title: str, said: str) -> None:
    with ui.element("div").classes("heed-review-part"):
        theme.text(title, "soft small", "h3")
        theme.text(said, tag="p")


def _line(does: str, label: str, most: int) -> None:
    with theme.row("heed-review-line"):
        box = ui.element("input").props(f'type="text" maxlength="{most}"')
        box._props |= {"aria-label": label, "placeholder": label, "data-enter": does}
        made = theme.icon_button("add" if does == "tag" else "send", label)
        made._props["data-do"] = does
