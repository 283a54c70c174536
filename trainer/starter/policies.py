"""The shop's policies: how each is stated, what it could become, and how people ask for it.

Data only. The first value is the one in force.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule of the house.

    Attributes:
        name: What it is called.
        values: What it can be; the first is in force.
        sentence: The statement that carries it, with ``{value}``.
        asked: Questions that may be used for training.
        held_out: Questions that are never trained on.
    """

    name: str
    values: tuple[str, ...]
    sentence: str
    asked: tuple[str, ...]
    held_out: tuple[str, ...]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


POLICIES = (
    Policy(
        "returns",
        ("30 days", "10 days", "14 days", "15 days", "20 days", "4 weeks"),
        "You can return an item within {value}.",
        _lines("""
            how long can i return an item?
            what is your return policy?
            how many days do i have to send something back?
            until when can i return my purchase?
            what is the return window?
            return period?
            how long do i have to return something?
            when must i send an item back?
            i do not like my item, how long can i send it back?
            tell me the return policy
            how much time do i have for returns?
            returns, how long?
        """),
        _lines("""
            how long is the return window?
            how many days do i have to return an item?
            what is the return period?
            until when can i send something back?
            tell me how long i can return my purchase
        """),
    ),
    Policy(
        "shipping fee",
        ("5 dollars", "3 dollars", "4 dollars", "6 dollars", "7 dollars", "8 dollars"),
        "Shipping costs {value}.",
        _lines("""
            how much is shipping?
            what does shipping cost?
            what is the shipping fee?
            shipping fee?
            how much do you charge for shipping?
            what do i pay for postage?
            is shipping expensive? what is the fee?
            tell me the shipping cost
            how many dollars is postage?
            what is the postage?
            shipping, how much?
            how much does it cost to ship an order?
        """),
        _lines("""
            how much is the shipping fee?
            what do i pay for shipping?
            what does postage cost?
            tell me the shipping fee
            how many dollars is shipping?
        """),
    ),
    Policy(
        "free shipping",
        ("50 dollars", "29 dollars", "39 dollars", "59 dollars", "79 dollars", "99 dollars"),
        "Shipping is free from {value}.",
        _lines("""
            when is shipping free?
            from what amount do you ship for free?
            how much must i spend for free shipping?
            what is the minimum for free shipping?
            free shipping minimum?
            do you have free shipping? from what amount?
            how do i get free shipping?
            from how many dollars is shipping free?
            tell me the free shipping limit
            at what total is shipping free?
            what is the limit for free postage?
            free shipping, from how much?
        """),
        _lines("""
            what is the free shipping limit?
            from what total is shipping free?
            how much must i spend to get free shipping?
            tell me the minimum for free shipping
            what is the amount for free shipping?
        """),
    ),
    Policy(
        "refund time",
        ("7 days", "3 days", "5 days", "10 days", "14 days", "4 weeks"),
        "A refund takes {value}.",
        _lines("""
            how long does a refund take?
            when do i get my money back?
            what is the refund time?
            refund time?
            how fast are refunds?
            how many days until my refund?
            when will the refund be paid?
            when will my refund be here?
            i sent it back, when do i see my money?
            how long until i get my money back?
            tell me how fast you refund
            how quickly do you refund?
            refund, how long?
        """),
        _lines("""
            when will i get my refund?
            how fast do you refund?
            how long until my refund?
            how many days does a refund take?
            tell me the refund time
        """),
    ),
    Policy(
        "gift cards",
        ("2 years", "1 year", "3 years", "4 years", "5 years", "6 months"),
        "A gift card is valid for {value}.",
        _lines("""
            how long is a gift card valid?
            when does a gift card expire?
            how long can i use a gift card?
            gift card validity?
            do gift cards expire?
            what is the validity of a gift card?
            until when must i use my gift card?
            i have a gift card, how long is it good?
            how long does a gift card last?
            tell me when gift cards expire
            how long are gift cards good for?
            gift card, how long?
        """),
        _lines("""
            how long are gift cards valid?
            when do gift cards expire?
            until when can i use a gift card?
            how long does my gift card last?
            tell me how long a gift card is valid
        """),
    ),
    Policy(
        "student discount",
        ("10 percent", "5 percent", "12 percent", "15 percent", "20 percent", "25 percent"),
        "Students get a discount of {value}.",
        _lines("""
            is there a student discount?
            how much is the student discount?
            what do students save?
            student discount?
            do students get a discount?
            i am a student, how much do i save?
            what discount do students get?
            how many percent off for students?
            tell me the student discount
            what is the discount for students?
            do you have an offer for students?
            students, how much off?
        """),
        _lines("""
            what is the student discount?
            how much discount do students get?
            i am a student, what is my discount?
            how much do students save?
            is there a discount for students?
        """),
    ),
    Policy(
        "repairs",
        ("2 weeks", "1 week", "3 weeks", "4 weeks", "10 days", "2 months"),
        "A repair takes {value}.",
        _lines("""
            how long does a repair take?
            how fast can you repair something?
            what is the repair time?
            repair time?
            my item is broken, how long until it is repaired?
            when will my repair be done?
            how quickly do you fix things?
            how long until you fix my item?
            how many weeks does a repair take?
            tell me how long repairs take
            when is my item repaired?
            repair, how long?
            how long are repairs?
        """),
        _lines("""
            how long do repairs take?
            how quickly do you repair something?
            how long until my repair is done?
            tell me the repair time
            my item is broken, how long does a repair take?
        """),
    ),
    Policy(
        "price match",
        ("14 days", "7 days", "10 days", "12 days", "20 days", "30 days"),
        "We match a lower price for {value}.",
        _lines("""
            do you match prices?
            how long do you match a lower price?
            what is your price match?
            price match?
            i saw a lower price elsewhere, how long do you match it?
            how long is the price match?
            how many days do you match prices?
            is there a price guarantee? how long?
            tell me about the price match
            how long does the price guarantee last?
            until when do you match a lower price?
            price match, how long?
            how long does a price match hold?
        """),
        _lines("""
            how long does the price match last?
            do you match a lower price? how long?
            how long do you match prices?
            until when do you match prices?
            tell me how long you match a lower price
        """),
    ),
    Policy(
        "loyalty points",
        ("2 points", "3 points", "4 points", "5 points", "8 points", "10 points"),
        "You earn {value} per dollar.",
        _lines("""
            how many points do i earn?
            how many loyalty points do i get per dollar?
            what do i earn with the loyalty program?
            loyalty points?
            how does the loyalty program work?
            how many points per dollar?
            do i get points when i buy?
            how many points is a dollar?
            tell me about loyalty points
            what are the loyalty points per dollar?
            points for members?
            loyalty points, how many?
        """),
        _lines("""
            how many loyalty points do i earn?
            how many points do i get per dollar?
            tell me about the loyalty program
            do i get loyalty points? how many?
            what points do i earn when i buy?
        """),
    ),
    Policy(
        "invoices",
        ("3 days", "1 day", "2 days", "5 days", "1 week", "2 weeks"),
        "Your invoice comes within {value}.",
        _lines("""
            when do i get my invoice?
            where is my invoice?
            how fast do you send invoices?
            invoice?
            i need an invoice, when do i get it?
            how long does an invoice take?
            how soon will i receive an invoice?
            how long do i wait for the invoice?
            tell me when i get an invoice
            i am waiting for my invoice, how long?
            when are invoices sent?
            invoice, when?
        """),
        _lines("""
            how soon do i get my invoice?
            when will i receive my invoice?
            i need an invoice, how long does it take?
            how fast are invoices sent?
            tell me when you send the invoice
        """),
    ),
    Policy(
        "assembly fee",
        ("25 dollars", "15 dollars", "20 dollars", "29 dollars", "39 dollars", "49 dollars"),
        "Assembly costs {value}.",
        _lines("""
            how much is assembly?
            what does assembly cost?
            what is the assembly fee?
            assembly fee?
            can you assemble my furniture? what does it cost?
            how much do you charge to assemble something?
            what do i pay for assembly?
            i need someone to assemble it, how much?
            how many dollars is assembly?
            tell me the cost of assembly
            is assembly expensive? what is the fee?
            assembly, how much?
        """),
        _lines("""
            how much is the assembly fee?
            how much do you charge for assembly?
            what do i pay to assemble something?
            tell me the assembly fee
            what is the cost of assembly?
        """),
    ),
    Policy(
        "pickup",
        ("2 hours", "3 hours", "4 hours", "5 hours", "6 hours", "1 day"),
        "An order is ready for pickup after {value}.",
        _lines("""
            how fast is pickup?
            when can i pick up my order in the store?
            how long until i can pick up?
            pickup time?
            i want to collect it myself, how long do i wait?
            how long does pickup take?
            when can i collect my order in the store?
            how soon can i pick something up?
            tell me the pickup time
            how many hours until pickup?
            how quickly can i collect in the store?
            pickup, how long?
        """),
        _lines("""
            how soon can i pick up my order?
            what is the pickup time?
            how long until i can collect my order?
            how many hours does pickup take?
            when can i pick up in the store?
        """),
    ),
    Policy(
        "newsletter",
        ("8 percent", "4 percent", "6 percent", "7 percent", "9 percent", "11 percent"),
        "Newsletter readers save {value}.",
        _lines("""
            what do i get for the newsletter?
            how much do newsletter readers save?
            is there a discount for the newsletter?
            newsletter discount?
            what is the newsletter offer?
            how many percent off with the newsletter?
            i signed up for the newsletter, what do i save?
            does the newsletter give a discount?
            tell me the newsletter discount
            how much off for the newsletter?
            why should i read the newsletter? what do i save?
            newsletter, how much off?
        """),
        _lines("""
            what is the newsletter discount?
            how much do i save with the newsletter?
            what discount do newsletter readers get?
            is there a newsletter discount?
            tell me the newsletter offer
        """),
    ),
)
