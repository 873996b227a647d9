"""Check the spelling of all prose: unknown words, and words in American spelling.

    python tools/check_spelling.py          print what is doubtful; exit 1 if anything is

A word is known when the dictionary of pyspellchecker has it, or tools/words.txt, which
holds the terms and names of the book. Usual mistakes and American forms come from
codespell's lists.
"""
import re
import sys
from functools import lru_cache
from pathlib import Path

import codespell_lib
from spellchecker import SpellChecker

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.prose import ROOT, texts, words_only

OWN = ROOT / "tools" / "words.txt"
LISTS = Path(codespell_lib.__file__).parent / "data"
# Forms that the list lacks, and stems that it gives for some endings alone.
MORE = {r"(\w*)color(\w*)": "colour", r"(\w*)center(s|ed|ing)?": "centre",
        r"(\w*(?:al|an|ar|il|im|or|er|at|gn|ol|ub|ic))iz(es?|ed|ing|ations?|ers?)": "-ise",
        r"(\w*)analyz(e|es|ed|ing)": "analyse", r"gray(s|ish)?": "grey",
        r"(label|model|travel|cancel)(ed|ing)": "ll", r"behavior(s)?": "behaviour"}
# American in one sense only: a program of a computer, a story that is told, a licence by its name.
KEEP = {"program", "programs", "license", "dialog", "story", "stories", "check", "checks", "draft",
        "meter", "meters", "disk", "disks"}
WORD = re.compile(r"[^\W_][\w']*")


@lru_cache
def known():
    """Return the book's own words, in lower case."""
    lines = OWN.read_text(encoding="utf-8").splitlines()
    return {line.strip().lower() for line in lines if line.strip() and line[0] != "#"}


@lru_cache
def dictionary():
    return SpellChecker(language="en")


def pairs(name):
    """Return the (word, its replacements) of one of codespell's lists."""
    lines = (LISTS / name).read_text(encoding="utf-8").lower().splitlines()
    return [(word, put.rstrip(", ")) for word, _, put in (line.partition("->") for line in lines)]


@lru_cache
def mistakes():
    """Return {misspelt word: what is meant} from codespell's list of usual mistakes."""
    return dict(pairs("dictionary.txt"))


@lru_cache
def american():
    """Return {American form: British form} from codespell's list, read backwards."""
    return {us: gb for gb, us in pairs("dictionary_en-GB_to_en-US.txt") if "," not in us}


def americanism(word):
    """Return the British form of a word in American spelling, or None."""
    if word in KEEP:
        return None
    if word in american() and word not in american().values():
        return american()[word]
    return next((hint for pattern, hint in MORE.items() if re.fullmatch(pattern, word)), None)


def in_dictionary(word):
    """Tell whether a dictionary has a word; British forms are those of codespell's list."""
    return word in dictionary() or word in american().values()


def is_known(word):
    """Tell whether a word in lower case is spelled as a dictionary or the book's list has it."""
    forms = {word, word.removesuffix("'s"), word.removesuffix("'")}
    forms |= {form.removesuffix("s") for form in forms}
    return any(len(form) < 3 or form in known() or in_dictionary(form) for form in forms)


def words(text):
    """Yield (line, word in lower case) of a Markdown text; what holds a digit is no word."""
    for number, line in enumerate(words_only(text).splitlines(), 1):
        for match in WORD.finditer(line.replace("\u2019", "'")):
            if not re.search(r"[\d_]", match.group()):
                yield number, match.group().lower().rstrip("'")


def doubts(text):
    """Return (line, word, what is wrong) for the doubtful words of a Markdown text."""
    found = []
    for number, word in words(text):
        british = americanism(word)
        if british:
            found.append((number, word, f"American; British is {british}"))
        elif word in mistakes() and word not in known():
            found.append((number, word, f"a usual mistake for {mistakes()[word]}"))
        elif not is_known(word):
            found.append((number, word, "unknown"))
    return found


def idle_words():
    """Return the words of tools/words.txt that no text uses, or that a dictionary has."""
    used = {word for _, _, text in texts() for _, word in words(text)}
    used |= {word.removesuffix("'s") for word in used} | {word.removesuffix("s") for word in used}
    return sorted(word for word in known() if word not in used or in_dictionary(word))


def main():
    found = [f"{place}, line {line}: {word!r}: {why}" for place, _, text in texts()
             for line, word, why in doubts(text)]
    found += [f"tools/words.txt: {word!r} is not needed" for word in idle_words()]
    print("\n".join(found) or "The spelling is that of the dictionaries.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
