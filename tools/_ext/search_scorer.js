/* How the search of the pages weighs what it finds, and what it shows of it. Sphinx writes this into
   language_data.js, which the page of the search loads. A page's title says most about it, then the terms that the glossary sends there, then its
   headings, then its text; a chapter comes before the pages that list. */
const LISTS = /(glossary|interface|reference|references|troubleshooting|command_line|errata|clusters|measured)$/;
const CHAPTER = /\/\d\d\w?_/;
const NOT_READ = "h1, .section-number, details, nav, pre, figure, svg, .onlyprint, #jb-print-docs-body, .headerlink, .katex-html, " +
  ".bd-header-article, .prev-next-area, .report, .interactive, script, style";
const WEIGHTS = { title: 60, term: 50, heading: 30, text: 5, chapter: 8, list: -8 };
const LONGEST = 240;       // letters of an excerpt
/* What is asked for in other letters than the book's: American spelling, and words written apart. */
const SPELLING = [[/iz(e|ed|er|es|ing|ation)\b/g, "is$1"], [/\bcenter/g, "centre"], [/\bcolor/g, "colour"],
                  [/\b(pre|down|up|fine)(trained|sampling|sample|tuning|tune)\b/g, "$1-$2"],
                  [/\bdatasets?\b/g, "data set"]];

const asked = SPELLING.reduce((text, [from, to]) => text.replace(from, to),
  (new URLSearchParams(location.search).get("q") || "").trim().toLowerCase());
let stems = null;

/* Return the stems of a text's words, each once. */
function stemsOf(text) {
  stems = stems || new Stemmer();
  return [...new Set(splitQuery(text.toLowerCase()).filter((word) => !stopwords.includes(word))
    .map((word) => stems.stemWord(word)))];
}

/* Tell how well a title fits the question: 2 if they are the same, about 1 if it holds all that is asked. */
function fit(text) {
  const [wanted, there] = [stemsOf(asked), stemsOf(text)];
  const shared = wanted.filter((word) => there.includes(word)).length;
  if (!shared) return 0;
  const part = shared / wanted.length;
  return (part === 1 ? 1 : 0.6 * part ** 2) + shared / there.length * part ** 2;
}

const plainTitle = (title) => title.replace(/<[^>]*>/g, "").replace(/^[\d.\s]+/, "");
const best = (texts) => Math.max(0, ...texts.map(fit));

/* Return the texts of an index of Sphinx ({text: [[file, ...], ...]}) that belong to a page. */
const ofPage = (index, file) => Object.keys(index).filter((text) =>
  index[text].some(([other]) => other === file));

var Scorer = {
  score: ([docname, title, anchor]) => {
    const { docnames, alltitles, indexentries } = Search._index;
    const file = docnames.indexOf(docname);
    const kind = CHAPTER.test(docname) ? WEIGHTS.chapter : LISTS.test(docname) ? WEIGHTS.list : 0;
    const [page, heading] = title.split(" > ");
    if (anchor) return WEIGHTS.heading * fit(plainTitle(heading || page)) + kind;     // a part of a page
    return WEIGHTS.title * fit(plainTitle(page)) + WEIGHTS.term * best(ofPage(indexentries, file)) +
      WEIGHTS.heading * best(ofPage(alltitles, file)) + WEIGHTS.text + kind;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 40,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

/* Return where an excerpt starts: at the words as they are asked for, or where most of them stand together. */
function start(text, keywords) {
  const lower = text.toLowerCase();
  const whole = lower.indexOf(asked);
  if (whole >= 0) return whole;
  const places = keywords.flatMap((word) => [...lower.matchAll(RegExp(`\\b${RegExp.escape
    ? RegExp.escape(word) : word.replace(/\W/g, "\\$&")}`, "g"))].map(({ index }) => [index, word]));
  const together = ([at]) => new Set(places.filter(([other]) =>
    other >= at && other < at + LONGEST - 80).map(([, word]) => word)).size;
  const [place] = places.map((one) => [one[0], together(one)]).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return place ? place[0] : 0;
}

/* Change Sphinx's search, before it looks for anything. */
function changeSearch() {
  const [parse, perform] = [Search._parseQuery, Search._performSearch];
  Search._parseQuery = () => parse(asked);

  /* The heading of a page is not one more result than the page. */
  Search._performSearch = (...given) => perform(...given).filter(([, title]) => {
    const [page, heading] = title.split(" > ");
    return !heading || plainTitle(page) !== plainTitle(heading);
  });

  /* Excerpts are made of the sentences of a page: without what folds, code, and figures; each formula once. */
  Search.makeSearchSummary = (html, keywords, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    page.querySelectorAll(NOT_READ).forEach((one) => one.remove());
    const whole = page.querySelector('[role="main"]');
    const part = anchor && whole && whole.querySelector(anchor);
    const own = part && part.querySelector("h2, h3, h4");       // the result's title says it
    if (own) own.remove();
    page.querySelectorAll("dt, h2, h3, h4").forEach((one) => one.append(": "));
    const text = ((part || whole || page.body).textContent || "").replace(/\s+/g, " ")
      .replace("Open in Colab", "").trim();
    if (!text) return null;
    const from = text.lastIndexOf(" ", Math.max(start(text, [...keywords]) - 60, 0)) + 1;
    const to = from + LONGEST < text.length ? text.lastIndexOf(" ", from + LONGEST) : text.length;
    const summary = document.createElement("p");
    summary.className = "context";
    summary.textContent = `${from ? "... " : ""}${text.slice(from, to)}${to < text.length ? " ..." : ""}`;
    return summary;
  };
}

if (typeof Search === "undefined") document.addEventListener("DOMContentLoaded", changeSearch);
else changeSearch();
