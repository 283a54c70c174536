"""A base model with adapters side by side: what it answers, how likely it finds an answer.

Knows no gate, no suite and no training. Made for one thread of one process: the adapter in use is
state of the model.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice, takewhile
from typing import Any

from feedback.errors import Invalid
from trainer import hardware

hardware.calm_threads()  # before torch, or waiting threads spin

import torch
from torch import Tensor
from torch.nn import functional

from trainer.attached import Attached
from trainer.batches import Batch, answer_logits, branch_log_probs, collate
from trainer.examples import Message
from trainer.halves import in_halves
from trainer.lanes import Lanes
from trainer.metrics import Likelihood
from trainer.packing import by_length
from trainer.rows import Row
from trainer.template import Refused

_BATCH_TOKENS = 4096


class Policy(Attached):
    """One base model and any number of adapters on it."""

    def questions(self, count: int, *, max_new_tokens: int, seed: int) -> list[str]:
        """What the base model thinks a user might ask; see `trainer.invention`."""
        from trainer.invention import questions

        with self._using(None) as model:
            return questions(self._base, model, count, max_new_tokens=max_new_tokens, seed=seed)

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
        guesses: Sequence[str | None] | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> list[str]:
        """The most likely next token, again and again, until the answer ends.

        Equal to `generate(do_sample=False)` without penalties; `generate` prepares every step
        anew, which on a small model costs more than the step. A guess is checked in one pass, and
        as much of it as the model would have said itself need not be said again, token by token
        (Stern, Shazeer and Uszkoreit 2018, https://arxiv.org/abs/1811.03115).

        What cannot be asked, since the chat template refuses it or it fills the context, is answered
        with nothing; `fits` tells.

        Args:
            conversations: each waits for the assistant.
            adapter: its name, or None for the base model.
            max_new_tokens: answers end here at the latest, or where the context ends.
            guesses: what may well be answered, one for each conversation or None where nobody
                knows; a wrong one changes no answer, and costs a little.
            report: called with how many are answered, and of how many.

        Raises:
            NotFound: no adapter of this name is attached.
        """
        tried = enumerate(self._base.encoder.try_prompts(conversations))
        numbered = {
            at: prompt
            for at, prompt in tried
            if not isinstance(prompt, Refused) and len(prompt) < self._base.context_tokens
        }
        if len(numbered) < len(conversations):
            some = self.answers(
                [conversations[at] for at in numbered],
                adapter=adapter,
                max_new_tokens=max_new_tokens,
                guesses=guesses and [guesses[at] for at in numbered],
                report=report,
            )
            answered = dict(zip(numbered, some, strict=True))
            return [answered.get(at, "") for at in range(len(conversations))]
        prompts = list(numbered.values())
        room = [min(max_new_tokens, self._base.context_tokens - len(p)) for p in prompts]
        with self._using(adapter) as model, Lanes(self._lanes) as lanes:
            said: list[list[int]] = [[] for _ in prompts]
            if guesses is not None:
                rows = self._guessed(prompts, conversations, guesses, room)
                for number, ids in self._agreed(model, lanes, rows).items():
                    said[number] = ids
            going = [at for at, ids in enumerate(said) if self._goes_on(ids, room[at])]
            done = len(prompts) - len(going)
            if report is not None and done:
                report(done, len(prompts))
            # What is agreed on is part of the prompt from here on.
            rest = [prompts[at] + said[at] for at in going]
            left = [room[at] - len(said[at]) for at in going]
            groups = self._alike(rest, left)

            def finish(group: list[int]) -> list[list[int]]:
                return self._greedy(model, [rest[i] for i in group], [left[i] for i in group])

            work = partial(in_halves, finish)
            found = lanes.map(work, groups, cost=lambda group: sum(len(rest[i]) for i in group))
            for group, answers in zip(groups, found, strict=True):
                for number, more in zip(group, answers, strict=True):
                    said[going[number]] += more
                done += len(group)
                if report is not None:
                    report(done, len(prompts))
        decode = self._base.tokenizer.decode
        return [decode(ids, skip_special_tokens=True).strip() for ids in said]

    def likelihoods(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, adapter: str | None
    ) -> list[Likelihood]:
        """How likely each answer is after its conversation, its end token included.

        Raises:
            NotFound: no adapter of this name is attached.
            Invalid: a row is longer than the context.
        """

        def score(batch: Batch) -> Tensor:
            return branch_log_probs(model, batch)

        with self._using(adapter) as model, torch.inference_mode():
            return self._scored(rows, score)

    def log_likelihood(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, adapter: str | None
    ) -> list[float]:
        """Mean log-likelihood of each answer's tokens, in nats, its end token included.

        Raises:
            NotFound: no adapter of this name is attached.
            Invalid: a row is longer than the context.
        """
        return [each.per_token for each in self.likelihoods(rows, adapter=adapter)]

    def typicality(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, adapter: str | None
    ) -> list[float]:
        """Mean over each answer's tokens of log p(token) − log Σ p², in nats.

        Far below 0 for what the model would hardly say. e to its power is the weight of WPO (Zhou
        et al. 2024, https://arxiv.org/abs/2406.11827, equation 2, sampled alignment).

        Raises:
            NotFound: no adapter of this name is attached.
            Invalid: a row is longer than the context.
        """

        def score(batch: Batch) -> Tensor:
            every = functional.log_softmax(answer_logits(model, batch), dim=-1)
            said = every.gather(-1, batch.targets[:, None]).squeeze(-1)
            each = said - torch.logsumexp(2 * every, dim=-1)
            return each.new_zeros(batch.branches).index_add(0, batch.owner, each)

        with self._using(adapter) as model, torch.inference_mode():
            return [each.per_token for each in self._scored(rows, score)]

    def text_likelihoods(self, texts: Sequence[str], *, adapter: str | None) -> list[Likelihood]:
        """How likely each text is, without a chat template around.

        Raises:
            NotFound: no adapter of this name is attached.
            Invalid: a text is longer than the context, or has no token.
        """

        def score(batch: Batch) -> Tensor:
            return branch_log_probs(model, batch)

        with self._using(adapter) as model, torch.inference_mode():
            return self._scored_ids(self._base.encoder.texts(texts), score)

    def foretold(self, texts: Sequence[str], *, adapter: str | None) -> list[float]:
        """Share of each text's tokens that are the most likely next one, without a chat template.

        Raises:
            NotFound: no adapter of this name is attached.
            Invalid: a text is longer than the context, or has no token.
        """

        def score(batch: Batch) -> Tensor:
            right = (answer_logits(model, batch).argmax(-1) == batch.targets).float()
            return right.new_zeros(batch.branches).index_add(0, batch.owner, right)

        with self._using(adapter) as model, torch.inference_mode():
            texts_ids = self._base.encoder.texts(texts)
            return [each.per_token for each in self._scored_ids(texts_ids, score)]

    def drift(
        self,
        conversations: Sequence[Sequence[Message]],
        answers: Sequence[str],
        *,
        new: str | None,
        old: str | None,
    ) -> list[float]:
        """Mean KL(new ‖ old) per token of each answer, in nats, over the full vocabulary.

        Kullback and Leibler 1951; exact at every position, no sampling of tokens.

        Args:
            conversations: each waits for the assistant.
            answers: what was said, one for each conversation.
            new: name of one adapter, or None for the base model.
            old: the other.

        Raises:
            NotFound: no adapter of this name is attached.
            Invalid: a row is longer than the context.
        """

        def score(batch: Batch) -> Tensor:
            with self._using(new) as model:
                ours = functional.log_softmax(answer_logits(model, batch), dim=-1)
            with self._using(old) as model:
                theirs = functional.log_softmax(answer_logits(model, batch), dim=-1)
            # exp(-inf) * -inf is not zero to a computer, hence kl_div.
            each = functional.kl_div(theirs, ours, log_target=True, reduction="none").sum(-1)
            return each.new_zeros(batch.branches).index_add(0, batch.owner, each)

        with torch.inference_mode():
            rows = list(zip(conversations, answers, strict=True))
            return [each.per_token for each in self._scored(rows, score)]

    def _scored(
        self,
        rows: Sequence[tuple[Sequence[Message], str]],
        score: Callable[[Batch], Tensor],
    ) -> list[Likelihood]:
        """Each row's score, in nats, with the tokens of its answer, in the order of the rows."""
        return self._scored_ids(self._base.encoder.pairs(rows), score)

    def _scored_ids(
        self, pairs: Sequence[tuple[list[int], list[int]]], score: Callable[[Batch], Tensor]
    ) -> list[Likelihood]:
        numbered: list[tuple[int, Row]] = []
        for number, (prompt, answer) in enumerate(pairs):
            if not answer:
                raise Invalid(f"Row {number} has no token to score.")
            if len(prompt) + len(answer) > self._base.context_tokens:
                raise Invalid(f"Row {number} is longer than the model's context; see fits().")
            numbered.append((number, Row("demonstration", prompt, [answer])))
        place = {id(row): number for number, row in numbered}
        scores = [Likelihood(0.0, 0)] * len(numbered)

        def work(group: list[Row]) -> list[float]:
            batch = collate(group, pad=self._base.pad).to(self._base.model.device)
            values: list[float] = score(batch).tolist()
            return values

        for group in by_length([row for _, row in numbered], budget_tokens=self._score_tokens):
            for row, value in zip(group, in_halves(work, group), strict=True):
                scores[place[id(row)]] = Likelihood(value, len(row.branches[0]))
        return scores

    def _guessed(
        self,
        prompts: Sequence[list[int]],
        conversations: Sequence[Sequence[Message]],
        guesses: Sequence[str | None],
        room: Sequence[int],
    ) -> dict[int, Row]:
        """The guesses as rows, by the number of their prompt."""
        texts = {at: guess for at, guess in enumerate(guesses) if guess is not None}
        pairs = self._base.encoder.try_pairs([(conversations[at], texts[at]) for at in texts])
        return {
            at: Row("demonstration", each[0], [each[1][: room[at]]])
            for at, each in zip(texts, pairs, strict=True)
            if not isinstance(each, Refused) and each[0] == prompts[at]
        }

    def _agreed(self, model: Any, lanes: Lanes, rows: dict[int, Row]) -> dict[int, list[int]]:
        """As much of each guess as the model would have said, and its own word after that."""

        @torch.inference_mode()
        def own(group: list[Row]) -> list[int]:
            batch = collate(group, pad=self._base.pad).to(self._base.model.device)
            words: list[int] = answer_logits(model, batch).argmax(-1).tolist()
            return words

        place = {id(row): at for at, row in rows.items()}
        groups = by_length(list(rows.values()), budget_tokens=self._score_tokens)
        work = partial(in_halves, own)
        found = lanes.map(work, groups, cost=lambda group: sum(row.tokens for row in group))
        said = {}
        for group, words in zip(groups, found, strict=True):
            rest = iter(words)
            for row in group:
                guess = row.branches[0]
                ours = list(islice(rest, len(guess)))
                same = sum(
                    1
                    for _ in takewhile(
                        lambda pair: pair[0] == pair[1], zip(ours, guess, strict=True)
                    )
                )
                said[place[id(row)]] = ours[: same + 1]
        return said

    def _goes_on(self, ids: list[int], room: int) -> bool:
        """Whether an answer that starts so has not ended yet."""
        return len(ids) < room and not (ids and ids[-1] in self._base.ends)

    def _alike(self, prompts: Sequence[list[int]], left: Sequence[int]) -> list[list[int]]:
        """Numbers of the prompts in batches of like length, the longest first.

        One whose answer may reach the end of the context is alone, lest it cut others short.
        """
        groups: list[list[int]] = []
        for number in sorted(range(len(prompts)), key=lambda i: -len(prompts[i])):
            longest = len(prompts[groups[-1][0]]) if groups else 0
            if (
                groups
                and longest + max(left[groups[-1][0]], left[number]) <= self._base.context_tokens
                and longest * (len(groups[-1]) + 1) <= _BATCH_TOKENS
            ):
                groups[-1].append(number)
            else:
                groups.append([number])
        return groups

    @torch.inference_mode()
    def _greedy(
        self, model: Any, prompts: Sequence[list[int]], left: Sequence[int]
    ) -> list[list[int]]:
        """Ids of the answers to prompts of about the same length, each of at most `left` tokens."""
        from transformers import DynamicCache

        length = max(map(len, prompts))
        steps = min(max(left), self._base.context_tokens - length)
        lines = [[self._base.pad] * (length - len(ids)) + ids for ids in prompts]
        ids = torch.tensor(lines, device=model.device)
        starts = torch.tensor([[length - len(p)] for p in prompts], device=model.device)
        span = torch.arange(length + steps, device=model.device)
        mask = (span >= starts).long() if bool((starts > 0).any()) else None
        positions = (span[:length] - starts).clamp(min=0)
        cache = DynamicCache(config=model.config)
        alive = list(range(len(prompts)))
        found: list[list[int]] = [[] for _ in prompts]
        for step in range(steps):
            logits = model(
                input_ids=ids,
                attention_mask=None if mask is None else mask[:, : length + step],
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits
            chosen = logits[:, -1].float().argmax(-1)
            for line, token in enumerate(chosen.tolist()):
                if alive[line] >= 0:
                    answer = found[alive[line]]
                    answer.append(token)
                    if not self._goes_on(answer, left[alive[line]]):
                        alive[line] = -1
            going = [line for line, number in enumerate(alive) if number >= 0]
            if not going:
                break
            ids, positions = chosen[:, None], positions[:, -1:] + 1
            if 2 * len(going) <= len(alive):  # answered lines cost as much as the others
                keep = torch.tensor(going, device=model.device)
                cache.batch_select_indices(keep)
                alive = [alive[line] for line in going]
                ids, positions = ids[keep], positions[keep]
                mask = None if mask is None else mask[keep]
        return found
