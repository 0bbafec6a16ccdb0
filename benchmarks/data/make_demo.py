"""Makes demo.csv: about 1,000 varied sends from a fixed seed. `python benchmarks/data/make_demo.py` writes it anew.

Columns: door (stream, chunk, http, batch), class, to, from, key, text. Numbers are drawn from the seed and are only ever
sent to the simulator, whose scenarios (dispatcher/commands/demo) decide by the last two digits what becomes of them.
"""
# ruff: noqa: E501 - messages in their own words, one to a line

from __future__ import annotations

import csv
import random
from pathlib import Path

OUT = Path(__file__).with_name("demo.csv")
SEED = 20261122

SHORT = {
    "en": "Your parcel {n} is on its way and should reach you between {h}:00 and {h2}:00.",
    "de": "Ihre Bestellung {n} wurde versandt. Voraussichtliche Zustellung: {h}:00-{h2}:00 Uhr. Grüße!",
    "fr": "Votre commande n° {n} est prête. Retrait possible dès {h}h, à bientôt.",
    "es": "Su cita número {n} es mañana a las {h}:30. ¿No puede venir? Responda NO.",
    "pt": "Seu boleto {n} vence amanhã às {h}h. Evite juros, pague hoje.",
    "it": "Il tuo ordine {n} è pronto: ritiro dalle {h}:00 alle {h2}:00. Grazie!",
    "pl": "Twoja paczka {n} czeka w punkcie odbioru do godziny {h}:00. Miłego dnia!",
    "tr": "{n} numaralı siparişiniz yola çıktı, saat {h}:00 civarında kapınızda olacak. Teşekkürler.",
    "ru": "Заказ {n} передан курьеру, ожидайте с {h}:00 до {h2}:00.",
    "uk": "Ваше замовлення {n} вже в дорозі. Чекайте о {h}:00, дякуємо!",
    "el": "Η παραγγελία {n} είναι έτοιμη για παραλαβή μετά τις {h}:00.",
    "ar": "تم شحن طلبك رقم {n} وسيصل بين الساعة {h} والساعة {h2}.",
    "ku": "داواکارییەکەت بە ژمارە {n} نێردرا و کاتژمێر {h} دەگات.",
    "he": "ההזמנה {n} יצאה לדרך ותגיע סביב השעה {h}:00.",
    "hi": "आपका ऑर्डर {n} भेज दिया गया है और {h} बजे तक पहुँचेगा।",
    "zh": "您的订单{n}已发货，预计今天{h}点至{h2}点送达。",
    "ja": "ご注文{n}は発送済みです。{h}時ごろお届け予定です。",
    "ko": "주문 {n}번이 발송되었습니다. {h}시쯤 도착합니다.",
    "th": "คำสั่งซื้อ {n} ถูกจัดส่งแล้ว จะถึงประมาณ {h} นาฬิกา",
    "emoji": "Order {n} is out for delivery 🚚💨 See you at {h}:00! 👩‍👩‍👧‍👦❤️",
}
OTP = (
    "{c} is your sign-in code. It is valid for 10 minutes; never share it.",
    "Ihr Code lautet {c}. Geben Sie ihn niemandem weiter.",
    "رمز الدخول الخاص بك هو {c}",
    "Код для входа: {c}",
    "[{c}] €0.00 charged: confirm your card with this code",
)
LONG = (
    "Dear customer, the water supply in your street will be interrupted on Thursday from 08:00 to 16:00 for works on the main "
    "pipe. Please store what you need beforehand, keep taps closed during the works and let the water run for two minutes "
    "afterwards. Questions? Call the number on your bill between 7:00 and 19:00. We thank you for your patience {n}.",
    "Liebe Eltern, wegen der Straßensperrung fährt der Schulbus {n} bis Freitag über die Umgehung; die Haltestellen Mühlweg und "
    "Bahnhof entfallen. Bitte bringen Sie Ihr Kind zur Ersatzhaltestelle Rathausplatz: Abfahrt um 7:10 Uhr [pünktlich]. Preis der "
    "Ersatzkarte: 12 € {{nur bar}}. Wir danken für Ihr Verständnis.",
    "Уважаемые жители! В связи с ремонтом теплосети {n} горячая вода будет отключена с понедельника по среду. Просим закрыть "
    "краны и сообщить соседям. Приносим извинения за неудобства.",
    "🎉🎊 Our summer sale {n} starts now! 🎉🎊 Everything that swims 🐟🐠🐡, flies 🦋🐝 or just lies in the sun ☀️🏖️ is half the price until "
    "Sunday. Bring the whole family 👨‍👩‍👧‍👦 and your friends 👯, we have ice cream 🍦🍧🍨 for everyone!",
)
BAD = (
    "",
    "12",
    "abc",
    "+",
    "00",
    "+999999999999999999",
    "+44 20 7946 0958x",
    "+0123456789",
    "++447911123456",
    "+44-7911-123456",
)
COUNTRIES = (
    ("4479", 8),
    ("49151", 8),
    ("3361", 7),
    ("34600", 6),
    ("9647", 9),
    ("9053", 8),
    ("7916", 7),
    ("38067", 7),
    ("9198", 8),
    ("336", 8),
)
SENDERS = ("Acme", "Parcels", "City Works", "ShopNow", "447700900123")


def rows() -> list[dict[str, str]]:
    """All rows, in the order in which the demo sends them."""
    chance = random.Random(SEED)

    def number() -> str:
        prefix, digits = chance.choice(COUNTRIES)
        return "+" + prefix + "".join(str(chance.randrange(10)) for _ in range(digits))

    def fill(template: str) -> str:
        hour = chance.randrange(8, 19)
        return template.format(n=chance.randrange(10_000, 99_999), h=hour, h2=hour + 2, c=f"{chance.randrange(1_000_000):06d}")

    made: list[dict[str, str]] = []

    def add(door: str, lane: str, to: str, sender: str, key: str, text: str) -> None:
        made.append({"door": door, "class": lane, "to": to, "from": sender, "key": key, "text": text})

    languages = list(SHORT)
    for i in range(420):
        add(
            "stream" if i % 2 else "http",
            "transactional",
            number(),
            chance.choice(SENDERS),
            f"t-{i}",
            fill(SHORT[languages[i % len(languages)]]),
        )
    for i in range(120):
        add("http" if i % 3 else "stream", "otp", number(), "Acme", f"o-{i}", fill(chance.choice(OTP)))
    for _ in range(80):
        add("stream", "transactional", number(), "City Works", "", fill(chance.choice(LONG)))
    for i, to in enumerate(BAD):
        add("stream" if i % 2 else "http", "transactional", to, "Acme", f"bad-{i}", "This number cannot be reached.")
    add("stream", "transactional", number(), "Acme", "empty", "")
    add("http", "transactional", number(), "Acme", "long", "far too long " * 200)
    add("stream", "transactional", number(), "Sender name too long", "sender", "Who is this from?")
    add("http", "transactional", "+88299912345", "Acme", "unpriced", "There is no price for this network.")
    for _ in range(150):
        add(
            "chunk",
            "bulk",
            number(),
            "ShopNow",
            "",
            fill(chance.choice((SHORT["en"], SHORT["emoji"], SHORT["de"], SHORT["ar"]))),
        )
    for _ in range(220):
        add("batch", "bulk", number(), "ShopNow", "", "Members' day: 20 % off everything on Saturday. Reply STOP to leave.")
    chance.shuffle(made)
    return made


if __name__ == "__main__":
    with OUT.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["door", "class", "to", "from", "key", "text"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows())
