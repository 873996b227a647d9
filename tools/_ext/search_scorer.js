/* How the search of the pages weighs what it finds, and what it shows of it. Sphinx puts
   this in front of its own searchtools.js. A chapter comes before the pages that list. */
const LISTS = /(glossary|interface|reference|references|troubleshooting|command_line|errata|clusters)$/;
const NOT_READ = "details, nav, .onlyprint, #jb-print-docs-body, .headerlink, .katex-html, script, style";

const asked = (new URLSearchParams(location.search).get("q") || "").trim().toLowerCase();

var Scorer = {
  score: ([docname, title, anchor, descr, score]) =>
    score + (asked && !anchor && title.replace(/^[\d.]+\s*/, "").toLowerCase().startsWith(asked) ? 100 : 0) + (/\/\d\d\w?_/.test(docname) ? 8 : 0) - (LISTS.test(docname) ? 8 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 40,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

/* Excerpts are made of the text of a page: without what folds, and with each formula once. */
document.addEventListener("DOMContentLoaded", () => {
  const whole = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    page.querySelectorAll(NOT_READ).forEach((one) => one.remove());
    return whole(page.documentElement.outerHTML, anchor);
  };
});
