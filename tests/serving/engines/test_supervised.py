"""The supervisor around engines that die on purpose, each in its own way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from feedback.errors import Invalid, NotFound, Unavailable
from serving.engines import supervised
from serving.engines.base import BASE, ChatMessage, Chunk, EngineHealth, GenerationRequest, Sampling
from serving.engines.echo import EchoEngine
from serving.engines.supervised import SupervisedEngine
from tests.serving.engines.asking import ask, begin, text_of


class Mortal(EchoEngine):
    """An echo that can die: politely, its readers told, or silently, leaving them to wait."""

    colour = "green"

    def __init__(self, *, delay_seconds: float = 0.0, ill: str | None = None) -> None:
        super().__init__(delay_seconds=delay_seconds)
        self.ill = ill
        self.silent = False
        self.stops = 0

    async def start(self) -> None:
        if self.ill:
            raise Invalid(self.ill)
        await super().start()

    async def stop(self) -> None:
        self.stops += 1
        if not self.silent:
            await super().stop()

    def die(self, *, silently: bool) -> None:
        self.silent = silently
        self._started = silently
        self.ill = "the worker has died"

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        return self._mute(super().generate(request))

    async def _mute(self, chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        async for chunk in chunks:
            if self.silent:
                await asyncio.Event().wait()
            yield chunk

    def health(self) -> EngineHealth:
        found = super().health()
        return replace(found, ready=False, detail=self.ill) if self.ill else found


class Line:
    """A factory that remembers what it made, and what is to be made next."""

    def __init__(self, *later: Callable[[], Mortal]) -> None:
        self.made: list[Mortal] = []
        self._later = list(later)

    def __call__(self) -> Mortal:
        make = self._later[len(self.made) - 1] if 0 < len(self.made) <= len(self._later) else None
        self.made.append((make or (lambda: Mortal(delay_seconds=0.002)))())
        return self.made[-1]

    @property
    def newest(self) -> Mortal:
        return self.made[-1]


def supervised_by(line: Callable[[], EchoEngine], **options: float) -> SupervisedEngine:
    quick = {"backoff_seconds": 0.01, "poll_seconds": 0.01, **options}
    return SupervisedEngine(line, **quick)  # type: ignore[arg-type]


def adapter(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text("{}")
    return folder


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("silently", [True, False])
def test_answers_in_flight_end_with_an_error_and_the_next_ones_are_given(silently: bool) -> None:
    async def play() -> None:
        line = Line()
        engine = supervised_by(line)
        await engine.start()
        said = "one two three four five six seven eight nine ten " * 9
        answers = [begin(engine, said, Sampling()) for _ in range(3)]
        for answer in answers:
            await anext(answer)
        readers = [asyncio.create_task(_rest(answer)) for answer in answers[:2]]
        await asyncio.sleep(0.01)
        line.newest.die(silently=silently)
        ends = await asyncio.wait_for(asyncio.gather(*readers, return_exceptions=True), 2)
        assert [type(end) for end in ends] == [Unavailable, Unavailable]
        assert all(reader.cancelling() == 0 for reader in readers)
        await until(lambda: engine.health().ready)
        with pytest.raises(Unavailable):  # nobody was reading this one when it happened
            await _rest(answers[2])
        assert text_of(await ask(engine, "tea for two", Sampling())) == "tea for two"
        assert (len(line.made), line.made[0].stops, engine.restarts) == (2, 1, 1)
        await engine.stop()

    asyncio.run(play())


def test_a_reader_that_is_cancelled_while_the_engine_dies_stays_cancelled() -> None:
    async def play() -> None:
        line = Line()
        engine = supervised_by(line)
        await engine.start()
        line.newest.die(silently=True)
        line.newest.ill = None
        reader = asyncio.create_task(_rest(begin(engine, "tea for two", Sampling())))
        await asyncio.sleep(0.02)
        engine._interrupt()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await engine.stop()

    asyncio.run(play())


def test_every_adapter_is_loaded_again_under_its_name(tmp_path: Path) -> None:
    async def play() -> None:
        line = Line()
        engine = supervised_by(line)
        await engine.start()
        for name in ("adp_0001", "adp_0002", "adp_0003"):
            await engine.load(name, adapter(tmp_path / name))
        await engine.unload("adp_0002")
        line.newest.die(silently=False)
        await until(lambda: engine.restarts)
        assert engine.loaded() == line.newest.loaded() == {"adp_0001", "adp_0003"}
        said = text_of(await ask(engine, "tea", Sampling(), "adp_0003"))
        assert said == "[adp_0003] tea"
        with pytest.raises(NotFound):
            begin(engine, "tea", Sampling(), "adp_0002")
        await engine.stop()

    asyncio.run(play())


def test_an_adapter_that_cannot_be_loaded_again_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "RETRY_SECONDS", 0.02)

    async def play() -> None:
        line = Line()
        engine = supervised_by(line)
        await engine.start()
        for name in ("adp_0001", "adp_0002"):
            await engine.load(name, adapter(tmp_path / name))
        (tmp_path / "adp_0001" / "adapter_config.json").unlink()
        line.newest.die(silently=False)
        await until(lambda: engine.restarts)
        assert engine.health().ready
        assert (
            "adp_0001 could not be loaded again: adp_0001 is no adapter" in engine.health().detail
        )
        with pytest.raises(Unavailable, match="adp_0001 is no adapter"):
            begin(engine, "tea", Sampling(), "adp_0001")
        assert text_of(await ask(engine, "tea", Sampling(), "adp_0002")) == "[adp_0002] tea"
        adapter(tmp_path / "adp_0001")
        await until(lambda: "adp_0001" in engine.loaded())
        assert text_of(await ask(engine, "tea", Sampling(), "adp_0001")) == "[adp_0001] tea"
        assert "could not be" not in engine.health().detail
        await engine.stop()

    asyncio.run(play())


def test_a_change_of_adapters_ends_with_the_engine_it_waited_for(tmp_path: Path) -> None:
    class Slow(Mortal):
        async def load(self, adapter_id: str, folder: Path) -> None:
            if adapter_id == "adp_slow":
                await asyncio.Event().wait()
            await super().load(adapter_id, folder)

    async def play() -> None:
        line = Line(Mortal)
        line.made.append(Slow(delay_seconds=0.01))
        first = line.newest
        engines = iter([first])
        engine = supervised_by(lambda: next(engines, None) or line())
        await engine.start()
        await engine.load("adp_0001", adapter(tmp_path / "adp_0001"))
        answer = begin(engine, "tea for two", Sampling(), "adp_0001")
        await anext(answer)
        leaving = asyncio.create_task(engine.unload("adp_0001"))
        coming = asyncio.create_task(engine.load("adp_slow", tmp_path))
        await asyncio.sleep(0.02)
        assert not leaving.done()
        first.die(silently=True)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(coming, 2)
        await asyncio.wait_for(leaving, 2)
        await until(lambda: engine.restarts)
        assert engine.loaded() == frozenset()
        await engine.stop()

    asyncio.run(play())


def test_while_it_is_away_everything_is_refused_and_nothing_forgotten(tmp_path: Path) -> None:
    async def play() -> None:
        line = Line()
        engine = supervised_by(line, backoff_seconds=0.2)
        await engine.start()
        await engine.load("adp_0001", adapter(tmp_path / "adp_0001"))
        known = (engine.base_hash, engine.context_tokens)
        line.newest.die(silently=False)
        await until(lambda: not engine.health().ready and "restarted" in engine.health().detail)
        assert "the worker has died" in engine.health().detail
        request = GenerationRequest("req", line.newest.prepare([_USER]), BASE)
        for refused in (lambda: engine.prepare([_USER]), lambda: engine.generate(request)):
            with pytest.raises(Unavailable, match="ask again in a moment"):
                refused()
        with pytest.raises(Unavailable):
            await engine.load("adp_0002", tmp_path)
        # What was answered before is still to be logged, and a swap still asks what is there.
        assert (engine.base_hash, engine.context_tokens) == known
        assert engine.loaded() == {"adp_0001"}
        await until(lambda: engine.restarts)
        assert "restarted once" in engine.health().detail
        assert "the worker has died" in engine.health().detail
        await engine.stop()

    asyncio.run(play())


def test_stays_down_after_too_many_deaths_and_says_so() -> None:
    async def play() -> None:
        sick = [lambda: Mortal(ill="no memory is left")] * 9
        line = Line(*sick)
        engine = supervised_by(line, max_restarts=3)
        await engine.start()
        line.newest.die(silently=False)
        await until(lambda: "stays down" in engine.health().detail)
        assert len(line.made) == 4
        assert all(each.stops == 1 for each in line.made)
        await asyncio.sleep(0.1)
        assert len(line.made) == 4
        for part in ("3 restarts within a minute", "no memory is left", "restart Heed"):
            assert part in engine.health().detail
        with pytest.raises(Unavailable, match="stays down"):
            engine.prepare([_USER])
        await engine.stop()

    asyncio.run(play())


def test_an_engine_that_comes_back_only_to_die_again_is_counted_too() -> None:
    async def play() -> None:
        line = Line()
        engine = supervised_by(line, max_restarts=2)
        await engine.start()
        for deaths in (1, 2):
            line.newest.die(silently=False)
            await until(lambda deaths=deaths: engine.restarts == deaths)  # type: ignore[misc]
        line.newest.die(silently=False)
        await until(lambda: "stays down" in engine.health().detail)
        await engine.stop()

    asyncio.run(play())


def test_another_base_model_in_the_old_place_is_not_served(tmp_path: Path) -> None:
    class Changed(Mortal):
        @property
        def base_hash(self) -> str:
            return "another"

    async def play() -> None:
        engine = supervised_by(Line(Changed), max_restarts=1)
        await engine.start()
        engine._latest.die(silently=False)  # type: ignore[attr-defined]
        await until(lambda: "stays down" in engine.health().detail)
        assert "base model's files have changed" in engine.health().detail
        await engine.stop()

    asyncio.run(play())


def test_a_bug_of_the_engine_is_an_error_for_its_reader_alone() -> None:
    class Buggy(Mortal):
        async def _mute(self, chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
            async for chunk in chunks:
                if chunk.text == "boom":
                    raise RuntimeError("a list index")
                yield chunk

    async def play() -> None:
        engine = supervised_by(Buggy)
        await engine.start()
        other = asyncio.create_task(ask(engine, "tea for two", Sampling()))
        with pytest.raises(Unavailable, match="a list index"):
            await ask(engine, "boom", Sampling())
        assert text_of(await other) == "tea for two"
        assert engine.restarts == 0
        await engine.stop()

    asyncio.run(play())


def test_a_first_start_that_fails_is_told_at_once() -> None:
    async def play() -> None:
        made: list[Mortal] = []

        def make() -> Mortal:
            made.append(Mortal(ill="no such model"))
            return made[-1]

        engine = supervised_by(make)
        with pytest.raises(Invalid, match="no such model"):
            await engine.start()
        assert (len(made), engine.health().ready) == (1, False)
        assert engine.health().detail == "no such model"

    asyncio.run(play())


def test_stopping_ends_what_is_in_flight_and_restarts_nothing() -> None:
    async def play() -> None:
        line = Line()
        engine = supervised_by(line)
        await engine.start()
        reader = asyncio.create_task(_rest(begin(engine, "tea for two " * 50, Sampling())))
        await asyncio.sleep(0.01)
        line.newest.silent = True
        await asyncio.sleep(0.01)
        await engine.stop()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(reader, 2)
        await asyncio.sleep(0.05)
        assert len(line.made) == 1
        with pytest.raises(Unavailable):
            engine.prepare([_USER])

    asyncio.run(play())


def test_what_the_protocol_does_not_name_is_the_engines_own() -> None:
    async def play() -> None:
        line = Line()
        engine = supervised_by(line)
        assert engine.colour == "green"
        await engine.start()
        line.newest.colour = "blue"
        assert engine.colour == "blue"
        line.newest.die(silently=False)
        await until(lambda: engine.restarts)
        assert engine.colour == "green"
        with pytest.raises(AttributeError):
            _ = engine.weight
        assert getattr(engine, "weight", None) is None
        await engine.stop()

    asyncio.run(play())


def test_closing_an_answer_early_frees_its_place() -> None:
    async def play() -> None:
        line = Line()
        engine = supervised_by(line)
        await engine.start()
        answer = begin(engine, "tea for two", Sampling())
        await anext(answer)
        assert engine.health().running == 1
        del answer
        await until(lambda: engine.health().running == 0)
        await engine.stop()

    asyncio.run(play())


_USER: ChatMessage = {"role": "user", "content": "tea"}


async def _rest(answer: AsyncIterator[Chunk]) -> list[Chunk]:
    return [chunk async for chunk in answer]
