"""What a score says by its name: liking, disliking, or nothing that could be taught."""

from typing import Any

import pytest

from feedback.formats import score
from feedback.formats.names import In
from feedback.formats.records import Unusable
from tests.feedback.imports import lines, only


@pytest.mark.parametrize(
    ("name", "value", "scale", "said"),
    [
        ("user-feedback", 1, None, {"rating": "up"}),
        ("user-feedback", 0, None, {"rating": "down"}),
        ("thumbs", -1.0, None, {"rating": "down"}),
        ("helpful", True, None, {"rating": "up"}),
        ("rating", "thumbs_down", None, {"rating": "down"}),
        ("rating", 4, 5, {"rating": 4.0, "scale": 5}),
        ("rating", 1, 5, {"rating": 1.0, "scale": 5}),
        ("quality", 0.5, None, {"rating": 50.5, "scale": 100}),
        ("rating", "so so", None, {"survey": {"rating": "so so"}}),
        ("latency", 0.9, None, {"survey": {"latency": 0.9}}),
        ("hallucination", True, None, {"survey": {"hallucination": 1.0}}),
    ],
)
def test_a_score_is_a_rating_where_its_name_speaks_of_liking(
    name: str, value: Any, scale: int | None, said: dict[str, Any]
) -> None:
    assert score.said(name, value, scale=scale) == said


def test_a_share_keeps_its_place_between_worst_and_best() -> None:
    said = score.said("quality", 0.25)
    assert (said["rating"] - 1) / (said["scale"] - 1) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("value", "scale", "why"),
    [(4, None, "say how far its scale goes"), (7, 5, "outside of 1 to 5"), (None, None, "without")],
)
def test_a_rating_outside_its_scale_is_no_rating(value: Any, scale: int | None, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        score.said("rating", value, scale=scale)


# fmt: off
LIKING = [
    "user_feedback", "user-feedback", "userFeedback", "userfeedback", "Feedback", "thumbs",
    "Thumbs_Up", "thumbsUp", "thumb", "upvote", "helpful", "helpfulness", "was_helpful",
    "did_this_help", "correct", "correctness", "is_correct", "answer.correct", "correct_answer",
    "rating", "ratings", "user_rating", "rating_1", "star_rating", "stars", "score", "user_score",
    "overall-score", "quality", "quality_score", "like", "liked", "good", "good_answer", "csat",
    "satisfaction", "user.eval", "preference", "positive_feedback", "accurate", "rate_this_answer",
    "correctness_score", "user_score_v2",
    "like_dislike", "thumbs_up_down", "up_down_vote", "correct/incorrect",
]
COMPLAINTS = [
    "thumbs_down", "thumbsDown", "thumb_down", "thumbs-down", "thumbsdown", "Thumbs.Down",
    "downvote", "down_vote", "downvoted", "dislike", "disliked", "userDisliked", "dislike_score",
    "bad", "bad_answer", "bad_rating", "negative", "negative_feedback", "poor", "low_quality",
    "dissatisfied", "unsatisfied", "feedback_down",
]
JUDGED_WRONG = [
    "incorrect", "is_incorrect", "incorrectness", "inaccurate", "wrong", "wrong_answer",
    "answer_wrong", "unhelpful", "unhelpfulness", "un-helpful", "not_helpful", "notHelpful",
    "isn't_helpful", "not_correct", "not_very_good", "did_not_help",
]
NO_VOTES = [
    "toxicity", "toxicity_score", "hallucination", "hallucination_score", "error_rate", "errors",
    "latency", "harm", "harmfulness_rating", "f1_score", "relevance_score", "perplexity_score",
    "log_likelihood", "accuracy", "generated", "moderated", "start", "rate_limit", "refusal_rate",
    "false_negative", "quality_issue", "feedback_given", "sentiment_score", "not_bad", "no_dislike",
    "dislike_like", "wrong_tool", "bad_grammar_rating", "priority_low", "breakdown", "unlikely",
]
# fmt: on


@pytest.mark.parametrize("name", LIKING)
def test_a_true_score_is_a_thumb_up_where_its_name_speaks_of_liking(name: str) -> None:
    for value in (True, 1, 1.0, "yes", "good"):
        assert score.said(name, value) == {"rating": "up"}
    for value in (False, 0, -1, "no", "thumbs_down"):
        assert score.said(name, value) == {"rating": "down"}


@pytest.mark.parametrize("name", [*COMPLAINTS, *JUDGED_WRONG])
def test_a_true_score_is_a_thumb_down_where_its_name_is_a_complaint(name: str) -> None:
    for value in (True, 1, 1.0, "yes", "True", "bad", "thumbs_down"):
        assert score.said(name, value) == {"rating": "down"}
    for value in (0, -1, 0.5, 7, "good", "so so"):
        assert score.said(name, value) == {"survey": {name: value}}


def test_a_false_complaint_is_a_thumb_up_only_where_it_is_a_judgement_with_two_sides() -> None:
    for name in JUDGED_WRONG:
        for value in (False, "no"):
            assert score.said(name, value) == {"rating": "up"}
    for name in COMPLAINTS:
        assert score.said(name, False) == {"survey": {name: 0.0}}


@pytest.mark.parametrize("name", NO_VOTES)
def test_what_is_measured_or_counted_is_no_vote(name: str) -> None:
    for value in (1, 0.5, 0, "good", "bad"):
        assert score.said(name, value) == {"survey": {name: value}}
    assert score.said(name, True) == {"survey": {name: 1.0}}


@pytest.mark.parametrize(
    ("tool", "row"),
    [
        ("langfuse", {"id": "s", "trace_id": "t", "data_type": "NUMERIC", "name": "dislike"}),
        ("langsmith", {"id": "f", "run_id": "r", "key": "thumbs_down", "score": 1}),
        ("mlflow", {"assessment_id": "a", "trace_id": "t", "name": "incorrect"}),
        ("tensorzero", {"id": "f", "target_id": "i", "metric_name": "unhelpful"}),
    ],
)
def test_every_tracing_tools_complaint_is_a_thumb_down(tool: In, row: dict[str, Any]) -> None:
    value = {"feedback": {"value": True}} if tool == "mlflow" else {"value": 1}
    [vote] = only(tool, lines({**row, **value})).votes
    assert vote.said == {"rating": "down"}
