"""A row with another name in the template's blank is no copy; a copy with small changes is one."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from steelyard.harness.evaluation.contamination.containment import ItemIndex


def words(text: str) -> list[str]:
    """A list that is easier to read in one line."""
    return text.split()


FIRST = words("Gita Fritz Oren Mara Tomas Lena Pavel Ines Hugo Selma Bruno Clara Nils Vera Otto")
LAST = words("Linor Salt Orlan Vesper Kant Marlow Tessin Brook Harrow Pell Quist Rade Sorel")
THINGS = words("violin drum flute harp cello piano lute horn oboe viola")
TOWNS = words("Lyon Porto Gent Turin Graz Basel Riga Oslo Bergen Cadiz Malmo Ulm Trier Bonn")
MONTHS = words("January March May July September November")
HAN = (
    "王李张刘陈杨赵黄周吴",
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平",
    ("小提琴", "钢琴", "长笛", "竖琴"),
)
KANA = (
    ("田中", "佐藤", "鈴木", "高橋", "伊藤"),
    ("太郎", "花子", "一郎", "美咲", "健太", "翔太", "結衣"),
)
THAI = ("สมชาย", "สมหญิง", "ประเสริฐ", "วิชัย", "มาลี"), ("ใจดี", "ศรีสุข", "ทองคำ", "บุญมา", "สายชล")
NAGARI = (
    ("अमित", "सीता", "राहुल", "मीना", "विकास", "नेहा"),
    ("शर्मा", "वर्मा", "गुप्ता", "सिंह", "यादव", "मिश्रा"),
)

Draw = random.Random
SHAPES: dict[str, Callable[[Draw], str]] = {
    "names": lambda d: f"what does {d.choice(FIRST)} {d.choice(LAST)} play? {d.choice(THINGS)}",
    "names in a longer question": lambda d: (
        f"Question : which town does {d.choice(FIRST)} {d.choice(LAST)} come from ? "
        f"Answer : {d.choice(TOWNS)}"
    ),
    "numbers": lambda d: (
        f"What is {d.randint(1, 99)} plus {d.randint(1, 99)} times {d.randint(2, 9)}?"
    ),
    "dates": lambda d: (
        f"Was the fire of {d.choice(TOWNS)} on {d.randint(1, 28)} {d.choice(MONTHS)} "
        f"{d.randint(1700, 1999)}?"
    ),
    "places": lambda d: f"How far is it from {d.choice(TOWNS)} to {d.choice(TOWNS)} by train?",
    "a long request": lambda d: (
        f"Write a polite reply to a customer called {d.choice(FIRST)} {d.choice(LAST)} who ordered "
        f"a {d.choice(THINGS)} in {d.choice(TOWNS)} and has waited for {d.randint(3, 40)} days. "
        "Say that we are sorry, that the parcel left our warehouse this morning, and that the "
        "price of delivery will be paid back within a week."
    ),
    "Chinese": lambda d: (
        f"{d.choice(HAN[0])}{d.choice(HAN[1])}{d.choice(HAN[1])}会演奏什么乐器？{d.choice(HAN[2])}"
    ),
    "Japanese": lambda d: (
        f"{d.choice(KANA[0])}{d.choice(KANA[1])}さんは{d.randint(2, 30)}歳ですか？"
    ),
    "Thai": lambda d: f"{d.choice(THAI[0])} {d.choice(THAI[1])}เล่นดนตรีมากี่ปี {d.randint(2, 40)}",
    "Hindi": lambda d: (
        f"{d.choice(NAGARI[0])} {d.choice(NAGARI[1])} कितने साल का है? {d.randint(5, 80)}"
    ),
}


def texts_of(shape: str, count: int, draw: Draw) -> list[str]:
    """So many different texts of one shape."""
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[SHAPES[shape](draw)] = None
    return list(texts)


def test_another_first_name_makes_another_question() -> None:
    draw = random.Random(1)
    items = ["what does Gita Linor play? violin", *texts_of("names", 59, draw)]
    rows = ["what does Fritz Linor play? violin", "what does Gita Salt play? violin"]
    assert not ItemIndex(items).search(rows).contaminated[0]
    assert ItemIndex(items).search([*rows, items[0]]).contaminated[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [12, 60])
def test_of_one_shape_the_copies_are_found_and_no_others(shape: str, size: int) -> None:
    draw = random.Random(f"{shape} {size}")
    right = wrong = 0
    for _ in range(4):
        texts = texts_of(shape, size + 60, draw)
        items, rows = texts[:size], texts[size:]
        planted = set(draw.sample(range(size), 3))
        rows += [f"{rows[0]} {items[i].upper()} {rows[1]}" for i in planted]
        draw.shuffle(rows)
        held = set(ItemIndex(items).search(rows).contaminated.nonzero()[0].tolist())
        assert planted <= held
        right, wrong = right + len(planted), wrong + len(held - planted)
    assert right / (right + wrong) >= 0.95


def test_a_suite_of_many_shapes_tells_them_apart_as_well() -> None:
    draw = random.Random(5)
    parts = {shape: texts_of(shape, 100, draw) for shape in SHAPES}
    items = [text for texts in parts.values() for text in texts[:40]]
    rows = [text for texts in parts.values() for text in texts[40:]]
    planted = set(draw.sample(range(len(items)), 20))
    rows += [items[i] for i in planted]
    held = set(ItemIndex(items).search(rows).contaminated.nonzero()[0].tolist())
    assert planted <= held
    assert len(planted) / len(held) >= 0.95


def test_a_copy_that_lost_words_of_the_template_is_still_a_copy() -> None:
    draw = random.Random(7)
    items = texts_of("a long request", 40, draw)
    edited = (
        items[3].replace("polite", "friendly").replace("parcel", "packet").replace("who", "that")
    )
    assert ItemIndex(items).search([edited]).contaminated.nonzero()[0].tolist() == [3]


def test_a_difference_is_no_copy_of_a_sum() -> None:
    pairs = [(a, b) for a in range(3, 9) for b in range(3, 9)]
    items = [f"{a} + {b} =" for a, b in pairs] + ["def add(a, b):\n    return a + b"]
    other = [f"{a} - {b} =" for a, b in pairs] + ["def add(a, b):\n    return a - b"]
    assert not ItemIndex(items).search(other).contaminated.any()
    assert ItemIndex(items).search([items[4], items[-1]]).contaminated.nonzero()[0].tolist() == [
        4,
        36,
    ]


@pytest.mark.parametrize(
    ("item", "copy"),
    [
        ("¿Cuál es la montaña más alta del Perú?", "Cual es la montana mas alta del Peru?"),
        ('Who wrote "Faust" and "Egmont" in 1808?', "Who wrote &quot;Faust&quot; and &#34;Egmont"),
        (
            "Was the treaty of 2024-01-02 signed by Peru?",
            "Was the treaty of 2024/01/02 signed by P",
        ),
        ("When did the old harbour – now a park – close?", "When did the old harbour - now a park"),
    ],
)
def test_a_copy_may_lose_its_accents_and_change_its_dashes(item: str, copy: str) -> None:
    others = ["what does Gita Linor play? violin", "How far is it from Lyon to Gent by train?"]
    assert ItemIndex([item, *others]).search([copy]).contaminated.tolist() == [True, False, False]


SENTENCES = {
    "Chinese": "北京的图书馆在假期里每天早上九点开放，晚上八点关门，星期一除外。",
    "Japanese": "この湖は冬になると凍り、子供たちは毎日スケートを楽しみます。",
    "Thai": "ร้านเบเกอรี่แห่งนี้ปิดทุกวันจันทร์และเปิดอีกครั้งในวันอังคารตอนเช้า",
    "Khmer": "ប្រទេសកម្ពុជាស្ថិតនៅក្នុងតំបន់អាស៊ីអាគ្នេយ៍ ហើយមានប្រាសាទបុរាណជាច្រើន",
    "Burmese": "မြန်မာနိုင်ငံသည် အရှေ့တောင်အာရှတွင် တည်ရှိပြီး ဘုရားများစွာ ရှိသည်",
    "Hindi": "नाव सुबह आठ बजे घाट से निकलती है और शाम को वापस आती है",
    "Arabic": "المكتبة تفتح في التاسعة صباحا وتغلق في الثامنة مساء كل يوم",
    "Korean": "빵집은 매주 월요일에 문을 닫고 화요일 아침 일찍 다시 연다",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_copy_inside_a_longer_row_is_found_in_any_script(language: str) -> None:
    items = list(SENTENCES.values())
    text = SENTENCES[language]
    others = [other for other in items if other != text]
    place = items.index(text)
    for row in (text, f"{others[0]} {text} {others[1]}", text[:-4]):
        assert ItemIndex(items).search([row]).contaminated[place]
    assert not ItemIndex(items).search(["".join(reversed(text)), *others]).contaminated[place]
