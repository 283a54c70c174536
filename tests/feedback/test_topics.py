"""Topics are named by what people ask about, whichever of the common languages they ask in."""

import pytest

from feedback import topics

GERMAN = (
    "Wie viel kostet die Lampe bei euch, und warum ist sie so teuer?",
    "Ich möchte wissen, was eine Lampe für den Schreibtisch kosten würde.",
    "Gibt es die Lampe auch in einer anderen Farbe als hier?",
    "Wann wird meine Lieferung denn endlich bei mir ankommen?",
    "Kann ich für die Lieferung auch eine andere Adresse angeben?",
    "Wie lange dauert eine Lieferung, wenn ich noch heute bestelle?",
    "Wie kann ich eine Rechnung bekommen, auf der meine Firma steht?",
    "Warum ist auf der Rechnung nicht das, was ich bezahlt habe?",
    "Die Rechnung habe ich noch nicht, wann wird sie mir geschickt?",
)
FRENCH = (
    "Combien coûte la lampe que vous avez dans votre magasin ?",
    "Est-ce que cette lampe est aussi disponible dans une autre couleur ?",
    "Pourquoi la lampe est-elle plus chère que celle de vos voisins ?",
    "Quand est-ce que ma livraison va enfin arriver chez moi ?",
    "Je voudrais savoir si la livraison est gratuite pour nous.",
    "La livraison peut-elle être faite à une autre adresse que la mienne ?",
    "Comment puis-je avoir une facture avec le nom de mon entreprise ?",
    "Sur la facture il y a quelque chose que je n'ai pas acheté.",
    "Je n'ai pas encore reçu la facture, quand sera-t-elle envoyée ?",
)
ENGLISH = (
    "How much is the lamp that you have in your shop, and why?",
    "Could I have that lamp in some other colour than this one?",
    "Why would the lamp be more expensive here than it was before?",
    "When will my delivery be here, since it should have come by now?",
    "Can I have the delivery sent to somewhere else than to me?",
    "How long does a delivery take if I order before noon?",
    "How can I get an invoice with the name of my company on it?",
    "There is something on the invoice that I have never bought.",
    "I still do not have the invoice, when will it be sent to me?",
)
NOTHING = {
    "de": "wie viel die bei euch und warum ist sie so ich was eine für den würde gibt es auch in "
    "einer anderen als hier wann wird meine denn mir kann wenn noch der nicht das habe auf",
    "fr": "la que vous avez dans votre est ce cette aussi une autre pourquoi elle plus de vos quand "
    "ma va chez moi je si pour nous être comment avec le mon sur il pas encore ai sera",
    "en": "how much is the that you have in your and why could some other than this one would be more "
    "here it was before when will my since should by now can to me if get with",
}


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (GERMAN, {"lampe", "lieferung", "rechnung"}),
        (FRENCH, {"lampe", "livraison", "facture"}),
        (ENGLISH, {"lamp", "delivery", "invoice"}),
        ((*GERMAN, *FRENCH, *ENGLISH), {"lampe", "lieferung", "delivery", "facture"}),
    ],
    ids=["German", "French", "English", "all three"],
)
def test_a_topic_is_named_by_no_word_that_every_text_of_its_language_has(
    said: tuple[str, ...], named: set[str]
) -> None:
    # Each several times, and each time a little otherwise: as people ask.
    found = topics.topics([f"{text} {ending}" for text in said for ending in ("", "!", "...")])
    terms = {term for label in found.labels for term in label.split(", ")}
    assert terms >= named
    commonest = {word for words in NOTHING.values() for word in words.split()}
    assert terms.isdisjoint(commonest)


def test_what_is_a_common_word_in_another_language_alone_can_name_a_topic() -> None:
    assert {"die", "war", "son"}.isdisjoint(topics._common(ENGLISH))
    assert "die" in topics._common(GERMAN) and "son" in topics._common(FRENCH)


def test_few_texts_of_a_language_do_not_take_words_from_all_others() -> None:
    said = [*ENGLISH * 8, GERMAN[0]]
    assert "warum" not in topics._common(said) and "because" in topics._common(said)
    assert "warum" in topics._common([*ENGLISH * 2, GERMAN[0]])


def test_words_are_cut_as_the_texts_are() -> None:
    assert {"aujourd", "hui", "quelqu"} <= topics._stop_words("fr")
    assert topics._stop_words("unclear") == topics._stop_words("no such code") == frozenset()
    assert {"order", "open", "page"}.isdisjoint(topics._stop_words("en"))
